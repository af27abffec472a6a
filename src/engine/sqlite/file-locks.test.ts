import { expect, test } from 'bun:test';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { fileLocks, locksIn } from './file-locks.ts';

const newFolder = scratchFolders();

test('the list of the system is read, whoever holds a lock, and who waits for one holds none', () => {
  const list = [
    '1: POSIX  ADVISORY  WRITE 1234 08:01:18446744073709551615 1073741824 1073742335',
    '1: -> POSIX  ADVISORY  WRITE 99 08:01:18446744073709551615 1073741824 1073742335',
    '2: FLOCK  ADVISORY  READ  -1 fd:00:7 0 EOF',
    '3: LEASE  ACTIVE    READ  5 00:2b:8 0 EOF',
    '4: nothing that we know',
    '',
  ].join('\n');
  const whole = { from: 0, to: Number.POSITIVE_INFINITY };
  expect(locksIn(list)).toEqual([
    { isOfWriter: true, pid: 1234, inode: '18446744073709551615', from: 1_073_741_824, to: 1_073_742_335 },
    { isOfWriter: false, pid: -1, inode: '7', ...whole },
    { isOfWriter: false, pid: 5, inode: '8', ...whole },
  ]);
});

test.if(process.platform === 'linux')('a transaction of ours is in it, until it ends', () => {
  const path = join(newFolder(), 'app.sqlite');
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE t (a); BEGIN EXCLUSIVE');
  const inode = String(statSync(path).ino);
  expect(fileLocks(inode)?.some(({ isOfWriter, pid }) => isOfWriter && pid === process.pid)).toBe(true);
  database.exec('COMMIT');
  database.close();
  expect(fileLocks(inode)).toEqual([]);
});
