import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { accountOfFile } from '../../../tests/support/account.ts';
import { type DatabaseFacts, readFacts } from './facts.ts';
import { openUnwritten } from './verify.ts';

const scratch = scratchFolders();

function make(sql: string, path = join(scratch(), 'backup.sqlite')): string {
  const database = new DatabaseSync(path);
  database.enableDefensive?.(false);
  database.exec(`PRAGMA synchronous = OFF; ${sql}`);
  database.close();
  return path;
}

function factsOf(path: string): DatabaseFacts {
  const database = openUnwritten(path);
  try {
    const { account, sizes } = accountOfFile(path, database);
    return readFacts(database, account, sizes);
  } finally {
    database.close();
  }
}

const rowsOf = (facts: DatabaseFacts) =>
  Object.fromEntries(Object.entries(facts.tables).map(([name, { rows }]) => [name, rows]));
const numbers = (count: number) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;

test('rows and bytes are told of each table; its indexes and overflow pages are in its bytes', () => {
  const facts = factsOf(
    make(`CREATE TABLE plain (id INTEGER PRIMARY KEY, v); CREATE TABLE wide (v); CREATE TABLE empty (v);
      ${numbers(300)} INSERT INTO plain SELECT i, 'x' FROM n; INSERT INTO wide VALUES (zeroblob(100000));
      CREATE INDEX wide_by_v ON wide (v)`),
  );
  expect(rowsOf(facts)).toEqual({ empty: 0, plain: 300, wide: 1 });
  expect(facts.tables['empty']?.bytes).toBe(4096);
  // Once in the table, once in the index.
  expect(facts.tables['wide']?.bytes).toBeGreaterThan(200_000);
  expect(facts.usedPages * 4096).toBeGreaterThan(200_000);
  expect(facts).toMatchObject({ furtherTables: 0, furtherRows: 0 });
});

test('rows of a table without rowids are counted in its inner pages too', () => {
  const facts = factsOf(
    make(`CREATE TABLE kv (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
      ${numbers(5_000)} INSERT INTO kv SELECT hex(randomblob(20)), i FROM n`),
  );
  expect(rowsOf(facts)).toEqual({ kv: 5_000 });
});

test('SQLite’s own tables are left out, and change nothing about the schema', () => {
  const sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v); CREATE INDEX t_by_v ON t (v)';
  const [before, after] = [make(sql), make(`${sql}; INSERT INTO t (v) VALUES (1), (2); ANALYZE`)].map(factsOf);
  expect(rowsOf(after as DatabaseFacts)).toEqual({ t: 2 });
  expect(after?.schema).toBe(before?.schema ?? '');
});

test('a virtual table has the rows and bytes of what its module keeps for it', () => {
  const facts = factsOf(
    make(`CREATE VIRTUAL TABLE docs USING fts5 (text); CREATE TABLE docs_archive (text);
      INSERT INTO docs VALUES ('one'), ('two'); INSERT INTO docs_archive VALUES ('old');
      CREATE VIRTUAL TABLE places USING rtree (id, a, b); INSERT INTO places VALUES (1, 2, 3), (2, 3, 4), (3, 4, 5);
      CREATE TABLE notes (id INTEGER PRIMARY KEY, text); INSERT INTO notes VALUES (1, 'a word');
      CREATE VIRTUAL TABLE notes_search USING fts5 (text, content = notes, content_rowid = id)`),
  );
  // What lies elsewhere is not counted twice.
  expect(rowsOf(facts)).toEqual({ docs: 2, docs_archive: 1, notes: 1, notes_search: null, places: 3 });
  expect(facts.tables['docs']?.bytes).toBe(5 * 4096);
});

test('a virtual table whose module is not there has no rows, and no table beside it is taken for one of people', () => {
  const path = make('CREATE TABLE seen_data (v); INSERT INTO seen_data VALUES (1); CREATE TABLE other (v)');
  make(
    `PRAGMA writable_schema = ON; INSERT INTO sqlite_schema
     VALUES ('table', 'seen', 'seen', 0, 'CREATE VIRTUAL TABLE seen USING of_another_program(v)')`,
    path,
  );
  const facts = factsOf(path);
  expect(rowsOf(facts)).toEqual({ other: 0, seen: null });
  expect(facts.tables['seen']?.bytes).toBe(4096);
});

