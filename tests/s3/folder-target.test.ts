/**
 * A second folder as a target: another disk, or a mounted server.
 */
import { expect, test } from 'bun:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FOLDER_MARK } from '../../src/engine/store/folder/kind.ts';
import { openTarget } from '../../src/engine/store/kinds.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { newDisk, openWithDisk } from '../support/disk.ts';
import { ask, makeDatabase, openShop, refusal, scratchFolders } from '../support/scratch.ts';

const newFolder = scratchFolders();
const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);
const MARK = FOLDER_MARK;

const variables = (folder: string, more: Record<string, string> = {}) => ({
  PATH: process.env['PATH'] ?? '',
  DATABASE_URL: join(folder, 'shop.sqlite'),
  BACKUP_LOCAL_PATH: join(folder, 'backups'),
  BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
  BACKUP_ENABLED: 'false',
  BACKUP_FOLDER_PATH: join(folder, 'nas'),
  ...more,
});

const backupsIn = (path: string) =>
  readdirSync(path)
    .filter((name) => name.startsWith('backup-'))
    .toSorted();

async function placed(service: BackupService, name: string) {
  const { placements } = await service.getBackup(name);
  return Object.fromEntries(placements.map(({ target, status }) => [target, status]));
}

test('each backup goes there, sealed, and comes back; every answer names the folder', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openWithDisk(folder, disk, { sealing: { compression: 'zstd', recipients: [recipient] } });
  const { service } = shop;
  const { filename = '', ...result } = await service.performBackup();
  expect(result).toMatchObject({ success: true, uploaded: { nas: true } });
  expect(backupsIn(disk.path)).toEqual([`${filename}.json`, `${filename}.zst.age`]);
  const { placements } = await service.getBackup(filename);
  expect(placements.map(({ target, where }) => [target, where])).toEqual([
    ['local', `${shop.backups}/${filename}`],
    ['nas', `${disk.path}/${filename}.zst.age`],
  ]);
  const status = await service.getStatus();
  expect(status.verdict.code).toBe('protected');
  expect(status.targets).toMatchObject([{ target: 'nas', stored: 1, waiting: 0, bucket: null, where: disk.path }]);
  expect(shop.log).toContain(`info: Uploaded to nas: ${filename}.zst.age`);

  rmSync(shop.backups, { recursive: true });
  const to = join(folder, 'back.sqlite');
  await service.restore(filename, { from: 'nas', to, identity });
  expect(ask(to, 'SELECT count(*) FROM notes')).toBe(100);
});

test('what is kept there is decided by its own numbers', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openWithDisk(folder, disk, { retentionCount: 1, prefix: 'shop' });
  const names: string[] = [];
  for (let round = 0; round < 3; round++) names.push((await shop.service.performBackup()).filename ?? '');
  expect(backupsIn(join(disk.path, 'shop'))).toEqual([names[2], `${names[2]}.json`].map(String));
  expect(backupsIn(shop.backups).length).toBe(6);
});

test('a mount point without its disk is no empty target: nothing is written there, and what waits goes there later', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openWithDisk(folder, disk);
  const { service } = shop;
  const first = (await service.performBackup()).filename ?? '';
  disk.unmount();
  const second = await service.performBackup();
  expect(second).toMatchObject({ success: true, uploaded: { nas: false } });
  expect(readdirSync(disk.path)).toEqual([]);
  // What is known of the first copy stays: an empty mount point says nothing of it.
  expect(await refusal(() => service.prune({ target: 'nas', dryRun: true }))).toMatchObject({ code: 'FOLDER_MISSING' });
  expect(await placed(service, first)).toEqual({ local: 'stored', nas: 'stored' });
  expect(await placed(service, second.filename ?? '')).toMatchObject({ local: 'stored' });
  const { targets } = await service.getStatus();
  expect(targets[0]).toMatchObject({ waiting: 1, error: { code: 'FOLDER_MISSING' } });
  expect(targets[0]?.error?.hint).toContain(`touch ${disk.path}/${MARK}`);
  expect(await service.testTarget('nas')).toMatchObject({
    ok: false,
    findings: [{ check: 'write', result: 'failed' }],
  });
  expect(readdirSync(disk.path)).toEqual([]);

  disk.mount();
  const third = await service.performBackup();
  expect(third).toMatchObject({ success: true, uploaded: { nas: true } });
  expect(backupsIn(disk.path).length).toBe(6);
});

test('on an empty machine the first boot brings it back, and never takes an unmounted disk for no backup', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  const env = variables(folder);
  makeDatabase(env.DATABASE_URL, { rows: 42 });
  const before = createServiceFromEnvironment({ env, write: () => {} });
  expect(await before.performBackup()).toMatchObject({ success: true, uploaded: { folder: true } });
  await before.close();
  for (const name of readdirSync(folder)) if (name !== 'nas') rmSync(join(folder, name), { recursive: true });

  disk.unmount();
  const unmounted = createServiceFromEnvironment({ env, write: () => {} });
  expect(await refusal(() => unmounted.restoreIfMissing())).toMatchObject({ code: 'FOLDER_MISSING' });
  await unmounted.close();
  expect(existsSync(env.DATABASE_URL)).toBe(false);

  disk.mount();
  const mounted = createServiceFromEnvironment({ env, write: () => {} });
  expect(await mounted.restoreIfMissing()).toMatchObject({ outcome: 'restored', from: 'folder' });
  await mounted.close();
  expect(ask(env.DATABASE_URL, 'SELECT count(*) FROM notes')).toBe(42);
});

