import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ask, makeDatabase, refusal, scratchFolders } from '../support/scratch.ts';
import type { BackupsConfig } from '../../src/config/define-config.ts';
import { readConfig } from '../../src/config/config-file.ts';
import { createBackups, openEnvironment } from '../../src/fleet/from-config.ts';
import { Fleet } from '../../src/fleet/fleet.ts';

const newFolder = scratchFolders();
const opened: Fleet[] = [];
let folder: string;
let log: string[];
const at = (...parts: string[]) => join(folder, ...parts);

beforeEach(() => {
  folder = mkdtempSync(join(newFolder(), 'guard-'));
  log = [];
  mkdirSync(at('tenants'));
});
afterEach(async () => {
  for (const guard of opened.splice(0)) await guard.close();
});

async function open(config: Partial<BackupsConfig> = {}): Promise<Fleet> {
  const guard = await createBackups(
    {
      localPath: at('storage/backups'),
      statePath: at('storage/velist-backup.sqlite'),
      databases: [{ path: at('app.sqlite') }, { glob: at('tenants/**/*.sqlite') }],
      ...config,
    },
    { env: { PATH: process.env.PATH }, write: (line) => log.push(line) },
  );
  opened.push(guard);
  return guard;
}
const names = (guard: Fleet) => guard.databases.map(({ name }) => name);
const service = (guard: Fleet, name: string) => guard.get(name) ?? expect.unreachable(`${name} is not backed up`);
const files = (name: string) => readdirSync(at('storage/backups', name)).filter((file) => file.endsWith('.sqlite'));

test('each database has its own backups; restoring one leaves the other alone', async () => {
  makeDatabase(at('app.sqlite'), { rows: 3 });
  makeDatabase(at('tenants/acme.sqlite'), { rows: 5 });
  const guard = await open();
  expect(names(guard)).toEqual(['app', 'tenants.acme']);
  const [app, acme] = [service(guard, 'app'), service(guard, 'tenants.acme')];
  const made = await app.performBackup();
  expect((await acme.performBackup()).success).toBe(true);
  expect([files('app'), files('tenants.acme').length]).toEqual([[made.filename ?? ''], 1]);
  expect((await refusal(() => acme.getBackup(made.filename ?? ''))).code).toBe('NO_BACKUP');
  const copy = at('copy.sqlite');
  await acme.restore((await acme.getBackups())[0]?.filename ?? '', { mode: 'file', to: copy });
  expect(ask(copy, 'SELECT count(*) FROM notes')).toBe(5);
});

test('a new file is found by a look; what we and SQLite put there is not', async () => {
  makeDatabase(at('tenants/acme.sqlite'));
  const guard = await open({ databases: [{ name: 'all', glob: at('**/*.sqlite*') }] });
  expect((await guard.databases[0]?.service.performBackup())?.success).toBe(true);
  for (const name of ['b.sqlite-wal', 'c.restored-2026-01-01.sqlite', 'e.sqlite.restoring-12'])
    makeDatabase(at('tenants', name), { journalMode: 'delete' });
  makeDatabase(at('tenants/new.sqlite'));
  await guard.look();
  expect(names(guard).map((name) => name.replace(/-\w{8}$/, ''))).toEqual([
    ...['all.tenants-acme.sqlite', 'all.tenants-new.sqlite'],
  ]);
});

test('a run history that would be the database of another is refused', async () => {
  const [a, b] = ['a.sqlite', 'b.sqlite'].map((name) => at(name));
  for (const databases of [
    [{ path: `${a}` }, { path: `${b}`, statePath: `${a}` }],
    [{ path: `${b}`, statePath: `${a}` }, { path: `${a}` }],
  ]) {
    const { code, message } = await refusal(() => open({ databases }));
    expect([code, message]).toEqual(['BAD_CONFIG', expect.stringMatching(/ and \w would share the .*\/a\.sqlite$/)]);
  }
});

