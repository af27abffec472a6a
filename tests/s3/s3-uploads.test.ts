/** Backups on S3 through the service: real requests, real signatures, a server that fails when told to. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isLocked } from '../../src/engine/disk/lock.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { judgeBank, makeBank } from '../support/bank.ts';
import { storedKeys } from '../support/objects.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';

const BUCKET = 'my-backups';
const PREFIX = 'backups/production';

const { server, store } = await openBucket(BUCKET, PREFIX);
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'velist-s3-'));
  makeBank(join(folder, 'app.sqlite'), { sizeBytes: 20 * 1024 * 1024 });
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
});

function newService(environment: Record<string, string> = {}) {
  const lines: string[] = [];
  const service = createServiceFromEnvironment({
    env: s3Environment(folder, server, { bucket: BUCKET, prefix: PREFIX, extra: environment }),
    write: (line) => lines.push(line),
  });
  return { service, lines };
}

const remoteNames = () => storedKeys(store);

test('each backup is uploaded with its manifest, byte for byte, and the answer says so', async () => {
  const { service, lines } = newService();
  const result = await service.performBackup();
  expect(result).toMatchObject({ success: true, s3Uploaded: true });
  const name = result.filename ?? '';
  expect(await remoteNames()).toEqual([name, `${name}.json`]);
  expect(lines).toContain(`[Backup] Uploaded to S3: ${PREFIX}/${name}`);

  const local = readFileSync(join(folder, 'backups', name));
  const hash = createHash('sha256');
  for await (const chunk of store.get(name)) hash.update(chunk);
  expect(hash.digest('hex')).toBe(createHash('sha256').update(local).digest('hex'));
  expect((await service.getBackup(name)).placements.map(({ target, status }) => [target, status])).toEqual([
    ['local', 'stored'],
    ['s3', 'stored'],
  ]);
  expect(server.requests.some((request) => Object.keys(request.headers).includes('x-amz-acl'))).toBe(false);
  await service.close();
});

test('a local backup counts while S3 refuses, and the next run uploads what waited, oldest first', async () => {
  const { service } = newService();
  const before = new Set(await remoteNames());
  server.faults.push({ match: /PUT/, effect: { status: 403, code: 'AccessDenied' }, times: 1_000 });
  const refused = await service.performBackup();
  expect(refused).toMatchObject({ success: true, s3Uploaded: false });
  expect(judgeBank(join(folder, 'backups', refused.filename ?? '')).complaint).toBeNull();
  const status = await service.getStatus();
  expect(status.s3).toMatchObject({ waiting: 1, error: { code: 'S3_DENIED' } });
  expect(status.s3.nextTryAt).not.toBeNull();
  expect(status.verdict.code).toBe('s3-waiting');

  server.faults.length = 0;
  const stored = await service.performBackup();
  expect(stored.s3Uploaded).toBe(true);
  const added = (await remoteNames()).filter((key) => !before.has(key) && key.endsWith('.sqlite'));
  expect(added).toEqual([refused.filename ?? '', stored.filename ?? '']);
  expect((await service.getStatus()).s3).toMatchObject({ waiting: 0, error: null });
  await service.close();
});

test('an upload of another process is on its way for this one too, until it failed', async () => {
  const app = newService();
  const { service } = newService();
  const held = Promise.withResolvers<void>();
  server.faults.push({ match: /PUT/, effect: { answerAfter: held.promise }, times: 1 });
  const backup = app.service.performBackup();
  while (!isLocked(join(folder, 'backups/.uploads.lock'))) await Bun.sleep(10);
  const during = await service.getStatus();
  expect([during.verdict.code, during.s3.waiting]).toEqual(['off', 1]);
  held.resolve();
  expect((await backup).s3Uploaded).toBe(true);
  expect((await service.getStatus()).verdict.code).toBe('off');

  server.faults.push({ match: /PUT/, effect: { status: 403, code: 'AccessDenied' }, times: 1_000 });
  expect((await app.service.performBackup()).s3Uploaded).toBe(false);
  expect((await service.getStatus()).verdict.code).toBe('s3-waiting');
  server.faults.length = 0;
  expect((await app.service.performBackup()).s3Uploaded).toBe(true);
  await app.service.close();
  await service.close();
});

test('what waits is uploaded by the next start, and an upload that was done is not done again', async () => {
  const first = newService();
  server.faults.push({ match: /PUT/, effect: { status: 403, code: 'AccessDenied' }, times: 1_000 });
  const { filename = '' } = await first.service.performBackup();
  await first.service.close();
  server.faults.length = 0;

  rmSync(join(folder, 'state.sqlite'), { force: true });
  const puts = () =>
    server.requests.filter((request) => request.method === 'PUT' && request.url.includes('.sqlite')).length;
  const putsBefore = puts();
  const second = newService();
  second.service.start();
  // A copy counts as stored a moment after the log says that it was uploaded.
  while ((await second.service.getBackup(filename)).placements[1]?.status !== 'stored') await Bun.sleep(20);
  expect(second.lines).toContain(`[Backup] Uploaded to S3: ${PREFIX}/${filename}`);
  // Five parts at most and one manifest: only the one that was missing.
  expect(puts() - putsBefore).toBeLessThanOrEqual(6);
  await second.service.close();
});

test('remote retention keeps the newest and removes only what our manifests name', async () => {
  const { service } = newService({ BACKUP_S3_RETENTION_COUNT: '2' });
  await store.put('backup-notes.txt', one('mine'));
  await store.put('backup-2001-01-01T00-00-00-000Z.sqlite', one('not by us'));
  const { filename = '' } = await service.performBackup();
  const names = await remoteNames();
  expect(names).toContain('backup-notes.txt');
  expect(names).toContain('backup-2001-01-01T00-00-00-000Z.sqlite');
  expect(names.filter((name) => name.endsWith('.json')).length).toBe(2);
  expect(names).toContain(filename);
  await service.close();
});

test('deleting everywhere removes both copies; deleting one place leaves the other', async () => {
  const { service } = newService();
  const { filename = '' } = await service.performBackup();
  await service.deleteBackup(filename, { target: 's3' });
  expect(await remoteNames()).not.toContain(filename);
  expect((await service.getBackup(filename)).filename).toBe(filename);
  const again = await service.performBackup();
  await service.deleteBackup(again.filename ?? '');
  expect(await remoteNames()).not.toContain(again.filename);
  await expect(service.getBackup(again.filename ?? '')).rejects.toMatchObject({ code: 'GONE' });
  await service.close();
});

test('a wrong key is told in one sentence, and the secret is nowhere', async () => {
  const { service, lines } = newService({ S3_SECRET_KEY: 'a-wrong-secret-that-must-not-be-shown' });
  const result = await service.performBackup();
  expect(result).toMatchObject({ success: true, s3Uploaded: false });
  const status = await service.getStatus();
  expect(status.s3.error?.code).toBe('S3_DENIED');
  expect(JSON.stringify([lines, result, status, service.getConfig(), service.getRuns()])).not.toContain(
    'a-wrong-secret',
  );
  await service.close();
});

async function* one(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
