/**
 * What a writer feels while its database is backed up without a pause. Every candidate has its slice in every round, on
 * the same database, in another order each time, so that a machine that drifts hits all alike. The last copy of each
 * slice is judged: SQLite's full check, a sum that never changes, and no transaction missing.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { judgeBank } from '../../tests/support/bank.ts';
import {
  type Bench,
  newBank,
  newFolder,
  type Part,
  type Section,
  settleDisk,
  TRANSACTIONS_PER_SECOND,
  warm,
} from '../bench.ts';
import { type Candidate, type Copy, ourJob, peers, usualRecipe } from '../candidates.ts';
import { rangePlot } from '../plot.ts';
import { bold, table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median, percentile, summarize, type Waits } from '../statistics.ts';
import { startWriter, type WriterSettings } from '../writer.ts';

interface Setting extends WriterSettings {
  readonly title: string;
  /** Name of its plot; none where errors are the point. */
  readonly plot: string | null;
  /** At most so many times the baseline's p99.9. */
  readonly goal: number | null;
  readonly roundsMax: number;
}

const PATIENT_MS = 10_000;
const settings: readonly Setting[] = [
  {
    title: '`synchronous=NORMAL`',
    synchronous: 'NORMAL',
    busyTimeoutMs: PATIENT_MS,
    plot: 'stall-normal.svg',
    goal: 1.5,
    roundsMax: Number.POSITIVE_INFINITY,
  },
  {
    title: '`synchronous=FULL`',
    synchronous: 'FULL',
    busyTimeoutMs: PATIENT_MS,
    plot: 'stall-full.svg',
    goal: 2,
    roundsMax: Number.POSITIVE_INFINITY,
  },
  {
    title: "`synchronous=NORMAL`, busy timeout 0 (Bun's default): what would wait fails",
    synchronous: 'NORMAL',
    busyTimeoutMs: 0,
    plot: null,
    goal: null,
    roundsMax: 1,
  },
];

const BASELINE = 'no backups';
const candidates: readonly (Candidate | null)[] = [null, ourJob, usualRecipe, ...peers];

interface CandidateFigures {
  readonly name: string;
  readonly ours: boolean;
  readonly missing: string | null;
  readonly waits: Waits;
  /** p99.9 from the moment a transaction was due, queueing behind others included. */
  readonly delayP999: Figure;
  /** p99.9 by the baseline's, of each round. */
  readonly ratios: readonly Figure[];
  readonly perSecond: Figure;
  readonly errors: number;
  readonly firstError: string;
  readonly copies: number;
  readonly copyMs: Figure;
  readonly copyErrors: number;
  readonly firstCopyError: string;
  readonly judged: number;
  readonly torn: number;
}

interface SettingFigures {
  readonly title: string;
  readonly plot: string | null;
  readonly goal: number | null;
  readonly candidates: readonly CandidateFigures[];
}

export interface StallFigures {
  readonly seconds: number;
  readonly settings: readonly SettingFigures[];
}

export const stall: Part<StallFigures> = { measure, tell };

async function measure(bench: Bench): Promise<StallFigures> {
  const database = newBank(bench, bench.megabytes);
  const slices = settings.map(() => candidates.map((): Slice[] => []));
  for (let round = 0; round < bench.rounds; round++) {
    for (const [at, setting] of settings.entries()) {
      if (round >= setting.roundsMax) continue;
      for (let turn = 0; turn < candidates.length; turn++) {
        const which = (turn + round) % candidates.length;
        const candidate = candidates[which] ?? null;
        if (candidate?.missing) continue;
        const slice = await runSlice(bench, { database, candidate, setting });
        slices[at]?.[which]?.push(slice);
        bench.say(
          `${round + 1}. ${setting.synchronous}/${setting.busyTimeoutMs} ${candidate?.name ?? BASELINE}: ` +
            `p99.9 ${inMs(summarize(slice.waitsMs).p999)} ms, max ${inMs(summarize(slice.waitsMs).max)} ms, ${slice.copyMs.length} copies, ${slice.errors} errors`,
        );
      }
    }
  }
  return {
    seconds: bench.seconds,
    settings: settings.map(({ title, plot, goal }, at) => {
      const baseline = slices[at]?.[0] ?? [];
      const told = candidates.map((candidate, which) => figuresOf(candidate, slices[at]?.[which] ?? [], baseline));
      return { title, plot, goal, candidates: told };
    }),
  };
}

