import { NO_REMARKS } from '../sqlite/rules.ts';
import { expect, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ask, makeDatabase, manifestOf, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { type BackupRequest, makeBackup } from './backup.ts';
import { isBackupName, LOCK_FILE, nameBackup, RECORD_FILE, STAGING_FOLDER } from '../format/names.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import { takeLock } from '../disk/lock.ts';
import { verifyFile } from '../sqlite/verify.ts';
import type { JobEvent } from '../../words/story.ts';

const scratch = scratchFolders();

function setting(change: Partial<BackupRequest> = {}) {
  const databasePath = join(scratch(), 'shop.sqlite');
  if (change.databasePath === undefined) makeDatabase(databasePath);
  const request: BackupRequest = {
    kind: 'backup',
    databasePath,
    folder: join(scratch(), 'backups'),
    verify: 'quick',
    trigger: 'manual',
    user: null,
    note: null,
    retention: { count: 10, startBurstMs: 600_000 },
    lockWaitMs: 0,
    ...change,
  };
  const events: JobEvent[] = [];
  const run = (options: { now?: Date; signal?: AbortSignal; onEvent?: (event: JobEvent) => void } = {}) =>
    makeBackup(request, {
      signal: options.signal ?? new AbortController().signal,
      now: () => options.now ?? new Date(),
      onEvent: (event) => {
        events.push(event);
        options.onEvent?.(event);
      },
    });
  return { request, run, events, catalog: new Catalog(request.folder) };
}

/** What lies in the folder besides locks and the record of its owner. */
const files = (folder: string) =>
  readdirSync(folder).filter(
    (name) => !/\.lock(-journal)?$/.test(name) && name !== STAGING_FOLDER && name !== RECORD_FILE,
  );
const staged = (folder: string) =>
  existsSync(join(folder, STAGING_FOLDER)) ? readdirSync(join(folder, STAGING_FOLDER)) : [];

test('a backup is a private file with a manifest that tells the truth about it', async () => {
  const { request, run, events, catalog } = setting({ user: 'ada', note: 'before the migration' });
  const made = await run();
  const [backup] = await catalog.list();
  const { facts, content, unchecked, ...findings } = await verifyFile(join(request.folder, made.name), {
    method: 'full',
  });
  expect(made).toEqual({
    name: backup?.name ?? '',
    sizeBytes: findings.sizeBytes,
    removed: [],
    loss: null,
    ...NO_REMARKS,
  });
  expect(backup?.manifest?.facts).toEqual(facts ?? undefined);
  expect([content, unchecked]).toEqual([[], []]);
  expect(facts?.tables['notes']?.rows).toBe(100);
  expect(backup?.fault).toBeNull();
  expect(backup?.manifest).toEqual(
    expect.objectContaining({
      sequence: Math.floor((backup?.createdAt.getTime() ?? 0) / 1_000),
      source: { name: 'shop.sqlite', journalMode: 'wal' },
      database: findings,
      user: 'ada',
      note: 'before the migration',
      trigger: 'manual',
      pinned: false,
    }),
  );
  for (const name of files(request.folder)) expect(statSync(join(request.folder, name)).mode & 0o777).toBe(0o600);
  expect(staged(request.folder)).toEqual([]);
  expect(events.flatMap((event) => (event.type === 'step' ? [event.name] : event.type))).toEqual([
    'checkpoint',
    'pinned',
    'copy',
    'verify',
    'publish',
    'prune',
  ]);
});

test('two backups in one millisecond, and one after the clock jumped back, get names and an order of their own', async () => {
  const { run, catalog } = setting();
  const noon = new Date('2024-01-15T12:00:00Z');
  const made = [
    await run({ now: noon }),
    await run({ now: noon }),
    await run({ now: new Date('2024-01-15T08:00:00Z') }),
  ];
  expect(made.map(({ name }) => name)).toEqual([
    'backup-2024-01-15T12-00-00-000Z.sqlite',
    'backup-2024-01-15T12-00-00-001Z.sqlite',
    'backup-2024-01-15T08-00-00-000Z.sqlite',
  ]);
  expect((await catalog.list()).map(({ name }) => name)).toEqual(made.map(({ name }) => name).reverse());
});

test('retention is carried out after the new backup is there', async () => {
  const { request, run, catalog } = setting({ retention: { count: 2, startBurstMs: 1 } });
  const made = [];
  for (const minute of [1, 2, 3]) made.push(await run({ now: new Date(Date.UTC(2024, 0, 15, 12, minute)) }));
  expect(made[2]?.removed).toEqual([made[0]?.name ?? '']);
  expect((await catalog.list()).length).toBe(2);
  expect(files(request.folder).length).toBe(4);
});

test('what a killed run left is removed by the next one, and a foreign file is left alone', async () => {
  const { request, run } = setting();
  const half = nameBackup(new Date('2024-01-15T10:00:00Z'));
  const foreign = nameBackup(new Date('2024-01-15T11:00:00Z'));
  mkdirSync(join(request.folder, STAGING_FOLDER, half), { recursive: true });
  mkdirSync(join(request.folder, STAGING_FOLDER, 'run-1'));
  writeFileSync(join(request.folder, STAGING_FOLDER, 'run-1', 'snapshot.sqlite'), 'half a copy');
  writeFileSync(join(request.folder, half), 'published, not committed');
  writeFileSync(join(request.folder, `.${half}.0.tmp`), '{');
  writeFileSync(join(request.folder, foreign), 'made by hand');
  const { name } = await run();
  expect(files(request.folder).sort()).toEqual([foreign, name, `${name}.json`].sort());
  expect(staged(request.folder)).toEqual([]);
});

test('a manifest that somebody changes meanwhile is no leftover', async () => {
  const { request, run, catalog } = setting();
  const { name } = await run();
  const written = join(request.folder, `.${name}.0.tmp`);
  const changing = await catalog.lockManifests();
  copyFileSync(join(request.folder, `${name}.json`), written);
  const next = run();
  // As long as the run would need to remove it.
  for (let looks = 0; looks < 50 && existsSync(written); looks++) await Bun.sleep(10);
  renameSync(written, join(request.folder, `${name}.json`));
  changing[Symbol.dispose]();
  await next;
  expect((await catalog.list()).length).toBe(2);
});

test('a run killed after its manifest was written left a backup, and the next run keeps it', async () => {
  const { request, run, catalog } = setting();
  const first = await run();
  mkdirSync(join(request.folder, STAGING_FOLDER, first.name), { recursive: true });
  await run();
  expect((await catalog.list()).map(({ name }) => name)).toContain(first.name);
});

test('a manifest that can not be written leaves no file that looks like a foreign backup', async () => {
  const { request, run, catalog } = setting();
  let name = '';
  const failing = run({
    onEvent(event) {
      if (event.type === 'pinned') name = event.backup;
      // A folder in its place: the rename of the manifest fails as it does on a full disk.
      if (event.type === 'step' && event.name === 'publish') mkdirSync(join(request.folder, `${name}.json`));
    },
  });
  await refusal(() => failing);
  expect(await catalog.list()).toEqual([]);
  expect(files(request.folder)).toEqual([`${name}.json`]);
});

test('a run that is stopped leaves nothing', async () => {
  const { request, run } = setting();
  const abort = new AbortController();
  const stopped = run({ signal: abort.signal, onEvent: (event) => event.type === 'pinned' && abort.abort() });
  expect(await stopped.catch((error: Error) => error.name)).toBe('AbortError');
  expect([files(request.folder), staged(request.folder)]).toEqual([[], []]);
});

test('a second run on the folder is refused while one holds it', async () => {
  const { request, run } = setting();
  await new Catalog(request.folder).prepare();
  using _other = await takeLock(join(request.folder, LOCK_FILE), { waitMs: 0, signal: new AbortController().signal });
  expect((await refusal(run)).code).toBe('BUSY');
  expect(files(request.folder)).toEqual([]);
});

test('a database larger than the room on the disk is refused before a byte is copied', async () => {
  const { request, run } = setting();
  // Sparse: a terabyte by its size, nothing on the disk.
  truncateSync(request.databasePath, 2 ** 40);
  const error = await refusal(run);
  expect(error.code).toBe('DISK_FULL');
  expect(error.message).toMatch(/10485\d\d\.\d MB needed, [\d.]+ MB free/);
  expect(files(request.folder)).toEqual([]);
});

test('a file in place of the folder is refused, and stays', async () => {
  const { request, run } = setting();
  writeFileSync(request.folder, 'not a folder');
  expect((await refusal(run)).code).toBe('FOLDER_MISSING');
  expect(readFileSync(request.folder, 'utf8')).toBe('not a folder');
});

test('a damaged database is reported as such, and no old backup is pruned for it', async () => {
  const { request, run, catalog } = setting({ retention: { count: 1, startBurstMs: 1 } });
  await catalog.prepare();
  for (const hour of [1, 2, 3]) {
    const manifest = manifestOf(new Date(Date.UTC(2024, 0, 15, hour)), { sequence: hour });
    writeFileSync(join(request.folder, manifest.name), Buffer.alloc(8192));
    await catalog.writeManifest(manifest);
  }
  truncateSync(request.databasePath, 8_192);
  const error = await refusal(run);
  expect(error.code).toBe('DB_DAMAGED');
  expect(files(request.folder).filter(isBackupName).length).toBe(3);
  expect(staged(request.folder)).toEqual([]);
});

test('a backup opens with its rows in any program', async () => {
  const { request, run } = setting();
  const { name } = await run();
  expect(ask(join(request.folder, name), 'SELECT count(*) FROM notes')).toBe(100);
});

test('a safety backup made while the clock is behind says which moment it is after', async () => {
  const { request, run, catalog } = setting();
  await run({ now: new Date('2026-03-01T12:00:00Z') });
  const safety = (now: Date) =>
    makeBackup(
      { ...request, trigger: 'safety' },
      { signal: new AbortController().signal, now: () => now, onEvent: () => {} },
    );
  const { name } = await safety(new Date(0));
  expect((await catalog.find(name)).manifest).toMatchObject({ madeAfter: '2026-03-01T12:00:00.000Z' });
  const later = await safety(new Date('2026-03-02T12:00:00Z'));
  expect((await catalog.find(later.name)).manifest?.madeAfter).toBeUndefined();
});
