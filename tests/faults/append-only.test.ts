/**
 * A bucket whose key can neither delete nor replace, as by a policy that asks for `If-None-Match` (BACKUP_S3_RETENTION=bucket):
 * everything works without a removal of ours, nothing that is still needed ends with the bucket's rule, and a new machine
 * gets its database back from there.
 */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadEnvironment } from '../../src/config/env.ts';
import { renewIdentity } from '../../src/engine/catalog/own-target.ts';
import { holdPlace } from '../../src/engine/writer/writer.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { createService } from '../../src/service/from-environment.ts';
import { keysOf, storedKeys, textOf } from '../support/objects.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, makeDatabase, refusal, scratchFolders } from '../support/scratch.ts';

const BUCKET = 'append-only';
const PREFIX = 'kept';
const DAYS = 30;
const DAY_MS = 86_400_000;
const newFolder = scratchFolders();
const leftToBucket = { BACKUP_S3_RETENTION: 'bucket', BACKUP_S3_LIFECYCLE_DAYS: String(DAYS) };

const { server, store: owner } = await openBucket(BUCKET, PREFIX);
let folder: string;
let lines: string[];
let daysOn = 0;
const opened: { close(): Promise<void> }[] = [];
const database = () => join(folder, 'app.sqlite');

beforeEach(async () => {
  server.appendOnly = false;
  await owner.deleteMany(await keysOf(owner));
  server.appendOnly = true;
  server.requests.length = 0;
  server.faults.length = 0;
  folder = newFolder();
  lines = [];
  daysOn = 0;
  makeDatabase(database(), { rows: 10 });
});

afterEach(async () => {
  for (const service of opened.splice(0)) await service.close();
});

const now = () => new Date(Date.now() + daysOn * DAY_MS);

function newService(extra: Record<string, string> = {}) {
  const env = s3Environment(folder, server, { bucket: BUCKET, prefix: PREFIX, extra: { ...leftToBucket, ...extra } });
  const service = createService(loadEnvironment(env), { write: (line) => void lines.push(line) }, { now });
  opened.push(service);
  return service;
}

/** The owner of the bucket, or its rule. */
async function removeThere(match: (key: string) => boolean): Promise<void> {
  server.appendOnly = false;
  const keys = (await keysOf(owner)).filter(match);
  expect(await owner.deleteMany(keys)).toEqual([]);
  server.requests.length = 0;
  server.appendOnly = true;
}

const removals = () =>
  server.requests.filter(
    ({ method, url }) => /^(DELETE|POST .*\?delete)/.test(`${method} ${url}`) && !url.includes('uploadId='),
  );
const backupsThere = async () => (await storedKeys(owner)).filter((key) => /^backup-.*\.sqlite$/.test(key));

test('backups go there and come back on a new machine, and nothing is ever asked to be removed', async () => {
  const service = newService({ BACKUP_RETENTION_COUNT: '1' });
  const names: string[] = [];
  for (let round = 0; round < 3; round++) {
    ask(database(), `INSERT INTO notes VALUES (${1_001 + round}, 'more') RETURNING id`);
    const { filename = '', s3Uploaded } = await service.performBackup();
    expect(s3Uploaded).toBe(true);
    names.push(filename);
  }
  expect(await backupsThere()).toEqual(names);
  const { kept, removed } = await service.prune({ target: 's3' });
  const removal = `removal is left to the bucket, after ${DAYS} days`;
  expect([removed, kept.slice(1)]).toEqual([
    [],
    [names[1], names[0]].map((filename = '') => ({ filename, reasons: [removal] })),
  ]);
  expect((await service.getStatus()).targets).toMatchObject([{ target: 's3', lifecycleDays: DAYS, error: null }]);
  await service.close();
  expect(removals()).toEqual([]);

  for (const name of ['app.sqlite', 'backups', 'state.sqlite', 'velist-backup.installation.json'])
    rmSync(join(folder, name), { recursive: true, force: true });
  expect(await newService().restoreIfMissing()).toMatchObject({ outcome: 'restored', backup: names[2] });
  expect(ask(database(), 'SELECT count(*) FROM notes')).toBe(13);
});

test('what is asked to be removed there is refused, and a deletion everywhere leaves that copy and says so', async () => {
  const service = newService();
  const { filename = '' } = await service.performBackup();
  const error = await refusal(() => service.deleteBackup(filename, { target: 's3' }));
  expect(error).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('is left to the bucket') });
  await service.deleteBackup(filename);
  expect(await service.getBackups({ target: 'local' })).toEqual([]);
  expect(await backupsThere()).toEqual([filename]);
  expect(lines.join('\n')).toContain(`Still on S3: ${filename}; removal is left to the bucket, after ${DAYS} days.`);
  expect((await refusal(() => service.updateBackup(filename, { pinned: true }))).code).toBe('UNSUPPORTED');
  expect((await refusal(() => service.deleteBackup(filename))).code).toBe('UNSUPPORTED');
  expect(removals()).toEqual([]);
});

test('what the rule removed is not uploaded again, but for the newest and what is pinned', async () => {
  const service = newService();
  const names: string[] = [];
  for (let round = 0; round < 3; round++) {
    ask(database(), `INSERT INTO notes VALUES (${1_001 + round}, 'more') RETURNING id`);
    names.push((await service.performBackup()).filename ?? '');
  }
  await service.updateBackup(names[0] ?? '', { pinned: true });
  daysOn = DAYS + 1;
  await removeThere((key) => key.startsWith('backup-'));
  await service.getBackups({ target: 's3' });
  const { filename: newest = '' } = await service.performBackup();
  expect(await backupsThere()).toEqual([names[0] ?? '', names[2] ?? '', newest].toSorted());
  expect(removals()).toEqual([]);
});

