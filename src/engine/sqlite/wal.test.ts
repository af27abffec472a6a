/** Where a log ends, as SQLite itself finds when it recovers a copy of it. */
import { expect, test } from 'bun:test';
import { copyFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { lastCommit } from './wal.ts';

const scratch = scratchFolders();

/** Frames that SQLite replays of a copy of this database's log, and what we say. */
function bothEnds(database: string, change: (log: string) => void = () => {}) {
  const copy = join(scratch(), 'copy.sqlite');
  copyFileSync(database, copy);
  copyFileSync(`${database}-wal`, `${copy}-wal`);
  change(`${copy}-wal`);
  const ours = lastCommit(`${copy}-wal`)?.frame ?? 0;
  const connection = new DatabaseSync(copy);
  const theirs = Number(connection.prepare('PRAGMA wal_checkpoint').get()?.['log']);
  connection.close();
  return { ours, theirs };
}

for (const pageSize of [512, 4096, 65_536]) {
  test(`commits, rolled back and unfinished work and a restart are told apart (pages of ${pageSize} bytes)`, () => {
    const database = join(scratch(), 'shop.sqlite');
    makeDatabase(database, { pageSize, rows: 500 });
    const app = new DatabaseSync(database);
    app.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 4');
    const same = (change?: (log: string) => void) => {
      const { ours, theirs } = bothEnds(database, change);
      expect(ours).toBe(theirs);
      return ours;
    };
    app.exec("UPDATE notes SET text = 'first'");
    const first = same();
    expect(first).toBeGreaterThan(1);
    app.exec('BEGIN; UPDATE notes SET text = hex(randomblob(400)); ROLLBACK');
    expect(same()).toBe(first);
    app.exec("INSERT INTO notes (text) VALUES ('over what was rolled back')");
    const second = same();
    expect(second).toBeGreaterThan(first);
    app.exec('BEGIN; UPDATE notes SET text = hex(randomblob(300))');
    expect(same()).toBe(second);
    app.exec('COMMIT');
    const third = same();
    // The last page cut off, as by a crash.
    expect(same((log) => truncateSync(log, 32 + third * (24 + pageSize) - 10))).toBe(second);
    app.exec('PRAGMA wal_checkpoint(RESTART)');
    app.exec("INSERT INTO notes (text) VALUES ('in a log that began anew')");
    expect(same()).toBeLessThan(third);
    app.close();
  });
}

test('a log that is absent or has no header yet holds no commit', () => {
  const database = join(scratch(), 'shop.sqlite');
  makeDatabase(database);
  expect(lastCommit(`${database}-wal`)).toBeNull();
  const app = new DatabaseSync(database);
  app.exec("INSERT INTO notes (text) VALUES ('one')");
  truncateSync(`${database}-wal`, 31);
  expect(lastCommit(`${database}-wal`)).toBeNull();
});
