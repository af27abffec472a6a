/**
 * What becomes of a row, case by case. The table of `docs/rescue.md` is what this test finds: `RESCUE_WRITE_TABLE=1` writes it
 * there.
 */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { RescueScene } from '../../../tests/support/rescue-scene.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import type { PlannedRescue, RescuedTableWish, RescueWish } from './rescue-plan.ts';

setDefaultTimeout(120_000);
const newFolder = scratchFolders();
const page = fileURLToPath(new URL('../../../docs/rescue.md', import.meta.url));

interface Case {
  /** What it says in the table. */
  readonly row: string;
  readonly past: string;
  /** What made it different. */
  readonly loss: string;
  readonly after?: string;
  /** Once per rule where it matters. */
  readonly wishes: Readonly<Record<string, RescuedTableWish & Partial<RescueWish>>>;
}

const people = 'CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)';
const family = `CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id) ON DELETE CASCADE);
  PRAGMA foreign_keys = OFF`;
const t = { table: 't' } as const;
const rules = {
  keep: { ...t, changed: true },
  take: { ...t, changed: true, conflicts: 'take' },
  stop: { ...t, changed: true, conflicts: 'stop' },
} as const;

const cases: readonly Case[] = [
  {
    row: 'it was removed',
    past: `${people}; INSERT INTO t VALUES (1, 'x')`,
    loss: 'DELETE FROM t',
    wishes: { any: t },
  },
  {
    row: 'it is there with the same content',
    ...{ past: `${people}; INSERT INTO t VALUES (1, 'x')`, loss: '' },
    wishes: { any: { ...t, keys: ['["i1"]'] } },
  },
  {
    row: 'it is there with other content, and nobody says since when',
    ...{ past: `${people}; INSERT INTO t VALUES (1, 'x')`, loss: "UPDATE t SET a = 'y'", wishes: rules },
  },
  {
    row: 'it is there as it was at `since`',
    ...{
      past: `${people}; INSERT INTO t VALUES (1, 'x')`,
      loss: "UPDATE t SET a = 'y'",
      after: '',
      wishes: { any: rules.keep },
    },
  },
  {
    row: 'it was changed again after `since`',
    ...{
      past: `${people}; INSERT INTO t VALUES (1, 'x')`,
      loss: "UPDATE t SET a = 'y'",
      after: "UPDATE t SET a = 'z'",
      wishes: rules,
    },
  },
  {
    row: 'it was removed after `since`',
    ...{
      past: `${people}; INSERT INTO t VALUES (1, 'x')`,
      loss: "UPDATE t SET a = 'y'",
      after: 'DELETE FROM t',
      wishes: rules,
    },
  },
  {
    row: 'another row has its unique value',
    past: "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE); INSERT INTO t VALUES (1, 'x')",
    ...{ loss: 'UPDATE t SET id = 2', wishes: { keep: t, take: { ...t, conflicts: 'take' } } },
  },
  {
    row: 'it has no key, and another row has its rowid',
    past: "CREATE TABLE t (a); INSERT INTO t VALUES ('x')",
    ...{ loss: "UPDATE t SET a = 'y'", wishes: { keep: t, take: { ...t, conflicts: 'take' } } },
  },
  {
    row: 'it has no key, and lies at another rowid',
    past: "CREATE TABLE t (a); INSERT INTO t VALUES ('x')",
    ...{ loss: 'UPDATE t SET rowid = 7', wishes: { any: t } },
  },
  {
    row: 'the table has a new column with a default',
    ...{
      past: `${people}; INSERT INTO t VALUES (1, 'x')`,
      loss: 'DELETE FROM t; ALTER TABLE t ADD COLUMN b DEFAULT 7',
      wishes: { any: t },
    },
  },
  {
    row: 'the table has a new column that must not be empty, without a default',
    past: `${people}; INSERT INTO t VALUES (1, 'x')`,
    ...{ loss: 'DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b NOT NULL)', wishes: { any: t } },
  },
  {
    row: 'it breaks a CHECK of the table as it is now',
    past: `${people}; INSERT INTO t VALUES (1, 'x')`,
    ...{ loss: "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT CHECK (a <> 'x'))", wishes: { any: t } },
  },
  {
    row: 'a column of it is gone',
    ...{
      past: `${people}; INSERT INTO t VALUES (1, 'x')`,
      loss: 'DELETE FROM t; ALTER TABLE t DROP COLUMN a',
      wishes: { any: t },
    },
  },
  {
    row: 'the table has another key now',
    past: `${people}; INSERT INTO t VALUES (1, 'x')`,
    ...{ loss: 'DROP TABLE t; CREATE TABLE t (id, a TEXT PRIMARY KEY)', wishes: { any: t } },
  },
  {
    row: 'it refers to a row that is gone, too',
    past: `${family}; INSERT INTO p VALUES (1, 'x'); INSERT INTO t VALUES (1, 1)`,
    ...{
      loss: 'DELETE FROM t; DELETE FROM p',
      wishes: { 'with needed rows': t, without: { ...t, withNeeded: false } },
    },
  },
  {
    row: 'it refers to a row that the backup has not either',
    ...{ past: `${family}; INSERT INTO t VALUES (1, 1)`, loss: 'DELETE FROM t', wishes: { any: t } },
  },
  {
    row: 'it refers to a row that was changed',
    past: `${family}; INSERT INTO p VALUES (1, 'x'); INSERT INTO t VALUES (1, 1)`,
    ...{ loss: "DELETE FROM t; UPDATE p SET a = 'y'", wishes: { any: t } },
  },
  {
    row: 'it would take the value from rows that refer to it now',
    past: `CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE); CREATE TABLE c (a REFERENCES t (a)); INSERT INTO t VALUES (1, 'x')`,
    ...{ loss: "UPDATE t SET a = 'y'; INSERT INTO c VALUES ('y')", wishes: { take: rules.take } },
  },
  {
    row: 'rows that refer to it are gone, too',
    past: `${family}; INSERT INTO p VALUES (1, 'x'); INSERT INTO t VALUES (1, 1)`,
    ...{ loss: 'DELETE FROM t; DELETE FROM p', wishes: { any: { table: 'p' } } },
  },
  {
    row: 'it is of a view',
    past: `${people}; CREATE VIEW v AS SELECT * FROM t`,
    loss: '',
    wishes: { any: { table: 'v' } },
  },
  {
    row: 'it is of a full-text index',
    past: 'CREATE VIRTUAL TABLE f USING fts5 (a)',
    loss: '',
    wishes: { any: { table: 'f' } },
  },
  {
    row: 'it is inside a virtual table',
    ...{ past: 'CREATE VIRTUAL TABLE f USING fts5 (a)', loss: '', wishes: { any: { table: 'f_data' } } },
  },
];

