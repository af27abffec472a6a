/** A target's test through the service: a real job, real requests, and what a stopped one leaves. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { openBucket } from '../support/bucket.ts';

const { server } = await openBucket('my-backups');
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'velist-target-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
});

function newService(environment: Record<string, string> = {}) {
  const lines: string[] = [];
  const service = createServiceFromEnvironment({
    env: {
      PATH: process.env.PATH,
      BACKUP_LOCAL_PATH: join(folder, 'backups'),
      BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
      S3_BUCKET: 'my-backups',
      S3_ENDPOINT: server.endpoint,
      S3_ACCESS_KEY: server.accessKeyId,
      S3_SECRET_KEY: server.secretAccessKey,
      ...environment,
    },
    write: (line) => lines.push(line),
  });
  return { service, lines };
}

async function keysThere(): Promise<readonly string[]> {
  const store = createS3Store({ ...server, bucket: 'my-backups', prefix: '' });
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  store.close();
  return keys;
}

test('S3 is tested although uploads are off, at the path that is in force now', async () => {
  const { service, lines } = newService();
  service.updateConfig({ s3Path: 'moved/here' });
  const report = await service.testTarget('s3');
  expect(report).toMatchObject({ ok: true, target: 's3' });
  expect(report.policy?.Statement[0]?.Resource).toBe('arn:aws:s3:::my-backups/moved/here/*');
  expect(server.requests.some(({ url }) => url.startsWith('/my-backups/moved/here/self-test-'))).toBe(true);
  expect(await keysThere()).toEqual([]);
  expect(lines.join('\n')).toContain('Tested s3: all that backups need works.');
  service.updateConfig({ revert: ['s3Path'] });
  await service.close();
});

test('what fails is in the report, by the words of the target, and no secret with it', async () => {
  const { service } = newService({ S3_SECRET_KEY: 'not-the-secret' });
  const report = await service.testTarget('s3');
  expect(report).toMatchObject({ ok: false, findings: [{ check: 'write', result: 'failed' }] });
  expect(report.findings[0]?.message).toContain('SignatureDoesNotMatch');
  expect(JSON.stringify(report)).not.toContain('not-the-secret');
  await service.close();
});

test('without a bucket there is nothing to test', async () => {
  const { service } = newService({ S3_BUCKET: '' });
  await expect(service.testTarget('s3')).rejects.toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }));
  await service.close();
});

test('the folder is called as it was configured, and keeps no trace', async () => {
  const before = process.cwd();
  process.chdir(folder);
  const { service } = newService({ BACKUP_LOCAL_PATH: './backups' });
  process.chdir(before);
  expect(await service.testTarget('local')).toMatchObject({ ok: true, place: 'folder ./backups', policy: null });
  expect(readdirSync(join(folder, 'backups')).filter((name) => name.startsWith('self-test'))).toEqual([]);
  await service.close();
});

test('a test that is stopped ends its requests and removes what it wrote', async () => {
  server.faults.push({ match: /^PUT .*\.once/, effect: 'stall' });
  const { service } = newService();
  const stopped = new AbortController();
  const running = service.testTarget('s3', { signal: stopped.signal }).catch((error: unknown) => error);
  while (!server.requests.some(({ url }) => url.includes('.once?') && url.includes('backups/database')))
    await Bun.sleep(5);
  stopped.abort();
  expect(await running).toMatchObject({ code: 'ABORTED' });
  server.faults.length = 0;
  expect(await keysThere()).toEqual([]);
  await service.close();
});
