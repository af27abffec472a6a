import { expect, jest, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openElsewhere, openShop, scratchFolders } from '../support/scratch.ts';
import { LOCK_FILE } from '../../src/engine/format/names.ts';
import type { ServiceEvent } from '../../src/service/service-event.ts';
import { openStateDatabase } from '../../src/service/state/state-database.ts';

const scratch = scratchFolders();

/** A program that makes one backup over the same files and prints which. */
const elsewhere = `
  import { BackupService } from '${join(import.meta.dir, '../../src/service/backup-service.ts')}';
  import { settingsWith } from '${join(import.meta.dir, '../support/settings.ts')}';
  const [databasePath, backupsPath, statePath] = process.argv.slice(1);
  const settings = settingsWith();
  const service = new BackupService({ databasePath, backupsPath, statePath, settings, log() {}, jobEnvironment: {} });
  const { filename, report } = await service.performBackup('eve', { trigger: 'cli' });
  await service.close();
  console.log(JSON.stringify({ filename, id: report.id }));
`;

test('a run of another process is on this one’s status and events while it goes, and its backup when it has ended', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  // Its run waits for the folder until it was seen.
  mkdirSync(shop.backups, { mode: 0o700 });
  const holder = await openElsewhere(join(shop.backups, LOCK_FILE));
  await holder.ask('BEGIN EXCLUSIVE');
  const ended = Promise.withResolvers<ServiceEvent>();
  // Before there is a state at all.
  shop.service.on((event) => {
    if (event.type === 'run') ended.resolve(event);
  });
  const child = spawn(
    process.execPath,
    [
      '--config=/dev/null',
      '--no-env-file',
      '-e',
      elsewhere,
      shop.databasePath,
      shop.backups,
      join(folder, 'state.sqlite'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const closed = once(child, 'close');
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  let shown = (await shop.service.getStatus()).run;
  while (shown === null && child.exitCode === null) {
    await Bun.sleep(5);
    const { run, verdict } = await shop.service.getStatus();
    if (run) expect(verdict.code).toBe('running');
    shown = run;
  }
  await holder.kill();
  await closed;
  const made = JSON.parse(text);
  expect(shown).toEqual(expect.objectContaining({ id: made.id, kind: 'backup', trigger: 'cli', user: 'eve' }));
  expect(shown?.startedAt).toBeInstanceOf(Date);
  expect(await ended.promise).toEqual({
    type: 'run',
    elsewhere: true,
    run: expect.objectContaining({ id: made.id, result: 'success', backup: made.filename }),
  });
  expect((await shop.service.getStatus()).run).toBeNull();
});

test('what this process records itself is told once', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch());
  await shop.service.performBackup();
  let runs = 0;
  shop.service.on((event) => event.type === 'run' && runs++);
  await shop.service.performBackup();
  jest.advanceTimersByTime(10_000);
  jest.useRealTimers();
  expect(runs).toBe(1);
});

test('a row of a process that died, or is silent, or of another folder, is no run', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  await shop.service.performBackup();
  const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(dead, 'exit');
  const database = openStateDatabase(join(folder, 'state.sqlite'), { warn: () => {} });
  const run = {
    id: 'other',
    kind: 'backup',
    trigger: 'cli',
    user: null,
    startedAt: new Date(),
    backup: null,
    steps: [],
    percent: 5,
  };
  const write = (pid: number, seenMs: number, place: string) =>
    database
      .prepare('INSERT OR REPLACE INTO active_runs (service, folder, pid, seen_at, run) VALUES (?, ?, ?, ?, ?)')
      .run('other', place, pid, seenMs, JSON.stringify(run));
  const shown = async () => (await shop.service.getStatus()).run?.id ?? null;
  write(process.pid, Date.now(), 'backups');
  expect(await shown()).toBe('other');
  write(dead.pid ?? 0, Date.now(), 'backups');
  expect(await shown()).toBeNull();
  write(process.pid, Date.now() - 31_000, 'backups');
  expect(await shown()).toBeNull();
  write(process.pid, Date.now(), 'elsewhere');
  expect(await shown()).toBeNull();
  database.close();
});

