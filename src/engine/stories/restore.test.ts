/** What a restore leaves when it was cut off in the middle; whole restores are in `service/restore.test.ts`. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { areMissing } from '../../../tests/support/programs.ts';
import { ask, makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import { restoreDatabase } from './restore.ts';
import type { RestoreRequest } from './restore-request.ts';

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
  return { databasePath, source, folder, request, restore, undoable };
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

/** That restore in a process of its own, in which calls of the system fail as `strace` is told. */
function restoreFailing(request: RestoreRequest, ...faults: string[]): { message: string; code: string; hint: string } {
  const module = JSON.stringify(fileURLToPath(new URL('./restore.ts', import.meta.url)));
  const program = `
    const { restoreDatabase } = await import(${module});
    const context = { signal: new AbortController().signal, now: () => new Date(), onEvent: () => {} };
    await restoreDatabase(${JSON.stringify(request)}, context).then(
      (restored) => console.log(JSON.stringify({ message: 'restored', ...restored })),
      (error) => console.log(JSON.stringify(error)),
    );
  `;
  const bun = [process.execPath, '--config=/dev/null', '--no-env-file', '-e', program];
  const { stdout } = spawnSync('strace', ['-f', '-o', '/dev/null', ...faults, ...bun], { encoding: 'utf8' });
  return JSON.parse(stdout.trim());
}

const withFaults = test.skipIf(areMissing(['strace']));

withFaults('where SQLite can not end the replacement, the undo stays, and what was there is there', async () => {
  const { databasePath, request, undoable } = shop('delete');
  const journal = `${realpathSync(databasePath)}-journal`;
  const error = restoreFailing(request('offline'), '-P', journal, '-e', 'inject=unlink,unlinkat:error=EIO');
  const [safetyBackup = ''] = await undoable();
  expect(safetyBackup).not.toBe('');
  expect(error.message).toStartWith('shop.sqlite now holds either what was there before or source.sqlite');
  expect(error.hint).toContain(`safe in ${safetyBackup}`);
  // The journal that is left takes back what was written of the other database.
  expect([ask(databasePath, count), ask(databasePath, 'PRAGMA integrity_check')]).toEqual([100, 'ok']);
});

withFaults('a database that can not be written to keeps content and mode, and no undo is offered', async () => {
  for (const journalMode of ['wal', 'delete'] as const) {
    const { databasePath, request, undoable } = shop(journalMode);
    const journal = `${realpathSync(databasePath)}-journal`;
    // The first writes of a journal that goes with the replacement itself; out of WAL mode comes one before.
    const error = restoreFailing(request('offline'), '-P', journal, '-e', 'inject=pwrite64,write:error=ENOSPC');
    expect([journalMode, error.code]).toEqual([journalMode, 'DISK_FULL']);
    expect([await undoable(), ask(databasePath, count)]).toEqual([[], 100]);
    expect([ask(databasePath, 'PRAGMA journal_mode'), ask(databasePath, 'PRAGMA integrity_check')]).toEqual([
      journalMode,
      'ok',
    ]);
    expect(readdirSync(dirname(databasePath))).toEqual(['shop.sqlite']);
  }
});

withFaults('where the disk is too full for the safety backup, that is what the error says', () => {
  const { databasePath, folder, request } = shop('wal');
  mkdirSync(folder);
  const faults = ['-P', realpathSync(folder), '-e', 'inject=fsync:error=ENOSPC'];
  expect(restoreFailing(request('online'), ...faults)).toMatchObject({
    code: 'DISK_FULL',
    message: expect.stringContaining('the safety copy could not be made, so nothing was changed'),
  });
  expect(ask(databasePath, count)).toBe(100);
});
