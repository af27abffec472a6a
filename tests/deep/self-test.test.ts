/** The target's self-test against a real server with real rights: each one that is missing is told by its own check. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  DeleteBucketPolicyCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketAclCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
} from '@aws-sdk/client-s3';
import type { S3Options } from '../../src/engine/store/s3/connection.ts';
import { leastPrivilegePolicy } from '../../src/engine/store/s3/policy.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { type TargetReport, testTarget } from '../../src/engine/store/self-test.ts';
import { type Rgw, startRgw, whyNoRgw, withClient } from '../support/rgw.ts';

setDefaultTimeout(120_000);

const missing = whyNoRgw();
if (missing !== null) console.warn(missing);
const prefix = 'app/database';

describe.skipIf(missing !== null)('the self-test on Ceph', () => {
  let rgw: Rgw;
  let limited: { readonly accessKeyId: string; readonly secretAccessKey: string };
  beforeAll(async () => {
    rgw = await startRgw();
    limited = await rgw.createUser('limited');
  });
  afterAll(() => rgw?.close());

  const newBucket = async () => {
    const bucket = `bucket-${Bun.randomUUIDv7()}`;
    await rgw.createBucket(bucket);
    return bucket;
  };
  const testWith = (options: Partial<S3Options> & { readonly bucket: string }) =>
    testTarget(
      { name: 's3', access: { kind: 's3', ...rgw, ...options, region: rgw.region }, prefix },
      { now: () => new Date() },
    );
  const complaints = ({ findings }: TargetReport) =>
    findings.filter(({ result }) => result !== 'ok').map(({ check, result }) => `${check} ${result}`);

  /** What the key of `limited` may: the policy that we print, less some actions; with the condition unless told. */
  async function allow(bucket: string, options: { readonly without?: string; readonly condition: boolean }) {
    const { Version, Statement } = leastPrivilegePolicy({ bucket, prefix });
    const statements = Statement.map((statement) => ({
      ...statement,
      Principal: { AWS: ['arn:aws:iam:::user/limited'] },
      Action: statement.Action.filter((action) => action !== options.without),
      Condition: options.condition ? statement.Condition : undefined,
    })).filter(({ Action }) => Action.length > 0);
    const Policy = JSON.stringify({ Version, Statement: statements });
    await withClient(rgw, (client) => client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy })));
  }

  async function keysIn(bucket: string): Promise<readonly string[]> {
    const store = createS3Store({ ...rgw, bucket, prefix: '' });
    const keys: string[] = [];
    for await (const { key } of store.list('')) keys.push(key);
    store.close();
    return keys;
  }

  test('its owner’s key passes every check, and neither an object nor an upload stays', async () => {
    const bucket = await newBucket();
    const report = await testWith({ bucket });
    expect([report.ok, complaints(report)]).toEqual([true, []]);
    expect(await keysIn(bucket)).toEqual([]);
    const { Uploads } = await withClient(rgw, (client) =>
      client.send(new ListMultipartUploadsCommand({ Bucket: bucket })),
    );
    expect(Uploads ?? []).toEqual([]);
  });

  test('the policy that we print is enough, without its condition on this server', async () => {
    const bucket = await newBucket();
    await allow(bucket, { condition: false });
    expect(complaints(await testWith({ bucket, ...limited }))).toEqual([]);
    // Before 2026 Ceph asks for an unconditional ListBucket before it says that an object is missing.
    await allow(bucket, { condition: true });
    const report = await testWith({ bucket, ...limited });
    expect(complaints(report).filter((complaint) => complaint !== 'head failed')).toEqual([]);
    const head = report.findings.find(({ check }) => check === 'head');
    if (head?.result === 'failed') expect(head.hint).toContain('s3:prefix');
    expect(await keysIn(bucket)).toEqual([]);
  });

  // Not GetObject: here an object belongs to who wrote it, and its owner may read it.
  test.each<[string, readonly string[]]>([
    ['s3:PutObject', ['write failed']],
    ['s3:DeleteObject', ['delete failed', 'traces warning']],
    ['s3:ListBucket', ['head failed', 'list failed']],
    ['s3:AbortMultipartUpload', ['multipart warning']],
    ['s3:ListBucketMultipartUploads', ['unfinished-uploads warning']],
  ])('without %s the policy is too little, and that is told', async (action, expected) => {
    const bucket = await newBucket();
    await allow(bucket, { without: action, condition: false });
    expect(complaints(await testWith({ bucket, ...limited }))).toEqual([...expected]);
  });

  test('a key without any right, a wrong secret and a missing bucket are told apart', async () => {
    const bucket = await newBucket();
    expect(complaints(await testWith({ bucket, ...limited }))).toEqual(['write failed', 'list failed']);
    const wrong = await testWith({ bucket, secretAccessKey: 'wrong' });
    expect(wrong.findings.map(({ hint }) => hint)).toEqual([expect.stringContaining('S3_SECRET_KEY')]);
    const nowhere = await testWith({ bucket: 'no-such-bucket' });
    expect(nowhere.findings.map(({ message }) => message)).toEqual([expect.stringContaining('there is no bucket')]);
  });

  test('a bucket that is public by policy or by ACL fails', async () => {
    const bucket = await newBucket();
    const everyone = {
      Effect: 'Allow',
      Principal: '*',
      Action: ['s3:GetObject'],
      Resource: [`arn:aws:s3:::${bucket}/*`],
    };
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [everyone] });
    await withClient(rgw, (client) => client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy })));
    const byPolicy = await testWith({ bucket });
    expect(byPolicy.findings.find(({ check }) => check === 'private')).toMatchObject({
      result: 'failed',
      message: 'the bucket is public: anyone can read backups without a key',
    });

    await withClient(rgw, async (client) => {
      await client.send(new DeleteBucketPolicyCommand({ Bucket: bucket }));
      await client.send(new PutBucketAclCommand({ Bucket: bucket, ACL: 'public-read-write' }));
    });
    const byAcl = await testWith({ bucket });
    expect(byAcl.findings.find(({ check }) => check === 'private')?.message).toContain('anyone can list and write');
    expect(await keysIn(bucket)).toEqual([]);
  });

  test('a bucket with versions is told; what was deleted is gone from sight', async () => {
    const bucket = await newBucket();
    await withClient(rgw, (client) =>
      client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } })),
    );
    const report = await testWith({ bucket });
    expect(report.findings.find(({ check }) => check === 'versions')?.message).toContain('keeps versions');
    // Ceph 16 overwrites under If-None-Match where versions are kept.
    expect(complaints(report).filter((complaint) => complaint !== 'create-only warning')).toEqual([]);
    expect(await keysIn(bucket)).toEqual([]);
    const { Versions } = await withClient(rgw, (client) =>
      client.send(new ListObjectVersionsCommand({ Bucket: bucket })),
    );
    for (const { Size } of Versions ?? []) expect(Size ?? 0).toBeLessThan(1_000);
  });
});
