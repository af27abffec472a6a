import { expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { ask, change, openShop, refusal, scratchFolders } from '../support/scratch.ts';
import { guardMigration } from '../../src/service/restores/migration-guard.ts';

const newFolder = scratchFolders();

test('a migration that goes well has a pinned backup of the state before, and takes the pin of the one before away', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  const result = await guardMigration(service, () => {
    change(databasePath, 'ALTER TABLE notes ADD COLUMN author TEXT');
    return 'migrated';
  });
  expect(result).toBe('migrated');
  const [first] = await service.getBackups();
  expect(first).toMatchObject({ pinned: true, note: 'before a migration', verified: true });
  expect((await service.planRestore(first?.filename ?? '')).tables).toBeDefined();

  await guardMigration(service, () => change(databasePath, 'DROP INDEX notes_by_text'));
  expect((await service.getBackups()).map(({ pinned }) => pinned)).toEqual([true, false]);
});

test('a migration that throws names the backup and the way back, and nothing is restored by itself', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  const cause = new Error('no such column: autor');
  const error = await refusal(() =>
    guardMigration(service, async () => {
      change(databasePath, 'DELETE FROM notes');
      throw cause;
    }),
  );
  const [backup] = await service.getBackups();
  expect(error).toMatchObject({
    code: 'MIGRATION_FAILED',
    message: 'the migration failed: no such column: autor',
    cause,
  });
  expect(error.hint).toContain(`velist-backup restore ${backup?.filename} --online`);
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(0);
  await service.restore(backup?.filename ?? '');
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(100);
});

test('rows whose parent a migration took are found; rows that had none before are not its doing', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  change(
    databasePath,
    `PRAGMA foreign_keys = OFF;
     CREATE TABLE shelves (id INTEGER PRIMARY KEY);
     CREATE TABLE books (id INTEGER PRIMARY KEY, shelf INTEGER REFERENCES shelves(id));
     INSERT INTO shelves VALUES (1); INSERT INTO books VALUES (1, 1), (2, 1), (3, 99);`,
  );
  await guardMigration(service, () => change(databasePath, 'CREATE INDEX books_by_shelf ON books (shelf)'));
  const error = await refusal(() =>
    guardMigration(service, () => change(databasePath, 'PRAGMA foreign_keys = OFF; DELETE FROM shelves')),
  );
  expect(error.message).toContain('2 rows of books without parent in shelves');
});

test('asked to, it puts the state before back, and keeps what the migration left', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  const error = await refusal(() =>
    guardMigration(
      service,
      () => {
        change(databasePath, 'DELETE FROM notes');
        throw new Error('half way');
      },
      { restoreOnFailure: true },
    ),
  );
  expect(error.message).toBe('the migration failed: half way; the state before it was restored');
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(100);
  await service.undoRestore();
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(0);
});

test('nothing pending: no backup; no database yet: none either, but the check', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  expect(await guardMigration(service, () => 1, { pending: () => false })).toBe(1);
  expect(await service.getBackups()).toEqual([]);
  rmSync(databasePath);
  const made = await guardMigration(service, () => {
    change(databasePath, 'CREATE TABLE users (id INTEGER PRIMARY KEY)');
    return 'made';
  });
  expect(made).toBe('made');
  expect(await service.getBackups()).toEqual([]);
});

test('without a backup nothing is migrated', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath, backups } = shop;
  await service.performBackup();
  rmSync(backups, { recursive: true });
  await Bun.write(backups, 'a file where the folder was');
  let migrated = false;
  const error = await refusal(() =>
    guardMigration(service, () => {
      migrated = true;
    }),
  );
  expect(error.message).toStartWith('no backup could be made before the migration: ');
  expect(migrated).toBe(false);
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(100);
});
