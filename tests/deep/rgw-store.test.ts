/**
 * Our S3 store on a real server: the contract that every store is held to, and what only a real server can show:
 * versions, locks, encryption by the server, uploads in parts that a killed process left.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectRetentionCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
} from '@aws-sdk/client-s3';
import { createS3Store, type S3Options } from '../../src/engine/store/s3/store.ts';
import { holdToContract } from '../contracts/object-store-suite.ts';
import { digestOf, failingSource, failure, keysOf, MiB, once, randomSource, textOf } from '../support/objects.ts';
import { kmsKey, type Rgw, startRgw, whyNoRgw, withClient } from '../support/rgw.ts';

setDefaultTimeout(120_000);

const missing = whyNoRgw();
if (missing !== null) console.warn(missing);

describe.skipIf(missing !== null)('on Ceph RGW:', () => {
  let server: Rgw;
  beforeAll(async () => {
    server = await startRgw();
    for (const name of ['plain', 'versioned', 'several']) await server.createBucket(name);
    await server.createBucket('locked', { objectLock: true });
    await withClient(server, (client) =>
      client.send(
        new PutBucketVersioningCommand({ Bucket: 'versioned', VersioningConfiguration: { Status: 'Enabled' } }),
      ),
    );
  });
  afterAll(() => server?.close());

  const optionsFor = (bucket: string, options: Partial<S3Options> = {}): S3Options => ({
    ...server,
    bucket,
    prefix: `run/${randomUUID()}`,
    ...options,
  });
  const lookAt = (options: S3Options, key: string) =>
    withClient(server, (client) =>
      client.send(new HeadObjectCommand({ Bucket: options.bucket, Key: `${options.prefix}/${key}` })),
    );
  const uploadsIn = async (bucket: string, as: Parameters<typeof withClient>[0] = server): Promise<string[]> => {
    const { Uploads } = await withClient(as, (client) =>
      client.send(new ListMultipartUploadsCommand({ Bucket: bucket })),
    );
    return (Uploads ?? []).map(({ Key }) => Key ?? '');
  };

  holdToContract('rgw', async () => createS3Store(optionsFor('plain')));
  // Ceph does not look for an older version before a create-only write; the self-test tells it.
  holdToContract('rgw, with versions,', async () => createS3Store(optionsFor('versioned')), { createsOnly: false });

  test('an upload that fails leaves no parts', async () => {
    const store = createS3Store(optionsFor('several'));
    await failure(store.put('key', failingSource(30 * MiB)));
    const stopper = new AbortController();
    const source = async function* () {
      yield* randomSource(20 * MiB).source;
      stopper.abort();
      yield Buffer.from('more');
    };
    await failure(store.put('key', source(), { signal: stopper.signal }));
    expect(await uploadsIn('several')).toEqual([]);
    store.close();
  });

  test('uploads of killed jobs are swept: old ones below the prefix that are ours, and nothing else', async () => {
    const options = optionsFor('several');
    const store = createS3Store(options);
    const begin = async (key: string) => {
      const input = { Bucket: 'several', Key: key };
      await withClient(server, (client) => client.send(new CreateMultipartUploadCommand(input)));
    };
    const ours = `${options.prefix}/backup-1.sqlite`;
    const others = [`${options.prefix}/notes.txt`, `${options.prefix}-beside/backup-1.sqlite`, 'backup-1.sqlite'];
    for (const key of [ours, ours, ...others]) await begin(key);
    const isOurs = (key: string) => key.startsWith('backup-');

    const anHourAgo = new Date(Date.now() - 3_600_000);
    expect(await store.sweepUploads({ olderThan: anHourAgo, isOurs })).toBe(0);
    expect(await uploadsIn('several')).toHaveLength(5);
    const soon = new Date(Date.now() + 3_600_000);
    expect(await store.sweepUploads({ olderThan: soon, isOurs })).toBe(2);
    expect((await uploadsIn('several')).toSorted()).toEqual(others.toSorted());

    const missingBucket = createS3Store(optionsFor('nowhere'));
    expect(await missingBucket.sweepUploads({ olderThan: soon, isOurs })).toBeNull();
    store.close();
    missingBucket.close();
  });

  test('in a bucket with versions a deleted object is gone for readers and kept by the server', async () => {
    const options = optionsFor('versioned');
    const store = createS3Store(options);
    await store.put('key', once('first'));
    await store.put('key', once('second'));
    expect(await textOf(store, 'key')).toBe('second');
    expect(await store.deleteMany(['key'])).toEqual([]);
    expect(await store.head('key')).toBeNull();
    expect(await keysOf(store)).toEqual([]);
    expect(await versionsOf(options)).toEqual({ versions: 2, deleteMarkers: 1 });
    store.close();
  });

  test.each([1, 20 * MiB])('an object of %d bytes is locked for as long as asked', async (sizeBytes) => {
    const options = optionsFor('locked', { objectLock: { days: 2, mode: 'compliance' } });
    const store = createS3Store(options);
    const { source, digest } = randomSource(sizeBytes);
    await store.put('key', source);
    expect(await digestOf(store.get('key'))).toBe(digest());
    const { Retention } = await withClient(server, (client) =>
      client.send(new GetObjectRetentionCommand({ Bucket: 'locked', Key: `${options.prefix}/key` })),
    );
    expect(Retention?.Mode).toBe('COMPLIANCE');
    const days = ((Retention?.RetainUntilDate?.getTime() ?? 0) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(1.99);
    expect(days).toBeLessThan(2.01);

    // Retention removes it from sight; the version stays until its lock ends.
    await store.delete('key');
    expect(await store.head('key')).toBeNull();
    expect(await versionsOf(options)).toEqual({ versions: 1, deleteMarkers: 1 });
    store.close();
  });

  test.each([1, 20 * MiB])('a lock on %d bytes in a bucket without locks is refused by name', async (sizeBytes) => {
    const store = createS3Store(optionsFor('plain', { objectLock: { days: 1, mode: 'governance' } }));
    const error = await failure(store.put('key', randomSource(sizeBytes).source));
    expect(error.code).toBe('UNSUPPORTED');
    expect(`${error.message} ${error.hint}`).toContain('BACKUP_S3_OBJECT_LOCK_DAYS');
    store.close();
  });

  test.each([1, 20 * MiB])('%d bytes are encrypted by the server with a key of its own', async (sizeBytes) => {
    const options = optionsFor('plain', { serverEncryption: { algorithm: 'aws:kms', key: kmsKey } });
    const store = createS3Store(options);
    const { source, digest } = randomSource(sizeBytes);
    await store.put('key', source);
    expect(await digestOf(store.get('key'))).toBe(digest());
    expect(await lookAt(options, 'key')).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKey });
    store.close();
  });

  test('a key of encryption that the server does not have is refused by name', async () => {
    const store = createS3Store(
      optionsFor('plain', { serverEncryption: { algorithm: 'aws:kms', key: 'no-such-key' } }),
    );
    const error = await failure(store.put('key', once('x')));
    expect([error.code, error.hint]).toEqual([
      'UNSUPPORTED',
      'Check BACKUP_S3_SSE, BACKUP_S3_SSE_KMS_KEY and the rights on that key.',
    ]);
    store.close();
  });

  test('AES256 is there when the upload succeeds; a server that passes over it is told of', async () => {
    const options = optionsFor('plain', { serverEncryption: { algorithm: 'AES256' } });
    const store = createS3Store(options);
    const error = await store.put('key', once('x')).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (error === null) expect((await lookAt(options, 'key')).ServerSideEncryption).toBe('AES256');
    else
      expect(error).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('without the encryption') });
    store.close();
  });

  test('a storage class that the server does not have is refused by name, and small objects do without', async () => {
    const store = createS3Store(optionsFor('plain', { storageClass: 'NO_SUCH_CLASS' }));
    const error = await failure(store.put('key', randomSource(MiB).source));
    expect([error.code, error.hint]).toEqual(['UNSUPPORTED', 'Set BACKUP_S3_STORAGE_CLASS to one that it has.']);
    await failure(store.put('key', randomSource(20 * MiB).source));
    await store.put('small', once('x'));
    expect(await keysOf(store)).toEqual(['small']);
    store.close();
  });

  test('a full bucket is called full, and leaves no parts', async () => {
    const { accessKeyId, secretAccessKey } = await server.createUser('small');
    const small = { ...server, accessKeyId, secretAccessKey };
    await server.admin('quota', 'set', '--quota-scope=bucket', '--uid=small', `--max-size=${10 * MiB}`);
    await server.admin('quota', 'enable', '--quota-scope=bucket', '--uid=small');
    const store = createS3Store({ ...small, bucket: 'small', prefix: '' });
    await withClient(small, (client) => client.send(new CreateBucketCommand({ Bucket: 'small' })));
    const error = await failure(store.put('key', randomSource(30 * MiB).source));
    expect([error.code, error.message]).toEqual(['S3_FAILED', `${store.place} is full (QuotaExceeded)`]);
    expect(await keysOf(store)).toEqual([]);
    expect(await uploadsIn('small', small)).toEqual([]);
    store.close();
  });

  async function versionsOf({ bucket, prefix }: S3Options): Promise<{ versions: number; deleteMarkers: number }> {
    const { Versions, DeleteMarkers } = await withClient(server, (client) =>
      client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: `${prefix}/` })),
    );
    return { versions: Versions?.length ?? 0, deleteMarkers: DeleteMarkers?.length ?? 0 };
  }
});
