import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { checkLiveDatabase, hasWalResetBug, pinDatabase } from './live-database.ts';

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

test('a pin counts rows of ordinary tables, and gives up at its deadline', () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path, { rows: 7 });
  using pinned = pin(path);
  expect(pinned.tablesAndRows({ deadlineMs: 1_000 })).toEqual(new Map([['notes', 7]]));
  expect(pinned.tablesAndRows({ deadlineMs: -1 })).toBeNull();
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
