/** A machine whose database is gone and whose folder survived: the newest captured moment comes back, or a word of what it lacks. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isLocked } from '../../src/engine/disk/lock.ts';
import { REPLICATOR_LOCK } from '../../src/engine/replication/pause.ts';
import { readStatus } from '../../src/engine/replication/status.ts';
import { capturedShops, capturing, flip, order, segmentsEndingAt, texts, textsIn } from '../support/captured-shop.ts';
import { ask, refusal } from '../support/scratch.ts';

setDefaultTimeout(120_000);
const { scratch, openService, startApp, startShop } = capturedShops();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

const lose = (path: string) => {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
};

/** One backup, two orders behind it, each in a segment of its own, and nothing runs any more. */
async function deadShop({ backUp = true } = {}) {
  const shop = await startShop();
  await capturing(shop.service);
  await order(shop.app, 'one');
  const { filename = '' } = backUp ? await shop.service.performBackup() : {};
  await order(shop.app, 'two');
  await shop.service.mark('second');
  await order(shop.app, 'three');
  const { bookmark } = await shop.service.mark('last');
  await shop.app.kill();
  await shop.service.close();
  lose(shop.path);
  return { ...shop, filename, bookmark, ...openService(shop.place) };
}

const segmentsOf = (stream: string, level: number) =>
  readdirSync(join(stream, 'ltx', String(level)))
    .sort()
    .map((name) => join(stream, 'ltx', String(level), name));

test('the newest moment comes back where it is newer than the newest backup, and is captured on', async () => {
  const { service, path, bookmark, said, place } = await deadShop();
  expect(await service.restoreIfMissing()).toEqual({
    ...{ outcome: 'restored', path, backup: bookmark, from: 'local', skipped: [] },
  });
  expect(textsIn(path)).toEqual(['one', 'two', 'three']);
  expect([ask(path, 'PRAGMA journal_mode'), statSync(path).mode & 0o777]).toEqual(['wal', 0o600]);
  expect(readdirSync(join(place, 'backups')).filter((name) => name.startsWith('.velist-moment'))).toEqual([]);
  expect(said.filter((line) => line.startsWith('warn'))).toEqual([]);
  expect((await service.restoreIfMissing()).outcome).toBe('present');

  service.start();
  await capturing(service);
  await order(startApp(path), 'four');
  await service.mark('after');
  await service.restore({ at: 'after' }, { mode: 'file', to: join(place, 'after.sqlite') });
  expect(textsIn(join(place, 'after.sqlite'))).toEqual(['one', 'two', 'three', 'four']);
});

test('a stream alone is enough: the machine died before its first backup', async () => {
  const { service, path, bookmark } = await deadShop({ backUp: false });
  expect(await service.restoreIfMissing()).toMatchObject({ outcome: 'restored', backup: bookmark, from: 'local' });
  expect(textsIn(path)).toEqual(['one', 'two', 'three']);
});

test('a backup that holds all that was captured is taken: it opens without the stream', async () => {
  const { service, path, app, place } = await startShop();
  await capturing(service);
  await order(app, 'one');
  const { filename } = await service.performBackup();
  await app.kill();
  await service.close();
  lose(path);
  const opened = openService(place);
  expect(await opened.service.restoreIfMissing()).toMatchObject({ outcome: 'restored', backup: filename, skipped: [] });
  expect(opened.said.filter((line) => line.startsWith('warn'))).toEqual([]);
});

test('where the stream fails its proof the backup comes back, with what was lost', async () => {
  const { service, path, filename, bookmark, stream, said } = await deadShop();
  for (const segment of segmentsEndingAt(stream, bookmark)) flip(segment);
  const found = await service.restoreIfMissing();
  expect(found).toMatchObject({
    ...{ outcome: 'restored', path, backup: filename, from: 'local' },
    skipped: [{ filename: bookmark, from: 'local', reason: expect.any(String) }],
    lack: expect.stringContaining('What was committed between'),
  });
  expect(textsIn(path)).toEqual(['one']);
  const warned = said.filter((line) => line.startsWith('warn')).join('\n');
  expect(warned).toContain(`Not brought back: ${bookmark}`);
  expect(warned).toContain('is not in the database');
});

