/** How long a restore to a new file takes, with its check, by `cp` + fsync of the same file in the same round. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runJob } from '../../src/engine/process/run-job.ts';
import { type Bench, newBank, type Part, type Section, settleDisk, warm } from '../bench.ts';
import { cpWithFsync, jobEnvironment, ourJob } from '../candidates.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';
import { digestInBackground } from '../../src/engine/sqlite/digest.ts';

export interface RestoreFileFigures {
  readonly megabytes: number;
  readonly rounds: number;
  readonly restoreMs: Figure;
  readonly cpMs: Figure;
  readonly ratio: Figure;
}

export const restoreFile: Part<RestoreFileFigures> = { measure, tell };

async function measure(bench: Bench): Promise<RestoreFileFigures> {
  const database = newBank(bench, bench.megabytes);
  const folder = join(bench.folder, 'restored');
  mkdirSync(folder);
  const { path: source } = await ourJob.copy({ database, folder, number: 0 });
  const sha256 = await digestInBackground(source);
  const times: { readonly restoreMs: number; readonly cpMs: number }[] = [];
  for (let number = 1; number <= bench.rounds; number++) {
    warm(source);
    settleDisk(bench.folder);
    const { path, tookMs: cpMs } = await cpWithFsync.copy({ database: source, folder, number });
    rmSync(path);
    settleDisk(bench.folder);
    const to = join(folder, `restored-${number}.sqlite`);
    const startedMs = performance.now();
    await runJob<'restore'>(
      {
        ...{
          kind: 'restore',
          mode: 'file',
          source,
          sourceName: 'the backup',
          sha256,
          databasePath: database,
          folder,
          to,
        },
        ...{ expected: null, user: null, retention: { count: 10, startBurstMs: 0 }, lockWaitMs: 0 },
      },
      { environment: jobEnvironment() },
    );
    const restoreMs = performance.now() - startedMs;
    rmSync(to);
    bench.say(`${number}. ${inMs(restoreMs)} ms, cp + fsync ${inMs(cpMs)} ms`);
    times.push({ restoreMs, cpMs });
  }
  rmSync(folder, { recursive: true });
  return {
    ...{ megabytes: bench.megabytes, rounds: bench.rounds },
    restoreMs: median(times.map((time) => time.restoreMs)),
    cpMs: median(times.map((time) => time.cpMs)),
    ratio: median(times.map((time) => time.restoreMs / time.cpMs)),
  };
}

function tell({ megabytes, rounds, restoreMs, cpMs, ratio }: RestoreFileFigures): Section {
  return {
    title: 'A restore to a new file',
    text: [
      `A backup of ${megabytes} MB, in the page cache, ${rounds} times; medians. The job is a process of its own that copies the file, checks its structure and its digest, and gives it its name.`,
      table(
        ['', 'ms', '/ `cp` + fsync'],
        [
          ['`cp` + fsync', inMs(cpMs), inTimes(1)],
          ['**restore**', inMs(restoreMs), inTimes(ratio)],
        ],
      ),
      tellGoals([{ text: 'at most 1.8 times `cp` + fsync', measured: ratio, most: 1.8 }]),
    ].join('\n\n'),
    plots: [],
  };
}
