/** What a restore leaves when it was cut off in the middle; whole restores are in `service/restore.test.ts`. */
import { expect, test } from 'bun:test';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ask, makeDatabase, scratchFolders } from '../../tests/support/scratch.ts';
import { Catalog } from './catalog/catalog.ts';
import type { RestoreRequest } from './jobs/protocol.ts';
import { restoreDatabase } from './restore.ts';

const scratch = scratchFolders();
const count = 'SELECT count(*) FROM notes';

function shop(journalMode: 'wal' | 'delete') {
  const [databasePath, source] = [join(scratch(), 'shop.sqlite'), join(scratch(), 'source.sqlite')];
  makeDatabase(databasePath, { journalMode });
  makeDatabase(source, { rows: 3, journalMode: 'delete' });
  const folder = join(scratch(), 'backups');
  const request = (mode: 'online' | 'offline'): RestoreRequest => ({
    ...{ kind: 'restore', source, sourceName: 'source.sqlite', sha256: null, databasePath, folder, mode, to: null },
    ...{ expected: null, user: null, retention: { count: 10, startBurstMs: 0 }, lockWaitMs: 5_000 },
  });
  const restore = (mode: 'online' | 'offline', onPlace = () => {}) =>
    restoreDatabase(request(mode), {
      signal: new AbortController().signal,
      now: () => new Date(),
      onEvent: (event) => event.type === 'step' && event.name === 'place' && onPlace(),
    });
  const undoable = async () =>
    (await new Catalog(folder).list()).flatMap(({ name, manifest }) => (manifest?.replacedBy ? name : []));
  return { databasePath, source, restore, undoable };
}

for (const journalMode of ['wal', 'delete'] as const) {
  for (const mode of ['online', 'offline'] as const) {
    test(`a restore that replaced nothing has no undo, and leaves that of the one before (${mode}, ${journalMode})`, async () => {
      const { databasePath, source, restore, undoable } = shop(journalMode);
      const { safetyBackup } = await restore(mode);
      expect(await undoable()).toEqual([safetyBackup ?? '']);
      expect(await restore(mode, () => rmSync(source)).catch(String)).toContain('ENOENT');
      expect(await undoable()).toEqual([safetyBackup ?? '']);
      expect([ask(databasePath, count), ask(databasePath, 'PRAGMA journal_mode')]).toEqual([3, journalMode]);
    });
  }
}

test('where the files of now were set aside there is no undo, and that of an earlier restore is gone with them', async () => {
  const { databasePath, restore, undoable } = shop('wal');
  await restore('online');
  expect((await undoable()).length).toBe(1);
  const damaged = Buffer.concat([readFileSync(databasePath).subarray(0, 100), Buffer.alloc(20_000, 1)]);
  await Bun.write(databasePath, damaged);
  for (const suffix of ['-wal', '-shm']) rmSync(databasePath + suffix, { force: true });
  const { safetyBackup, setAside } = await restore('offline');
  expect([safetyBackup, existsSync(setAside ?? ''), await undoable()]).toEqual([null, true, []]);
  expect(ask(databasePath, count)).toBe(3);
});
