/** One database, two targets on two servers of their own: what one of them does or fails to do is nothing to the other. */
import { beforeEach, expect, test } from 'bun:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runCli } from '../../src/cli/program.ts';
import type { S3Store } from '../../src/engine/store/s3/store.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import type { FurtherBucket, S3Target } from '../../src/service/targets/targets.ts';
import { openBucket } from '../support/bucket.ts';
import { keysOf, storedKeys } from '../support/objects.ts';
import type { S3Server } from '../support/s3-server.ts';
import { ask, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';

const EU = 'offsite-eu';
const PREFIX = 'shop';
const newFolder = scratchFolders();
const identity = await generateX25519Identity();
const recipient = await identityToRecipient(identity);

interface Place {
  readonly server: S3Server;
  readonly store: S3Store;
}
const [home, eu]: readonly [Place, Place] = [await openBucket('backups', PREFIX), await openBucket('backups', PREFIX)];

beforeEach(async () => {
  for (const { server, store } of [home, eu]) {
    server.faults.length = 0;
    await store.deleteMany(await keysOf(store));
  }
});

/** One try: a test that takes a server away need not wait for the usual six. */
function accessTo({ server }: Place): S3Target {
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  return { endpoint, region, accessKeyId, secretAccessKey, bucket: 'backups', maxAttempts: 1, retentionCount: null };
}

function openBoth(
  change: { readonly s3?: Partial<S3Target>; readonly eu?: Partial<FurtherBucket> } = {},
): Shop & AsyncDisposable {
  return openShop(newFolder(), {
    settings: { s3Enabled: true, s3Path: PREFIX },
    s3: { ...accessTo(home), ...change.s3 },
    targets: [{ ...accessTo(eu), name: EU, prefix: PREFIX, ...change.eu }],
  });
}

/** Names of the backups that are there whole, oldest first. */
async function stored({ store }: Place): Promise<readonly string[]> {
  const keys = await storedKeys(store);
  return keys.filter((key) => key.endsWith('.json')).map((key) => key.replace(/\.json$/, ''));
}

/** As if the server's machine were off. */
const takeAway = ({ server }: Place) => server.faults.push({ match: /./, effect: 'reset' });

async function placed(service: BackupService, name: string) {
  const { placements } = await service.getBackup(name);
  return Object.fromEntries(placements.map(({ target, status }) => [target, status]));
}

async function cli(shop: Shop, argv: string) {
  let [stdout, stderr] = ['', ''];
  const code = await runCli(argv.split(' '), {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    signal: new AbortController().signal,
    createService: () => shop.again(),
    serve: async () => {},
  });
  return { code, stdout, stderr };
}

test('each backup goes to both, sealed as each wants it, and every answer names both', async () => {
  await using shop = openBoth({ eu: { sealing: { compression: 'zstd', recipients: [recipient] } } });
  const { service } = shop;
  const { filename = '', ...result } = await service.performBackup();
  expect(result).toMatchObject({ success: true, s3Uploaded: true, uploaded: { s3: true, [EU]: true } });
  const { placements } = await service.getBackup(filename);
  expect(placements.map(({ target, status, where }) => [target, status, where])).toEqual([
    ['local', 'stored', `${shop.backups}/${filename}`],
    ['s3', 'stored', `s3://backups/shop/${filename}`],
    [EU, 'stored', `s3://backups/shop/${filename}.zst.age`],
  ]);
  expect(await Promise.all([home, eu].map(stored))).toEqual([[filename], [filename]]);

  const status = await service.getStatus();
  expect(status.verdict.code).toBe('protected');
  expect(status.s3).toMatchObject({ enabled: true, configured: true, stored: 1, waiting: 0 });
  expect(status.targets.map(({ target, stored: there, error }) => [target, there, error])).toEqual([
    ['s3', 1, null],
    [EU, 1, null],
  ]);
  expect(shop.log).toContain(`info: Uploaded to S3: shop/${filename}`);
  expect(shop.log).toContain(`info: Uploaded to ${EU}: shop/${filename}.zst.age`);
  expect(
    service
      .getRuns({ kind: 'upload' })
      .map(({ target = 's3' }) => target)
      .toSorted(),
  ).toEqual([EU, 's3']);
});

test('while one is gone the other receives all, the answers tell it, and later it catches up, oldest first', async () => {
  await using shop = openBoth();
  const { service } = shop;
  takeAway(eu);
  const names: string[] = [];
  for (let round = 0; round < 2; round++) {
    const { filename = '', ...result } = await service.performBackup();
    expect(result).toMatchObject({ success: true, s3Uploaded: true, uploaded: { s3: true, [EU]: false } });
    names.push(filename);
  }
  expect(await stored(home)).toEqual(names);
  expect(await placed(service, names[1] ?? '')).toEqual({ local: 'stored', s3: 'stored', [EU]: 'waiting' });

  const status = await service.getStatus();
  expect([status.verdict.code, status.freshness.state]).toEqual(['s3-waiting', 'at-risk']);
  expect(status.s3).toMatchObject({ stored: 2, waiting: 0, error: null });
  expect(status.targets[1]).toMatchObject({ target: EU, stored: 0, waiting: 2, error: { code: 'S3_UNREACHABLE' } });
  expect(status.freshness.targets.map(({ target, goodAt }) => [target, goodAt !== null])).toEqual([
    ['local', true],
    ['s3', true],
    [EU, false],
  ]);
  const told = await cli(shop, 'backup');
  expect([told.code, told.stderr]).toEqual([5, expect.stringContaining(`not yet at ${EU};`)]);
  const shown = await cli(shop, 'status');
  expect(shown.code).toBe(5);
  expect(shown.stdout).toMatch(/^s3 {9}backups\/shop, 3 stored \(seen .*\)$/m);
  expect(shown.stdout).toMatch(/^offsite-eu waiting for 3 uploads.* does not answer .*; backups\/shop, 0 stored$/m);

  eu.server.faults.length = 0;
  eu.server.requests.length = 0;
  const { filename = '', uploaded } = await service.performBackup();
  expect(uploaded).toEqual({ s3: true, [EU]: true });
  const puts = eu.server.requests.flatMap(({ method, url }) =>
    method === 'PUT' ? (/backup-[^?]*\.json/.exec(url)?.[0] ?? []) : [],
  );
  expect(puts).toEqual((await stored(home)).map((name) => `${name}.json`));
  expect(await stored(eu)).toEqual(await stored(home));
  expect(await placed(service, filename)).toEqual({ local: 'stored', s3: 'stored', [EU]: 'stored' });
  expect((await service.getStatus()).verdict.code).toBe('protected');
  expect((await cli(shop, 'status')).code).toBe(0);
});

test('one that takes a request and never answers holds up no other', async () => {
  await using shop = openBoth();
  const { service } = shop;
  home.server.faults.push({ match: /^PUT/, effect: 'stall' });
  await service.requestBackup();
  const first = await shop.ended(({ kind, target }) => kind === 'upload' && target === EU);
  await service.requestBackup();
  const second = await shop.ended(({ id, kind, target }) => kind === 'upload' && target === EU && id !== first.id);
  expect([first.result, second.result]).toEqual(['success', 'success']);
  expect(await stored(eu)).toEqual([first.backup ?? '', second.backup ?? '']);
  expect(await stored(home)).toEqual([]);
});

test('deleting everywhere means each of them; where one is gone, the error says what was done, and again ends it', async () => {
  await using shop = openBoth();
  const { service } = shop;
  const { filename: kept = '' } = await service.performBackup();
  const { filename = '' } = await service.performBackup();
  await service.deleteBackup(kept, { target: EU, user: 'ada' });
  expect(await placed(service, kept)).toEqual({ local: 'stored', s3: 'stored' });
  // Who did it is known there, also after a restart, and where it still is nothing is said to be gone.
  for (const known of [service, shop.again()]) {
    const gone = await refusal(() => known.deleteBackup(kept, { target: EU }));
    expect([gone.code, gone.message]).toEqual([
      'GONE',
      expect.stringMatching(new RegExp(`^${kept} is no longer on ${EU}: it was removed by ada at 20`)),
    ]);
    expect((await known.getBackup(kept)).filename).toBe(kept);
  }

  takeAway(eu);
  const refused = await refusal(() => service.deleteBackup(filename));
  expect([refused.code, refused.message]).toEqual([
    'S3_UNREACHABLE',
    expect.stringContaining('; on S3 it was deleted'),
  ]);
  expect(await placed(service, filename)).toEqual({ local: 'stored', [EU]: 'stored' });
  eu.server.faults.length = 0;
  await service.deleteBackup(filename);
  expect(await Promise.all([home, eu].map(stored))).toEqual([[kept], []]);
  expect((await refusal(() => service.getBackup(filename))).code).toBe('GONE');
  // What a person removed there is not brought back.
  expect((await service.performBackup()).uploaded).toEqual({ s3: true, [EU]: true });
  expect(await stored(eu)).not.toContain(kept);
});

test('when the disk is lost each of them alone brings the backup back, the encrypted one with its key', async () => {
  await using shop = openBoth({ eu: { sealing: { compression: 'zstd', recipients: [recipient] } } });
  const { filename = '' } = await shop.service.performBackup();
  await shop.service.close();
  rmSync(shop.backups, { recursive: true });
  takeAway(home);

  const service = shop.again();
  expect((await service.getBackups({ target: EU })).map((item) => item.filename)).toEqual([filename]);
  const to = join(shop.backups, '..', 'back.sqlite');
  const locked = await refusal(() => service.restore(filename, { mode: 'file', to, from: EU }));
  expect([locked.code, locked.hint]).toEqual(['BAD_REQUEST', expect.stringContaining(`--from ${EU} --to`)]);
  await service.restore(filename, { mode: 'file', to, from: EU, identity });
  expect(ask(to, 'SELECT count(*) FROM notes')).toBe(100);
  expect((await refusal(() => service.restore(filename, { mode: 'file', to: `${to}2`, from: 's3' }))).code).toBe(
    'S3_UNREACHABLE',
  );

  // Without a wish it comes from a target that answers.
  home.server.faults.length = 0;
  takeAway(eu);
  await service.getBackups({ target: 's3' });
  await refusal(() => service.getBackups({ target: EU }));
  await service.restore(filename, { mode: 'file', to: `${to}2` });
  expect(ask(`${to}2`, 'SELECT count(*) FROM notes')).toBe(100);
});

test('a copy that is damaged at one of them does not stand for the good one at the other', async () => {
  await using shop = openBoth();
  const { service } = shop;
  const { filename = '' } = await service.performBackup();
  await service.performBackup();
  await service.deleteBackup(filename, { target: 'local' });
  const bytes = Buffer.concat(await Array.fromAsync(home.store.get(filename)));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
  await home.store.put(filename, once(bytes), { sizeBytes: bytes.length });

  const checked = await service.verifyBackup(filename, { from: 's3' });
  expect(checked.verification.state).toBe('damaged');
  expect((await service.verifyBackup(filename, { from: EU })).verification.state).toBe('verified');
  expect((await service.getBackup(filename)).verified).toBe(true);
  await service.updateBackup(filename, { pinned: true });
  for (const target of ['s3', EU]) {
    const there = await service.getBackups({ target });
    expect(there.map((item) => [item.filename === filename, item.pinned])).toContainEqual([true, true]);
  }
});

test('each is pruned by its own numbers and drilled by itself', async () => {
  await using shop = openBoth({ s3: { retentionCount: 3 }, eu: { retentionCount: 2 } });
  const { service } = shop;
  const names: string[] = [];
  for (let round = 0; round < 4; round++) names.unshift((await service.performBackup()).filename ?? '');
  expect((await stored(home)).toReversed()).toEqual(names.slice(0, 3));
  expect((await stored(eu)).toReversed()).toEqual(names.slice(0, 2));
  const plan = await service.prune({ dryRun: true, target: EU });
  expect(plan).toMatchObject({ target: EU, removed: [], kept: [{ filename: names[0] }, { filename: names[1] }] });
  // Still here and at S3: it is not gone.
  expect((await service.getBackup(names[2] ?? '')).filename).toBe(names[2] ?? '');

  const { ok, drills } = await service.drill();
  expect([ok, drills.map(({ target, result }) => `${target} ${result}`)]).toEqual([
    true,
    ['local proven', 's3 proven', `${EU} proven`],
  ]);
  takeAway(eu);
  expect((await service.drill({ target: EU })).drills).toMatchObject([{ target: EU, result: 'failed' }]);
  const { targets } = (await service.getStatus()).freshness;
  // Nobody could look: that proves nothing against what was proven before.
  expect(targets.map(({ drill }) => drill?.result)).toEqual(['proven', 'proven', 'proven']);
});

test('a further target needs no S3 of the environment, and what does not exist is refused by its name', async () => {
  await using shop = openShop(newFolder(), {
    settings: { enabled: false },
    targets: [{ ...accessTo(eu), name: EU, prefix: PREFIX }],
  });
  const { service } = shop;
  const { filename = '', s3Uploaded, uploaded } = await service.performBackup();
  expect([s3Uploaded, uploaded]).toEqual([undefined, { [EU]: true }]);
  expect(await stored(eu)).toEqual([filename]);
  expect((await service.getStatus()).s3).toMatchObject({ enabled: false, configured: false, stored: 0 });
  expect(await service.testTarget(EU)).toMatchObject({ target: EU, ok: true });
  const unknown = await cli(shop, 'list --target remote-us');
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('there is no target remote-us')]);
  expect(unknown.stderr).toContain(`There is local, ${EU}.`);
  expect((await refusal(() => service.drill({ target: 's3' }))).message).toBe('there is no target s3');
});

test('the doctor asks each bucket and calls it by its name', async () => {
  await using shop = openBoth({ s3: { sealing: { compression: 'none', recipients: [recipient] } } });
  takeAway(eu);
  const { ok, findings } = await shop.service.diagnose({ s3: true });
  expect(ok).toBe(false);
  expect(findings.find(({ code }) => code === `${EU}-write`)).toMatchObject({ severity: 'problem' });
  expect(findings.find(({ code }) => code === 's3-write')).toMatchObject({ severity: 'ok' });
  expect(findings.find(({ code }) => code === 'encryption')?.what).toBe(`copies on ${EU} are not encrypted`);
});

async function* once(bytes: Uint8Array) {
  yield bytes;
}