function said({ tables, blocked, warnings }: PlannedRescue): string {
  if (blocked.length > 0) return `nothing can be written: ${blocked.join(' ')}`;
  const parts = tables.flatMap((one) => [
    ...(one.insert > 0 ? [`${one.insert} added to ${one.name}`] : []),
    ...(one.update > 0 ? [`${one.update} changed in ${one.name}`] : []),
    ...(one.same > 0 ? ['nothing: it is there'] : []),
    ...(one.conflicts > 0 && one.insert + one.update === 0 ? ['a conflict: what is live is kept'] : []),
  ]);
  const told = warnings.filter((text) => !/has no key/.test(text));
  return [parts.join(', ') || 'nothing: it is there', ...told].join('. ').replace(/\.$/, '');
}

test('the page about rescues says what becomes of a row', () => {
  const lines = cases.flatMap(({ row, past, loss, after, wishes }) =>
    Object.entries(wishes).map(([which, { triggers: _, withNeeded, tables: __, ...one }], at) => {
      const scene = new RescueScene(newFolder(), past);
      scene.app.exec(`PRAGMA foreign_keys = OFF; ${loss}`);
      const since = after === undefined ? null : scene.backUp(`${scene.source}-since`);
      if (after !== undefined) scene.app.exec(after);
      const before = scene.dump();
      const plan = scene.plan([one], withNeeded === undefined ? {} : { withNeeded }, since);
      expect(scene.dump()).toBe(before);
      const isWritten = plan.blocked.length === 0 && plan.writes > 0;
      if (isWritten) {
        const { id } = scene.rescue([one], withNeeded === undefined ? {} : { withNeeded }, since);
        expect(scene.plan([one], {}, since).writes).toBe(0);
        expect(scene.undo(id).left).toBe(0);
        expect(scene.dump()).toBe(before);
      }
      scene.app.close();
      return `| ${at === 0 ? row : ''} | ${which === 'any' ? '' : which} | ${said(plan)} |`;
    }),
  );
  const [start, end] = ['<!-- what becomes of a row -->\n', '\n<!-- end -->'];
  const text = readFileSync(page, 'utf8');
  const head = '| the row | rule | what a rescue does |\n| --- | --- | --- |';
  const plain = (table: string) => table.replaceAll(/ +\|/g, ' |').replaceAll(/-{3,}/g, '---').trim();
  const [before = '', rest = ''] = text.split(start);
  const [table = '', behind = ''] = rest.split(end);
  const found = [head, ...lines].join('\n');
  if (process.env['RESCUE_WRITE_TABLE']) writeFileSync(page, `${before}${start}\n${found}\n${end}${behind}`);
  else expect(plain(table)).toBe(plain(found));
});
