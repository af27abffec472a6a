/**
 * What a writer feels while its database is replaced under it: an online restore, with the safety backup that comes
 * first. The page copy alone, the same one transaction without a writer and without us, is what it is measured by.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runJob } from '../../src/engine/process/run-job.ts';
import { type Bench, newBank, type Part, type Section, settleDisk, TRANSACTIONS_PER_SECOND } from '../bench.ts';
import { jobEnvironment, ourJob, timeWork } from '../candidates.ts';
import { barPlot } from '../plot.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';
import { startWriter } from '../writer.ts';
import type { JobEvent } from '../../src/words/story.ts';

const SMALL_MEGABYTES = 200;
const BUSY_TIMEOUT_MS = 10_000;
/** The writer goes on alone before and after. */
const ALONE_MS = 2_000;
const LOCK_WAIT_MS = 30_000;

interface Round {
  readonly wholeMs: number;
  /** By name of the restore's step. */
  readonly steps: Readonly<Record<string, number>>;
  readonly longestWaitMs: number;
  readonly errors: number;
  readonly firstError: string;
  readonly pageCopyMs: number;
}

interface Row {
  readonly megabytes: number;
  readonly wholeMs: Figure;
  readonly steps: Readonly<Record<string, Figure>>;
  readonly pageCopyMs: Figure;
  /** The longest of all rounds. */
  readonly longestWaitMs: Figure;
  /** Wait by page copy, the worst round. */
  readonly ratio: Figure;
  readonly errors: number;
  readonly firstError: string;
}

export interface RestoreFigures {
  readonly rounds: number;
  readonly rows: readonly Row[];
}

export const restore: Part<RestoreFigures> = { measure, tell };

async function measure(bench: Bench): Promise<RestoreFigures> {
  const sizes = [SMALL_MEGABYTES, bench.megabytes].filter((size) => size <= bench.megabytes);
  const rows: Row[] = [];
  for (const megabytes of new Set(sizes)) {
    const rounds: Round[] = [];
    for (let round = 0; round < bench.rounds; round++) {
      const measured = await restoreOnce(bench, megabytes);
      bench.say(
        `${round + 1}. ${megabytes} MB: ${inMs(measured.wholeMs)} ms, longest wait ${inMs(measured.longestWaitMs)} ms, ` +
          `page copy ${inMs(measured.pageCopyMs)} ms, ${measured.errors} errors`,
      );
      rounds.push(measured);
    }
    rows.push(rowOf(megabytes, rounds));
  }
  return { rounds: bench.rounds, rows };
}

async function restoreOnce(bench: Bench, megabytes: number): Promise<Round> {
  const database = newBank(bench, megabytes);
  const folder = join(dirname(database), 'backups');
  mkdirSync(folder);
  const { path: source } = await ourJob.copy({ database, folder, number: 0 });
  settleDisk(bench.folder);
  const pageCopyMs = await timeWork('node-sqlite', { from: source, to: database });
  settleDisk(bench.folder);

  const writer = await startWriter(database, { synchronous: 'NORMAL', busyTimeoutMs: BUSY_TIMEOUT_MS });
  await sleep(ALONE_MS);
  const stopwatch = new Stopwatch();
  await runJob<'restore'>(
    {
      kind: 'restore',
      source,
      sourceName: 'the backup',
      sha256: null,
      databasePath: database,
      folder,
      mode: 'online',
      to: null,
      expected: null,
      user: null,
      retention: { count: 10, startBurstMs: 0 },
      lockWaitMs: LOCK_WAIT_MS,
    },
    { environment: jobEnvironment(), onEvent: stopwatch.hear },
  );
  const { wholeMs, steps } = stopwatch.stop();
  await sleep(ALONE_MS);
  const { waitsMs, errors, firstError } = await writer.stop();
  rmSync(dirname(database), { recursive: true });
  return { wholeMs, steps, longestWaitMs: Math.max(...waitsMs), errors, firstError, pageCopyMs };
}

