/**
 * What it costs that each backup is counted: rows and bytes by table, and an account of each page. Beside SQLite's own
 * check of the same file, and as a part of the whole backup, in the same rounds.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, newBank, newFolder, type Part, type Section, settleDisk, warm } from '../bench.ts';
import { timeWork } from '../candidates.ts';
import type { Work } from '../copier-main.ts';
import { bold, table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';

const works = [
  ['check', 'check-mapped', '`quick_check` of mapped pages, as verification does it'],
  ['facts', 'facts-after-check', 'facts and the account of all pages, after it'],
  ['without', 'backup-without-facts', 'pinned copy, sha256, `quick_check`, flushed'],
  ['with', 'backup-with-facts', 'the same with facts'],
] as const satisfies readonly (readonly [string, Work, string])[];
type Name = (typeof works)[number][0];

const MS_PER_200_MB_MOST = 120;

export interface FactsFigures {
  readonly rounds: number;
  readonly megabytes: number;
  readonly ms: Readonly<Record<Name, Figure>>;
  /** Facts by the check; the whole backup with them by one without. */
  readonly byCheck: Figure;
  readonly byBackup: Figure;
  readonly msPer200Mb: Figure;
}

export const facts: Part<FactsFigures> = { measure, tell };

async function measure(bench: Bench): Promise<FactsFigures> {
  const database = newBank(bench, bench.megabytes);
  const rounds: Record<Name, number>[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    const times: Partial<Record<Name, number>> = {};
    for (const [name, work] of works) {
      const folder = newFolder(bench);
      warm(database);
      settleDisk(bench.folder);
      times[name] = await timeWork(work, { from: database, to: join(folder, 'copy.sqlite') });
      rmSync(folder, { recursive: true });
      bench.say(`${round + 1}. ${name}: ${inMs(times[name] ?? null)} ms`);
    }
    rounds.push(times as Record<Name, number>); // each of them was measured
  }
  const over = (of: (times: Readonly<Record<Name, number>>) => number): number => median(rounds.map(of));
  return {
    rounds: rounds.length,
    megabytes: bench.megabytes,
    ms: Object.fromEntries(works.map(([name]) => [name, over((times) => times[name])])) as Record<Name, number>,
    byCheck: over((times) => times.facts / times.check),
    byBackup: over((times) => times.with / times.without),
    msPer200Mb: over((times) => (times.facts * 200) / bench.megabytes),
  };
}

function tell({ rounds, megabytes, ms, byCheck, byBackup, msPer200Mb }: FactsFigures): Section {
  return {
    title: 'What counting costs',
    text: [
      `${megabytes} MB, medians of ${rounds} rounds, each work in a process of its own that times itself. The ratios are of one round each.`,
      table(
        ['', 'ms'],
        works.map(([name, , what]) => [name === 'facts' ? bold(what) : what, inMs(ms[name])]),
      ),
      `Facts take ${inTimes(byCheck)} the time of the check; a backup with them ${inTimes(byBackup)} that of one without.`,
      tellGoals([
        { text: 'facts at most half of `quick_check`', measured: byCheck, most: 0.5 },
        { text: 'at most 120 ms for 200 MB', measured: msPer200Mb, most: MS_PER_200_MB_MOST },
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
