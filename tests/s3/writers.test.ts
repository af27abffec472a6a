/**
 * Several machines at one prefix, through the service: each has its own state, as machines have, and the same server.
 * Ticks are a second long here, so a writer is gone after three; where one has to live on, they are longer.
 */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installationPath, readInstallation } from '../../src/engine/writer/installation.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { addressOf } from '../../src/engine/store/kinds.ts';
import type { BackupService, BackupServiceOptions } from '../../src/service/backup-service.ts';
import { createBackups } from '../../src/fleet/from-config.ts';
import { Heartbeats } from '../../src/service/targets/heartbeats.ts';
import type { ServiceEvent } from '../../src/service/model.ts';
import { knowDatabase } from '../support/many-machines.ts';
import { keysOf, storedKeys, textOf } from '../support/objects.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { makeDatabase, openShop, scratchFolders, type Shop } from '../support/scratch.ts';
import { settingsWith } from '../support/settings.ts';

setDefaultTimeout(120_000);

const BUCKET = 'my-backups';
const TICK_MS = 1_000;
/** Six seconds of silence are more than a busy machine takes between two heartbeats. */
const BEATING_TICK_MS = 2_000;
/** No test takes three of them: it lives although nobody hears of it. */
const LONG_TICK_MS = 600_000;
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const newFolder = scratchFolders();
const opened: (Shop & AsyncDisposable)[] = [];
const { server } = await openBucket(BUCKET);
let prefix: string;
/** All machines of a test work for one database, as after a move. */
let databaseId: string;
let store: S3Store;

beforeEach(() => {
  server.faults.length = 0;
  server.requests.length = 0;
  prefix = `shop-${randomUUID()}`;
  databaseId = randomUUID();
  store = createS3Store({ ...server, bucket: BUCKET, prefix });
});
afterEach(async () => {
  server.faults.length = 0;
  for (const machine of opened.splice(0)) await machine[Symbol.asyncDispose]();
  store.close();
});