test('behind a segment that is lost, what can be proven comes back, and it is said that there was more', async () => {
  const { service, path, stream, bookmark, said } = await deadShop();
  for (const segment of segmentsEndingAt(stream, bookmark)) rmSync(segment);
  const found = await service.restoreIfMissing();
  expect(found).toMatchObject({ outcome: 'restored', from: 'local', skipped: [], lack: expect.any(String) });
  expect(found.outcome === 'restored' && found.backup).toMatch(/^[0-9a-f]{16}$/);
  expect(textsIn(path)).toEqual(['one', 'two']);
  expect(said.join('\n')).toContain('More was captured after');
});

test('nothing begins where a stream is all there is and none of its moments is left', async () => {
  for (const ruin of [flip, rmSync, (path: string) => truncateSync(path, 0)]) {
    const { service, path, stream } = await deadShop({ backUp: false });
    for (const level of [0, 1, 2, 3, 9]) for (const segment of segmentsOf(stream, level)) ruin(segment);
    const error = await refusal(() => service.restoreIfMissing());
    expect([error.code, existsSync(path)]).toEqual(['NO_BACKUP', false]);
  }
});

test('a stream of which nothing says that it is of this database is not taken', async () => {
  const { service, path, place, filename, said } = await deadShop();
  const backups = join(place, 'backups');
  // The folder holds a backup of another database, and no backup of ours that was compared with the stream.
  const elsewhere = await startShop({ isOn: false });
  await order(elsewhere.app, 'not ours');
  const { filename: foreign = '' } = await elsewhere.service.performBackup();
  for (const name of [foreign, `${foreign}.json`])
    copyFileSync(join(elsewhere.place, 'backups', name), join(backups, name));
  const manifestPath = join(backups, `${filename}.json`);
  const { position, ...manifest } = JSON.parse(readFileSync(manifestPath, 'utf8'));
  expect(position.bookmark).toMatch(/^[0-9a-f]{16}$/);
  writeFileSync(manifestPath, JSON.stringify(manifest));
  expect(await service.restoreIfMissing()).toMatchObject({ outcome: 'restored', backup: filename });
  expect(said.join('\n')).toContain('holds backups of other databases too');

  lose(path);
  writeFileSync(manifestPath, JSON.stringify({ ...manifest, position }));
  expect(await service.restoreIfMissing()).toMatchObject({ outcome: 'restored', backup: expect.stringMatching(/^0/) });
});

test('everything is killed at once, the database is gone, and the command line brings every captured commit back', async () => {
  const place = scratch();
  const path = join(place, 'shop.sqlite');
  const stream = join(place, 'backups', 'continuous');
  const app = startApp(path);
  await app.run('PRAGMA journal_mode = WAL');
  await app.run('CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)');
  const env = {
    ...{ PATH: process.env['PATH'] ?? '', DATABASE_URL: path, BACKUP_LOCAL_PATH: join(place, 'backups') },
    ...{ BACKUP_STATE_PATH: join(place, 'state.sqlite'), BACKUP_CONTINUOUS: 'true', PORT: '0', HOST: '127.0.0.1' },
  };
  const start = (...argv: string[]) =>
    spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv], {
      ...{ cwd: place, env, stdio: ['ignore', 'pipe', 'inherit'] },
    });
  const served = start('serve', '--restore-if-missing');
  served.stdout?.resume();
  while (!existsSync(join(stream, 'status.json'))) await Bun.sleep(20);
  for (let k = 0; k < 40; k++) await order(app, `order ${k}`);
  const expected = await texts(app);
  const all = (await app.run('SELECT count(*) AS n FROM orders'))[0];
  expect(all).toEqual({ n: 40 });
  await order(app, 'last');
  // Until the last commit is captured.
  await openService(place).service.mark('last');
  served.kill('SIGKILL');
  await once(served, 'close');
  await app.kill();
  while (isLocked(join(stream, REPLICATOR_LOCK))) await Bun.sleep(20);
  lose(path);
  const booted = start('restore', '--if-missing');
  let said = '';
  booted.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
  expect(await once(booted, 'close')).toEqual([0, null]);
  expect(said).toMatch(/^Restored [0-9a-f]{16} \(local\) to /);
  expect(textsIn(path)).toEqual([...expected, 'last']);
  expect(readStatus(stream)).not.toBeNull();
});
