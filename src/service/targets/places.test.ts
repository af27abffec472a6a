import { expect, test } from 'bun:test';
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { Catalog } from '../../engine/catalog/folder-catalog.ts';
import { readFolderIdentity, toRecord, writeOwner, writeRecord } from '../../engine/catalog/own-folder.ts';
import { RECORD_FILE } from '../../engine/format/names.ts';
import { selfOf } from '../../engine/writer/self.ts';
import { Places } from './places.ts';

const scratch = scratchFolders();

test('whose the folder is, is read again when the rights of its record changed', async () => {
  const folder = scratch();
  const [database, backups] = [join(folder, 'shop.sqlite'), join(folder, 'backups')];
  mkdirSync(backups);
  const [catalog, statePath, now] = [new Catalog(backups), join(folder, 'state.sqlite'), () => new Date()];
  const log = (_: string, message: string) => expect.unreachable(message);
  const places = new Places({
    ...{ database, realPath: () => database, catalog, statePath, remotes: () => [], log, now },
  });
  writeRecord(backups, toRecord('our-id', places.self, now()));
  await Promise.resolve();
  const known = await catalog.list();
  const found = places.folder(known);
  expect(found.ownership.id).toBe('our-id');
  await Promise.resolve();
  expect(places.folder(known)).toBe(found);

  const record = join(backups, RECORD_FILE);
  const { ctimeMs } = lstatSync(record);
  // A change within the same tick of the clock is not seen by anybody.
  while (lstatSync(record).ctimeMs === ctimeMs) for (const mode of [0o644, 0o600]) chmodSync(record, mode);
  await Promise.resolve();
  expect(places.folder(known)).not.toBe(found);
});

const noon = new Date('2024-01-15T12:00:00Z');

test('what is held of a folder’s owner gives way to each claim by another process', async () => {
  const [folder, root] = [scratch(), scratch()];
  const database = join(root, 'shop.sqlite');
  makeDatabase(database);
  const places = new Places({
    ...{ database, catalog: new Catalog(folder), statePath: join(root, 'state.sqlite'), remotes: () => [] },
    ...{ realPath: () => database, log: () => {}, now: () => noon },
  });
  const self = selfOf(database);
  const claim = {
    ...{ id: 'shop-id', name: 'shop.sqlite', machine: self.machineDigest },
    ...{ at: noon.toISOString(), user: null, madeBy: null, sparesUntil: null },
  };
  writeRecord(folder, toRecord('shop-id', self, noon));
  const owners: boolean[] = [];
  for (const path of [self.pathDigest, 'b'.repeat(64), self.pathDigest]) {
    writeOwner(folder, [...readFolderIdentity(folder).claims, { ...claim, path }]);
    // What was found in one turn is held for it.
    await Promise.resolve();
    owners.push(places.isForeign);
    expect(places.folder([]).ownership.owner === 'foreign').toBe(places.isForeign);
  }
  expect(owners).toEqual([false, true, false]);
});
