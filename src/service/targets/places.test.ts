import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { Catalog } from '../../engine/catalog/folder-catalog.ts';
import { readFolderIdentity, toRecord, writeOwner, writeRecord } from '../../engine/catalog/own-folder.ts';
import { selfOf } from '../../engine/writer/self.ts';
import { Places } from './places.ts';

const scratch = scratchFolders();
const now = new Date('2024-01-15T12:00:00Z');

test('what is held of a folder’s owner gives way to each claim by another process', async () => {
  const [folder, root] = [scratch(), scratch()];
  const database = join(root, 'shop.sqlite');
  makeDatabase(database);
  const places = new Places({
    ...{ database, catalog: new Catalog(folder), statePath: join(root, 'state.sqlite'), remotes: () => [] },
    ...{ realPath: () => database, log: () => {}, now: () => now },
  });
  const self = selfOf(database);
  const claim = {
    ...{ id: 'shop-id', name: 'shop.sqlite', machine: self.machineDigest },
    ...{ at: now.toISOString(), user: null, madeBy: null, sparesUntil: null },
  };
  writeRecord(folder, toRecord('shop-id', self, now));
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
