import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ask, makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { addFailedCommit } from '../../../tests/support/failed-commit.ts';
import { type BackupPurpose, makeBackupUnderPin, pinForBackup } from './backup.ts';
import { lateLogName, lateLogSetAside } from '../format/names.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import { mergeLateLog, mergeLeftLateLogs, saveLateCommits } from './late-commits.ts';
import type { JobEvent } from '../../words/story.ts';

const scratch = scratchFolders();
const context = { signal: new AbortController().signal, now: () => new Date(), onEvent: () => {} };

/** A safety backup of 100 rows, a live database that goes on, and its log while nobody moves it into the main file. */
async function safetyAndApp() {
  const databasePath = join(scratch(), 'shop.sqlite');
  makeDatabase(databasePath);
  const catalog = new Catalog(join(scratch(), 'backups'));
  await catalog.prepare();
  const purpose: BackupPurpose = {
    databasePath,
    verify: 'quick',
    trigger: 'safety',
    user: 'ada',
    note: 'Before restoring something',
    retention: { count: 10, startBurstMs: 0 },
  };
  const app = new DatabaseSync(databasePath);
  app.exec("UPDATE notes SET text = 'in the log already' WHERE id = 1");
  const pinned = await pinForBackup(catalog, purpose, context);
  const { made, logEnd } = await makeBackupUnderPin(catalog, pinned, purpose, context, { keepPin: true });
  return {
    catalog,
    app,
    databasePath,
    safety: made.name,
    log: join(catalog.folder, lateLogName(made.name)),
    save: () => saveLateCommits(catalog.folder, made.name, { pinned, logEnd }),
    [Symbol.dispose]() {
      pinned[Symbol.dispose]();
      app.close();
    },
  };
}

const commit = (app: DatabaseSync, times: number) => {
  for (let time = 1; time <= times; time++) app.exec(`INSERT INTO notes (text) VALUES ('late ${time}')`);
};

test('a commit that failed before the database was replaced is not brought back', async () => {
  using shop = await safetyAndApp();
  commit(shop.app, 1);
  addFailedCommit(shop.databasePath, "INSERT INTO notes (text) VALUES ('failed')");
  shop.save();
  const name = await mergeLateLog(shop.catalog, shop.safety, context);
  const { path } = await shop.catalog.find(name);
  expect(ask(path, "SELECT group_concat(text) FROM notes WHERE text IN ('late 1', 'failed')")).toBe('late 1');
});

test('what was committed after the safety backup, exactly that, is added to it', async () => {
  using shop = await safetyAndApp();
  commit(shop.app, 57);
  shop.save();
  expect(statSync(shop.log).mode & 0o777).toBe(0o600);
  // A log that was left goes unnoticed by the catalog.
  expect((await shop.catalog.list()).map((backup) => backup.name)).toEqual([shop.safety]);
  const replacedAt = new Date('2024-01-15T12:00:00.250Z');
  utimesSync(shop.log, replacedAt, replacedAt);
  commit(shop.app, 5);

  const before = (await shop.catalog.find(shop.safety)).manifest;
  const name = await mergeLateLog(shop.catalog, shop.safety, context);
  const [merged, ...others] = await shop.catalog.list();
  expect([merged?.name, others]).toEqual([name, []]);
  expect(merged?.fault).toBeNull();
  expect(merged?.manifest).toEqual(
    expect.objectContaining({
      trigger: 'safety',
      user: 'ada',
      note: before?.note ?? '',
      sequence: (before?.sequence ?? 0) + 1,
      stamp: null,
    }),
  );
  expect(merged?.manifest?.createdAt).toBe(replacedAt.toISOString());
  expect(merged?.manifest?.copy).toEqual(before?.copy ?? null);
  expect(ask(merged?.path ?? '', 'SELECT count(*) FROM notes')).toBe(157);
  expect(ask(merged?.path ?? '', "SELECT count(*) FROM notes WHERE text = 'in the log already'")).toBe(1);
  expect(readdirSync(shop.catalog.folder).filter((entry) => entry.includes('late'))).toEqual([]);
});

