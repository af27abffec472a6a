import { Database } from 'bun:sqlite';
import { expect, test } from 'bun:test';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { FIXTURES } from '../../../tests/upgrade/fixtures.ts';
import { asideOf, openStateDatabase, type StateDatabase } from './state-database.ts';

const scratch = scratchFolders();
const PAGE = 4096;

function open(path: string) {
  const warnings: string[] = [];
  return { database: openStateDatabase(path, { warn: (message) => warnings.push(message) }), warnings };
}

/** A state with rows on many pages, all but the first of which are damaged. */
function damaged(): string {
  const path = join(scratch(), 'state.sqlite');
  const { database } = open(path);
  for (let note = 0; note < 200; note++) add(database, note);
  database.close();
  const bytes = readFileSync(path);
  bytes.fill(0xff, PAGE);
  writeFileSync(path, bytes);
  return path;
}
const add = (database: StateDatabase, note: number) =>
  database.prepare('INSERT INTO notes VALUES (?, ?, ?)').run('.', `${note}`, 'x'.repeat(500));
const count = (database: StateDatabase) => Number(database.prepare('SELECT count(*) AS n FROM notes').get()?.['n']);

test('damage that a statement meets sets the file aside once, whichever connections meet it', () => {
  const path = damaged();
  const [one, two] = [open(path), open(path)];
  expect([count(one.database), count(two.database)]).toEqual([0, 0]);
  add(one.database, 1);
  expect(count(two.database)).toBe(1);
  expect([one.warnings, two.warnings]).toEqual([
    [
      expect.stringMatching(
        /^The run history .*state\.sqlite was damaged \(.*\); it was moved to .*, and a new one was begun\.$/,
      ),
    ],
    [],
  ]);
  expect(asideOf(path).length).toBe(1);
  one.database.close();
  two.database.close();
});

test('a transaction that meets damage is carried out whole on the new file', () => {
  const path = damaged();
  const { database } = open(path);
  database.transaction(() => {
    database.prepare("INSERT INTO s3_notes VALUES ('p', 'k', 'v')").run();
    add(database, 1_000);
  });
  const notes = database.prepare('SELECT count(*) AS n FROM s3_notes').get()?.['n'];
  expect([notes, count(database)]).toEqual([1, 1]);
  database.close();
});

test('a disk that damages each new file is not filled with damaged ones', () => {
  const path = damaged();
  for (let made = 0; made < 5; made++) writeFileSync(`${path}.damaged-1-${made}`, '');
  const { database, warnings } = open(path);
  expect(count(database)).toBe(0);
  add(database, 1);
  expect([count(database), asideOf(path).length]).toEqual([1, 5]);
  expect(warnings.at(-1)).toContain('kept in memory until the next start');
  database.close();
});

test('tables that somebody removed are answered from memory, and what another program has stays', () => {
  const path = join(scratch(), 'state.sqlite');
  const { database, warnings } = open(path);
  openStateDatabase(path, { warn: () => {} })
    .prepare('DROP TABLE notes')
    .run();
  expect(count(database)).toBe(0);
  expect(warnings).toEqual([expect.stringContaining('no such table')]);
  const other = join(scratch(), 'other.sqlite');
  makeDatabase(other);
  const foreign = open(other);
  expect(count(foreign.database)).toBe(0);
  expect([foreign.warnings, readdirSync(dirname(other))]).toEqual([
    [expect.stringContaining('is the database of another program')],
    ['other.sqlite'],
  ]);
});

/** A file of the first versions: no version, fewer tables and columns. */
function ofFirstVersion(): string {
  const path = join(scratch(), 'state.sqlite');
  using database = new Database(path, { create: true });
  database.run(`CREATE TABLE runs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, trigger TEXT NOT NULL, user TEXT, planned_at INTEGER,
    started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, result TEXT NOT NULL, backup TEXT, size_bytes INTEGER,
    steps TEXT NOT NULL, error TEXT)`);
  database.run("INSERT INTO runs VALUES ('a', 'backup', 'manual', 'ada', NULL, 1, 2, 'success', 'one', 3, '[]', NULL)");
  return path;
}
const versionIn = (path: string) => {
  using database = new Database(path, { readonly: true });
  return database.query('PRAGMA user_version').get();
};