interface Slice {
  readonly waitsMs: readonly number[];
  readonly delaysMs: readonly number[];
  readonly seconds: number;
  readonly commits: number;
  readonly errors: number;
  readonly firstError: string;
  readonly copyMs: readonly number[];
  readonly copyErrors: readonly string[];
  /** Of the last copy; undefined when none was made. */
  readonly complaint: string | null | undefined;
}

async function runSlice(
  bench: Bench,
  { database, candidate, setting }: { database: string; candidate: Candidate | null; setting: Setting },
): Promise<Slice> {
  const folder = join(newFolder(bench), 'copies');
  mkdirSync(folder);
  warm(database);
  settleDisk(bench.folder);
  const writer = await startWriter(database, setting);
  const stop = new AbortController();
  const untilMs = performance.now() + bench.seconds * 1000;
  const copying = candidate ? copyWithoutPause(candidate, { database, folder, untilMs, signal: stop.signal }) : null;
  await sleep(untilMs - performance.now());
  // The writer first: all that it noted, it noted beside the copies.
  const outcome = await writer.stop();
  stop.abort();
  const { copies, errors } = (await copying) ?? { copies: [], errors: [] };
  const last = copies.at(-1);
  const complaint = last && judgeBank(last.path).complaint;
  rmSync(folder, { recursive: true });
  return { ...outcome, copyMs: copies.map((copy) => copy.tookMs), copyErrors: errors, complaint };
}

const PAUSE_AFTER_ERROR_MS = 100;

/** One copy after the other; what ends after the slice doesn't count, well or badly. One old copy is kept. */
async function copyWithoutPause(
  candidate: Candidate,
  { untilMs, ...order }: { database: string; folder: string; untilMs: number; signal: AbortSignal },
): Promise<{ copies: readonly Copy[]; errors: readonly string[] }> {
  const copies: Copy[] = [];
  const errors: string[] = [];
  const isOver = () => performance.now() >= untilMs;
  for (let number = 1; !isOver(); number++) {
    try {
      const copy = await candidate.copy({ ...order, number });
      if (isOver()) break;
      const old = copies.at(-1);
      // Ours prunes its own.
      if (old && !candidate.ours) rmSync(old.path);
      copies.push(copy);
    } catch (error) {
      if (isOver()) break;
      errors.push(error instanceof Error ? error.message : String(error));
      await sleep(PAUSE_AFTER_ERROR_MS);
    }
  }
  return { copies, errors };
}

function figuresOf(
  candidate: Candidate | null,
  slices: readonly Slice[],
  baseline: readonly Slice[],
): CandidateFigures {
  const sum = (of: (slice: Slice) => number) => slices.reduce((total, slice) => total + of(slice), 0);
  const delaysMs = slices.flatMap((slice) => slice.delaysMs).sort((a, b) => a - b);
  const copyErrors = slices.flatMap((slice) => slice.copyErrors);
  return {
    name: candidate?.name ?? BASELINE,
    ours: candidate?.ours ?? false,
    missing: candidate?.missing ?? null,
    waits: summarize(slices.flatMap((slice) => slice.waitsMs)),
    delayP999: percentile(delaysMs, 99.9),
    ratios: slices.map(
      (slice, round) => summarize(slice.waitsMs).p999 / summarize(baseline[round]?.waitsMs ?? []).p999,
    ),
    perSecond: sum((slice) => slice.commits) / sum((slice) => slice.seconds),
    errors: sum((slice) => slice.errors),
    firstError: slices.find((slice) => slice.firstError !== '')?.firstError ?? '',
    copies: sum((slice) => slice.copyMs.length),
    copyMs: median(slices.flatMap((slice) => slice.copyMs)),
    copyErrors: copyErrors.length,
    firstCopyError: copyErrors[0] ?? '',
    judged: slices.filter((slice) => slice.complaint !== undefined).length,
    torn: slices.filter((slice) => slice.complaint).length,
  };
}

