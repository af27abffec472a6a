import { expect, test } from 'bun:test';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { selfOf } from '../writer/self.ts';
import { OWNER_FILE, RECORD_FILE } from '../format/names.ts';
import { Catalog } from './folder-catalog.ts';
import { publishAsOwn, readFolderIdentity, requireOwnFolder, toRecord, writeOwner, writeRecord } from './own-folder.ts';

const scratch = scratchFolders();
const now = new Date('2024-01-15T12:00:00Z');
const self = { ...selfOf('/srv/shop.sqlite'), databaseId: 'shop-id' };

test('the record is a private file, written whole and never a second time', async () => {
  const folder = scratch();
  writeRecord(folder, toRecord('shop-id', self, now));
  expect(statSync(join(folder, RECORD_FILE)).mode & 0o777).toBe(0o600);
  expect(readFolderIdentity(folder)).toMatchObject({ record: { id: 'shop-id', name: 'shop.sqlite' }, complaint: null });
  const text = readFileSync(join(folder, RECORD_FILE), 'utf8');
  const error = await refusal(() => writeRecord(folder, toRecord('blog-id', self, now)));
  expect(error.code).toBe('FOREIGN_PLACE');
  expect(readFileSync(join(folder, RECORD_FILE), 'utf8')).toBe(text);
  expect(readdirSync(folder)).toEqual([RECORD_FILE]);
});

test('a backup that can not be published leaves no owner', async () => {
  const folder = scratch();
  const owned = await requireOwnFolder(new Catalog(folder), self);
  const publish = async () => {
    throw new Error('the disk is full');
  };
  const failed = await publishAsOwn(folder, owned, self, { now, publish }).catch((error: Error) => error.message);
  expect(failed).toBe('the disk is full');
  expect(readdirSync(folder)).toEqual([]);
  expect(await publishAsOwn(folder, owned, self, { now, publish: async () => {} })).toBe('shop-id');
  expect(readdirSync(folder)).toEqual([RECORD_FILE]);
});

test('an owner stands beside the record, and each one of before is remembered', () => {
  const folder = scratch();
  writeRecord(folder, toRecord('shop-id', self, now));
  const claim = {
    ...{ id: 'shop-id', name: 'store.sqlite', path: self.pathDigest, machine: self.machineDigest },
    ...{ at: now.toISOString(), user: 'ada', madeBy: null, sparesUntil: null },
  };
  for (const name of ['store.sqlite', 'market.sqlite'])
    writeOwner(folder, [...readFolderIdentity(folder).claims, { ...claim, name }]);
  expect(readFolderIdentity(folder).claims.map(({ name }) => name)).toEqual(['store.sqlite', 'market.sqlite']);
  expect(JSON.parse(readFileSync(join(folder, OWNER_FILE), 'utf8'))).toMatchObject({
    name: 'market.sqlite',
    previous: [{ name: 'store.sqlite', user: 'ada' }],
  });
});

test('what is no record is a complaint: garbage, another format, a link, a folder, a file without end', () => {
  const plants: Record<string, (path: string) => void> = {
    garbage: (path) => writeFileSync(path, Buffer.from([0, 255])),
    'another format': (path) => writeFileSync(path, '{"format":"velist-backup-database/2"}'),
    'a link': (path) => symlinkSync('/etc/hostname', path),
    'a folder': (path) => mkdirSync(path),
    'too large': (path) => writeFileSync(path, Buffer.alloc(1024 * 1024, ' ')),
  };
  for (const [what, plant] of Object.entries(plants)) {
    for (const file of [RECORD_FILE, OWNER_FILE]) {
      const folder = scratch();
      plant(join(folder, file));
      expect([what, file, readFolderIdentity(folder)]).toEqual([
        what,
        file,
        { record: null, claims: [], complaint: expect.any(String) },
      ]);
    }
  }
  expect(readFolderIdentity(join(scratch(), 'absent'))).toEqual({ record: null, claims: [], complaint: null });
});
