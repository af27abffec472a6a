/** Drills: what they prove, what they find, and that they leave nothing behind. */
import { expect, test } from 'bun:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BackupService } from '../../src/service/backup-service.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { change, makeDatabase, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';
import { digestOf } from '../support/objects.ts';

const BUCKET = 'my-backups';
const newFolder = scratchFolders();
const { server } = await openBucket(BUCKET);

const hidden = (shop: Shop) => readdirSync(shop.backups).filter((name) => name.startsWith('.drill-'));
const local = async (service: BackupService) =>
  (await service.getStatus()).freshness.targets.find(({ target }) => target === 'local');

/** One byte in the middle, which no length tells. */
function alter(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
  writeFileSync(path, bytes);
}

function openRemote(prefix: string, recipients: readonly string[] = [], sql: string | null = null) {
  const s3 = { ...server, bucket: BUCKET, forcePathStyle: true, retentionCount: null };
  return openShop(newFolder(), {
    settings: { s3Enabled: true, s3Path: prefix },
    s3: { ...s3, sealing: { compression: 'zstd', recipients } },
    drills: { scheduled: false, sql },
  });
}

async function alterAtS3(store: S3Store, key: string): Promise<void> {
  const bytes = Buffer.concat(await Array.fromAsync(store.get(key)));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
  const once = async function* () {
    yield bytes;
  };
  await store.put(key, once(), { sizeBytes: bytes.length });
}

test('a drill that is killed in the middle leaves no lock, and the next one clears what it left', async () => {
  const folder = newFolder();
  makeDatabase(join(folder, 'app.sqlite'), { rows: 5_000 });
  const env = s3Environment(folder, server, { bucket: BUCKET, prefix: 'killed', extra: {} });
  const open = () => createServiceFromEnvironment({ env, write: () => {} });
  const service = open();
  const { filename = '' } = await service.performBackup();
  await service.close();
  const left = () => readdirSync(join(folder, 'backups')).filter((name) => name.startsWith('.drill-'));

  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  server.faults.push({ match: new RegExp(`GET .*${filename}\\?`), effect: { stallAfterBytes: 4_096 }, times: 1 });
  const argv = ['--config=/dev/null', '--no-env-file', main, 'drill', '--from', 's3'];
  const child = spawn(process.execPath, argv, { cwd: folder, env, stdio: 'ignore', detached: true });
  const closed = once(child, 'close');
  while (left().length === 0) await Bun.sleep(10);
  // Its job with it: one that outlives the command removes its traces.
  process.kill(-(child.pid ?? 0), 'SIGKILL');
  await closed;
  server.faults.length = 0;
  expect(left().length).toBe(1);

  const again = open();
  expect(await again.drill({ target: 's3' })).toMatchObject({
    ok: true,
    drills: [{ result: 'proven', backup: filename }],
  });
  expect(left()).toEqual([]);
  expect((await again.getBackups()).map((item) => item.filename)).toEqual([filename]);
  await again.close();
});

test('a drill restores the newest backup, asks the owner’s questions, and leaves nothing', async () => {
  await using shop = openShop(newFolder(), {
    drills: { scheduled: false, sql: 'SELECT count(*) = 100 FROM notes; SELECT 1' },
  });
  const { filename = '' } = await shop.service.performBackup();
  const before = statSync(shop.databasePath, { bigint: true }).mtimeNs;
  expect(await shop.service.drill({ user: 'ada' })).toMatchObject({
    ok: true,
    drills: [{ target: 'local', result: 'proven', backup: filename, assertions: 2, error: null }],
  });
  expect(hidden(shop)).toEqual([]);
  expect(statSync(shop.databasePath, { bigint: true }).mtimeNs).toBe(before);
  const [run] = shop.service.getRuns({ kind: 'drill' });
  expect(run).toMatchObject({
    ...{ result: 'success', user: 'ada', backup: filename },
    drill: { target: 'local', proof: 'restored', assertions: 2 },
  });
  expect(run?.steps.map(({ name, state }) => `${name} ${state}`)).toEqual(['fetch done', 'check done', 'prove done']);
  expect(await local(shop.again())).toMatchObject({ proven: { backup: filename }, drill: { result: 'proven' } });
  const [item] = await shop.service.getBackups();
  expect(item?.verification).toMatchObject({ state: 'verified', method: 'full' });
});

test('a drill fails when the bytes of the backup were altered, and the backup counts as damaged', async () => {
  await using shop = openShop(newFolder());
  const { filename = '' } = await shop.service.performBackup();
  await shop.service.drill();
  alter(join(shop.backups, filename));
  const { ok, drills } = await shop.service.drill();
  expect([ok, drills[0]?.result, drills[0]?.error?.code]).toEqual([false, 'failed', 'VERIFY_FAILED']);
  const { freshness, verdict } = await shop.service.getStatus();
  expect([verdict.code, freshness.targets[0]?.drill?.result]).toEqual(['damaged', 'failed']);
  expect(freshness.targets[0]?.proven?.backup).toBe(filename);

  truncateSync(join(shop.backups, filename), 5_000);
  expect((await shop.service.drill()).drills[0]?.error?.code).toBe('BAD_BACKUP');
  expect(hidden(shop)).toEqual([]);
});

test('a drill fails when an assertion does not hold, and names it; the backup stays good', async () => {
  const sqlPath = join(newFolder(), 'drill.sql');
  writeFileSync(sqlPath, '-- the shop\nSELECT 1;\nSELECT count(*) > 1000 FROM notes;\n');
  await using shop = openShop(newFolder(), { drills: { scheduled: false, sql: sqlPath } });
  await shop.service.performBackup();
  const { error } = (await shop.service.drill()).drills[0] ?? {};
  expect([error?.code, error?.message]).toEqual([
    'DRILL_FAILED',
    'an assertion does not hold on the restored backup: SELECT count(*) > 1000 FROM notes: row 1 begins with "0"',
  ]);
  const { verdict, freshness } = await shop.service.getStatus();
  expect([verdict.code, verdict.tone, freshness.state]).toEqual(['check-failed', 'amber', 'at-risk']);
  expect(hidden(shop)).toEqual([]);
});

test('another backup is tried without the one that failed, and the failure stands until that or a newer one is proven', async () => {
  const sqlPath = join(newFolder(), 'drill.sql');
  writeFileSync(sqlPath, 'SELECT count(*) = 100 FROM notes');
  await using shop = openShop(newFolder(), { drills: { scheduled: false, sql: sqlPath } });
  const { filename: first = '' } = await shop.service.performBackup();
  change(shop.databasePath, 'DELETE FROM notes WHERE rowid = 1');
  const { filename = '' } = await shop.service.performBackup();
  expect((await shop.service.drill()).ok).toBe(false);
  const other = await shop.service.drill({ without: [filename] });
  expect([other.ok, other.drills[0]?.backup]).toEqual([true, first]);
  const { verdict, failedCheck, freshness } = await shop.service.getStatus();
  expect(verdict.detail).toStartWith(`The drill of ${filename} in the folder failed: an assertion does not hold`);
  expect(failedCheck).toMatchObject({ kind: 'drill', target: 'local', backup: filename, more: 0 });
  expect(freshness.targets[0]).toMatchObject({ drill: { result: 'failed' }, proven: { backup: first } });
  const { findings } = await shop.service.diagnose();
  expect(findings.find(({ code }) => code === 'drills')?.severity).toBe('problem');
  writeFileSync(sqlPath, 'SELECT count(*) = 99 FROM notes');
  expect((await shop.service.drill()).ok).toBe(true);
  const after = await shop.service.getStatus();
  expect([after.verdict.code, after.failedCheck]).toEqual(['protected', null]);
});

test('a stored backup that fails a check turns the verdict until it passes one or is removed', async () => {
  await using shop = openShop(newFolder());
  const { filename: first = '' } = await shop.service.performBackup();
  await shop.service.performBackup();
  const told = async () => (await shop.service.getStatus()).verdict.code;
  const path = join(shop.backups, first);
  alter(path);
  expect(await told()).toBe('protected');
  await shop.service.verifyBackup(first, { full: true });
  expect(await told()).toBe('check-failed');
  const { failedCheck } = await shop.service.getStatus();
  expect(failedCheck).toMatchObject({ kind: 'verify', target: 'local', backup: first, run: null, more: 0 });
  const { findings } = await shop.service.diagnose();
  expect(findings.find(({ code }) => code === 'damaged-backups')?.what).toBe(
    'backups that did not pass their last check: 1 in the folder',
  );
  alter(path);
  await shop.service.verifyBackup(first, { full: true });
  expect(await told()).toBe('protected');
  alter(path);
  await shop.service.verifyBackup(first, { full: true });
  await shop.service.deleteBackup(first);
  expect(await told()).toBe('protected');
});

test('without a backup, or with a file of assertions that is not there, a drill fails and says so', async () => {
  await using shop = openShop(newFolder(), { drills: { scheduled: false, sql: 'nowhere/drill.sql' } });
  expect((await shop.service.drill()).drills[0]?.error?.code).toBe('NO_BACKUP');
  await shop.service.performBackup();
  expect((await shop.service.drill()).drills[0]?.error?.code).toBe('BAD_CONFIG');
  expect((await refusal(() => shop.service.drill({ target: 's3' }))).code).toBe('BAD_REQUEST');
});

test('what is at S3 is fetched, opened and proven; altered there, the drill fails', async () => {
  await using shop = openRemote('drill/plain', [], 'SELECT count(*) = 100 FROM notes');
  const { filename = '' } = await shop.service.performBackup();
  const { ok, drills } = await shop.service.drill();
  expect([ok, drills.map(({ target, result }) => `${target} ${result}`)]).toEqual([
    true,
    ['local proven', 's3 proven'],
  ]);
  expect(hidden(shop)).toEqual([]);

  using store = disposable(createS3Store({ ...server, bucket: BUCKET, prefix: 'drill/plain' }));
  await alterAtS3(store.store, `${filename}.zst`);
  const after = await shop.service.drill();
  expect(after.drills.map(({ target, result }) => `${target} ${result}`)).toEqual(['local proven', 's3 failed']);
  expect(after.drills[1]?.error?.code).toBe('VERIFY_FAILED');
  expect((await shop.service.getStatus()).freshness.targets.map(({ drill }) => drill?.result)).toEqual([
    'proven',
    'failed',
  ]);
});

test('without the private key a sealed copy is proven as far as that goes, with it all the way', async () => {
  const identity = await generateX25519Identity();
  await using shop = openRemote('drill/sealed', [await identityToRecipient(identity)]);
  const { filename = '' } = await shop.service.performBackup();
  const sealed = await shop.service.drill({ target: 's3' });
  expect(sealed).toMatchObject({ ok: true, drills: [{ target: 's3', result: 'sealed', backup: filename }] });
  const fresh = async () => (await shop.service.getStatus()).freshness.targets.find(({ target }) => target === 's3');
  expect(await fresh()).toMatchObject({ proven: null, drill: { result: 'sealed' } });

  expect(await shop.service.drill({ target: 's3', identity })).toMatchObject({
    ok: true,
    drills: [{ result: 'proven' }],
  });
  expect(await fresh()).toMatchObject({ proven: { backup: filename }, drill: { result: 'proven' } });
  const wrong = await shop.service.drill({ target: 's3', identity: await generateX25519Identity() });
  expect(wrong.drills[0]).toMatchObject({ result: 'refused', error: { code: 'BAD_REQUEST' } });

  using store = disposable(createS3Store({ ...server, bucket: BUCKET, prefix: 'drill/sealed' }));
  expect(await digestOf(store.store.get(`${filename}.zst.age`))).toHaveLength(64);
  await alterAtS3(store.store, `${filename}.zst.age`);
  expect((await shop.service.drill({ target: 's3' })).drills[0]).toMatchObject({
    ...{ result: 'failed', error: { code: 'VERIFY_FAILED' } },
  });
  expect(hidden(shop)).toEqual([]);
});

/** It has no end, so that what asks it goes on until it is stopped. */
const ENDLESS = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT sum(i) FROM n';

test('a drill that is stopped leaves nothing, and the next one removes what a killed one left', async () => {
  await using shop = openShop(newFolder(), { drills: { scheduled: false, sql: ENDLESS } });
  await shop.service.performBackup();
  const left = join(shop.backups, '.drill-of-a-killed-process');
  mkdirSync(left);
  writeFileSync(join(left, 'backup.sqlite'), 'half');
  const hearing = Promise.withResolvers<void>();
  const drilling = shop.service.drill({
    onProgress: (run) =>
      run.steps.some(({ name, state }) => name === 'prove' && state === 'running') && hearing.resolve(),
  });
  await hearing.promise;
  expect(await shop.service.stopRun()).toBe(true);
  expect(await drilling).toMatchObject({ ok: false, drills: [{ result: 'stopped', error: { code: 'ABORTED' } }] });
  expect(hidden(shop)).toEqual([]);
  expect((await local(shop.service))?.drill).toBeNull();
});

test('while the schedule runs there is a drill a day, not at once', async () => {
  let nowMs = Date.now();
  await using shop = openShop(newFolder(), { now: () => new Date(nowMs), drills: { scheduled: true, sql: null } });
  const drills = () => shop.service.getRuns({ kind: 'drill' }).length;
  let minutes = 9;
  /** A change of the interval wakes the schedule, a turn later. */
  const later = async (ms: number) => {
    nowMs += ms;
    shop.service.updateConfig({ intervalMinutes: minutes++ });
    const woke = Promise.withResolvers<void>();
    const off = shop.service.on(({ type }) => type === 'status' && woke.resolve());
    await woke.promise.finally(off);
  };
  shop.service.start();
  await shop.ended(({ kind }) => kind === 'backup');
  expect(drills()).toBe(0);
  await later(11 * 60_000);
  const first = await shop.ended(({ kind }) => kind === 'drill');
  expect([first.trigger, first.result]).toEqual(['schedule', 'success']);
  // The first one may still be noting what it found; then a wake passes it over.
  for (let hours = 0; drills() === 1 && hours < 10_000; hours++) await later(3_600_000);
  const second = await shop.ended(({ kind, id }) => kind === 'drill' && id !== first.id);
  expect(second.startedAt.getTime() - first.endedAt.getTime()).toBeGreaterThanOrEqual(24 * 3_600_000);
});

test('what proves nothing against the backup is answered, and what was proven goes on to count', async () => {
  const sqlPath = join(newFolder(), 'drill.sql');
  writeFileSync(sqlPath, 'SELECT 1');
  await using shop = openShop(newFolder(), { drills: { scheduled: false, sql: sqlPath } });
  const { filename = '' } = await shop.service.performBackup();
  await shop.service.drill();
  rmSync(sqlPath);
  expect((await shop.service.drill()).drills[0]?.error?.code).toBe('BAD_CONFIG');
  expect(shop.service.getRuns({ kind: 'drill' })[0]).toMatchObject({
    result: 'refused',
    error: { code: 'BAD_CONFIG' },
  });
  expect((await local(shop.service))?.drill?.result).toBe('proven');
  await shop.service.deleteBackup(filename);
  expect((await shop.service.drill()).drills[0]?.error?.code).toBe('NO_BACKUP');
  expect(await local(shop.service)).toMatchObject({ drill: { result: 'proven' }, proven: { backup: filename } });
});

test('an assertion that never ends is ended, and the drill has failed', async () => {
  const waits = { lockMs: 60_000, pinMs: 60_000, proveMs: 100 };
  await using shop = openShop(newFolder(), { drills: { scheduled: false, sql: ENDLESS }, waits });
  await shop.service.performBackup();
  expect((await shop.service.drill()).drills[0]?.error).toMatchObject({
    ...{ code: 'DRILL_FAILED', message: 'the assertions took longer than 0.1 s and were ended' },
  });
  expect((await local(shop.service))?.drill?.result).toBe('failed');
  expect(hidden(shop)).toEqual([]);
});

test('a backup that is removed under a drill is no failure: the newest of what is left is drilled', async () => {
  await using shop = openShop(newFolder());
  const { filename: older = '' } = await shop.service.performBackup();
  const { filename = '' } = await shop.service.performBackup();
  let removals = 0;
  // Between the choice and the first byte.
  const onProgress = () => {
    if (removals++ === 0) rmSync(join(shop.backups, filename));
    if (removals === 1) rmSync(join(shop.backups, `${filename}.json`));
  };
  expect(await shop.service.drill({ onProgress })).toMatchObject({
    ok: true,
    drills: [{ result: 'proven', backup: older, error: null }],
  });
  removals = 0;
  const again = shop.service.drill({
    onProgress: () => rmSync(join(shop.backups, older), { force: true }),
  });
  expect((await again).drills[0]?.error?.code).toBe('NO_BACKUP');
  expect((await local(shop.service))?.drill?.result).toBe('proven');
});

test('who asks for the drill that is going gets its answer', async () => {
  await using shop = openShop(newFolder());
  await shop.service.performBackup();
  const told: string[] = [];
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((user) => shop.service.drill({ user, onProgress: () => told.push(user) })),
  );
  expect(answers.map(({ ok }) => ok)).toEqual([true, true, true]);
  expect(shop.service.getRuns({ kind: 'drill' })).toHaveLength(1);
  expect([...new Set(told)]).toEqual(['a', 'b', 'c']);
});

function disposable(store: S3Store) {
  return { store, [Symbol.dispose]: () => store.close() };
}
