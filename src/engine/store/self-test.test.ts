import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Fault, type S3Server, startS3Server } from '../../../tests/support/s3-server.ts';
import type { S3Options } from './s3/connection.ts';
import { leastPrivilegePolicy } from './s3/policy.ts';
import { createS3Store } from './s3/store.ts';
import { type TargetReport, testTarget } from './self-test.ts';
import { isPrivateFolder, type Trial } from './self-test-checks.ts';

// Real retries wait for real, and the machine may be busy.
setDefaultTimeout(60_000);

let server: S3Server;
let folder: string;
beforeAll(async () => {
  server = await startS3Server();
  await server.createBucket('backups');
  folder = await mkdtemp(join(tmpdir(), 'self-test-'));
});
afterEach(async () => {
  server.faults.length = 0;
  const store = createS3Store({ ...server, bucket: 'backups', prefix: '' });
  await store.deleteMany(await keysThere());
  store.close();
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const now = () => new Date();
const bucket = (options: Partial<S3Options> = {}) =>
  ({
    name: 's3',
    access: { ...server, kind: 's3', bucket: 'backups', ...options, region: server.region },
    prefix: 'app/database',
  }) as const;

async function testWith(...faults: Fault[]): Promise<TargetReport> {
  server.faults.push(...faults);
  return await testTarget(bucket(), { now });
}

/** What was not ok, as `check result`. */
const complaints = ({ findings }: TargetReport) =>
  findings.filter(({ result }) => result !== 'ok').map(({ check, result }) => `${check} ${result}`);
const finding = ({ findings }: TargetReport, check: string) => findings.find((found) => found.check === check);
/** The server of this file lists no unfinished uploads, and says nothing of it. */
const usual = ['unfinished-uploads warning'];

async function keysThere(): Promise<readonly string[]> {
  server.faults.length = 0;
  const store = createS3Store({ ...server, bucket: 'backups', prefix: '' });
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  store.close();
  return keys;
}

describe('a bucket', () => {
  test('that does everything passes every check, names its policy and keeps no trace', async () => {
    const report = await testWith();
    expect(complaints(report)).toEqual(usual);
    expect(report).toMatchObject({ target: 's3', ok: true, place: expect.stringContaining('bucket "backups" at') });
    expect(report.findings.map(({ check }) => check)).toEqual([
      ...(['write', 'head', 'read', 'list', 'private', 'clock', 'create-only', 'multipart'] as const),
      ...(['unfinished-uploads', 'versions', 'delete'] as const),
    ]);
    expect(report.policy).toEqual(leastPrivilegePolicy({ bucket: 'backups', prefix: 'app/database' }));
    expect(await keysThere()).toEqual([]);
  });

  test('without a prefix is tested at its root', async () => {
    expect(complaints(await testTarget(bucket({ prefix: '' }), { now }))).toEqual(usual);
    expect(await keysThere()).toEqual([]);
  });

  test.each<[string, RegExp]>([
    ['read', /^GET \/backups\/app\/database\/[^?]+$/],
    ['list', /^GET \/backups\?list-type=2&prefix=[^&]+$/],
    ['write', /^PUT \/backups\/app\/database\/self-test-[^?]+stranger$/],
  ])('that lets strangers %s fails loudly', async (right, match) => {
    const report = await testWith({ match, effect: 'public' });
    expect(complaints(report)).toEqual(['private failed', ...usual]);
    expect(report.ok).toBe(false);
    expect(finding(report, 'private')?.message).toBe(`the bucket is public: anyone can ${right} backups without a key`);
    expect(await keysThere()).toEqual([]);
  });

  test('that neither refuses strangers nor serves them is a warning', async () => {
    const match = /^GET \/backups\/app\/database\/[^?]+$/;
    for (const effect of [{ body: 'please log in' }, { status: 503 }] as const) {
      expect(complaints(await testWith({ match, effect }))).toEqual(['private warning', ...usual]);
      server.faults.length = 0;
    }
  });

  test('that is not there, or a server that is not there, is one failure and no more', async () => {
    const missing = await testTarget(bucket({ bucket: 'no-such-bucket' }), { now });
    expect(complaints(missing)).toEqual(['write failed']);
    expect(missing.findings).toHaveLength(1);
    expect(finding(missing, 'write')).toMatchObject({
      message: expect.stringContaining('there is no bucket "no-such-bucket"'),
      hint: 'Check S3_BUCKET, S3_REGION and S3_ENDPOINT.',
    });
    const nobody = await testTarget(bucket({ endpoint: 'http://127.0.0.1:9' }), { now });
    expect(complaints(nobody)).toEqual(['write failed']);
    expect(finding(nobody, 'write')?.message).toContain('does not answer');
  });

  test('with a wrong key or a wrong secret is one failure that says which', async () => {
    const wrongSecret = await testTarget(bucket({ secretAccessKey: 'wrong' }), { now });
    expect(wrongSecret.findings).toHaveLength(1);
    expect(finding(wrongSecret, 'write')?.hint).toContain('S3_SECRET_KEY');
    const wrongKey = await testTarget(bucket({ accessKeyId: 'NOBODY' }), { now });
    expect(wrongKey.findings).toHaveLength(1);
    expect(finding(wrongKey, 'write')?.hint).toContain('S3_ACCESS_KEY');
    expect(JSON.stringify([wrongSecret, wrongKey])).not.toContain(server.secretAccessKey);
  });

  test('with a key that may only read fails at writing, and still says that it can be listed', async () => {
    const report = await testWith({ match: /^(PUT|POST|DELETE)/, effect: { status: 403, code: 'AccessDenied' } });
    expect(report.findings.map(({ check, result }) => `${check} ${result}`)).toEqual(['write failed', 'list ok']);
  });

  test.each<[string, RegExp, readonly string[]]>([
    ['read', /^GET .*x-id=GetObject/, ['read failed']],
    ['list', /^GET .*list-type=2/, ['list failed']],
    ['delete', /^(DELETE .*x-id=DeleteObject|POST .*\?delete)/, ['delete failed', 'traces warning']],
    ['know what is missing', /^HEAD .*\.missing/, ['head failed']],
    ['upload parts', /^POST .*\?uploads/, ['multipart failed', 'unfinished-uploads failed']],
    ['give up an upload', /^DELETE .*uploadId=/, ['multipart warning']],
  ])('with a key that may not %s', async (_right, match, expected) => {
    const report = await testWith({ match, effect: { status: 403, code: 'AccessDenied' } });
    expect(complaints(report).filter((complaint) => !usual.includes(complaint))).toEqual([...expected]);
    for (const { result, hint } of report.findings) expect(result === 'ok' || (hint ?? '').length > 20).toBe(true);
  });

  test('whose server ignores If-None-Match, or does not know it, is a warning', async () => {
    const match = /^PUT .*\.once/;
    const ignored = await testWith({ match, effect: 'ignore conditions' });
    expect(complaints(ignored)).toEqual(['create-only warning', ...usual]);
    expect(finding(ignored, 'create-only')?.message).toContain('ignores');
    server.faults.length = 0;
    const unknown = await testWith({ match, effect: { status: 501, code: 'NotImplemented' } });
    expect(complaints(unknown)).toEqual(['create-only warning', ...usual]);
    expect(unknown.ok).toBe(true);
    expect(await keysThere()).toEqual([]);
  });

  test('whose server changes bytes fails', async () => {
    const report = await testWith({ match: /^GET .*x-id=GetObject/, effect: 'flip a bit' });
    expect(complaints(report)).toContain('read failed');
  });

  test('whose clock is more than a minute off is a warning, more than fifteen a failure', async () => {
    for (const [minutes, result] of [
      [0.5, 'ok'],
      [3, 'warning'],
      [-3, 'warning'],
      [20, 'failed'],
      [-20, 'failed'],
    ] as const) {
      const report = await testTarget(bucket(), { now: () => new Date(Date.now() + minutes * 60_000) });
      expect([minutes, finding(report, 'clock')?.result]).toEqual([minutes, result]);
      expect(report.ok).toBe(result !== 'failed');
    }
  });

  test('is left clean when a step fails, and when the test is stopped', async () => {
    await testWith({ match: /^GET/, effect: { status: 500 } });
    expect(await keysThere()).toEqual([]);
    const stopped = new AbortController();
    const isOnceAsked = () => server.requests.some(({ method, url }) => method === 'PUT' && url.includes('.once'));
    server.requests.length = 0;
    server.faults.length = 0;
    // It stands there until it was stopped.
    const answered = Promise.withResolvers<void>();
    server.faults.push({ match: /^PUT .*\.once/, effect: { answerAfter: answered.promise } });
    const running = testTarget(bucket(), { now, signal: stopped.signal });
    while (!isOnceAsked()) await Bun.sleep(1);
    stopped.abort();
    await expect(running).rejects.toThrow(expect.objectContaining({ code: 'ABORTED' }));
    answered.resolve();
    expect(await keysThere()).toEqual([]);
  });

  test('is cleared of what a killed test left there, and of nothing else', async () => {
    const store = createS3Store({ ...server, bucket: 'backups', prefix: 'app/database' });
    const put = (key: string) => store.put(key, new Blob(['x']).stream() as unknown as AsyncIterable<Uint8Array>);
    const kept = ['backup-2024-01-15T10-30-00-000Z.sqlite', 'self-tests-of-mine.txt', 'sub/self-test-x.object'];
    await put('self-test-old.object');
    for (const key of kept) await put(key);
    await testTarget(bucket(), { now: () => new Date(Date.now() + 2 * 3_600_000) });
    expect(await keysThere()).toEqual(kept.map((key) => `app/database/${key}`));
    await store.deleteMany(kept);
    store.close();
  });
});

describe('a folder', () => {
  test('that does everything passes every check and keeps no trace', async () => {
    const root = join(folder, 'new', 'backups');
    const report = await testTarget({ name: 'local', folder: root }, { now });
    expect(report).toMatchObject({ target: 'local', ok: true, policy: null });
    expect(report.findings.map(({ check, result }) => `${check} ${result}`)).toEqual([
      ...['write ok', 'head ok', 'read ok', 'list ok', 'private ok', 'delete ok'],
    ]);
    expect(await readdir(root)).toEqual([]);
  });

  test('whose files others can read is a warning, unless the folder keeps them out', async () => {
    const root = join(folder, 'open');
    await mkdir(root);
    await writeFile(join(root, 'object'), '');
    await chmod(join(root, 'object'), 0o644);
    // As on a file system that keeps no modes; the store itself writes files that only their owner may read.
    const look = async () => (await isPrivateFolder(root).run({ object: 'object' } as Trial)).result;
    await chmod(root, 0o755);
    expect(await look()).toBe('warning');
    await chmod(root, 0o700);
    expect(await look()).toBe('ok');
  });

  test('where a file stands in its place fails and touches nothing', async () => {
    const root = join(folder, 'file');
    await writeFile(root, 'mine');
    const report = await testTarget({ name: 'local', folder: root }, { now });
    expect(complaints(report)).toContain('write failed');
    expect(await Bun.file(root).text()).toBe('mine');
  });

  test('is cleared of what a killed test left there', async () => {
    const root = join(folder, 'left');
    await mkdir(root);
    const old = join(root, 'self-test-old.object');
    await writeFile(old, 'x');
    await utimes(old, new Date(0), new Date(0));
    await testTarget({ name: 'local', folder: root }, { now });
    expect(await readdir(root)).toEqual([]);
  });
});

test('the policy names one bucket, one prefix and six actions', () => {
  const policy = leastPrivilegePolicy({ bucket: 'b', prefix: 'p/q' });
  expect(policy.Statement.flatMap(({ Action }) => Action).sort()).toEqual([
    ...['s3:AbortMultipartUpload', 's3:DeleteObject', 's3:GetObject', 's3:ListBucket'],
    ...['s3:ListBucketMultipartUploads', 's3:PutObject'],
  ]);
  expect(policy.Statement.map(({ Resource }) => Resource)).toEqual([
    'arn:aws:s3:::b/p/q/*',
    'arn:aws:s3:::b',
    'arn:aws:s3:::b',
  ]);
  expect(policy.Statement[1]?.Condition).toEqual({ StringLike: { 's3:prefix': ['p/q/*'] } });
  const whole = leastPrivilegePolicy({ bucket: 'b', prefix: '' });
  expect(whole.Statement[0]?.Resource).toBe('arn:aws:s3:::b/*');
  expect(whole.Statement.some(({ Condition }) => Condition)).toBe(false);
});