test('names of any kind are names', () => {
  const names = ['__proto__', 'constructor', 'of "two" words', "it's", 'ünïcode', 'a(b', 'Upper', '[x', 'a\nb', ' '];
  const quoted = names.map((name) => `"${name.replaceAll('"', '""')}"`);
  const facts = factsOf(
    make(quoted.map((name, at) => `CREATE TABLE ${name} (v); CREATE INDEX i${at} ON ${name} (v)`).join(';')),
  );
  expect(Object.keys(facts.tables).sort()).toEqual([...names].sort());
  // Alike but for their names.
  expect(
    new Set(Object.values(facts.tables).map(({ schema, bytes, contentBytes }) => `${schema} ${bytes} ${contentBytes}`))
      .size,
  ).toBe(1);
});

test('a new name keeps the digest of a table, a new column and a new index do not', () => {
  const sql = 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text); CREATE INDEX by_text ON notes (text)';
  const digest = (more: string, name: string) => factsOf(make(`${sql}; ${more}`)).tables[name]?.schema ?? '';
  const before = digest('', 'notes');
  expect(before).toMatch(/^[0-9a-f]{12}$/);
  expect(digest('ALTER TABLE notes RENAME TO memos', 'memos')).toBe(before);
  expect(digest('ALTER TABLE notes ADD COLUMN at TEXT', 'notes')).not.toBe(before);
  expect(digest('DROP INDEX by_text', 'notes')).not.toBe(before);
  expect(digest('DROP INDEX by_text; CREATE UNIQUE INDEX by_text ON notes (text)', 'notes')).not.toBe(before);
  expect(digest('CREATE TRIGGER t AFTER INSERT ON notes BEGIN SELECT 1; END', 'notes')).not.toBe(before);
});

test('a vacuum changes no row and no content', () => {
  const path =
    make(`CREATE TABLE t (id INTEGER PRIMARY KEY, v); ${numbers(3_000)} INSERT INTO t SELECT i, hex(randomblob(200)) FROM n;
    DELETE FROM t WHERE id % 3 > 0`);
  const before = factsOf(path);
  make('VACUUM', path);
  const after = factsOf(path);
  expect(after.usedPages).toBeLessThan(before.usedPages);
  expect(after).toMatchObject({ schema: before.schema, contentBytes: before.contentBytes });
  expect(rowsOf(after)).toEqual(rowsOf(before));
});

test('a database of 10,000 tables tells of the first 2,000 and how many rows the others have', () => {
  const tables = Array.from({ length: 10_000 }, (_, at) => `CREATE TABLE t${at} (v); INSERT INTO t${at} VALUES (1)`);
  const facts = factsOf(make(`BEGIN; ${tables.join(';')}; COMMIT`));
  expect(Object.keys(facts.tables)).toHaveLength(2_000);
  expect(facts).toMatchObject({ furtherTables: 8_000, furtherRows: 8_000 });
  expect(Object.keys(facts.tables).at(-1)).toBe(Object.keys(facts.tables).toSorted().at(-1) ?? '');
});

test('names that are far too long fill no manifest', () => {
  const tables = Array.from({ length: 30 }, (_, at) => `CREATE TABLE "t${at}${'\u0001'.repeat(10_000)}" (v)`);
  const facts = factsOf(make(tables.join(';')));
  expect(JSON.stringify(facts).length).toBeLessThan(200_000);
  expect(Object.keys(facts.tables).length + facts.furtherTables).toBe(30);
});

test('a database without tables has none', () => {
  const facts = factsOf(make('CREATE TABLE t (v); DROP TABLE t'));
  expect(facts).toMatchObject({ tables: {}, furtherTables: 0 });
});
