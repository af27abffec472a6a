import { expect, test } from 'bun:test';
import { existsSync, linkSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDatabase, scratchFolders, settle } from '../../../tests/support/scratch.ts';
import { changedAt, isLiveFile, isUnchanged, resolveDatabase, stampDatabase, stampText } from './stamp.ts';

const scratch = scratchFolders();

function settledDatabase(): string {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  settle(path);
  return path;
}

const stamp = (path: string) => stampDatabase(path, { nowMs: Date.now() });

test('a database that nobody wrote to is unchanged', () => {
  const path = settledDatabase();
  const earlier = stamp(path);
  expect(isUnchanged(earlier, stamp(path))).toBe(true);
  expect(stampText(stamp(path))).toBe(stampText(earlier));
});

test('a commit that is only in the log is a change', () => {
  const path = settledDatabase();
  const earlier = stamp(path);
  const app = new DatabaseSync(path);
  try {
    app.exec("INSERT INTO notes (text) VALUES ('new')");
    const current = stamp(path);
    expect(current.main).toEqual(earlier.main);
    expect(isUnchanged(earlier, current)).toBe(false);
    expect(stampText(current)).not.toBe(stampText(earlier));
  } finally {
    app.close();
  }
});

test('an empty log is the same as none', () => {
  const path = settledDatabase();
  const earlier = stamp(path);
  writeFileSync(`${path}-wal`, '');
  expect(stamp(path).wal).toBeNull();
  expect(isUnchanged(earlier, stamp(path))).toBe(true);
});

test('another file under the same name, of the same size and time, is a change', () => {
  const path = settledDatabase();
  const earlier = stamp(path);
  const bytes = Buffer.alloc(earlier.main.sizeBytes);
  // Kept beside it, so that the new file can't get the old inode.
  linkSync(path, `${path}.kept`);
  rmSync(path);
  writeFileSync(path, bytes);
  utimesSync(path, changedAt(earlier), changedAt(earlier));
  expect(stamp(path).main.sizeBytes).toBe(earlier.main.sizeBytes);
  expect(isUnchanged(earlier, stamp(path))).toBe(false);
});

test('a commit whose time was set back is a change, and so is all behind a stamp that did not note when', async () => {
  const path = settledDatabase();
  const earlier = stamp(path);
  // The system's own clock of files ticks every few milliseconds.
  await Bun.sleep(20);
  const app = new DatabaseSync(path);
  app.exec("PRAGMA journal_mode = DELETE; UPDATE notes SET text = 'note' WHERE id = 1");
  app.close();
  utimesSync(path, changedAt(earlier), changedAt(earlier));
  const current = stamp(path);
  expect({ ...current.main, changedNs: '' }).toEqual({ ...earlier.main, changedNs: '' });
  expect(isUnchanged(earlier, current)).toBe(false);
  expect(stampText(current)).not.toBe(stampText(earlier));
  const { changedNs: _, ...old } = current.main;
  expect(isUnchanged({ ...current, main: old }, current)).toBe(false);
});

test('a stamp recorded within two seconds of the last write proves nothing', () => {
  const path = settledDatabase();
  const writtenMs = changedAt(stamp(path)).getTime();
  const recorded = (afterMs: number) => stampDatabase(path, { nowMs: writtenMs + afterMs });
  expect(isUnchanged(recorded(1_999), stamp(path))).toBe(false);
  expect(isUnchanged(recorded(2_000), stamp(path))).toBe(true);
  // A clock that stands before the write proves nothing either.
  expect(isUnchanged(recorded(-5_000), stamp(path))).toBe(false);
});

test('beside a log a checkpoint a moment ago hides no commit', () => {
  const path = settledDatabase();
  const app = new DatabaseSync(path);
  try {
    app.exec("PRAGMA wal_autocheckpoint = 0; UPDATE notes SET text = 'logged'");
    settle(`${path}-wal`);
    const writtenMs = changedAt(stamp(path)).getTime();
    app.exec('PRAGMA wal_checkpoint(PASSIVE)');
    const merged = stamp(path);
    expect(changedAt(merged).getTime()).toBeGreaterThan(writtenMs);
    expect(isUnchanged(merged, stamp(path))).toBe(true);
    app.exec("UPDATE notes SET text = 'once more'");
    expect(isUnchanged(merged, stamp(path))).toBe(false);
    // Recorded just after a commit it proves nothing.
    const young = stampDatabase(path, { nowMs: changedAt(stamp(path)).getTime() + 1_999 });
    expect(isUnchanged(young, stamp(path))).toBe(false);
  } finally {
    app.close();
  }
});

test('a database that is not there is refused by name', () => {
  const path = join(scratch(), 'absent.sqlite');
  expect(() => stamp(path)).toThrow(expect.objectContaining({ code: 'DB_MISSING' }));
  expect(() => resolveDatabase(join(path, 'below-a-file'))).toThrow(expect.objectContaining({ code: 'DB_MISSING' }));
});

test('a symbolic link is followed to the database and to the log beside it', () => {
  const path = settledDatabase();
  const linked = join(scratch(), 'current.sqlite');
  symlinkSync(path, linked);
  writeFileSync(`${path}-wal`, 'frames');
  expect(stampText(stamp(linked))).toBe(stampText(stamp(path)));
  expect(stamp(linked).wal?.sizeBytes).toBe(6);
});

test('the live database is recognised under every name, its log and shared memory too', () => {
  const path = settledDatabase();
  const folder = scratch();
  for (const suffix of ['-wal', '-shm']) writeFileSync(path + suffix, '');
  for (const suffix of ['', '-wal', '-shm']) {
    linkSync(path + suffix, join(folder, `hard${suffix}`));
    symlinkSync(path + suffix, join(folder, `soft${suffix}`));
    for (const name of [path + suffix, join(folder, `hard${suffix}`), join(folder, `soft${suffix}`)])
      expect(isLiveFile(name, path)).toBe(true);
  }
  expect(isLiveFile(path, join(folder, 'soft'))).toBe(true);
});

test('another file, a missing one and a missing database are not the live database', () => {
  const path = settledDatabase();
  const other = settledDatabase();
  expect(isLiveFile(other, path)).toBe(false);
  expect(isLiveFile(`${path}.absent`, path)).toBe(false);
  expect(isLiveFile(other, `${path}.absent`)).toBe(false);
  mkdirSync(`${path}.folder`);
  expect(isLiveFile(`${path}.folder`, path)).toBe(false);
  expect(existsSync(path)).toBe(true);
});
