/**
 * BACKUP_S3_RETENTION=bucket against a real server with the real policy: what the self-test proves of a key, and that
 * backups go there and come back, also behind delete markers and under object lock.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type Tag,
} from '@aws-sdk/client-s3';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { leastPrivilegePolicy } from '../../src/engine/store/s3/policy.ts';
import { type TargetReport, testTarget } from '../../src/engine/store/self-test.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { keysOf } from '../support/objects.ts';
import { type Rgw, startRgw, whyNoRgw, withClient } from '../support/rgw.ts';
import { ask, makeDatabase, scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(300_000);

const missing = whyNoRgw();
if (missing !== null) console.warn(missing);
const PREFIX = 'app/database';
const DAYS = 30;
const newFolder = scratchFolders();

describe.skipIf(missing !== null)('a bucket that removes by its own rules, on Ceph', () => {
  let rgw: Rgw;
  let limited: { readonly accessKeyId: string; readonly secretAccessKey: string };
  beforeAll(async () => {
    rgw = await startRgw({ lifecycleDaySeconds: 2 });
    limited = await rgw.createUser('limited');
  });
  afterAll(() => rgw?.close());

  interface Wanted {
    readonly versions?: boolean;
    readonly objectLock?: boolean;
    /** Besides what the policy that we print has. */
    readonly alsoAllowed?: readonly string[];
  }

  async function newBucket({ versions = true, objectLock = false, alsoAllowed = [] }: Wanted = {}): Promise<string> {
    const bucket = `bucket-${Bun.randomUUIDv7()}`;
    await rgw.createBucket(bucket, { objectLock });
    const { Version, Statement } = leastPrivilegePolicy({ bucket, prefix: PREFIX, locks: true, isLeftToBucket: true });
    const statements = Statement.map((statement) => ({
      ...statement,
      Principal: { AWS: ['arn:aws:iam:::user/limited'] },
      Action: statement.Sid === 'Objects' ? [...statement.Action, ...alsoAllowed] : statement.Action,
      // Before 2026 Ceph wants ListBucket without it.
      Condition: undefined,
    }));
    await withClient(rgw, async (client) => {
      const Policy = JSON.stringify({ Version, Statement: statements });
      await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
      if (!versions) return;
      const VersioningConfiguration = { Status: 'Enabled' } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
    });
    return bucket;
  }

  const testWith = (bucket: string, key: object = limited) =>
    testTarget(
      { name: 's3', access: { kind: 's3', ...rgw, bucket, ...key, lifecycleDays: DAYS }, prefix: PREFIX },
      { now: () => new Date() },
    );
  const said = ({ findings }: TargetReport, check: string) => {
    const found = findings.find((finding) => finding.check === check);
    return `${found?.result}: ${found?.message}`;
  };

  async function setRule(bucket: string, days: number, below = `${PREFIX}/backup-`, tag?: Tag): Promise<void> {
    const Filter = tag ? { And: { Prefix: below, Tags: [tag] } } : { Prefix: below };
    const rule = { ID: 'backups', Status: 'Enabled', Filter, Expiration: { Days: days } } as const;
    const LifecycleConfiguration = { Rules: [rule] };
    await withClient(rgw, (client) =>
      client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration })),
    );
  }

  function newService(folder: string, bucket: string, extra: Record<string, string> = {}) {
    return createServiceFromEnvironment({
      env: {
        PATH: process.env['PATH'],
        ...{ DATABASE_URL: join(folder, 'app.sqlite'), BACKUP_LOCAL_PATH: join(folder, 'backups') },
        ...{ BACKUP_STATE_PATH: join(folder, 'state.sqlite'), BACKUP_ENABLED: 'false' },
        ...{ BACKUP_S3_ENABLED: 'true', BACKUP_S3_PATH: PREFIX, S3_BUCKET: bucket, S3_ENDPOINT: rgw.endpoint },
        ...{ S3_ACCESS_KEY: limited.accessKeyId, S3_SECRET_KEY: limited.secretAccessKey },
        ...{ BACKUP_S3_RETENTION: 'bucket', BACKUP_S3_LIFECYCLE_DAYS: String(DAYS) },
        ...extra,
      },
      write: () => {},
    });
  }

  test('the key with the policy that we print can neither delete nor overwrite, and that is proven', async () => {
    const bucket = await newBucket();
    await setRule(bucket, DAYS);
    const report = await testWith(bucket);
    expect([report.ok, said(report, 'delete'), said(report, 'overwrite'), said(report, 'lifecycle')]).toEqual([
      true,
      'ok: this key cannot delete what is there',
      'ok: an overwrite makes a new version, and the previous one stays',
      expect.stringMatching(
        /^ok: (a rule of the bucket removes backups after 30 days|this key may not read the rules)/,
      ),
    ]);
    expect(said(report, 'traces')).toMatch(/^ok: \d+ test objects of a few bytes stay/);
    expect(report.policy?.Statement.flatMap(({ Action }) => Action)).not.toContain('s3:DeleteObject');
  });

  test('a key that can delete, hide or overwrite is told so', async () => {
    const hiding = await testWith(await newBucket({ alsoAllowed: ['s3:DeleteObject'] }));
    expect([hiding.ok, said(hiding, 'delete')]).toEqual([
      false,
      'failed: this key can hide what is there behind a delete marker; its versions stay',
    ]);
    const deleting = await testWith(await newBucket({ alsoAllowed: ['s3:DeleteObjectVersion'] }));
    expect(said(deleting, 'delete')).toBe('failed: this key can delete versions for good');
    const plain = await testWith(await newBucket({ versions: false, alsoAllowed: ['s3:DeleteObject'] }));
    expect([said(plain, 'delete'), said(plain, 'overwrite')]).toEqual([
      'failed: this key can delete what is there',
      'failed: this key can overwrite what is there, and the bucket keeps no versions of it',
    ]);
  });

  test('the days are compared with the rule of the bucket, where the key may read it', async () => {
    const bucket = await newBucket();
    const owner = { accessKeyId: rgw.accessKeyId, secretAccessKey: rgw.secretAccessKey };
    const lifecycle = async () => said(await testWith(bucket, owner), 'lifecycle');
    expect(await lifecycle()).toBe('warning: no rule of the bucket removes old backups');
    for (const [days, below, expected] of [
      [DAYS, `${PREFIX}/backup-`, /^ok: a rule of the bucket removes backups after 30 days$/],
      [DAYS, '', /^ok/],
      [90, PREFIX, /^ok: .* after 90 days; BACKUP_S3_LIFECYCLE_DAYS says 30/],
      [7, PREFIX, /^failed: .* after 7 days, and BACKUP_S3_LIFECYCLE_DAYS says 30/],
      [7, 'other/', /^warning: no rule/],
    ] as const) {
      await setRule(bucket, days, below);
      expect([days, below, await lifecycle()]).toEqual([days, below, expect.stringMatching(expected)]);
    }
    await setRule(bucket, 7, PREFIX, { Key: 'kind', Value: 'passing' });
    expect(await lifecycle()).toBe('warning: no rule of the bucket removes old backups');
  });

  test.each([
    ['with versions', {}, {}],
    ['under object lock', { objectLock: true }, { BACKUP_S3_OBJECT_LOCK_DAYS: '1' }],
  ] as const)(
    'backups go there %s, and a new machine gets back what the rule has left',
    async (_how, wanted, extra) => {
      const bucket = await newBucket(wanted);
      const folder = newFolder();
      makeDatabase(join(folder, 'app.sqlite'), { rows: 10 });
      const service = newService(folder, bucket, extra);
      const made: string[] = [];
      for (let round = 0; round < 3; round++) {
        ask(join(folder, 'app.sqlite'), `INSERT INTO notes VALUES (${1_001 + round}, 'more') RETURNING id`);
        const result = await service.performBackup();
        expect([result.error, result.s3Uploaded]).toEqual([undefined, true]);
        made.push(result.filename ?? '');
      }
      const { targets } = await service.getStatus();
      expect(targets).toMatchObject([{ stored: 3, waiting: 0, error: null, lifecycleDays: DAYS }]);
      await service.close();

      // The rule hides what is old behind a marker, and the version stays. What it takes for old is a prefix here. It is
      // carried out when we say so: the server's own pace is another at each load.
      const [oldest = '', , newest = ''] = made;
      await setRule(bucket, 1, `${PREFIX}/${oldest}`);
      const store = createS3Store({ ...rgw, bucket, prefix: PREFIX });
      while ((await keysOf(store, oldest)).length > 0) await rgw.admin('lc', 'process', `--bucket=${bucket}`);
      store.close();
      await withClient(rgw, async (client) => {
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${PREFIX}/database.json` }));
        const { Versions = [], DeleteMarkers = [] } = await client.send(
          new ListObjectVersionsCommand({ Bucket: bucket }),
        );
        expect(Versions.some(({ Key }) => Key === `${PREFIX}/${oldest}`)).toBe(true);
        expect(DeleteMarkers.some(({ Key, IsLatest }) => Key === `${PREFIX}/${oldest}` && IsLatest)).toBe(true);
        const hidden = client.send(new GetObjectCommand({ Bucket: bucket, Key: `${PREFIX}/${oldest}` }));
        expect(
          await hidden.then(
            () => 'there',
            ({ name }: Error) => name,
          ),
        ).toBe('NoSuchKey');
      });

      for (const name of ['app.sqlite', 'backups', 'state.sqlite', 'velist-backup.installation.json'])
        rmSync(join(folder, name), { recursive: true, force: true });
      const machine = newService(folder, bucket, extra);
      expect((await machine.getBackups({ target: 's3' })).map(({ filename }) => filename)).toEqual(
        made.slice(1).toReversed(),
      );
      expect(await machine.restoreIfMissing()).toMatchObject({ outcome: 'restored', backup: newest });
      expect(ask(join(folder, 'app.sqlite'), 'SELECT count(*) FROM notes')).toBe(13);
      // It goes on there as the owner of the place, whose record it writes anew.
      // Somebody with the key writes over the newest: the version before is what the owner brings back.
      await withClient({ ...rgw, ...limited }, (client) =>
        client.send(new PutObjectCommand({ Bucket: bucket, Key: `${PREFIX}/${newest}`, Body: 'spoilt' })),
      );
      rmSync(join(folder, 'app.sqlite'));
      expect(await machine.restoreIfMissing()).toMatchObject({
        ...{ outcome: 'restored', backup: made[1], skipped: [{ filename: newest, from: 's3' }] },
      });
      await withClient(rgw, async (client) => {
        const Prefix = `${PREFIX}/${newest}`;
        const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix }));
        const spoilt = Versions.find(({ Key, IsLatest }) => Key === Prefix && IsLatest);
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: Prefix, VersionId: spoilt?.VersionId }));
      });
      await machine.getBackups({ target: 's3' });
      expect(await machine.verifyBackup(newest, { from: 's3' })).toMatchObject({ verification: { state: 'verified' } });
      const next = await machine.performBackup();
      expect([next.error, next.s3Uploaded]).toEqual([undefined, true]);
      await machine.close();
    },
  );
});
