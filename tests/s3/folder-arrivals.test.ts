/** A file from elsewhere that was adopted goes to the targets like any backup, and a new machine takes none of them by itself. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { newDisk } from '../support/disk.ts';
import { type Machine, machine, type } from '../support/many-machines.ts';
import { ask, change, makeDatabase, scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(120_000);

const newFolder = scratchFolders();

function newMachine(root: string, diskPath: string): Machine {
  return machine(root, { env: { BACKUP_ENABLED: 'false', BACKUP_FOLDER_PATH: diskPath } });
}

test('one that was adopted is copied to a target, and the machine that comes after restores an own one', async () => {
  const root = newFolder();
  const disk = newDisk(root);
  const here = newMachine(join(root, 'here'), disk.path);
  const own = (await type(here, 'backup --json')).json.filename as string;
  const brought = join(root, 'shop-copy.sqlite');
  makeDatabase(brought, { rows: 7 });
  const adopted = (await type(here, `adopt ${brought} --json`)).json;
  expect(adopted).toMatchObject({ arrived: true, pinned: true, other: null });
  const names = async (where: Machine) =>
    (await type(where, 'list --target folder --json')).json.backups.map(
      ({ filename, arrived = false }: { filename: string; arrived?: boolean }) => [filename, arrived],
    );
  change(here.database, "INSERT INTO notes (text) VALUES ('later')");
  const next = (await type(here, 'backup --json')).json.filename as string;
  const all = await names(here);
  expect(all).toContainEqual([adopted.filename, true]);
  expect(all).toContainEqual([own, false]);

  // The newest own one is removed: what came from elsewhere is no substitute for it.
  expect((await type(here, `delete ${next} --yes`)).code).toBe(0);
  const there = newMachine(join(root, 'there'), disk.path);
  rmSync(there.database);
  expect(await names(there)).toContainEqual([adopted.filename, true]);
  const booted = (await type(there, 'restore --if-missing --json')).json;
  expect(booted).toMatchObject({ outcome: 'restored', backup: own, skipped: [] });
  expect(ask(there.database, 'SELECT count(*) FROM notes')).toBe(100);
  const to = join(root, 'by-name.sqlite');
  expect((await type(there, `restore ${adopted.filename} --to ${to}`)).code).toBe(0);
  expect([existsSync(to), ask(to, 'SELECT count(*) FROM notes')]).toEqual([true, 7]);
});