test('the self-test finds all that backups need, and leaves nothing but the mark', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openWithDisk(folder, disk);
  const report = await shop.service.testTarget('nas');
  expect(report.findings.map(({ check, result }) => `${check} ${result}`)).toEqual([
    ...['write ok', 'head ok', 'read ok', 'list ok', 'private ok', 'create-only ok', 'delete ok'],
  ]);
  expect([report.ok, report.policy]).toEqual([true, null]);
  expect(readdirSync(disk.path)).toEqual([MARK]);
});

test('the doctor warns of a folder on the disk of the database, and asks the folder when it is told to', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openWithDisk(folder, disk);
  await shop.service.performBackup();
  const { findings } = await shop.service.diagnose({ s3: true });
  expect(findings.find(({ code }) => code === 'same-disk')).toMatchObject({ severity: 'warning' });
  expect(findings.filter(({ code }) => code.startsWith('nas-')).map(({ severity }) => severity)).not.toContain(
    'problem',
  );
  disk.unmount();
  const unmounted = await shop.service.diagnose({ s3: true });
  expect(unmounted.findings.find(({ code }) => code === 'nas-write')).toMatchObject({ severity: 'problem' });
});

test('the kit gets a sealed copy back by cp, and is written while the disk is away too', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openWithDisk(folder, disk, { sealing: { compression: 'zstd', recipients: [recipient] } });
  const { filename = '' } = await shop.service.performBackup();
  disk.unmount();
  expect(await shop.service.recoveryKit()).toContain('it could not be asked just then');
  disk.mount();
  const kit = await shop.service.recoveryKit();
  expect(kit).not.toContain('curl');
  rmSync(shop.backups, { recursive: true });
  writeFileSync(join(folder, 'key.txt'), `${identity}\n`);
  const commands = ['1', '2a', '3'].flatMap((step) => {
    const section = new RegExp(`^## ${step}\\. [\\s\\S]*?(?=^## |$(?![\\s\\S]))`, 'm').exec(kit)?.[0] ?? '';
    return [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text);
  });
  const shell = spawnSync('sh', ['-c', commands.join('\n')], { cwd: folder, encoding: 'utf8' });
  expect(shell.stdout).toContain(`${filename}.zst.age: OK`);
  expect(shell.stdout).toContain(`${filename}: OK`);
  expect(ask(join(folder, 'velist-recovery', filename), 'SELECT count(*) FROM notes')).toBe(100);
});

test('what a killed upload left is swept after a day, and what is young is not', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  const left = ['00000000-0000', '11111111-1111'].map((name) => join(disk.path, 'shop', `.velist-${name}.part`));
  mkdirSync(dirname(left[0] ?? ''));
  for (const path of left) writeFileSync(path, 'half');
  utimesSync(left[0] ?? '', new Date(0), new Date(0));
  await using shop = openWithDisk(folder, disk, { prefix: 'shop' });
  await shop.service.performBackup();
  expect(left.map((path) => existsSync(path))).toEqual([false, true]);
});

test('a target may not lie in the folder of the backups, nor they in it, nor two targets at one place', async () => {
  const folder = newFolder();
  for (const path of [join(folder, 'backups'), join(folder, 'backups', 'nas'), folder]) {
    const error = await refusal(async () => {
      await using shop = openShop(folder, {
        form: null,
        targets: [{ kind: 'folder', name: 'nas', path, retentionCount: null }],
      });
      await shop.service.getStatus();
    });
    expect([path, error.code]).toEqual([path, 'BAD_CONFIG']);
  }
  const nas = { kind: 'folder', path: join(folder, 'nas'), retentionCount: null } as const;
  const twice = await refusal(async () => {
    await using shop = openShop(folder, {
      form: null,
      targets: [
        { ...nas, name: 'nas' },
        { ...nas, name: 'disk' },
      ],
    });
    await shop.service.getStatus();
  });
  expect(twice.message).toBe(`the targets nas and disk are one place: ${nas.path}`);
});

test('a disk that goes away in the middle of an upload leaves nothing in the mount point', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  const store = openTarget({ kind: 'folder', path: disk.path }, 'shop');
  const source = async function* () {
    yield Buffer.from('half');
    disk.unmount();
    yield Buffer.from('whole');
  };
  const error = await refusal(() => store.put('backup', source(), { ifAbsent: true }));
  expect(error.code).toBe('FOLDER_MISSING');
  expect(readdirSync(disk.path)).toEqual([]);
});
