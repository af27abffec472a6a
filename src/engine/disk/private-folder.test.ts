import { afterEach, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areMissing } from '../../../tests/support/programs.ts';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
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

/** The folders that a program syncs, by the calls that it makes. */
function synced(program: string): readonly string[] {
  const bun = [process.execPath, '--config=/dev/null', '--no-env-file', '-e', program];
  const { stderr } = spawnSync('strace', ['-f', '-y', '-qq', '-e', 'trace=fsync', '-e', 'signal=none', ...bun], {
    encoding: 'utf8',
  });
  return [...stderr.matchAll(/fsync\(\d+<([^>]+)>\) += 0/g)].map(([, path]) => path ?? '');
}
const load = (name: string) => `await import(${JSON.stringify(fileURLToPath(new URL(name, import.meta.url)))})`;
const isUntraced = areMissing(['strace']);

test.skipIf(isUntraced)('each folder that is made is an entry of a folder that is synced', () => {
  const there = realpathSync(scratch());
  const folder = join(there, 'a', 'b');
  const paths = synced(`(${load('./private-folder.ts')}).makePrivateFolder(${JSON.stringify(folder)})`);
  expect(paths).toEqual([there, dirname(folder)]);
});

test.skipIf(isUntraced)('so are those that a restore makes for a database', () => {
  const [there, source] = [realpathSync(scratch()), join(scratch(), 'backup.sqlite')];
  makeDatabase(source, { rows: 3, journalMode: 'delete' });
  const database = join(there, 'a', 'b', 'shop.sqlite');
  const given = `${JSON.stringify(source)}, ${JSON.stringify(database)}, 'delete'`;
  const paths = synced(`(${load('../sqlite/place.ts')}).placeWhereMissing(${given})`);
  expect(paths).toEqual(expect.arrayContaining([there, join(there, 'a'), dirname(database)]));
});

test.skipIf(process.getuid?.() !== 0)('a folder can be made in one that may be entered and not read', () => {
  const above = join(scratch(), 'above');
  mkdirSync(above);
  chmodSync(above, 0o333);
  chmodSync(dirname(above), 0o711);
  chmodSync(dirname(dirname(above)), 0o711);
  const program = `(${load('./private-folder.ts')}).makePrivateFolder(${JSON.stringify(join(above, 'new'))})`;
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const bun = [process.execPath, '--config=/dev/null', '--no-env-file', '-e', program];
  expect(spawnSync('setpriv', [...nobody, ...bun], { encoding: 'utf8' }).stderr).toBe('');
  expect(modeOf(join(above, 'new'))).toBe('700');
});
