/**
 * What it costs that each backup is counted: rows and bytes by table, and an account of each page. Beside SQLite's own
 * check of the same pages, and as a part of the whole backup; on the bank of the other parts, whose rows are few and
 * large, and on small rows of text, as most databases have them.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Bench, newBank, newFolder, type Part, type Section, settleDisk, warm } from '../bench.ts';
import { timeWork } from '../candidates.ts';
import type { Work } from '../copier-main.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';

const works = {
  check: 'check-mapped',
  facts: 'facts-after-check',
  judged: 'judged',
  walked: 'walked',
  without: 'backup-without-facts',
  with: 'backup-with-facts',
} as const satisfies Readonly<Record<string, Work>>;
type Name = keyof typeof works;
const names = Object.keys(works) as Name[]; // its own keys

const MS_PER_200_MB_MOST = 120;
const BYTES_PER_MEGABYTE = 1024 * 1024;

interface Row {
  readonly database: string;
  readonly ms: Readonly<Record<Name, Figure>>;
  /** Facts by the check; the whole backup with them by one without. */
  readonly byCheck: Figure;
  readonly byBackup: Figure;
  /** The whole verdict, and our own walk through all trees, by the check. */
  readonly judgedByCheck: Figure;
  readonly walkedByCheck: Figure;
  readonly msPer200Mb: Figure;
}

export interface FactsFigures {
  readonly rounds: number;
  readonly megabytes: number;
  readonly rows: readonly Row[];
}

export const facts: Part<FactsFigures> = { measure, tell };

async function measure(bench: Bench): Promise<FactsFigures> {
  const rows = [
    await measureOne(bench, 'small rows of text', newText(bench)),
    await measureOne(bench, 'the bank', newBank(bench, bench.megabytes)),
  ];
  return { rounds: bench.rounds, megabytes: bench.megabytes, rows };
}

/** A log of texts with an index, and a table without rowids. */
function newText(bench: Bench): string {
  const path = join(newFolder(bench), 'text.sqlite');
  bench.say(`generating ${bench.megabytes} MB`);
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
    CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, what TEXT); CREATE INDEX log_by_at ON log (at);
    CREATE TABLE settings (name TEXT PRIMARY KEY, value) WITHOUT ROWID`);
  const pages = database.prepare('PRAGMA page_count');
  const enough = (bench.megabytes * BYTES_PER_MEGABYTE) / 4096;
  const more = database.prepare(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    INSERT INTO log (at, what) SELECT hex(randomblob(8)), hex(randomblob(10 + i % 90)) FROM n`);
  while (Number(pages.get()?.['page_count']) < enough) more.run();
  database.exec('INSERT INTO settings SELECT at, id FROM log WHERE id % 50 = 0; PRAGMA journal_mode = WAL');
  database.close();
  return path;
}

async function measureOne(bench: Bench, database: string, path: string): Promise<Row> {
  const rounds: Record<Name, number>[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    const times: Partial<Record<Name, number>> = {};
    for (const name of names) {
      const folder = newFolder(bench);
      warm(path);
      settleDisk(bench.folder);
      times[name] = await timeWork(works[name], { from: path, to: join(folder, 'copy.sqlite') });
      rmSync(folder, { recursive: true });
      bench.say(`${round + 1}. ${database}, ${name}: ${inMs(times[name] ?? null)} ms`);
    }
    rounds.push(times as Record<Name, number>); // each of them was measured
  }
  const over = (of: (times: Readonly<Record<Name, number>>) => number): number => median(rounds.map(of));
  return {
    database,
    ms: Object.fromEntries(names.map((name) => [name, over((times) => times[name])])) as Record<Name, number>,
    byCheck: over((times) => times.facts / times.check),
    byBackup: over((times) => times.with / times.without),
    judgedByCheck: over((times) => times.judged / times.check),
    walkedByCheck: over((times) => times.walked / times.check),
    msPer200Mb: over((times) => (times.facts * 200) / bench.megabytes),
  };
}

function tell({ rounds, megabytes, rows }: FactsFigures): Section {
  return {
    title: 'What checking and counting cost',
    text: [
      `${megabytes} MB, medians of ${rounds} rounds; each task runs in a process of its own and times itself, and each ratio is within one round. The check is \`quick_check\` on mapped pages, facts are what verification does beyond it: the accounting of all pages, rows and bytes by table. The verdict is both together, with everything else it looks for; the walk replaces the check if SQLite lacks something that the app provides. A backup is the pinned copy with sha256 and check, flushed.`,
      table(
        [
          '',
          'check',
          'facts',
          'facts / check',
          'verdict / check',
          'walk / check',
          'backup without facts',
          'with facts',
          'with / without',
        ],
        rows.map(({ database, ms, byCheck, byBackup, judgedByCheck, walkedByCheck }) => [
          ...[database, `${inMs(ms.check)} ms`, `${inMs(ms.facts)} ms`, inTimes(byCheck)],
          ...[inTimes(judgedByCheck), inTimes(walkedByCheck)],
          ...[`${inMs(ms.without)} ms`, `${inMs(ms.with)} ms`, inTimes(byBackup)],
        ]),
      ),
      tellGoals([
        ...rows.slice(0, 1).map(({ database, byCheck }) => ({
          ...{ text: `${database}: facts at most half of \`quick_check\``, measured: byCheck, most: 0.5 },
        })),
        ...rows.map(({ database, judgedByCheck }) => ({
          ...{ text: `${database}: the verdict at most 1.5 times \`quick_check\``, measured: judgedByCheck, most: 1.5 },
        })),
        ...rows.map(({ database, msPer200Mb }) => ({
          text: `${database}: facts at most ${MS_PER_200_MB_MOST} ms for 200 MB`,
          ...{ measured: msPer200Mb, most: MS_PER_200_MB_MOST },
        })),
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
