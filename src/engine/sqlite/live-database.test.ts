import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { checkLiveDatabase } from './judge-live.ts';
import { hasWalResetBug, lookIntoDatabase, pinDatabase } from './live-database.ts';

const scratch = scratchFolders();
const pin = (path: string) => pinDatabase(path, { now: () => new Date(), timeoutMs: 50 });

test('a missing database is refused, and none is made', async () => {
  const path = join(scratch(), 'absent.sqlite');
  expect((await refusal(() => pin(path))).code).toBe('DB_MISSING');
  expect(existsSync(path)).toBe(false);
});

test('an empty file is refused as not yet a database', async () => {
  const path = join(scratch(), 'empty.sqlite');
  writeFileSync(path, '');
  expect((await refusal(() => pin(path))).code).toBe('DB_EMPTY');
});

test('a file of something else and a folder are refused as no database, unchanged', async () => {
  const path = join(scratch(), 'letter.txt');
  const text = 'Dear Sir or Madam, '.repeat(500);
  writeFileSync(path, text);
  expect((await refusal(() => pin(path))).code).toBe('NOT_SQLITE');
  expect(readFileSync(path, 'utf8')).toBe(text);
  mkdirSync(`${path}.folder`);
  expect((await refusal(() => pin(`${path}.folder`))).code).toBe('NOT_SQLITE');
});

test('a database that another process holds exclusively is busy, and readable again when that one ends', async () => {
  for (const sql of ['PRAGMA locking_mode = EXCLUSIVE', 'BEGIN EXCLUSIVE']) {
    const path = join(scratch(), 'shop.sqlite');
    makeDatabase(path, { journalMode: sql.startsWith('BEGIN') ? 'delete' : 'wal' });
    const other = await openElsewhere(path);
    await other.ask(sql);
    if (sql.startsWith('PRAGMA')) await other.ask("INSERT INTO notes (text) VALUES ('mine') RETURNING id");
    try {
      const error = await refusal(() => pin(path));
      expect([sql, error.code]).toEqual([sql, 'DB_BUSY']);
      expect(error.hint).toContain('locking_mode');
      // Advice that only helps where there is no log yet.
      expect(error.hint.includes('journal_mode = WAL')).toBe(sql.startsWith('BEGIN'));
    } finally {
      await other.kill();
    }
    pin(path)[Symbol.dispose]();
  }
});

/** Names and bytes of all but the index of the log, which every reader may write. */
function contentOf(folder: string): unknown {
  return readdirSync(folder)
    .toSorted()
    .map((name) => [name, name.endsWith('-shm') ? null : readFileSync(join(folder, name)).toString('base64')]);
}

test('a look changes nothing: not what a crashed app left, and not a database that is closed', async () => {
  const folder = scratch();
  const path = join(folder, 'shop.sqlite');
  makeDatabase(path, { rows: 2_000 });
  const looked = () => {
    const before = contentOf(folder);
    const found = lookIntoDatabase(path);
    expect(contentOf(folder)).toEqual(before);
    return found;
  };
  expect(looked()).toEqual({ journalMode: 'wal', replicatorTables: [] });
  const app = await openElsewhere(path);
  await app.ask("INSERT INTO notes (text) SELECT text || ' again' FROM notes RETURNING 1");
  await app.ask('CREATE TABLE _litestream_seq (id INTEGER)');
  await app.kill();
  expect(readdirSync(folder)).toContain('shop.sqlite-wal');
  expect(looked()).toEqual({ journalMode: 'wal', replicatorTables: ['table _litestream_seq'] });
  // The files of a copy without the index: nobody could look without making it.
  rmSync(`${path}-shm`);
  expect(looked()).toEqual({ journalMode: 'wal', replicatorTables: [] });
});

test('a look into a rollback journal of a crashed app leaves it to the app', async () => {
  const folder = scratch();
  const path = join(folder, 'shop.sqlite');
  makeDatabase(path, { rows: 20_000, journalMode: 'delete' });
  expect(lookIntoDatabase(path).journalMode).toBe('delete');
  const app = await openElsewhere(path);
  await app.ask('PRAGMA cache_size = 5');
  await app.ask('BEGIN');
  await app.ask("UPDATE notes SET text = 'x' || text RETURNING 1");
  await app.kill();
  expect(existsSync(`${path}-journal`)).toBe(true);
  const before = contentOf(folder);
  expect(lookIntoDatabase(path).journalMode).toBeNull();
  expect(contentOf(folder)).toEqual(before);
});

test('a look at a database that is held exclusively says that it is busy', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  const app = await openElsewhere(path);
  await app.ask('PRAGMA locking_mode = EXCLUSIVE');
  await app.ask("INSERT INTO notes (text) VALUES ('mine') RETURNING id");
  expect((await refusal(() => lookIntoDatabase(path))).code).toBe('DB_BUSY');
  await app.close();
});

test('a pin checkpoints first', () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path, { rows: 7 });
  using pinned = pin(path);
  expect(pinned.checkpoint?.busy).toBe(false);
});

test('disposing a pin twice is fine', () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  const pinned = pin(path);
  pinned[Symbol.dispose]();
  pinned[Symbol.dispose]();
});

test('the check of a live database finds nothing in a sound one and something in a cut one', () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path, { rows: 2_000 });
  expect(checkLiveDatabase(path)).toBeNull();
  truncateSync(path, 8_192);
  expect(checkLiveDatabase(path)).toBeString();
});

test('the libraries with the WAL-reset bug are known by their version', () => {
  const table: Record<string, boolean> = {
    '3.6.23': false,
    '3.7.0': true,
    '3.37.2': true,
    '3.44.5': true,
    '3.44.6': false,
    '3.45.0': true,
    '3.50.6': true,
    '3.50.7': false,
    '3.51.2': true,
    '3.51.3': false,
    '3.52.0': false,
    '3.54.1': false,
    '4.0.0': false,
  };
  for (const [version, expected] of Object.entries(table))
    expect([version, hasWalResetBug(version)]).toEqual([version, expected]);
});
