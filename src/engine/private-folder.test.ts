import { afterEach, expect, test } from 'bun:test';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../tests/support/scratch.ts';
import { makePrivateFolder } from './private-folder.ts';

const scratch = scratchFolders();
const usual = process.umask();
afterEach(() => void process.umask(usual));
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

test('each folder that is made is 0700 whatever the umask, one that was there keeps its mode', () => {
  for (const umask of [0o000, 0o022, 0o277, 0o777]) {
    const there = join(scratch(), 'there');
    mkdirSync(there, { mode: 0o755 });
    const before = modeOf(there);
    process.umask(umask);
    makePrivateFolder(join(there, 'a', 'b', 'c'));
    makePrivateFolder(join(there, 'a', 'b'));
    process.umask(usual);
    expect([umask, before, ...['.', 'a', 'a/b', 'a/b/c'].map((path) => modeOf(join(there, path)))]).toEqual([
      umask,
      modeOf(there),
      before,
      '700',
      '700',
      '700',
    ]);
  }
});

test('a file in its place, or above it, is told', () => {
  const file = join(scratch(), 'file');
  writeFileSync(file, '');
  expect(() => makePrivateFolder(file)).toThrow(/EEXIST/);
  expect(() => makePrivateFolder(join(file, 'a', 'b'))).toThrow(/ENOTDIR/);
});
