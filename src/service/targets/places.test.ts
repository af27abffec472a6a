import { expect, test } from 'bun:test';
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { Catalog } from '../../engine/catalog/folder-catalog.ts';
import { toRecord, writeRecord } from '../../engine/catalog/own-folder.ts';
import { RECORD_FILE } from '../../engine/format/names.ts';
import { Places } from './places.ts';

const scratch = scratchFolders();

test('whose the folder is, is read again when the rights of its record changed', async () => {
  const folder = scratch();
  const [database, backups] = [join(folder, 'shop.sqlite'), join(folder, 'backups')];
  mkdirSync(backups);
  const [catalog, statePath, now] = [new Catalog(backups), join(folder, 'state.sqlite'), () => new Date()];
  const log = (_: string, message: string) => expect.unreachable(message);
  const places = new Places({ database, catalog, statePath, remotes: () => [], log, now });
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