test('a file that vanished keeps its backups, also over a restart, and its verdict says so', async () => {
  makeDatabase(at('tenants/acme.sqlite'), { rows: 7 });
  const first = await open();
  await service(first, 'tenants.acme').performBackup();
  await first.close();
  rmSync(at('tenants/acme.sqlite'));

  const again = await open();
  const acme = service(again, 'tenants.acme');
  expect((await acme.getBackups()).length).toBe(1);
  const ended = new Promise<void>((resolve) => acme.on(({ type }) => type === 'run' && resolve()));
  again.start();
  await ended;
  const { database, verdict, lastBackupRun } = await acme.getStatus();
  expect([database.exists, verdict.code, lastBackupRun?.error?.code]).toEqual([false, 'missing', 'DB_MISSING']);
  const [backup] = await acme.getBackups();
  await acme.restore(backup?.filename ?? '', { mode: 'file', to: at('tenants/acme.sqlite') });
  expect(ask(at('tenants/acme.sqlite'), 'SELECT count(*) FROM notes')).toBe(7);
});

test('lines of the audit record go where they are sent, also those of one of many', async () => {
  makeDatabase(at('app.sqlite'));
  const lines: string[] = [];
  const config = { databases: [{ path: at('app.sqlite') }], localPath: at('backups'), statePath: at('state.sqlite') };
  const variables = { PATH: process.env.PATH, BACKUP_AUDIT_LOG: '-' };
  const configured = readConfig(config, { file: 'config.ts', variables });
  const guard = await Fleet.open(configured, { write: () => {}, writeAudit: (line) => lines.push(line) });
  opened.push(guard);
  service(guard, 'app').recordAct({ act: 'stop', subject: null });
  guard.recordAct({ act: 'sign-in', subject: null });
  expect(lines.map((line) => JSON.parse(line).act)).toEqual(['stop', 'sign-in']);
});

test('without a list the database of the environment is a fleet of one, which has its folder as it is', async () => {
  makeDatabase(at('app.sqlite'), { rows: 3 });
  const places = { databasePath: at('app.sqlite'), backupsPath: at('backups'), statePath: at('state.sqlite') };
  const guard = await openEnvironment({ ...places, env: { PATH: process.env.PATH }, write: (line) => log.push(line) });
  opened.push(guard);
  expect([guard.isMany, existsSync(at('backups'))]).toEqual([false, false]);
  const made = await guard.databases[0]?.service.performBackup();
  expect(existsSync(at('backups', made?.filename ?? ''))).toBe(true);
  expect(log.join('\n')).not.toContain('[app]');
});

test('a file that was renamed is another database, and does not get the backups of the first', async () => {
  makeDatabase(at('tenants/acme.sqlite'));
  const first = await open();
  await service(first, 'tenants.acme').performBackup();
  renameSync(at('tenants/acme.sqlite'), at('tenants/zoo.sqlite'));
  await first.look();
  expect(names(first)).toEqual(['app', 'tenants.acme', 'tenants.zoo']);
  expect(await service(first, 'tenants.zoo').getBackups()).toEqual([]);
});

test('a database that is named by its path is not found by a glob again, through a link neither', async () => {
  makeDatabase(at('tenants/acme.sqlite'));
  symlinkSync(at('tenants/acme.sqlite'), at('tenants/link.sqlite'));
  const databases = [{ path: at('tenants/acme.sqlite'), keepDaily: 9 }, { glob: at('tenants/*.sqlite') }];
  const guard = await open({ databases });
  expect(names(guard)).toEqual(['acme']);
  expect(service(guard, 'acme').getConfig().keepDaily).toBe(9);
});

