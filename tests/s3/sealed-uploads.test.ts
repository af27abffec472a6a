/** Copies on S3 that are compressed and encrypted: what is stored, who can open it, and what happens when it is wrong. */
import { beforeEach, expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { artifactName, formOf, seal, type Sealing, unseal } from '../../src/engine/format/seal.ts';
import { formatManifest, type Manifest, parseManifest } from '../../src/engine/format/manifest.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { makeBank } from '../support/bank.ts';
import { keysOf, storedKeys } from '../support/objects.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { refusal, scratchFolders } from '../support/scratch.ts';
import { opensWithStockPrograms } from '../support/stock-programs.ts';

const BUCKET = 'my-backups';
const PREFIX = 'sealed';
const MIB = 1024 * 1024;
const newFolder = scratchFolders();
const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);
const otherIdentity = await generateIdentity();
const both = { BACKUP_COMPRESSION: 'zstd', BACKUP_ENCRYPTION_RECIPIENT: recipient };

const { server, store } = await openBucket(BUCKET, PREFIX);
let folder: string;

beforeEach(async () => {
  server.faults.length = 0;
  await store.deleteMany(await keysOf(store));
  folder = newFolder();
  makeBank(join(folder, 'app.sqlite'), { sizeBytes: 12 * MIB });
});

function newService(environment: Record<string, string>) {
  return createServiceFromEnvironment({
    env: s3Environment(folder, server, { bucket: BUCKET, prefix: PREFIX, extra: environment }),
    write: () => {},
  });
}

/** One backup, uploaded with these settings; its name, and what the upload said if it failed. */
async function backUp(environment: Record<string, string>) {
  const service = newService(environment);
  try {
    const { filename = '', s3Uploaded } = await service.performBackup();
    return { name: filename, s3Uploaded, error: (await service.getStatus()).s3.error };
  } finally {
    await service.close();
  }
}

const remoteNames = () => storedKeys(store);

const readRemote = (key: string) => getBytes(store, key, { limitBytes: 64 * MIB }).then((bytes) => Buffer.from(bytes));

async function readManifest(name: string): Promise<Manifest> {
  return parseManifest((await readRemote(`${name}.json`)).toString(), name);
}

