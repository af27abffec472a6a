import { Glob } from 'bun';
import { expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openElsewhere, openShop, scratchFolders } from '../support/scratch.ts';
import { mountsIn } from '../../src/engine/sqlite/mounts.ts';
import { fileSystemOf, lookAtFolder, servedAs } from '../../src/service/doctor/facts.ts';

const scratch = scratchFolders();

test('a path lies on the file system of the longest mount above it, and of the last one there', () => {
  const mounts = [
    '/dev/vda / ext4 rw 0 0',
    'nas:/data /srv nfs4 rw 0 0',
    '/dev/vdb /srv/my\\040data xfs rw 0 0',
    'tmpfs /srv/twice tmpfs rw 0 0',
    '/dev/vdc /srv/twice btrfs rw 0 0',
    '',
  ].join('\n');
  const kinds = ['/etc/x', '/srv/x', '/srv', '/srvs/x', '/srv/my data/x', '/srv/twice/x'];
  expect(kinds.map((path) => fileSystemOf(path, mountsIn(mounts)))).toEqual([
    'ext4',
    'nfs4',
    'nfs4',
    'ext4',
    'xfs',
    'btrfs',
  ]);
  expect(fileSystemOf('/etc', null)).toBeNull();
});

test('backups in a served folder are found, through links too, and in one that is called public', () => {
  const root = scratch();
  for (const name of ['uploads/backups', 'public/backups', 'private']) mkdirSync(join(root, name), { recursive: true });
  symlinkSync(join(root, 'uploads/backups'), join(root, 'linked'));
  const state = join(root, 'private/state.sqlite');
  const judge = (backups: string, to = state) =>
    servedAs({ backups: join(root, backups), state: to }, [join(root, 'uploads')], root);
  expect(judge('private')).toBeNull();
  expect(judge('linked')).toMatchObject({ what: 'backups', isCertain: true });
  expect(judge('uploads/yet/to/be')).toMatchObject({ what: 'backups', isCertain: true });
  expect(judge('public/backups')).toEqual({ what: 'backups', folder: 'public', isCertain: false });
  // An app that itself lies in a folder of that name.
  expect(servedAs({ backups: join(root, 'public/backups'), state }, [], join(root, 'public'))).toBeNull();
  expect(judge('private', join(root, 'uploads/state.sqlite'))).toMatchObject({ what: 'state', isCertain: true });
});

test('rights of others are counted by file, and a link is none', () => {
  const folder = scratch();
  chmodSync(folder, 0o700);
  writeFileSync(join(folder, 'open'), '', { mode: 0o644 });
  writeFileSync(join(folder, 'closed'), '', { mode: 0o600 });
  symlinkSync('loop', join(folder, 'loop'));
  expect(lookAtFolder(folder, 'backups')).toMatchObject({ path: 'backups', openFiles: 1, isWritable: true });
  expect(lookAtFolder(join(folder, 'none'), 'none')).toMatchObject({ mode: null });
});

test('the doctor looks into a database in use, and changes nothing', async () => {
  await using shop = openShop(scratch());
  const app = await openElsewhere(shop.databasePath);
  await app.ask("INSERT INTO notes (text) VALUES ('x') RETURNING id");
  await shop.service.performBackup();
  const well = await shop.service.diagnose();
  const severities = new Map(well.findings.map(({ code, severity }) => [code, severity]));
  expect([severities.get('database'), severities.get('journal-mode'), severities.get('replication')]).toEqual([
    'ok',
    'ok',
    'ok',
  ]);
  await app.ask('CREATE TABLE _litestream_seq (id INTEGER)');
  mkdirSync(`${shop.databasePath.replace(/[^/]*$/, '')}.shop.sqlite-litestream`);
  const { findings, ok } = await shop.service.diagnose();
  expect(ok).toBe(false);
  expect(findings.find(({ code }) => code === 'replication')?.what).toBe(
    'another tool replicates this database: .shop.sqlite-litestream, table _litestream_seq',
  );
  expect(await app.ask('SELECT count(*) FROM notes')).toBe(101);
  await app.close();
});

test('the doctor of a machine without a database says that it is missing', async () => {
  await using shop = openShop(scratch(), { form: null });
  const { findings, ok } = await shop.service.diagnose();
  expect([ok, findings[0]?.code, findings[0]?.severity]).toEqual([false, 'database', 'problem']);
});

test('a backup folder that is a file is a finding, and so is one that can not be made below it', async () => {
  for (const below of ['', 'backups']) {
    const folder = scratch();
    const file = join(folder, 'file');
    writeFileSync(file, 'a letter');
    await using shop = openShop(folder, { backupsPath: join(file, below) });
    const { findings } = await shop.service.diagnose();
    const told = new Map(findings.map(({ code, severity }) => [code, severity]));
    expect([below, told.get('permissions'), told.get('database')]).toEqual([below, 'problem', 'ok']);
  }
});

test('the doctor tells of a reader that keeps the log from being merged', async () => {
  await using shop = openShop(scratch());
  const reader = await openElsewhere(shop.databasePath);
  const writer = await openElsewhere(shop.databasePath);
  await reader.ask('BEGIN');
  await reader.ask('SELECT count(*) FROM notes');
  await writer.ask('INSERT INTO notes (text) SELECT hex(zeroblob(200000)) FROM notes LIMIT 40 RETURNING 1');
  for (const _ of [1, 2]) await shop.service.performBackup();
  const { findings } = await shop.service.diagnose();
  expect(findings.find(({ code }) => code === 'wal-size')?.severity).toBe('warning');
  await reader.close();
  await writer.close();
});

test('SQL for drills that names the live database is told without opening it', async () => {
  const folder = scratch();
  const databasePath = join(folder, 'shop.sqlite');
  await using shop = openShop(folder, { databasePath, drills: { scheduled: false, sql: databasePath } });
  const { findings } = await shop.service.diagnose();
  expect(findings.find(({ code }) => code === 'drills')?.what).toBe('BACKUP_DRILL_SQL names the live database');
});

test('docs/doctor.md names each code of the doctor, and no other', () => {
  const doctor = '../../src/service/doctor';
  const codesIn = (paths: readonly string[], pattern: RegExp) => {
    const text = paths.map((path) => readFileSync(join(import.meta.dir, path), 'utf8')).join('\n');
    return new Set([...text.matchAll(pattern)].map(([, code]) => code ?? ''));
  };
  const told = codesIn(
    [...new Glob('*-findings.ts').scanSync(join(import.meta.dir, doctor))].map((file) => join(doctor, file)),
    /(?:const code = |found\('\w+', )'([a-z0-9-]+)'/g,
  );
  const written = codesIn(['../../docs/doctor.md'], /^\| `([a-z0-9-]+)`/gm);
  expect([...written].filter((code) => !code.startsWith('s3-')).toSorted()).toEqual([...told].toSorted());
});
