import { expect, setDefaultTimeout, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { FolderEntries } from './folder-entries.ts';

const newFolder = scratchFolders();
setDefaultTimeout(60_000);

/** Waits until the last change of the folder is old enough to be told from the next. */
async function settled(folder: string): Promise<void> {
  while (Date.now() - statSync(folder).ctimeMs <= 1_600) await Bun.sleep(50);
}

/** In another process. */
function run(program: string, ...args: string[]): void {
  expect(spawnSync(program, args).status).toBe(0);
}

test('names are read again whenever another process adds, removes or renames one, and else not', async () => {
  const folder = newFolder();
  const entries = new FolderEntries(folder);
  const names = async () => [...(await entries.read())].sort();
  writeFileSync(join(folder, 'a'), '');
  await settled(folder);
  const first = await entries.read();
  expect(await entries.read()).toBe(first);
  run('touch', join(folder, 'b'));
  expect(await names()).toEqual(['a', 'b']);
  // A change so soon after the last one is seen, too.
  run('mv', join(folder, 'b'), join(folder, 'c'));
  expect(await names()).toEqual(['a', 'c']);
  await settled(folder);
  await entries.read();
  run('rm', join(folder, 'c'));
  // Nobody can set back the time that counts.
  utimesSync(folder, new Date(0), new Date(0));
  expect(await names()).toEqual(['a']);
});

test('a folder that is gone has no names, and another one in its place its own', async () => {
  const root = newFolder();
  const folder = join(root, 'one');
  const entries = new FolderEntries(folder);
  expect([...(await entries.read())]).toEqual([]);
  for (const name of ['one', 'two']) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, `in ${name}`), '');
  }
  await settled(join(root, 'two'));
  expect([...(await entries.read())]).toEqual(['in one']);
  renameSync(folder, join(root, 'before'));
  expect([...(await entries.read())]).toEqual([]);
  renameSync(join(root, 'two'), folder);
  expect([...(await entries.read())]).toEqual(['in two']);
});
