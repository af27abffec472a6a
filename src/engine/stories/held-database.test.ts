/** What is committed between the safety backup and the replacement, in each mode, and what may happen to the file meanwhile. */
import { expect, test } from 'bun:test';
import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ask, makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { type BackupPurpose, makeBackupUnderPin } from './backup.ts';
import { lateLogName } from '../format/names.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import { holdDatabase } from './held-database.ts';
import { mergeLateLog } from './late-commits.ts';
import type { RestoreRequest } from './restore-request.ts';

const scratch = scratchFolders();
const context = { signal: new AbortController().signal, now: () => new Date(), onEvent: () => {} };
const insert = "INSERT INTO notes (text) VALUES ('late')";
const count = 'SELECT count(*) FROM notes';

/** A database of 100 rows, held for a restore, with its safety backup. */
async function held(journalMode: 'wal' | 'delete', mode: 'online' | 'offline') {
  const databasePath = join(scratch(), 'shop.sqlite');
  const source = join(scratch(), 'source.sqlite');
  makeDatabase(databasePath, { journalMode });
  makeDatabase(source, { rows: 3, journalMode: 'delete' });
  const catalog = new Catalog(join(scratch(), 'backups'));
  await catalog.prepare();
  const retention = { count: 10, startBurstMs: 0 };
  const purpose: BackupPurpose = {
    ...{ databasePath, retention, verify: 'quick', trigger: 'safety', user: null, note: null },
    replacedBy: 'source.sqlite',
  };
  const request: RestoreRequest = {
    ...{
      kind: 'restore',
      source,
      sourceName: 'source.sqlite',
      sha256: null,
      databasePath,
      folder: catalog.folder,
      mode,
    },
    ...{ to: null, expected: null, user: null, retention, lockWaitMs: 5_000 },
  };
  const hold = holdDatabase(request, context);
  const { pinned, usualMode, isWal } = hold;
  const { made, logEnd } = await makeBackupUnderPin(catalog, pinned, { ...purpose, usualMode }, context, {
    keepPin: isWal,
  });
  const late = join(catalog.folder, lateLogName(made.name));
  return {
    ...{ databasePath, catalog, hold, late, safety: made.name },
    keep: () => hold.keepLateCommits(made.name, logEnd),
    isKept: () => readdirSync(catalog.folder).some((entry) => entry.startsWith('.late-')),
    [Symbol.dispose]: () => hold[Symbol.dispose](),
  };
}

/** One write by another process that has gone again. */
async function commitElsewhere(path: string, sql = insert): Promise<void> {
  const app = await openElsewhere(path);
  await app.ask(sql);
  await app.close();
}

for (const [journalMode, mode] of [
  ['delete', 'online'],
  ['delete', 'offline'],
  ['wal', 'offline'],
] as const) {
  test(`without a log, what was committed meanwhile is kept, and becomes the safety backup (${journalMode}, ${mode})`, async () => {
    using shop = await held(journalMode, mode);
    expect(shop.hold.isWal).toBe(false);
    shop.keep();
    expect(shop.isKept()).toBe(false);
    await commitElsewhere(shop.databasePath);
    shop.keep();
    expect(shop.isKept()).toBe(true);
    const name = await mergeLateLog(shop.catalog, shop.safety, context);
    const [merged, ...others] = await shop.catalog.list();
    expect([merged?.name, others]).toEqual([name, []]);
    expect(ask(merged?.path ?? '', count)).toBe(101);
    // The mode that the database has when nobody holds it, and the undo that was promised.
    expect(merged?.manifest).toMatchObject({ source: { journalMode }, replacedBy: 'source.sqlite', trigger: 'safety' });
  });
}

test('offline, a database is out of WAL mode only as long as it is held', async () => {
  const shop = await held('wal', 'offline');
  expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe('delete');
  shop.hold[Symbol.dispose]();
  expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe('wal');
  expect(readdirSync(join(shop.databasePath, '..')).filter((entry) => entry.includes('restoring'))).toEqual([]);
});

test('offline, an app that came after the safety backup is named, and nothing is replaced', async () => {
  using shop = await held('delete', 'offline');
  const app = await openElsewhere(shop.databasePath);
  const error = await refusal(() => shop.keep());
  expect([error.code, error.message]).toEqual([
    'RESTORE_IN_USE',
    expect.stringContaining(`(process ${app.process.pid}) has ${shop.databasePath} open`),
  ]);
  await app.close();
});

test('a database that was exchanged or switched to WAL mode meanwhile is not replaced', async () => {
  {
    using shop = await held('delete', 'online');
    await commitElsewhere(shop.databasePath, 'PRAGMA journal_mode = WAL');
    expect((await refusal(() => shop.keep())).code).toBe('DB_CHANGED');
  }
  using shop = await held('delete', 'online');
  renameSync(shop.databasePath, `${shop.databasePath}.old`);
  makeDatabase(shop.databasePath, { journalMode: 'delete' });
  expect((await refusal(() => shop.keep())).code).toBe('DB_CHANGED');
});

test('offline, a database in WAL mode to which anybody is connected is refused, seen or not, and stays as it is', async () => {
  const databasePath = join(scratch(), 'shop.sqlite');
  makeDatabase(databasePath);
  // A connection of this process, which is not looked for among the others.
  const app = new DatabaseSync(databasePath);
  app.exec(insert);
  const request = { databasePath, mode: 'offline', source: databasePath, folder: scratch() } as RestoreRequest; // what holding reads
  expect((await refusal(() => holdDatabase(request, context))).code).toBe('RESTORE_IN_USE');
  app.exec(insert);
  expect(app.prepare('PRAGMA journal_mode').get()?.['journal_mode']).toBe('wal');
  app.close();
  expect(readdirSync(join(databasePath, '..'))).toEqual(['shop.sqlite']);
});