test('a file from before versions were noted keeps its rows and gets the version, whoever opens it first', () => {
  const path = ofFirstVersion();
  const [one, two] = [open(path), open(path)];
  const row = { id: 'a', user: 'ada', backup: 'one', folder: null, drill: null, target: null, database: null };
  for (const { database, warnings } of [one, two]) {
    expect(database.prepare('SELECT * FROM runs').all()).toEqual([expect.objectContaining(row)]);
    expect(warnings).toEqual([]);
    database.close();
  }
  expect(versionIn(path)).toEqual({ user_version: 1 });
});

test('a step that fails leaves the file as it was', () => {
  const path = ofFirstVersion();
  {
    using database = new Database(path);
    database.run("CREATE VIEW s3_uploads AS SELECT 1 AS place, 2 AS backup, 'x' AS status");
  }
  const { database, warnings } = open(path);
  expect(database.prepare('SELECT * FROM runs').all()).toEqual([]);
  database.close();
  expect(warnings).toEqual([expect.stringContaining('kept in memory until the next start')]);
  expect(versionIn(path)).toEqual({ user_version: 0 });
  using left = new Database(path, { readonly: true });
  expect(left.query("SELECT name FROM sqlite_schema WHERE type = 'table'").values()).toEqual([['runs']]);
  expect(left.query('SELECT id FROM runs').values()).toEqual([['a']]);
});

test('a file of a newer version is not touched: the state is kept in memory, and the log says why', () => {
  const path = ofFirstVersion();
  {
    using database = new Database(path);
    database.run('PRAGMA user_version = 7');
  }
  const before = readFileSync(path);
  const { database, warnings } = open(path);
  add(database, 1);
  expect(count(database)).toBe(1);
  database.close();
  expect(warnings).toEqual([
    `The run history cannot be kept at ${path} (${path} was written by a newer version of velist-backup (7, this one knows 1)); it is kept in memory until the next start.`,
  ]);
  expect(readFileSync(path).equals(before)).toBe(true);
  expect(readdirSync(dirname(path))).toEqual(['state.sqlite']);
});

test('a table that somebody removed is there again at the next opening, and the others keep their rows', () => {
  const path = join(scratch(), 'state.sqlite');
  const first = open(path).database;
  add(first, 1);
  first.prepare('DROP TABLE runs').run();
  first.close();
  const { database, warnings } = open(path);
  expect([database.prepare('SELECT * FROM runs').all(), count(database), warnings]).toEqual([[], 1, []]);
  database.close();
});

test('a file of an older version keeps every table, column and row: that version may open it again', () => {
  const path = join(scratch(), 'state.sqlite');
  cpSync(join(FIXTURES, 's3-one/storage/velist-backup.sqlite'), path);
  const before = shapeOf(path);
  expect(before.map(({ table }) => table)).toContain('s3_uploads');
  const { database, warnings } = open(path);
  database.close();
  expect(warnings).toEqual([]);
  const after = new Map(shapeOf(path).map((shape) => [shape.table, shape]));
  for (const { table, columns, rows } of before) {
    expect([table, after.get(table)?.rows]).toEqual([table, rows]);
    expect(after.get(table)?.columns).toEqual(expect.arrayContaining(columns));
  }
});

function shapeOf(path: string) {
  using database = new Database(path);
  const tables = database.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return tables.map(({ name: table }) => ({
    table,
    columns: database
      .query<{ name: string }, []>(`PRAGMA table_info(${table})`)
      .all()
      .map(({ name }) => name),
    rows: database.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n,
  }));
}

test('of many, those that were not used lately rest, and answer as before', () => {
  const opened = Array.from({ length: 80 }, (_, number) =>
    openStateDatabase(join(scratch(), `${number}.sqlite`), { warn: () => {} }),
  );
  const notes = opened.map((database, number) => {
    const note = database.prepare("SELECT value FROM notes WHERE key = 'own'");
    database.prepare("INSERT INTO notes (folder, key, value) VALUES ('.', 'own', ?)").run(String(number));
    return { note, version: database.version };
  });
  for (const [number, { note, version }] of notes.entries()) {
    expect(opened[number]?.version).toBe(version);
    expect(note.get()).toEqual({ value: String(number) });
    expect(opened[number]?.version).toBe(version);
  }
  for (const database of opened) database.close();
});

test('one that was closed and is asked again fails no other', () => {
  const open = (name: string) => openStateDatabase(join(scratch(), `${name}.sqlite`), { warn: () => {} });
  const closed = open('closed');
  closed.close();
  expect(() => closed.prepare('SELECT value FROM notes').all()).toThrow();
  const others = Array.from({ length: 40 }, (_, number) => open(String(number)));
  for (const other of others) expect(other.prepare('SELECT value FROM notes').all()).toEqual([]);
  for (const other of others) other.close();
});