test('a glob follows no link, neither to a file nor through a folder, and what becomes one is backed up no more', async () => {
  const elsewhere = mkdtempSync(join(folder, 'elsewhere-'));
  makeDatabase(join(elsewhere, 'secret.sqlite'));
  for (const inside of ['tenants/acme.sqlite', 'tenants/zoo.sqlite']) makeDatabase(at(inside));
  symlinkSync(join(elsewhere, 'secret.sqlite'), at('tenants/file.sqlite'));
  symlinkSync(elsewhere, at('tenants/folder'));
  symlinkSync(at('tenants/acme.sqlite'), at('tenants/inside.sqlite'));
  const guard = await open({ databases: [{ glob: at('tenants/**/*.sqlite') }] });
  expect(names(guard)).toEqual(['tenants.acme', 'tenants.zoo']);

  const acme = service(guard, 'tenants.acme');
  expect((await acme.performBackup()).success).toBe(true);
  await guard.look();
  renameSync(at('tenants/acme.sqlite'), at('tenants/old'));
  symlinkSync(join(elsewhere, 'secret.sqlite'), at('tenants/acme.sqlite'));
  expect((await acme.performBackup()).error?.message).toContain('leads through a link');
  const [backup] = await acme.getBackups();
  await expect(acme.restore(backup?.filename ?? '', { fromOther: true })).rejects.toThrow('leads through a link');
  // Not after a restart either, though it has backups there.
  const again = await open({ databases: [{ glob: at('tenants/**/*.sqlite') }] });
  expect(names(again)).toEqual(['tenants.zoo']);
  expect(
    log.filter((line) => /is not backed up: .*acme\.sqlite leads through a link to .*secret/.test(line)).length,
  ).toBe(1);
  // A link above the glob is the author's own.
  symlinkSync(at('tenants'), at('current'));
  expect(names(await open({ databases: [{ glob: at('current/z*.sqlite') }] }))).toEqual(['current.zoo']);
});

test('backups that were made before there was a list are told of, until a database has them', async () => {
  makeDatabase(at('app.sqlite'));
  const before = await open({ path: at('app.sqlite'), databases: undefined });
  expect(before.isMany).toBe(false);
  const made = await before.databases[0]?.service.performBackup();
  expect(log.filter((line) => line.includes('belong to none'))).toEqual([]);
  await open({ databases: [{ path: at('app.sqlite') }] });
  expect(log.filter((line) => line.includes('belong to none')).length).toBe(1);
  const again = await open({ databases: [{ path: at('app.sqlite'), localPath: at('storage/backups') }] });
  expect(log.filter((line) => line.includes('belong to none')).length).toBe(1);
  expect((await service(again, 'app').getBackups()).map(({ filename }) => filename)).toEqual([made?.filename ?? '']);
});

test('two databases never share a file, a folder, a state file or a prefix', async () => {
  const one = { path: at('a.sqlite') };
  const s3 = { bucket: 'safe', path: 'same' };
  for (const [databases, what] of [
    [[one, { path: at('a.sqlite'), name: 'b' }], 'database'],
    [[one, { path: at('b.sqlite'), localPath: at('storage/backups/a') }], 'folder'],
    [[one, { path: at('b.sqlite'), statePath: at('storage/a.velist-backup.sqlite') }], 'state file'],
    [
      [
        { ...one, s3 },
        { path: at('b.sqlite'), s3 },
      ],
      'prefix same on S3',
    ],
  ] as const) {
    const error = await refusal(() => open({ databases }));
    expect([error.code, error.message]).toEqual(['BAD_CONFIG', expect.stringContaining(`would share the ${what}`)]);
  }
});

test('a prefix that is another database’s is refused when it is changed while running', async () => {
  const guard = await open({ s3: { bucket: 'safe' }, databases: [{ path: at('a') }, { path: at('b') }] });
  const other = service(guard, 'a').getConfig().s3Path;
  const error = await refusal(() => service(guard, 'b').updateConfig({ s3Path: other }));
  expect([error.code, error.message]).toEqual(['BAD_CONFIG', expect.stringContaining('the database a')]);
  service(guard, 'a').updateConfig({ s3Path: 'elsewhere' });
  expect(service(guard, 'b').updateConfig({ s3Path: other }).s3Path).toBe(other);
  expect((await refusal(() => service(guard, 'a').updateConfig({ revert: ['s3Path'] }))).code).toBe('BAD_CONFIG');
});

test('schedules begin by themselves, and log lines say whose they are', async () => {
  makeDatabase(at('app.sqlite'));
  makeDatabase(at('tenants/acme.sqlite'));
  const guard = await open();
  const done = guard.databases.map(
    ({ service: one }) => new Promise<void>((resolve) => one.on(({ type }) => type === 'run' && resolve())),
  );
  guard.start();
  await Promise.all(done);
  await guard.stop();
  for (const name of ['app', 'tenants.acme'])
    expect(log).toContainEqual(expect.stringMatching(new RegExp(`^\\[Backup\\] ${name}: Completed: backup-`)));
});