const waits = (tickMs: number) => ({ lockMs: 30_000, pinMs: 30_000, tickMs });
const s3 = () => ({
  ...{ endpoint: server.endpoint, region: server.region, bucket: BUCKET, maxAttempts: 1, retentionCount: null },
  ...{ accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
});

/** A machine of its own, with the environment of all the others. */
function machine({
  folder = newFolder(),
  s3Path = prefix,
  isKnown = true,
  tickMs = TICK_MS,
  ...change
}: Partial<BackupServiceOptions> & {
  folder?: string;
  s3Path?: string;
  isKnown?: boolean;
  tickMs?: number;
} = {}): Shop {
  if (isKnown)
    knowDatabase(databaseId, { statePath: join(folder, 'state.sqlite'), databasePath: join(folder, 'shop.sqlite') });
  const shop = openShop(folder, {
    settings: { s3Enabled: true, s3Path, retentionCount: 2, intervalMinutes: 600 },
    ...{ s3: s3(), waits: waits(tickMs) },
    ...(existsSync(join(folder, 'shop.sqlite')) && { form: null }),
    ...change,
  });
  opened.push(shop as Shop & AsyncDisposable); // as it was opened
  return shop;
}

const backUp = async (service: BackupService) => {
  const { success, s3Uploaded, filename = '' } = await service.performBackup();
  expect(success).toBe(true);
  return { s3Uploaded, filename };
};

const writers = async () => (await keysOf(store, 'writer/')).map((key) => key.slice('writer/'.length));
const beatNames = async () => (await writers()).filter((name) => name.startsWith('beat-'));
/** How often that heartbeat was renewed. */
const beatsOf = async (name: string): Promise<number> => JSON.parse(await textOf(store, `writer/${name}`)).beats;
const epochs = async () =>
  (await writers()).filter((name) => /^\d/.test(name)).map((name) => name.replace('.json', ''));

async function until<Value>(ask: () => Promise<Value> | Value, fits: (value: Value) => boolean): Promise<Value> {
  for (;;) {
    const value = await ask();
    if (fits(value)) return value;
    await Bun.sleep(50);
  }
}

const placeOf = async (service: BackupService) =>
  (await service.getStatus()).places.find(({ target }) => target === 's3') ?? expect.unreachable('no such place');

test('staging with a copy of production’s environment goes on locally, and says who writes there', async () => {
  const production = machine({ tickMs: LONG_TICK_MS });
  // It looks again in ten minutes, however long the test takes.
  const staging = machine({ tickMs: LONG_TICK_MS });
  const first = await backUp(production.service);
  expect(first.s3Uploaded).toBe(true);
  const before = await storedKeys(store);

  expect((await backUp(staging.service)).s3Uploaded).toBe(false);
  const status = await staging.service.getStatus();
  expect(status.verdict).toMatchObject({ code: 'other-writer', tone: 'amber' });
  expect(status.freshness).toMatchObject({ state: 'at-risk', cause: 'other-writer' });
  expect(status.s3).toMatchObject({ waiting: 1, error: { code: 'PLACE_TAKEN' } });
  expect(await placeOf(staging.service)).toMatchObject({ writer: { kind: 'other' }, sparesOthersUntil: null });
  expect(staging.log).toContainEqual(expect.stringContaining('Not uploaded to S3'));
  const { findings } = await staging.service.diagnose();
  expect(findings.find(({ code }) => code === 'writers')).toMatchObject({ severity: 'problem' });
  await expect(staging.service.prune({ target: 's3' })).rejects.toMatchObject({ code: 'PLACE_TAKEN' });

  // Until the next look nothing is even tried.
  const jobs = staging.service.getRuns({ kind: 'upload' }).length;
  expect((await backUp(staging.service)).s3Uploaded).toBe(false);
  expect(staging.service.getRuns({ kind: 'upload' }).length).toBe(jobs);
  expect(await storedKeys(store)).toEqual(before);

  expect((await production.service.getStatus()).verdict.code).toBe('protected');
  expect((await backUp(production.service)).s3Uploaded).toBe(true);
});

test('when the writer ends, the other machine takes over by itself, and removes nothing that it did not make', async () => {
  const production = machine({ tickMs: LONG_TICK_MS });
  const staging = machine();
  const events: ServiceEvent[] = [];
  staging.service.on((event) => events.push(event));
  for (let count = 0; count < 2; count++) await backUp(production.service);
  const made = await storedKeys(store);
  const waiting = await backUp(staging.service);
  expect(waiting.s3Uploaded).toBe(false);

  await production.service.close();
  await until(
    () => storedKeys(store),
    (keys) => keys.includes(`${waiting.filename}.json`),
  );
  await until(
    () => events,
    (heard) => heard.some(({ type }) => type === 'takeover'),
  );
  const takeover = events.find((event) => event.type === 'takeover');
  expect(takeover).toMatchObject({ target: 's3', from: { wasReleased: true } });
  expect(staging.log).toContainEqual(expect.stringMatching(/^warn: Took s3:.* over from .*, which released it/));

  // Two are to be kept; that is more than two.
  for (let count = 0; count < 2; count++) expect((await backUp(staging.service)).s3Uploaded).toBe(true);
  expect(await storedKeys(store)).toEqual(expect.arrayContaining(made));
  const { writer, sparesOthersUntil } = await placeOf(staging.service);
  expect([writer, Math.round(((sparesOthersUntil?.getTime() ?? 0) - Date.now()) / 86_400_000)]).toEqual([null, 7]);
  const { removed } = await staging.service.prune({ target: 's3', dryRun: true });
  expect(removed.filter(({ filename }) => made.includes(filename))).toEqual([]);
  expect(await epochs()).toEqual(['0000000001', '0000000001.released', '0000000002']);
});

test('an S3 that does not answer at the stop is not waited for; the place is free after three ticks', async () => {
  const production = machine();
  const staging = machine({ tickMs: LONG_TICK_MS });
  await backUp(production.service);
  server.faults.push({ match: /^PUT .*released/, effect: 'stall' });
  const startedMs = performance.now();
  await production.service.stop();
  // Half of what a request may take.
  expect(performance.now() - startedMs).toBeLessThan(30_000);
  expect(production.log).toContainEqual(expect.stringContaining('did not answer in time'));
  server.faults.length = 0;

  // It was waited for longer than three ticks.
  expect((await backUp(staging.service)).s3Uploaded).toBe(true);
  expect(staging.log).toContainEqual(expect.stringMatching(/over from .*, which had been silent since 20/));

  // Production comes back: staging lives, so it stops there, and says so.
  const back = production.again({ waits: waits(LONG_TICK_MS) });
  back.start();
  expect((await backUp(back)).s3Uploaded).toBe(false);
  expect((await back.getStatus()).verdict.code).toBe('other-writer');

  // It is the same database, and a person says that production is to go on.
  expect(await back.claim({ target: 's3' })).toMatchObject({ changed: false });
  await until(
    async () => (await back.getStatus()).s3.waiting,
    (count) => count === 0,
  );
  expect((await back.getStatus()).verdict.code).toBe('protected');
  expect((await backUp(staging.service)).s3Uploaded).toBe(false);
  expect((await staging.service.getStatus()).verdict.code).toBe('other-writer');
});

test('a writer gives a sign of life with each tick, also when nothing changes, and takes it back at its end', async () => {
  const production = machine({ tickMs: BEATING_TICK_MS });
  await backUp(production.service);
  const [beat = ''] = await until(beatNames, (names) => names.length > 0);
  const counted = await beatsOf(beat);
  await until(
    () => beatsOf(beat),
    (now) => now >= counted + 4,
  );
  const path = installationPath(join(production.backups, '../state.sqlite'));
  const { places = {} } = readInstallation(path) ?? {};
  expect(places[addressOf({ kind: 's3', ...s3() }, prefix)]?.beats).toBeGreaterThanOrEqual(counted + 4);

  // More than three ticks after it took the place.
  const staging = machine({ tickMs: LONG_TICK_MS });
  expect((await backUp(staging.service)).s3Uploaded).toBe(false);
  await production.service.close();
  expect(await beatNames()).toEqual([]);
});

test('a heartbeat that can not be renewed fails no run, and is told once', async () => {
  const production = machine();
  await backUp(production.service);
  server.faults.push({ match: /beat-/, effect: { status: 503, code: 'ServiceUnavailable' } });
  await until(
    () => production.log,
    (lines) => lines.some((line) => line.includes('could not be renewed')),
  );
  expect((await backUp(production.service)).s3Uploaded).toBe(true);
  await Bun.sleep(2 * TICK_MS);
  expect(production.log.filter((line) => line.includes('could not be renewed')).length).toBe(1);
});

test('an upload that takes long is no silence', async () => {
  const production = machine({ tickMs: BEATING_TICK_MS });
  const staging = machine({ tickMs: LONG_TICK_MS });
  const held = Promise.withResolvers<void>();
  server.faults.push({ match: /^PUT .*\.sqlite\?/, effect: { answerAfter: held.promise }, times: 1 });
  const uploading = backUp(production.service);
  const [beat = ''] = await until(beatNames, (names) => names.length > 0);
  await until(
    () => beatsOf(beat),
    (beats) => beats >= 4,
  );
  expect((await backUp(staging.service)).s3Uploaded).toBe(false);
  held.resolve();
  expect((await uploading).s3Uploaded).toBe(true);
});

test('a start that finds another writer noted looks again, also when nothing waits', async () => {
  const production = machine({ tickMs: LONG_TICK_MS });
  await backUp(production.service);
  const staging = machine();
  const { filename } = await backUp(staging.service);
  expect((await staging.service.getStatus()).verdict.code).toBe('other-writer');
  await staging.service.close();
  await production.service.close();
  const again = staging.again({ settings: settingsWith({ enabled: false, s3Enabled: true, s3Path: prefix }) });
  await again.deleteBackup(filename);
  expect((await placeOf(again)).writer).toMatchObject({ kind: 'other' });
  again.start();
  await until(
    async () => (await placeOf(again)).writer,
    (writer) => writer === null,
  );
});

test('many databases of one process renew one object in a bucket', async () => {
  const heartbeats = new Heartbeats();
  const paths = ['a', 'b', 'c'].map((name) => `${prefix}/${name}`);
  const fleet = paths.map((s3Path) => machine({ s3Path, heartbeats, tickMs: BEATING_TICK_MS }));
  for (const { service } of fleet) expect((await backUp(service)).s3Uploaded).toBe(true);
  server.requests.length = 0;
  const startedMs = performance.now();
  const renewals = await until(
    () => server.requests.filter(({ method, url }) => method === 'PUT' && url.includes('beat-')),
    (seen) => seen.length >= 3,
  );
  expect(new Set(renewals.map(({ url }) => url.replace(/\?.*/, ''))).size).toBe(1);
  // None is due before nine tenths of a tick have passed since the last.
  expect(renewals.length).toBeLessThanOrEqual(1 + (performance.now() - startedMs) / (0.9 * BEATING_TICK_MS));

  // Another machine sees by it that all of them live.
  const another = machine({ s3Path: paths[2] });
  expect((await backUp(another.service)).s3Uploaded).toBe(false);
  await fleet[0]?.service.close();
  expect((await backUp(another.service)).s3Uploaded).toBe(false);
  await fleet[2]?.service.close();
  await until(
    async () => (await another.service.getStatus()).s3.waiting,
    (count) => count === 0,
  );
});

test('the databases of a configuration have one heartbeat', async () => {
  const folder = newFolder();
  for (const name of ['a', 'b']) makeDatabase(join(folder, `${name}.sqlite`));
  const { endpoint, accessKeyId: accessKey, secretAccessKey: secretKey } = server;
  await using guard = await createBackups(
    {
      ...{ localPath: join(folder, 'backups'), statePath: join(folder, 'state.sqlite'), enabled: false },
      s3: { enabled: true, path: prefix, bucket: BUCKET, endpoint, accessKey, secretKey },
      databases: ['a', 'b'].map((name) => ({ path: join(folder, `${name}.sqlite`) })),
    },
    { env: { PATH: process.env['PATH'] }, write: () => {} },
  ).then((made) => Object.assign(made, { [Symbol.asyncDispose]: () => made.close() }));
  for (const { service } of guard.databases) expect((await service.performBackup()).s3Uploaded).toBe(true);
  const keys = (await keysOf(store)).filter((key) => key.endsWith('writer/0000000001.json'));
  const named = await Promise.all(keys.map(async (key) => JSON.parse(await textOf(store, key)).beat));
  expect([keys.length, new Set(named).size]).toEqual([2, 1]);
});

test('the command line writes under the running service, and leaves it the place', async () => {
  const production = machine({ tickMs: LONG_TICK_MS });
  const { service } = production;
  service.start();
  await until(epochs, (names) => names.length > 0);
  await until(
    async () => (await service.getStatus()).s3.stored,
    (count) => count === 1,
  );
  const commandLine = production.again();
  expect((await backUp(commandLine)).s3Uploaded).toBe(true);
  await commandLine.close();
  expect(await epochs()).toEqual(['0000000001']);
  expect((await backUp(service)).s3Uploaded).toBe(true);
  await service.stop();
  expect(await epochs()).toEqual(['0000000001', '0000000001.released']);

  // Each start takes an epoch of its own.
  service.start();
  await until(epochs, (names) => names.includes('0000000002'));
});

test('a run of the command line takes the place, gives it back, and ends', async () => {
  const folder = newFolder();
  makeDatabase(join(folder, 'app.sqlite'));
  const env = s3Environment(folder, server, { bucket: BUCKET, prefix, extra: { BACKUP_RETENTION_COUNT: '2' } });
  const statePath = resolve(folder, env['BACKUP_STATE_PATH'] ?? '');
  knowDatabase(databaseId, { statePath, databasePath: join(folder, 'app.sqlite') });
  const run = async (...argv: string[]) => {
    const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv], {
      ...{ cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
      env: env as Record<string, string>, // all of them are set
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
    const [code] = (await once(child, 'close')) as [number];
    return { code, output };
  };
  for (let count = 0; count < 2; count++) expect((await run('backup')).code).toBe(0);
  expect(await epochs()).toEqual(['0000000001', '0000000001.released', '0000000002', '0000000002.released']);

  const other = machine({ tickMs: LONG_TICK_MS });
  await backUp(other.service);
  const refused = await run('backup');
  expect([refused.code, refused.output]).toEqual([5, expect.stringContaining('writing to')]);
  const status = await run('status');
  expect([status.code, status.output]).toEqual([5, expect.stringMatching(/^writer +S3: .* writes there since /m)]);
  const pruned = await run('prune', '--target', 's3');
  expect(pruned.output).not.toContain('removed backup-');

  // What does not answer at the end holds up no exit.
  await other.service.close();
  server.faults.push({ match: /^PUT .*released/, effect: 'stall' });
  const startedMs = performance.now();
  expect((await run('backup')).code).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(50_000);
});

test('a clone of the machine stops while the original lives, and both say so', async () => {
  const folder = newFolder();
  const original = machine({ folder, tickMs: BEATING_TICK_MS });
  await backUp(original.service);
  const copied = newFolder();
  cpSync(folder, copied, { recursive: true });
  const { places = {} } = readInstallation(installationPath(join(copied, 'state.sqlite'))) ?? {};
  const { beats = 0 } = places[addressOf({ kind: 's3', ...s3() }, prefix)] ?? {};
  const [beat = ''] = await until(beatNames, (names) => names.length > 0);
  await until(
    () => beatsOf(beat),
    (now) => now > beats,
  );

  const clone = machine({ folder: copied, tickMs: LONG_TICK_MS });
  // Here it lies at another path; on a machine of its own it would not.
  await clone.service.claim();
  expect((await backUp(clone.service)).s3Uploaded).toBe(false);
  const status = await clone.service.getStatus();
  expect([status.verdict.code, status.s3.error?.code]).toEqual(['cloned', 'CLONED']);
  expect((await backUp(original.service)).s3Uploaded).toBe(true);
  expect((await original.service.getStatus()).verdict).toMatchObject({ code: 'cloned', tone: 'amber' });
  expect(original.log).toContainEqual(expect.stringMatching(/^warn: A machine with the id of this one/));
});

test('with another path the old place is given back, and without S3 the new one', async () => {
  const { service } = machine();
  await backUp(service);
  service.start();
  service.updateConfig({ s3Path: `${prefix}-moved` });
  await until(epochs, (names) => names.includes('0000000001.released'));
  expect((await backUp(service)).s3Uploaded).toBe(true);
  service.updateConfig({ s3Enabled: false });
  const moved = createS3Store({ ...server, bucket: BUCKET, prefix: `${prefix}-moved` });
  await until(
    () => keysOf(moved, 'writer/'),
    (keys) => keys.includes('writer/0000000001.released.json'),
  );
  moved.close();
});

test('whoever only looks writes nothing: no epoch, no knock, no file of the installation', async () => {
  const production = machine();
  await backUp(production.service);
  const before = await writers();
  const folder = newFolder();
  const reader = machine({ folder, isKnown: false });
  server.requests.length = 0;
  await reader.service.getBackups({ target: 's3' });
  await reader.service.getStatus();
  await reader.service.prune({ target: 's3', dryRun: true });
  await reader.service.close();
  const ours = server.requests.filter(
    ({ method, url }) => method !== 'GET' && method !== 'HEAD' && !url.includes('beat-'),
  );
  expect(ours.map(({ method, url }) => `${method} ${url}`)).toEqual([]);
  expect(existsSync(installationPath(join(folder, 'state.sqlite')))).toBe(false);
  expect((await writers()).filter((name) => !name.startsWith('beat-'))).toEqual(
    before.filter((name) => !name.startsWith('beat-')),
  );
});

test('a service that never wrote ends without a request', async () => {
  const { service } = machine();
  await service.getStatus();
  await service.close();
  expect(server.requests).toEqual([]);
});

test('the token and the file of the installation are private', async () => {
  const production = machine();
  await backUp(production.service);
  const path = installationPath(join(production.backups, '../state.sqlite'));
  expect((await Bun.file(path).stat()).mode & 0o777).toBe(0o600);
  const { token } = JSON.parse(await textOf(store, 'writer/0000000001.json'));
  expect(readFileSync(path, 'utf8')).toContain(token);
  const shown = [production.log, await production.service.getStatus(), production.service.getRuns()];
  expect(JSON.stringify(shown)).not.toContain(token);
});
