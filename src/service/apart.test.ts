import { expect, test } from 'bun:test';
import { existsSync, linkSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { makeDatabase, openShop, refusal, scratchFolders } from '../../tests/support/scratch.ts';

const newFolder = scratchFolders();

test('a run history at the place of the database is refused, by whatever name, before anything is written', async () => {
  const folder = newFolder();
  const databasePath = join(folder, 'shop.sqlite');
  makeDatabase(databasePath);
  symlinkSync(databasePath, join(folder, 'by-link'));
  linkSync(databasePath, join(folder, 'second-name'));
  symlinkSync(folder, join(folder, 'same-folder'));
  const before = readFileSync(databasePath);
  for (const name of ['shop.sqlite', 'shop.sqlite-wal', 'by-link', 'second-name', 'same-folder/shop.sqlite']) {
    const { code, message } = await refusal(() => openShop(folder, { form: null, statePath: join(folder, name) }));
    expect([name, code, message]).toEqual([
      ...[name, 'BAD_CONFIG'],
      `BACKUP_STATE_PATH names the database itself: ${join(folder, name)}`,
    ]);
  }
  expect(readFileSync(databasePath).equals(before)).toBe(true);
  const missing = join(folder, 'not-yet.sqlite');
  const { code } = await refusal(() => openShop(folder, { form: null, databasePath: missing, statePath: missing }));
  expect([code, existsSync(missing)]).toEqual(['BAD_CONFIG', false]);
});

test('a backup folder that is the database is refused, and a run history under the name of what lies there', async () => {
  const folder = newFolder();
  const backupsPath = join(folder, 'backups');
  mkdirSync(backupsPath);
  const databasePath = join(folder, 'shop.sqlite');
  for (const options of [
    { backupsPath: databasePath },
    { backupsPath, statePath: join(backupsPath, 'settings.json') },
    { backupsPath, statePath: join(backupsPath, 'backup-2024-01-15T10-30-00-000Z.sqlite') },
    { backupsPath, statePath: join(backupsPath, '.staging/state.sqlite') },
  ])
    expect((await refusal(() => openShop(folder, { form: null, databasePath, ...options }))).code).toBe('BAD_CONFIG');
  await using shop = openShop(folder, { backupsPath, statePath: join(backupsPath, 'state.sqlite') });
  expect((await shop.service.performBackup()).success).toBe(true);
});