test('who only listens makes no file, and who does not listen never looks', async () => {
  jest.useFakeTimers({ now: new Date() });
  const folder = scratch();
  await using shop = openShop(folder);
  shop.service.on(() => {});
  jest.advanceTimersByTime(10_000);
  jest.useRealTimers();
  expect(existsSync(join(folder, 'state.sqlite'))).toBe(false);
});

test('a state that is locked by another program neither fails nor holds up a run', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  shop.service.getRuns();
  const other = await openElsewhere(join(folder, 'state.sqlite'));
  await other.ask('BEGIN IMMEDIATE');
  expect((await shop.service.performBackup()).success).toBe(true);
  await other.kill();
  const database = openStateDatabase(join(folder, 'state.sqlite'), { warn: () => {} });
  expect(database.prepare('SELECT count(*) AS rows FROM active_runs').get()).toEqual({ rows: 0 });
  database.close();
});

test('a run that another process holds up says which', async () => {
  const folder = scratch();
  await using shop = openShop(folder, { waits: { lockMs: 50, pinMs: 50 } });
  await shop.service.performBackup();
  const database = openStateDatabase(join(folder, 'state.sqlite'), { warn: () => {} });
  const run = { id: 'other', kind: 'backup', trigger: 'cli', user: null, backup: null, steps: [], percent: 5 };
  database
    .prepare('INSERT INTO active_runs (service, folder, pid, seen_at, run) VALUES (?, ?, ?, ?, ?)')
    .run('other', 'backups', process.pid, Date.now(), JSON.stringify({ ...run, startedAt: new Date(0) }));
  database.close();
  const other = await openElsewhere(join(shop.backups, LOCK_FILE));
  await other.ask('BEGIN EXCLUSIVE');
  const { error } = await shop.service.performBackup();
  expect(error?.code).toBe('BUSY');
  expect(error?.message).toEndWith('it is a backup that the command line began at 1970-01-01T00:00:00.000Z');
  await other.kill();
});

test('a second run at once is refused: a line of the run log that is no failed run, and mends none', async () => {
  const folder = scratch();
  await using shop = openShop(folder, { waits: { lockMs: 50, pinMs: 50 } });
  const told = async () => {
    const { verdict, lastBackupRun } = await shop.service.getStatus();
    const { counts, bars } = await shop.service.getActivity('24h');
    return [verdict.code, lastBackupRun?.result, counts.failed, bars.filter(({ state }) => state === 'failed').length];
  };
  await shop.service.performBackup();
  const well = await told();
  const other = await openElsewhere(join(shop.backups, LOCK_FILE));
  await other.ask('BEGIN EXCLUSIVE');
  for (const trigger of ['cli', 'manual'] as const)
    expect((await shop.service.performBackup(undefined, { trigger })).error?.code).toBe('BUSY');
  expect(shop.service.getRuns().map(({ result }) => result)).toEqual(['refused', 'refused', 'success']);
  expect(shop.service.getRuns({ telling: true }).map(({ result }) => result)).toEqual(['success']);
  expect(await told()).toEqual(well);
  expect(well).toEqual(['protected', 'success', 0, 0]);
  const totals = shop.service.getRunTotals().map(({ result, count }) => `${count} ${result}`);
  expect(totals.toSorted()).toEqual(['1 refused', '1 refused', '1 success']);
  await other.kill();
  writeFileSync(shop.databasePath, 'no database at all'.repeat(100));
  expect((await shop.service.performBackup()).error?.code).toBe('NOT_SQLITE');
  const failing = await told();
  expect(failing[0]).toBe('last-failed');
  const again = await openElsewhere(join(shop.backups, LOCK_FILE));
  await again.ask('BEGIN EXCLUSIVE');
  await shop.service.performBackup(undefined, { trigger: 'cli' });
  expect(await told()).toEqual(failing);
  await again.kill();
});

test('a state that is no database hides neighbours and nothing else', async () => {
  const folder = scratch();
  writeFileSync(join(folder, 'state.sqlite'), 'junk '.repeat(1_000));
  await using shop = openShop(folder);
  expect((await shop.service.performBackup()).success).toBe(true);
  expect((await shop.service.getStatus()).run).toBeNull();
});