async function* one(bytes: Uint8Array) {
  yield bytes;
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('what is stored is sealed, its manifest describes it, and only the private key opens it', async () => {
  const { name, s3Uploaded } = await backUp(both);
  expect(s3Uploaded).toBe(true);
  expect(await remoteNames()).toEqual([`${name}.json`, `${name}.zst.age`]);

  const artifact = await readRemote(`${name}.zst.age`);
  const local = readFileSync(join(folder, 'backups', name));
  expect(formOf(artifact)).toBe('age');
  expect(artifact.includes('SQLite format 3')).toBe(false);
  const manifest = await readManifest(name);
  expect(manifest.artifact).toEqual({
    file: `${name}.zst.age`,
    sizeBytes: artifact.length,
    sha256: sha256(artifact),
    compression: 'zstd',
    encryption: 'age',
  });
  expect(manifest.database.sha256).toBe(sha256(local));

  const opened = Buffer.concat(await Array.fromAsync(unseal(one(artifact), manifest.artifact, [identity])));
  expect(opened.equals(local)).toBe(true);
  await refusal(() => Array.fromAsync(unseal(one(artifact), manifest.artifact, [otherIdentity])));
  const byPrograms = await opensWithStockPrograms(artifact, { sealing: manifest.artifact, identity, folder });
  if (byPrograms !== null) expect(byPrograms.equals(local)).toBe(true);
});

test('the local backup stays a plain file that opens anywhere, and its own manifest says so', async () => {
  const { name } = await backUp(both);
  expect(formOf(readFileSync(join(folder, 'backups', name)))).toBe('sqlite');
  const manifest = parseManifest(readFileSync(join(folder, 'backups', `${name}.json`), 'utf8'), name);
  expect([manifest.artifact.compression, manifest.artifact.encryption]).toEqual(['none', 'none']);
});

test('settings that change later leave what is stored as it is, also when the state was lost', async () => {
  const plain = await backUp({});
  const zstd = await backUp({ BACKUP_COMPRESSION: 'zstd', BACKUP_STATE_PATH: join(folder, 'lost.sqlite') });
  const age = await backUp({ BACKUP_ENCRYPTION_RECIPIENT: recipient, BACKUP_STATE_PATH: join(folder, 'new.sqlite') });
  expect(await remoteNames()).toEqual([
    plain.name,
    `${plain.name}.json`,
    `${zstd.name}.json`,
    `${zstd.name}.zst`,
    `${age.name}.age`,
    `${age.name}.json`,
  ]);
  // The state is written by the last, which met the other two again.
  const service = newService({ BACKUP_STATE_PATH: join(folder, 'new.sqlite') });
  const sealings = (await service.getBackups()).map(({ placements }) => {
    const last = placements.at(-1);
    return last?.status === 'stored' ? last.sealing : undefined;
  });
  await service.close();
  expect(sealings).toEqual(['age', 'zstd', 'plain']);
});

test('retention and deletion remove sealed backups whole', async () => {
  const first = await backUp(both);
  const second = await backUp({ ...both, BACKUP_S3_RETENTION_COUNT: '1' });
  expect(await remoteNames()).toEqual([`${second.name}.json`, `${second.name}.zst.age`]);
  expect(first.name).not.toBe(second.name);
  const service = newService(both);
  await service.deleteBackup(second.name);
  await service.close();
  expect(await remoteNames()).toEqual([]);
});

test('what a killed upload left open beside a sealed backup is removed', async () => {
  const { name } = await backUp({});
  const plain = await readRemote(name);
  // As a kill before the manifest leaves it.
  await store.delete(`${name}.json`);
  expect(await remoteNames()).toEqual([name]);
  const next = await backUp({ ...both, BACKUP_STATE_PATH: join(folder, 'lost.sqlite') });
  expect(await remoteNames()).toEqual(
    [name, next.name].flatMap((stored) => [`${stored}.json`, `${stored}.zst.age`]).sort(),
  );
  expect((await readManifest(name)).database.sha256).toBe(sha256(plain));
});

test('an object that does not begin as its sealing says is removed and never counts as a backup', async () => {
  server.faults.push({ match: /GET .*\.zst\.age/, effect: 'flip a bit' });
  const { name, s3Uploaded, error } = await backUp(both);
  expect(s3Uploaded).toBe(false);
  expect(error).toMatchObject({
    code: 'S3_MISMATCH',
    message: expect.stringMatching(/^backup-.*\.zst\.age in .* does not begin like age; it was removed$/),
  });
  expect(await remoteNames()).toEqual([]);
  server.faults.length = 0;
  const again = await backUp(both);
  expect(again.s3Uploaded).toBe(true);
  expect(await remoteNames()).toEqual(
    [name, again.name].flatMap((stored) => [`${stored}.json`, `${stored}.zst.age`]).sort(),
  );
});

test('a local file that is not what its manifest says is not sealed into a backup', async () => {
  server.faults.push({ match: /PUT/, effect: { status: 403, code: 'AccessDenied' } });
  const { name } = await backUp(both);
  server.faults.length = 0;
  const file = openSync(join(folder, 'backups', name), 'r+');
  writeSync(file, Buffer.from([1, 2, 3]), 0, 3, 9 * MIB);
  closeSync(file);
  const next = await backUp(both);
  expect(next.s3Uploaded).toBe(true);
  const service = newService(both);
  const { placements } = await service.getBackup(name);
  await service.close();
  expect(placements.at(-1)).toMatchObject({ target: 's3', status: 'failed', error: { code: 'VERIFY_FAILED' } });
  expect(await remoteNames()).toEqual([`${next.name}.json`, `${next.name}.zst.age`]);
});

test('a manifest at S3 that names a file of something else makes nobody read or remove that file', async () => {
  const { name } = await backUp({});
  const manifest = await readManifest(name);
  await store.put('precious.sqlite', one(Buffer.from('mine')));
  const artifact = { ...manifest.artifact, file: 'precious.sqlite' };
  await store.put(`${name}.json`, one(Buffer.from(formatManifest({ ...manifest, artifact }))));
  const service = newService({});
  await service.deleteBackup(name);
  await service.close();
  expect(await remoteNames()).toEqual(['precious.sqlite']);
});

test('what does not compress is sealed in parts that are planned for it', async () => {
  const noise = Buffer.alloc(9 * MIB);
  for (let at = 0; at < noise.length; at += 65_536) crypto.getRandomValues(noise.subarray(at, at + 65_536));
  const sealing: Sealing = { compression: 'zstd', recipients: [recipient] };
  const key = artifactName('noise', sealing);
  await store.put(key, seal(one(noise), sealing));
  const back = unseal(store.get(key), { compression: 'zstd', encryption: 'age' }, [identity]);
  expect(Buffer.concat(await Array.fromAsync(back)).equals(noise)).toBe(true);
});
