import { expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, linkSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDatabase, openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { isOnOwnDisk } from './network.ts';
import { isSurelyUnused, namesOf, whoHasOpen } from './open-files.ts';

const scratch = scratchFolders();

function shop(journalMode: 'wal' | 'delete' = 'delete') {
  const folder = scratch();
  const database = join(folder, 'shop.sqlite');
  makeDatabase(database, { rows: 3, journalMode });
  return { folder, database };
}

const pids = (database: string) => whoHasOpen(database).by.map(({ pid }) => pid);

test('an app that rests is named, under whatever name it opened the file, and forgotten when it has closed it', async () => {
  const { folder, database } = shop();
  const [hard, soft] = [join(folder, 'hard.sqlite'), join(folder, 'soft.sqlite')];
  linkSync(database, hard);
  symlinkSync(database, soft);
  for (const name of [database, hard, soft]) {
    const app = await openElsewhere(name);
    expect(whoHasOpen(database).by).toEqual([{ pid: app.process.pid ?? 0, name: expect.stringMatching(/^bun/) }]);
    await app.close();
    expect(pids(database)).toEqual([]);
  }
});

test('who has a file beside the database open is named too', async () => {
  const { database } = shop('wal');
  const app = await openElsewhere(database);
  const reader = spawn('tail', ['-f', `${database}-wal`], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(reader, 'spawn');
  // It opens the file some time after it was started.
  while (!pids(database).includes(reader.pid ?? 0)) await Bun.sleep(10);
  reader.kill();
  await once(reader, 'exit');
  expect(pids(database)).toEqual([app.process.pid ?? 0]);
  await app.close();
});

test('an app that still works on the file that was here before is named', async () => {
  const { folder, database } = shop();
  const app = await openElsewhere(database);
  makeDatabase(join(folder, 'new.sqlite'), { journalMode: 'delete' });
  renameSync(join(folder, 'new.sqlite'), database);
  expect(pids(database)).toEqual([app.process.pid ?? 0]);
  await app.close();
});

test('an app that still works on a file that is gone is named, also where its folder is called by a link', async () => {
  const { folder, database } = shop();
  const link = join(scratch(), 'link');
  symlinkSync(folder, link);
  const app = await openElsewhere(database);
  rmSync(database);
  for (const path of [database, join(link, 'shop.sqlite')]) expect(pids(path)).toEqual([app.process.pid ?? 0]);
  await app.close();
});

test('a file of the same name elsewhere is another file', async () => {
  const { database } = shop();
  const other = shop();
  const app = await openElsewhere(other.database);
  expect(pids(database)).toEqual([]);
  await app.close();
});

const asked = (...before: string[]) => {
  const { database } = shop();
  const module = fileURLToPath(new URL('./open-files.ts', import.meta.url));
  const program = `console.log((await import(${JSON.stringify(module)})).whoHasOpen(${JSON.stringify(database)}).unseen)`;
  const [command = '', ...rest] = [...before, process.execPath, '--config=/dev/null', '-e', program];
  return spawnSync(command, rest, { encoding: 'utf8' }).stdout.trim();
};

test.skipIf(process.getuid?.() !== 0)('in a container nobody outside is seen, and that is said', () => {
  expect(asked('unshare', '--fork', '--pid', '--mount-proc')).toBe('container');
});

test('holders are named in a sentence, the first three of many', () => {
  const holders = ['node', 'python3', 'bun', 'php', 'ruby'].map((name, index) => ({ name, pid: index + 1 }));
  expect(namesOf(holders.slice(0, 1))).toBe('node (process 1)');
  expect(namesOf(holders.slice(0, 2))).toBe('node (process 1) and python3 (process 2)');
  expect(namesOf(holders)).toBe('node (process 1), python3 (process 2), bun (process 3) and 2 more');
});

test('whether a file is open nowhere else is certain only where all can be seen', async () => {
  const folder = scratch();
  const path = join(folder, 'large.sqlite');
  writeFileSync(path, 'content');
  const file = openSync(path, 'r');
  const other = openSync(path, 'r');
  expect(isSurelyUnused(file, folder)).toBe(false);
  closeSync(other);
  const reader = spawn('tail', ['-f', path], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(reader.stdout, 'data');
  expect(isSurelyUnused(file, folder)).toBe(false);
  reader.kill();
  await once(reader, 'exit');
  rmSync(path);
  // On Bun the kernel is asked, whoever the others may be.
  expect(isSurelyUnused(file, folder)).toBe(process.platform === 'linux' && isOnOwnDisk(folder));
  closeSync(file);
});