test('what somebody removed before its time is uploaded again', async () => {
  const service = newService();
  const { filename = '' } = await service.performBackup();
  ask(database(), "INSERT INTO notes VALUES (1001, 'more') RETURNING id");
  await service.performBackup();
  await removeThere((key) => key.startsWith(filename));
  daysOn = 1;
  await service.getBackups({ target: 's3' });
  await service.performBackup();
  expect(await backupsThere()).toContain(filename);
});

test('a file without a manifest that may not be replaced blocks its name alone, and the next backup is stored', async () => {
  const service = newService();
  server.faults.push({ match: /^PUT .*\.sqlite\.json/, effect: { status: 400, code: 'InvalidRequest' } });
  const { filename = '', s3Uploaded } = await service.performBackup();
  expect(s3Uploaded).toBe(false);
  server.faults.length = 0;
  expect(await backupsThere()).toEqual([filename]);
  ask(database(), "INSERT INTO notes VALUES (1001, 'more') RETURNING id");
  const { filename: next = '' } = await service.performBackup();
  expect(await storedKeys(owner)).toEqual(expect.arrayContaining([`${next}.json`]));
  const blocked = (await service.getBackup(filename)).placements.find(({ target }) => target === 's3');
  expect(blocked).toMatchObject({ status: 'failed', error: { code: 'TARGET_EXISTS' } });
});

test('with a key that may replace, an upload that was cut is mended', async () => {
  server.appendOnly = false;
  const service = newService();
  server.faults.push({ match: /^PUT .*\.sqlite\.json/, effect: { status: 400, code: 'InvalidRequest' } });
  const { filename = '' } = await service.performBackup();
  server.faults.length = 0;
  const { filename: next = '' } = await service.performBackup();
  expect(await storedKeys(owner)).toEqual(expect.arrayContaining([`${filename}.json`, `${next}.json`]));
  expect(removals()).toEqual([]);
});

test('the record of the place is renewed where that is allowed, and stays as it is where not', async () => {
  const { filename = '' } = await newService().performBackup();
  const record = await textOf(owner, 'database.json');
  const options = { signal: AbortSignal.timeout(60_000) };
  const renewals = () => server.requests.filter(({ method, url }) => method === 'PUT' && url.includes('database.json'));
  server.requests.length = 0;
  await renewIdentity(owner, () => false, options);
  expect(renewals()).toEqual([]);
  expect((await refusal(() => renewIdentity(owner, () => true, options))).code).toBe('S3_DENIED');
  server.appendOnly = false;
  await renewIdentity(owner, () => true, options);
  expect(renewals().map(({ status }) => status)).toEqual([403, 200]);
  expect(await textOf(owner, 'database.json')).toBe(record);
  // Gone all the same, it is written anew with the next upload, and the backups there stay ours.
  server.appendOnly = true;
  await removeThere((key) => key === 'database.json' || key.startsWith('writer/'));
  const service = newService();
  expect(await service.performBackup()).toMatchObject({ s3Uploaded: true });
  expect(JSON.parse(await textOf(owner, 'database.json')).id).toBe(JSON.parse(record).id);
  expect((await service.getBackups({ target: 's3' })).find((one) => one.filename === filename)?.other).toBeNull();
});

test('the epoch of a writer is taken anew before the rule removes it, and its heartbeat goes on', async () => {
  const store = createS3Store({ ...server, bucket: BUCKET, prefix: '' });
  const installationPath = join(folder, 'velist-backup.installation.json');
  const maker = { installation: 'one', host: 'host' };
  const self = {
    ...{ databaseId: null, formerIds: [], isProvisional: false, name: 'app.sqlite', maker, installationPath },
    ...{ pathDigest: 'a'.repeat(64), machineDigest: 'b'.repeat(64) },
  };
  const writing = {
    ...{ token: 'token', everyMs: 60_000, beat: `${PREFIX}/writer/beat-token.json`, isFirst: true, knowsPlace: true },
    lifecycleDays: DAYS,
  };
  const hold = async (days: number, isFirst = false) => {
    const context = {
      signal: AbortSignal.timeout(60_000),
      now: () => new Date(Date.now() + days * DAY_MS),
      onEvent() {},
    };
    const request = { self, writing: { ...writing, isFirst }, address: 'there', secondLookMs: 10 };
    return (await holdPlace({ store, prefix: PREFIX }, request, context)).epoch;
  };
  expect([await hold(0, true), await hold(1), await hold(DAYS / 4 + 1), await hold(1)]).toEqual([1, 1, 2, 2]);
  store.close();
});

test('the settings say what is missing, and refuse what would do nothing', () => {
  const faultsOf = (extra: Record<string, string>) => {
    const env = s3Environment(folder, server, { bucket: BUCKET, prefix: PREFIX, extra });
    return refusal(async () => loadEnvironment(env)).then(({ message }) => message);
  };
  return Promise.all([
    expect(faultsOf({ BACKUP_S3_RETENTION: 'bucket' })).resolves.toMatch(
      /BACKUP_S3_LIFECYCLE_DAYS: is missing.*Lifecycle/,
    ),
    expect(faultsOf({ BACKUP_S3_LIFECYCLE_DAYS: '30' })).resolves.toContain(
      'has no effect without BACKUP_S3_RETENTION',
    ),
    expect(faultsOf({ ...leftToBucket, BACKUP_S3_RETENTION_COUNT: '3', BACKUP_S3_KEEP_DAILY: '1' })).resolves.toMatch(
      /RETENTION_COUNT: has no effect with.*\n.*KEEP_DAILY: has no effect with/,
    ),
  ]);
});
