/** A loss and the copies on S3: what is held there, what an answer changes there, and a machine with nothing but S3. */
import { expect, test } from 'bun:test';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Manifest, parseManifest } from '../../src/engine/format/manifest.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { change, makeDatabase, scratchFolders } from '../support/scratch.ts';

const BUCKET = 'my-backups';
const newFolder = scratchFolders();
const { server } = await openBucket(BUCKET);

/** A machine with a database of 2,000 notes, that keeps one backup here and one on S3. */
function machine(prefix: string, folder = newFolder()) {
  makeDatabase(join(folder, 'app.sqlite'), { rows: 2_000 });
  const extra = { BACKUP_RETENTION_COUNT: '1', BACKUP_S3_RETENTION_COUNT: '1', BACKUP_DRILL_ENABLED: 'false' };
  const told = Promise.withResolvers<void>();
  const service = createServiceFromEnvironment({
    env: s3Environment(folder, server, { bucket: BUCKET, prefix, extra }),
    write: (line) => line.includes('Much was lost: notes had 2,000 rows') && told.resolve(),
  });
  return {
    ...{ folder, service },
    /** The log says that the notes were lost. */
    told: told.promise,
    change: (sql: string) => change(join(folder, 'app.sqlite'), sql),
    [Symbol.asyncDispose]: () => service.close(),
  };
}

/** Of the same machine, after its disk was lost. */
function emptied(folder: string): string {
  for (const entry of readdirSync(folder)) rmSync(join(folder, entry), { recursive: true });
  return folder;
}

async function backUp(service: BackupService): Promise<string> {
  const { filename, s3Uploaded, error } = await service.performBackup();
  if (!filename || !s3Uploaded) throw new Error(error?.message ?? 'not uploaded');
  return filename;
}

/** By the manifests on S3. */
async function stored(prefix: string): Promise<ReadonlyMap<string, Manifest>> {
  const store = createS3Store({ ...server, bucket: BUCKET, prefix });
  const manifests = new Map<string, Manifest>();
  for await (const { key } of store.list('backup-')) {
    if (!key.endsWith('.json')) continue;
    const name = key.replace(/\.json$/, '');
    const bytes = await getBytes(store, key, { limitBytes: 1_000_000, signal: new AbortController().signal });
    manifests.set(name, parseManifest(new TextDecoder().decode(bytes), name));
  }
  store.close();
  return manifests;
}

test('on S3 the backup before a loss outlives the count too, until an answer, which holds there as well', async () => {
  const prefix = 'answered';
  await using app = machine(prefix);
  const before = await backUp(app.service);
  app.change('DELETE FROM notes');
  const shows = await backUp(app.service);
  for (let round = 0; round < 2; round++) await backUp(app.service);
  const there = await stored(prefix);
  expect([...there.keys()].slice(0, 2)).toEqual([before, shows]);
  expect(there.size).toBe(3);
  expect(there.get(shows)?.loss).toMatchObject({ before, accepted: null });
  expect(there.get(before)?.facts?.tables['notes']?.rows).toBe(2_000);

  await app.service.acceptLoss({ user: 'ada' });
  expect((await stored(prefix)).get(shows)?.loss?.accepted?.user).toBe('ada');
  expect((await app.service.prune({ dryRun: true, target: 's3' })).removed.map(({ filename }) => filename)).toEqual([
    shows,
    before,
  ]);
  const last = await backUp(app.service);
  expect([...(await stored(prefix)).keys()]).toEqual([last]);
});

test('an answer to a loss that is on S3 alone is written there', async () => {
  const prefix = 'on-s3-alone';
  await using app = machine(prefix);
  await backUp(app.service);
  app.change('DELETE FROM notes');
  const shows = await backUp(app.service);
  await using other = machine(prefix);
  await other.service.getBackups({ target: 's3' });
  expect((await other.service.getStatus()).loss).toMatchObject({ filename: shows });
  await other.service.acceptLoss({ user: 'grace' });
  expect((await stored(prefix)).get(shows)?.loss?.accepted?.user).toBe('grace');
  await other.service.reopenLoss(shows);
  expect((await stored(prefix)).get(shows)?.loss?.accepted).toBeNull();
});

test('a loss that is not on S3 yet holds there what was before it', async () => {
  const prefix = 'not-there-yet';
  await using app = machine(prefix);
  const before = await backUp(app.service);
  app.change('DELETE FROM notes');
  server.faults.push({ match: /PUT/, effect: { status: 403, code: 'AccessDenied' }, times: 1_000 });
  const { filename, s3Uploaded } = await app.service.performBackup();
  expect(s3Uploaded).toBe(false);
  server.faults.length = 0;
  const { kept } = await app.service.prune({ dryRun: true, target: 's3' });
  expect(kept.find(({ filename }) => filename === before)?.reasons).toContain(`last before the loss in ${filename}`);
});

test('a machine that was built anew with an empty database does not push its history out of S3', async () => {
  const prefix = 'built-anew';
  const made: string[] = [];
  const folder = newFolder();
  {
    await using app = machine(prefix, folder);
    made.push(await backUp(app.service));
  }
  await using fresh = machine(prefix, emptied(folder));
  fresh.change('DELETE FROM notes');
  const shows = await backUp(fresh.service);
  for (let round = 0; round < 2; round++) await backUp(fresh.service);
  const there = [...(await stored(prefix)).keys()];
  expect(there).toHaveLength(3);
  expect(there.slice(0, 2)).toEqual([...made, shows]);
  expect((await fresh.service.getStatus()).verdict.code).toBe('loss');
});

test('where S3 does not answer at first, the first backup is compared as soon as it does', async () => {
  const prefix = 'silent-at-first';
  const folder = newFolder();
  {
    await using app = machine(prefix, folder);
    await backUp(app.service);
  }
  await using fresh = machine(prefix, emptied(folder));
  fresh.change('DELETE FROM notes');
  server.faults.push({ match: /GET/, effect: { status: 403, code: 'AccessDenied' }, times: 1_000 });
  const { filename } = await fresh.service.performBackup();
  expect((await fresh.service.getStatus()).loss).toBeNull();
  server.faults.length = 0;
  await fresh.service.getBackups({ target: 's3' });
  await fresh.told;
  expect((await fresh.service.getStatus()).loss?.filename).toBe(filename ?? '');
});
