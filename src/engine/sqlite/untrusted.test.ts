/** What a file from elsewhere may not do to who opens it, with the SQLite of this runtime. */
import { expect, test } from 'bun:test';
import { closeSync, existsSync, openSync, readdirSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { isBeyondFile, openElsewhere } from './library.ts';
import { judgeFile, openUnwritten } from './verify.ts';
import { bytesToCheck, limitsOf } from './watch.ts';

const newFolder = scratchFolders();

function makeFile(sql = ''): string {
  const path = join(newFolder(), 'from-elsewhere.sqlite');
  makeDatabase(path, { journalMode: 'delete' });
  const database = new DatabaseSync(path, { defensive: false } as object); // newer than the types
  database.exec(`PRAGMA writable_schema = ON; ${sql}`);
  database.close();
  return path;
}

test('it attaches, makes, changes and loads nothing, also when it may be written', () => {
  const path = makeFile();
  const escaped = `${path}-escaped`;
  for (const open of [openUnwritten, (file: string) => openElsewhere(file, 'mode=rw&nolock=1')]) {
    const database = open(path);
    for (const statement of [
      `ATTACH '${escaped}' AS x`,
      `VACUUM INTO '${escaped}'`,
      'CREATE TABLE more (x)',
      'CREATE TABLE temp.more AS SELECT load_extension(1)',
      'DROP TABLE notes',
      'ALTER TABLE notes ADD COLUMN more',
      "SELECT load_extension('evil.so')",
      "SELECT fts3_tokenizer('simple', x'4141414141414141')",
      "UPDATE sqlite_schema SET sql = 'x'",
    ])
      expect(() => database.prepare(statement).all()).toThrow();
    expect(() => database.exec('PRAGMA query_only = ON; DELETE FROM notes')).toThrow();
    database.close();
  }
  expect(existsSync(escaped)).toBe(false);
  expect(readdirSync(join(path, '..'))).toEqual(['from-elsewhere.sqlite']);
});

test('what stands in its schema may call only what is harmless', () => {
  const view = "INSERT INTO sqlite_schema VALUES ('view', 'v', 'v', 0, 'CREATE VIEW v AS SELECT load_extension(1)')";
  const database = openUnwritten(makeFile(view));
  expect(() => database.prepare('SELECT * FROM v').all()).toThrow();
  expect(database.prepare('PRAGMA trusted_schema').get()).toEqual({ trusted_schema: 0 });
  database.close();
});

test('a value that is longer than all of the file is its own fault, at its limit and not before', () => {
  const database = openUnwritten(makeFile());
  expect(database.prepare('SELECT length(zeroblob(60000000)) AS bytes').get()).toEqual({ bytes: 60_000_000 });
  let error: unknown;
  try {
    database.prepare('SELECT hex(zeroblob(60000000))').get();
  } catch (thrown) {
    error = thrown;
  }
  expect(isBeyondFile(database, error)).toBe(true);
  database.close();
});

test('the CHECK constraints of a copy of ours are judged all the same', () => {
  const sql = `UPDATE sqlite_schema SET sql = 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (length(text) > 9000))' WHERE name = 'notes'`;
  expect(judgeFile(makeFile(sql), 'quick').content).toEqual([{ table: 'notes', rule: 'CHECK', rows: 100 }]);
});

test('limits grow with the file, and with what of it is more than holes', () => {
  const [small, large] = [limitsOf(1_000_000), limitsOf(100_000_000_000)];
  expect(small).toEqual({ cpuMs: 10_000, memoryBytes: 512 * 1024 * 1024 + 4_125_000 });
  // 26 s of a gigabyte is what an honest one takes.
  expect(large.cpuMs).toBeGreaterThan(1_000 * 26_000);
  expect(large.memoryBytes).toBeGreaterThan(10_000_000_000);
  const path = makeFile();
  const before = bytesToCheck(path);
  expect(before).toBeGreaterThan(8_192);
  truncateSync(path, 1_000_000_000_000);
  expect(bytesToCheck(path)).toBeLessThan(32 * 1_000_000);
});

test('a header with a text encoding that SQLite reads once and not twice is damaged', () => {
  const path = makeFile();
  for (const [encoding, damage] of [
    [96, ['the header says text encoding 96, which does not exist']],
    [1, []],
  ] as const) {
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.from([0, 0, 0, encoding]), 0, 4, 56);
    closeSync(file);
    expect(judgeFile(path, 'quick').structure).toEqual([...damage]);
  }
});