/** Splits the time of a job by the steps that it tells. */
class Stopwatch {
  readonly #startedMs = performance.now();
  readonly #steps = new Map<string, number>();

  readonly hear = (event: JobEvent): void => {
    if (event.type === 'step') this.#steps.set(event.name, performance.now());
  };

  stop(): { wholeMs: number; steps: Record<string, number> } {
    const endedMs = performance.now();
    const begun = [...this.#steps];
    const steps = begun.map(([name, beganMs], at) => [name, (begun[at + 1]?.[1] ?? endedMs) - beganMs] as const);
    return { wholeMs: endedMs - this.#startedMs, steps: Object.fromEntries(steps) };
  }
}

function rowOf(megabytes: number, rounds: readonly Round[]): Row {
  const names = Object.keys(rounds[0]?.steps ?? {});
  return {
    megabytes,
    wholeMs: median(rounds.map((round) => round.wholeMs)),
    steps: Object.fromEntries(
      names.map((name) => [name, median(rounds.map((round) => round.steps[name] ?? Number.NaN))]),
    ),
    pageCopyMs: median(rounds.map((round) => round.pageCopyMs)),
    longestWaitMs: Math.max(...rounds.map((round) => round.longestWaitMs)),
    ratio: Math.max(...rounds.map((round) => round.longestWaitMs / round.pageCopyMs)),
    errors: rounds.reduce((sum, round) => sum + round.errors, 0),
    firstError: rounds.find((round) => round.firstError !== '')?.firstError ?? '',
  };
}

function tell({ rounds, rows }: RestoreFigures): Section {
  const names = Object.keys(rows[0]?.steps ?? {});
  return {
    title: 'A restore while the application writes',
    text: [
      `An online restore beside a writer of ${TRANSACTIONS_PER_SECOND} transactions a second (\`synchronous=NORMAL\`, busy timeout ${BUSY_TIMEOUT_MS / 1000} s), ${rounds} times. The page copy alone is one step of SQLite's backup API from the same file into the same database while nobody writes, including the merge of the log into the main file, which in a live database the writer's next commit does. Durations are medians; the wait is the longest of all rounds, the ratio that of the worst.`,
      '![The longest wait of a writer beside the page copy alone](restore.svg)',
      table(
        [
          'size',
          'page copy alone',
          'longest wait',
          'wait / page copy',
          'writer errors',
          'whole restore',
          ...names.map((name) => `of it: ${name}`),
        ],
        rows.map((row) => [
          `${row.megabytes} MB`,
          `${inMs(row.pageCopyMs)} ms`,
          `${inMs(row.longestWaitMs)} ms`,
          inTimes(row.ratio),
          row.errors === 0 ? '0' : `${row.errors} (${row.firstError})`,
          `${inMs(row.wholeMs)} ms`,
          ...names.map((name) => `${inMs(row.steps[name] ?? null)} ms`),
        ]),
      ),
      tellGoals(
        rows.map((row) => ({
          text: `${row.megabytes} MB: writers wait for less than the page copy`,
          measured: row.ratio,
          most: 1,
        })),
      ),
    ].join('\n\n'),
    plots: [
      {
        file: 'restore.svg',
        svg: barPlot({
          title: 'Online restore: the longest wait of a writer (ms)',
          reference: null,
          rows: rows.flatMap((row) => [
            {
              label: `${row.megabytes} MB: page copy alone`,
              ours: false,
              value: row.pageCopyMs ?? Number.NaN,
              text: `${inMs(row.pageCopyMs)} ms`,
            },
            {
              label: `${row.megabytes} MB: longest wait`,
              ours: true,
              value: row.longestWaitMs ?? Number.NaN,
              text: `${inMs(row.longestWaitMs)} ms`,
            },
          ]),
        }),
      },
    ],
  };
}