function tell({ seconds, settings: measured }: StallFigures): Section {
  const rounds = Math.max(...measured.flatMap(({ candidates: all }) => all.map(({ ratios }) => ratios.length)));
  return {
    title: 'What a writer feels',
    text: [
      `Another process commits ${TRANSACTIONS_PER_SECOND} transactions a second (each: two updates by key, 3 KB rewritten somewhere, a row in an indexed log) while the database is copied again and again without a pause. The wait is the duration of one transaction. “From due” counts from the moment at which the transaction was due, so a transaction that queues behind a stalled one counts too. A slice takes ${seconds} s; each candidate has ${rounds} of them, in turn (only one if the busy timeout is 0). “Torn” counts the copies that failed the full check or had lost part of a transaction, among those that were checked: the last of each slice.`,
      ...measured.map(tellSetting),
    ].join('\n\n'),
    plots: measured.flatMap(({ title, plot, candidates: all }) =>
      plot === null ? [] : [{ file: plot, svg: plotOf(title, all) }],
    ),
  };
}

function tellSetting({ title, plot, goal: most, candidates: all }: SettingFigures): string {
  const baseline = all[0];
  const base = baseline?.waits.p999 ?? Number.NaN;
  const ours = all.find((candidate) => candidate.ours);
  const rows = all.map((one) =>
    one.missing === null
      ? [
          one.ours ? bold(one.name) : one.name,
          inMs(one.waits.p50),
          inMs(one.waits.p99),
          inMs(one.waits.p999),
          inMs(one.waits.max),
          inMs(one.delayP999),
          one === baseline ? '1' : inTimes(one.waits.p999 / base),
          one === baseline ? '' : spread(one.ratios),
          inMs(one.perSecond),
          one.errors === 0 ? '0' : `${one.errors} (${one.firstError})`,
          one === baseline ? '' : copiesOf(one),
          one.copies === 0 ? '' : `${inMs(one.copyMs)} ms`,
          one.judged === 0 ? '' : `${one.torn} of ${one.judged}`,
        ]
      : [`${one.name} _(${one.missing})_`],
  );
  return [
    `### ${title}`,
    plot === null ? '' : `![${title.replaceAll('`', '')}: the waits of the writer](${plot})`,
    table(
      [
        'beside',
        'p50 ms',
        'p99 ms',
        'p99.9 ms',
        'max ms',
        'p99.9 from due ms',
        'p99.9 / alone',
        'by round',
        'tx/s',
        'writer errors',
        'copies',
        'each took',
        'torn',
      ],
      rows,
    ),
    most === null || !ours
      ? ''
      : tellGoals([
          { text: `p99.9 at most ${most} times that of the writer alone`, measured: ours.waits.p999 / base, most },
        ]),
  ]
    .filter(Boolean)
    .join('\n\n');
}

function copiesOf(one: CandidateFigures): string {
  if (one.copyErrors > 0) return `${one.copies}, ${one.copyErrors} failed (${one.firstCopyError})`;
  return one.copies === 0 ? '0: none ended in its slice' : String(one.copies);
}

function spread(ratios: readonly Figure[]): string {
  const known = ratios.filter((ratio) => ratio !== null);
  return known.length < 2 ? '' : `${Math.min(...known).toFixed(2)} to ${Math.max(...known).toFixed(2)}`;
}

function plotOf(title: string, all: readonly CandidateFigures[]): string {
  return rangePlot({
    title: `Wait of a writer, ${title.replaceAll('`', '')}`,
    unit: 'ms, logarithmic',
    rows: all
      .filter((one) => one.missing === null)
      .map(({ name, ours, waits }) => ({ label: name.replaceAll('`', ''), ours, ...waits })),
  });
}
