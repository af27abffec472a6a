/** A database replaced while others use it, and one that nobody holds. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ask, makeDatabase, openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../errors.ts';
import { placeAsNewFile, placeThroughSqlite, removeDeadPlacements } from './place.ts';

const scratch = scratchFolders();
const count = 'SELECT count(*) FROM notes';

/** A live database of 10 rows and a backup of so many. */
function shop({ rows = 3 }: { rows?: number } = {}) {
  const folder = scratch();
  const [database, source] = [join(folder, 'shop.sqlite'), join(folder, 'backup.sqlite')];
  makeDatabase(database, { rows: 10 });
  makeDatabase(source, { rows, journalMode: 'delete' });
  return { folder, database, source };
}

test('an online restore waits for a writer that holds the lock, and is told of it only when it has the lock', async () => {
  const { database, source } = shop();
  const writer = await openElsewhere(database);
  await writer.ask('BEGIN IMMEDIATE');
  let locked = 0;
  const placed = placeThroughSqlite(source, database, { isWal: true, onLocked: () => locked++ });
  const first = await Promise.race([placed.then(() => 'placed', String), Bun.sleep(300).then(() => 'waiting')]);
  expect([first, locked]).toEqual(['waiting', 0]);
  await writer.ask('COMMIT');
  await placed;
  await writer.close();
  expect(locked).toBe(1);
  expect(ask(database, count)).toBe(3);
});

for (const rows of [3, 100_000]) {
  test(`once locked nobody else can commit, and all see the old content (a backup of ${rows} rows)`, async () => {
    const { database, source } = shop({ rows });
    const reader = new DatabaseSync(database);
    const seen: unknown[] = [];
    await placeThroughSqlite(source, database, {
      isWal: true,
      onLocked() {
        seen.push(reader.prepare(count).get()?.['count(*)']);
        expect(() => reader.exec("INSERT INTO notes (text) VALUES ('too late')")).toThrow('locked');
      },
    });
    expect(seen).toEqual([10]);
    expect(reader.prepare(count).get()?.['count(*)']).toBe(rows);
    reader.close();
  });
}

test('where saving what came late fails, nothing is replaced and the lock is free again', async () => {
  const { database, source } = shop({ rows: 5_000 });
  const fail = () => {
    throw new BackupError('DISK_FULL', 'no room', { hint: 'Free some.' });
  };
  expect(await placeThroughSqlite(source, database, { isWal: true, onLocked: fail }).catch(String)).toBe(
    'BackupError: no room',
  );
  expect(ask(database, "INSERT INTO notes (text) VALUES ('goes on') RETURNING id")).toBe(11);
  expect(ask(database, count)).toBe(11);
});

for (const autoVacuum of ['none', 'full', 'incremental']) {
  test(`a backup without a table, one page, is placed online too (auto_vacuum ${autoVacuum})`, async () => {
    const { folder, database } = shop();
    const empty = join(folder, 'empty.sqlite');
    const file = new DatabaseSync(empty);
    file.exec(`PRAGMA auto_vacuum = ${autoVacuum}; PRAGMA user_version = 7`);
    expect(file.prepare('PRAGMA page_count').get()?.['page_count']).toBe(1);
    file.close();
    let locked = 0;
    await placeThroughSqlite(empty, database, { isWal: true, onLocked: () => locked++ });
    expect(locked).toBe(1);
    expect(ask(database, 'PRAGMA user_version')).toBe(7);
    expect(ask(database, "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")).toBe(0);
    expect(readdirSync(folder).filter((entry) => entry.includes('restoring'))).toEqual([]);
  });
}

/** The number of a process that is no more. */
const deadPid = () => spawnSync('true').pid;

test('a database that a killed restore took out of WAL mode gets it back', () => {
  const { database } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(database, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(false);
  expect(ask(database, 'PRAGMA journal_mode')).toBe('wal');
});

test('a busy database gets its mode back in a later run', async () => {
  const { database } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(database, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  const app = await openElsewhere(database);
  await app.ask('BEGIN IMMEDIATE');
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(true);
  await app.ask('COMMIT');
  await app.close();
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(false);
  expect(ask(database, 'PRAGMA journal_mode')).toBe('wal');
});

test('a database that was in rollback mode before, or can not be read, is left as it is', () => {
  const { database, source } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(source, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  removeDeadPlacements(database);
  expect([existsSync(left), ask(database, 'PRAGMA journal_mode')]).toEqual([false, 'delete']);

  writeFileSync(database, Buffer.alloc(8192, 1));
  makeDatabase(left);
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(false);
});

test('a restore to a new file clears what a killed one left of it, and nothing else in that folder', () => {
  const { folder, source } = shop();
  const destination = join(folder, 'elsewhere.sqlite');
  const pid = deadPid();
  const [left, others] = [`${destination}.restoring-${pid}`, join(folder, `other.sqlite.restoring-${pid}`)];
  for (const path of [left, others]) writeFileSync(path, 'half a file');
  placeAsNewFile(source, destination);
  expect([existsSync(left), existsSync(others)]).toEqual([false, true]);
  expect(ask(destination, count)).toBe(3);
});