test('a safety backup that is pinned while its log is merged stays, pinned, beside the one that holds more', async () => {
  using shop = await safetyAndApp();
  commit(shop.app, 7);
  shop.save();
  const pinning = new Catalog(shop.catalog.folder);
  pinning.writeManifest = async (manifest) => {
    await shop.catalog.writeManifest(manifest);
    await shop.catalog.changeManifest(shop.safety, (first) => ({ ...first, pinned: true }));
  };
  const name = await mergeLateLog(pinning, shop.safety, context);
  const left = await shop.catalog.list();
  expect(left.map((backup) => [backup.name, backup.manifest?.pinned])).toEqual([
    [name, false],
    [shop.safety, true],
  ]);
});

test('without a late commit nothing is kept, and the safety backup stays', async () => {
  using shop = await safetyAndApp();
  shop.save();
  expect(readdirSync(shop.catalog.folder).filter((entry) => entry.includes('late'))).toEqual([]);
  expect(await mergeLateLog(shop.catalog, shop.safety, context)).toBe(shop.safety);
});

test('what is not committed is not kept', async () => {
  using shop = await safetyAndApp();
  commit(shop.app, 3);
  shop.app.exec('PRAGMA cache_size = 5; BEGIN; UPDATE notes SET text = hex(randomblob(2000))');
  shop.save();
  await mergeLateLog(shop.catalog, shop.safety, context);
  shop.app.exec('ROLLBACK');
  const [merged] = await shop.catalog.list();
  expect(ask(merged?.path ?? '', 'SELECT count(*) FROM notes')).toBe(103);
  expect(ask(merged?.path ?? '', 'SELECT count(*) FROM notes WHERE length(text) > 1000')).toBe(0);
});

test('a log that restarted under the pin is late from its beginning', async () => {
  using shop = await safetyAndApp();
  // Everything was in the main file when the database was pinned, so its next writer begins the log anew.
  const header = readFileSync(`${shop.app.location()}-wal`).subarray(0, 32);
  commit(shop.app, 9);
  expect(readFileSync(`${shop.app.location()}-wal`).subarray(0, 32).equals(header)).toBe(false);
  shop.save();
  await mergeLateLog(shop.catalog, shop.safety, context);
  const [merged] = await shop.catalog.list();
  expect(ask(merged?.path ?? '', 'SELECT count(*) FROM notes')).toBe(109);
});

const spoil: Record<string, (shop: Awaited<ReturnType<typeof safetyAndApp>>) => Promise<void> | void> = {
  'whose safety backup is gone': async ({ catalog, safety }) => await catalog.remove(await catalog.find(safety)),
  'that is garbage': ({ log }) => writeFileSync(log, 'this is no log'),
  'whose middle was damaged': ({ log }) => {
    const bytes = readFileSync(log);
    bytes.fill(0, bytes.length - 6_000, bytes.length - 5_990);
    writeFileSync(log, bytes);
  },
  'that was cut off': ({ log }) => truncateSync(log, statSync(log).size - 1),
};
for (const [what, spoilIt] of Object.entries(spoil)) {
  test(`a log ${what} is kept where it is seen, said once, and stops no run`, async () => {
    using shop = await safetyAndApp();
    commit(shop.app, 5);
    shop.save();
    await spoilIt(shop);
    const bytes = readFileSync(shop.log);
    const said: string[] = [];
    const listening = {
      ...context,
      onEvent: (event: JobEvent) => event.type === 'warning' && said.push(event.message),
    };
    await mergeLeftLateLogs(shop.catalog, listening);
    const kept = join(shop.catalog.folder, lateLogSetAside(shop.safety, 'log'));
    expect(said).toEqual([expect.stringContaining(kept)]);
    expect(readFileSync(kept).equals(bytes)).toBe(true);
    await mergeLeftLateLogs(shop.catalog, listening);
    expect(said.length).toBe(1);
    expect((await shop.catalog.list()).every((backup) => backup.name === shop.safety)).toBe(true);
  });
}
