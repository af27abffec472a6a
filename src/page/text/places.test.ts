import { expect, test } from 'bun:test';
import type { Status } from '../../http/contract.ts';
import { ownPlaceLine, ownUploads, suggestion } from './own-place.ts';
import { type Owner, type Place, placeName } from './places.ts';

const now = Date.parse('2026-11-22T10:34:18.000Z');
const dayMs = 24 * 3_600_000;

function owner(change: Partial<Owner>): Owner {
  const unknown = { isSameName: null, isSamePath: null, isSameMachine: null, tablesInCommon: null, newestBackup: null };
  return { id: null, name: 'shop.sqlite', createdAt: null, ...unknown, ...change };
}
const madeAt = (at: number) => ({ filename: 'backup', createdAt: new Date(at).toISOString() });

function place(change: Partial<Place>): Place {
  return { target: 'local', owner: 'foreign', other: null, writer: null, sparesOthersUntil: null, ...change };
}
// Only these parts of a status are looked at.
const status = {
  local: { path: './storage/backups/' },
  database: { name: 'dev.sqlite' },
  targets: [
    { target: 's3', bucket: 'my-backups', path: 'backups/database', where: 's3://my-backups/backups/database' },
  ],
} as unknown as Status;

test('facts that all differ speak for another database, on the same machine too', () => {
  const tablesInCommon = { common: 0, theirs: 42 };
  expect(suggestion(owner({ isSameName: false, isSamePath: false, isSameMachine: true, tablesInCommon }), now)).toBe(
    'other',
  );
});

test('facts that all agree speak for the same database, unless somebody still makes backups there', () => {
  const same = { isSameName: true, isSamePath: true, tablesInCommon: { common: 42, theirs: 42 } };
  expect(suggestion(owner({ ...same, newestBackup: madeAt(now - 3 * dayMs) }), now)).toBe('same');
  expect(suggestion(owner({ ...same, newestBackup: madeAt(now - 60_000) }), now)).toBeNull();
});

test('facts that disagree, half agree or are unknown speak for neither', () => {
  expect(suggestion(owner({ isSameName: true, isSamePath: false }), now)).toBeNull();
  expect(suggestion(owner({ isSameName: false, tablesInCommon: { common: 2, theirs: 42 } }), now)).toBeNull();
  expect(suggestion(owner({ isSameMachine: false }), now)).toBeNull();
});

test('the line for .env names a folder inside the old one, and a prefix beside it', () => {
  const shared = place({
    ...{ target: 's3', owner: 'ours' },
    writer: { kind: 'other', host: 'web-2', since: '', seenAt: null },
  });
  expect(ownPlaceLine(status, place({}))).toBe('BACKUP_LOCAL_PATH=./storage/backups/dev');
  expect(ownPlaceLine(status, place({ target: 's3' }))).toBe('BACKUP_S3_PATH=backups/database-dev');
  // Both machines would be told the name of the database.
  expect(ownPlaceLine(status, shared)).toBe('BACKUP_S3_PATH=backups/database-copy');
  expect(ownPlaceLine(status, place({ target: 'offsite-eu' }))).toBeNull();
  const nas = { ...status.targets[0], target: 'folder', bucket: null, path: '/mnt/nas', where: '/mnt/nas' } as const;
  const withFolder = { ...status, targets: [...status.targets, nas] } as typeof status;
  expect(ownPlaceLine(withFolder, place({ target: 'folder' }))).toBe('BACKUP_FOLDER_PATH=/mnt/nas-dev');
  const odd = { ...status, local: { ...status.local, path: './my "backups' } };
  expect(ownPlaceLine(odd, place({}))).toBe('BACKUP_LOCAL_PATH="./my \\"backups/dev"');
});

test('places are named as a person would type them', () => {
  expect(placeName(status, 's3')).toBe('s3://my-backups/backups/database');
  expect(placeName(status, 'local')).toBe('./storage/backups/');
});

test('what another machine stored there does not count as ours', () => {
  const copy = (target: string, at: number) =>
    ({ target, status: 'stored', at: new Date(at).toISOString(), error: null, where: '', sizeBytes: 1 }) as const;
  const made = [
    { other: null, placements: [copy('local', now - 50), copy('s3', now - 40)] },
    { other: null, placements: [copy('s3', now - 20)] },
    { other: null, placements: [copy('local', now - 2 * dayMs), copy('s3', now - 2 * dayMs)] },
  ];
  // Only these parts of a backup are looked at.
  expect(ownUploads(made as never, 's3', now - dayMs)).toEqual([now - 40]);
});
