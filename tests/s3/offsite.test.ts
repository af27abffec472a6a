/** Backups that come back from S3: on an empty machine, after cuts and kills, and what is refused on the way. */
import { beforeEach, expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { loadEnvironment } from '../../src/config/env.ts';
import { formatManifest, type Manifest, parseManifest } from '../../src/engine/format/manifest.ts';
import type { JobMessage } from '../../src/engine/process/protocol.ts';
import { runJob } from '../../src/engine/process/run-job.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { createService, createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import type { RunProgress } from '../../src/service/model.ts';
import { judgeBank, makeBank } from '../support/bank.ts';
import { keysOf, storedKeys } from '../support/objects.ts';
import { s3Environment, s3Variables } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, refusal, scratchFolders } from '../support/scratch.ts';
import type { FetchRequest } from '../../src/engine/stories/fetch.ts';

const BUCKET = 'my-backups';
const PREFIX = 'offsite';
const MIB = 1024 * 1024;
const newFolder = scratchFolders();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const jobPath = fileURLToPath(new URL('../../src/engine/process/job-main.ts', import.meta.url));
const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);
const sealed = { BACKUP_COMPRESSION: 'zstd', BACKUP_ENCRYPTION_RECIPIENT: recipient };

const { server, store } = await openBucket(BUCKET, PREFIX);
let folder: string;

beforeEach(async () => {
  server.faults.length = 0;
  await store.deleteMany(await keysOf(store));
  folder = newFolder();
  makeBank(join(folder, 'app.sqlite'), { sizeBytes: 12 * MIB });
});

const place = { bucket: BUCKET, prefix: PREFIX };
const onlyS3 = () => s3Variables(server, place);
const variables = (extra: Record<string, string>) => s3Environment(folder, server, { ...place, extra });

/** The environment of another process of this installation. */
const environmentOf = (extra: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables(extra)).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );

function openService(environment: Record<string, string> = {}) {
  const lines: string[] = [];
  const service = createServiceFromEnvironment({ env: variables(environment), write: (line) => lines.push(line) });
  return { service, lines, [Symbol.asyncDispose]: () => service.close() };
}

/** Makes a backup, uploads it, and answers its name. */
async function backUp(environment: Record<string, string> = {}): Promise<string> {
  await using opened = openService(environment);
  const { filename = '', s3Uploaded } = await opened.service.performBackup();
  expect(s3Uploaded).toBe(true);
  return filename;
}

/** What a lost disk leaves: the bucket. */
function loseEverything(): void {
  for (const entry of readdirSync(folder)) rmSync(join(folder, entry), { recursive: true });
}

const remoteNames = () => storedKeys(store);

async function changeManifest(name: string, change: (manifest: Manifest) => object): Promise<void> {
  const bytes = await getBytes(store, `${name}.json`, { limitBytes: MIB });
  const manifest = parseManifest(new TextDecoder().decode(bytes), name);
  await store.put(`${name}.json`, one(formatManifest(change(manifest) as Manifest)));
}

async function* one(content: string | Uint8Array) {
  yield typeof content === 'string' ? new TextEncoder().encode(content) : content;
}

/** The program itself, in a folder of its own, with no more than these variables. */
async function cli(
  argv: string,
  environment: Record<string, string> = onlyS3(),
  onStarted: (child: ChildProcess) => void = () => {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv.split(' ')], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onStarted(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

/** Bytes of artifacts that were asked for, as the ranges say it. */
function rangesAsked(): readonly string[] {
  return server.requests
    .filter(({ method, url }) => method === 'GET' && /\.sqlite(\.zst)?(\.age)?\?x-id=GetObject/.test(url))
    .map(({ headers }) => String(headers['range'] ?? 'all'));
}

/** Everything below the folder, except our own state. */
function filesLeft(): readonly string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('velist-backup.sqlite'))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

test('on an empty machine one command brings the newest good backup back from S3', async () => {
  const first = await backUp();
  ask(join(folder, 'app.sqlite'), "INSERT INTO log VALUES (2, 'later') RETURNING id");
  const second = await backUp();
  loseEverything();

  const listed = await cli('list --target s3 --json');
  expect(listed.code).toBe(0);
  const { backups } = JSON.parse(listed.stdout);
  expect(backups.map(({ filename }: { filename: string }) => filename)).toEqual([second, first]);
  expect(backups[0].placements).toEqual([
    {
      ...{ target: 's3', status: 'stored', at: expect.any(String), error: null, sealing: 'plain' },
      ...{ where: `s3://my-backups/offsite/${second}`, sizeBytes: backups[0].size },
    },
  ]);

  const restored = await cli('restore latest --from s3 --to back/app.sqlite');
  expect([restored.stderr, restored.code]).toEqual(['', 0]);
  expect(restored.stdout).toBe(`Restored ${second} to back/app.sqlite\n`);
  expect(judgeBank(join(folder, 'back/app.sqlite'))).toEqual({ complaint: null, transactions: 2 });
  expect(statSync(join(folder, 'back/app.sqlite')).mode & 0o777).toBe(0o600);
  expect(filesLeft()).toEqual(['back/app.sqlite']);

  const again = await cli('restore latest --from s3 --to back/app.sqlite --json');
  expect([again.code, JSON.parse(again.stdout).error.code]).toEqual([2, 'TARGET_EXISTS']);
  const byName = await cli(`restore ${first} --from s3`);
  expect([byName.stderr, byName.code]).toEqual(['', 0]);
  const beside = readdirSync(join(folder, 'db'));
  expect(beside).toEqual([expect.stringMatching(/^dev\.restored-.*\.sqlite$/)]);
  expect(judgeBank(join(folder, 'db', beside[0] ?? '')).transactions).toBe(1);
});

test('with --in-place the database is put back where there is none', async () => {
  await backUp();
  loseEverything();
  const restored = await cli('restore latest --from s3 --in-place', {
    ...onlyS3(),
    DATABASE_URL: join(folder, 'db', 'app.sqlite'),
  });
  expect([restored.code, restored.stdout]).toEqual([0, expect.stringContaining('Restored backup-')]);
  expect(judgeBank(join(folder, 'db', 'app.sqlite')).complaint).toBeNull();
  expect(filesLeft().filter((file) => /\.(part|etag|opened)$|fetch/.test(file))).toEqual([]);
});

test('a sealed backup comes back with the identity file, and without it says which command restores it', async () => {
  const name = await backUp(sealed);
  loseEverything();
  writeFileSync(join(folder, 'key.txt'), `# created: today\n# public key: ${recipient}\n${identity}\n`);
  writeFileSync(join(folder, 'other.txt'), `${await generateIdentity()}\n`);

  expect((await cli('list --target s3')).stdout).toContain('s3 (zstd+age)');
  server.requests.length = 0;
  const without = await cli('restore latest --from s3 --to back.sqlite');
  expect(without.code).toBe(2);
  expect(without.stderr).toContain(`${name} is encrypted on S3, and the private key is not on this server`);
  expect(without.stderr).toContain(`velist-backup restore ${name} --from s3 --to restored.sqlite --identity key.txt`);
  expect(rangesAsked()).toEqual([]);

  const wrong = await cli('restore latest --from s3 --to back.sqlite --identity other.txt');
  expect([wrong.code, existsSync(join(folder, 'back.sqlite'))]).toEqual([2, false]);
  expect(wrong.stderr).toContain('does not open this backup');
  server.requests.length = 0;
  const right = await cli('restore latest --from s3 --to back.sqlite --identity key.txt');
  expect([right.stderr, right.code]).toEqual(['', 0]);
  // It was downloaded by the try with the wrong key.
  expect(rangesAsked()).toEqual([]);
  expect(judgeBank(join(folder, 'back.sqlite')).complaint).toBeNull();
  expect(filesLeft()).toEqual(['back.sqlite', 'key.txt', 'other.txt']);
  const nobody = await cli('restore latest --from s3 --to x.sqlite --identity nowhere.txt');
  expect(nobody.stderr).toContain("the identity file nowhere.txt can't be read");
});

test('a download that is cut again and again goes on where it was, and is whole', async () => {
  await backUp();
  loseEverything();
  server.faults.push({ match: /GET .*\.sqlite\?x-id=GetObject/, effect: { cutAfterBytes: 5 * MIB }, times: 2 });
  server.requests.length = 0;
  const restored = await cli('restore latest --from s3 --to back.sqlite');
  expect([restored.stderr, restored.code]).toEqual(['', 0]);
  expect(judgeBank(join(folder, 'back.sqlite')).complaint).toBeNull();
  const asked = rangesAsked();
  expect(asked[0]).toBe('all');
  expect(asked.length).toBe(3);
  expect(Number(/bytes=(\d+)-/.exec(asked[2] ?? '')?.[1])).toBeGreaterThan(5 * MIB);
});

test('a server that goes away in the middle for longer than its retries is waited for', async () => {
  await backUp();
  loseEverything();
  server.faults.push(
    { match: /GET .*\.sqlite\?x-id=GetObject/, effect: { cutAfterBytes: 5 * MIB }, times: 1 },
    { match: /GET .*\.sqlite\?x-id=GetObject/, effect: { status: 500 }, times: 6 },
  );
  const restored = await cli('restore latest --from s3 --to back.sqlite');
  expect([restored.stderr, restored.code]).toEqual(['', 0]);
  expect(judgeBank(join(folder, 'back.sqlite')).complaint).toBeNull();
});

/** By which an unfinished download is called. */
async function digestOf(name: string): Promise<string> {
  const bytes = await getBytes(store, `${name}.json`, { limitBytes: MIB });
  return parseManifest(new TextDecoder().decode(bytes), name).artifact.sha256;
}

/** A fetch in a process of its own; resolves with the process when so many bytes have come. */
async function beginFetch(name: string, to: string, { bytes }: { bytes: number }) {
  const request: FetchRequest = {
    ...{ kind: 'fetch', target: 's3', name, prefix: PREFIX, identities: [], lockWaitMs: 5_000 },
    access: { kind: 's3', ...server, bucket: BUCKET },
    staging: join(folder, '.velist-backup-fetch'),
    to,
  };
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', jobPath], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.write(`${JSON.stringify(request)}\n`);
  for await (const line of createInterface({ input: child.stdout })) {
    const message = JSON.parse(line) as JobMessage;
    if (message.type === 'error') throw new Error(message.error.message);
    if (message.type === 'bytes' && message.done >= bytes) break;
  }
  return child;
}

test('a killed download goes on behind its last byte; of another object it begins anew', async () => {
  const name = await backUp();
  const sizeBytes = statSync(join(folder, 'backups', name)).size;
  loseEverything();
  server.faults.push({ match: /GET .*\.sqlite\?x-id=GetObject/, effect: { stallAfterBytes: 6 * MIB }, times: 1 });
  const killed = await beginFetch(name, join(folder, 'back.sqlite'), { bytes: 5 * MIB });
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  expect(existsSync(join(folder, 'back.sqlite'))).toBe(false);
  const [partial = ''] = filesLeft().filter((file) => file.endsWith('.part'));
  const haveBytes = statSync(join(folder, partial)).size;
  expect(haveBytes).toBeGreaterThanOrEqual(5 * MIB);

  server.requests.length = 0;
  const restored = await cli('restore latest --from s3 --to back.sqlite');
  expect([restored.stderr, restored.code]).toEqual(['', 0]);
  expect(rangesAsked()).toEqual([`bytes=${haveBytes}-`]);
  expect(statSync(join(folder, 'back.sqlite')).size).toBe(sizeBytes);
  expect(judgeBank(join(folder, 'back.sqlite')).complaint).toBeNull();
  expect(filesLeft()).toEqual(['back.sqlite']);

  // What lies there is of another object: of it nothing is taken.
  mkdirSync(join(folder, '.velist-backup-fetch'));
  writeFileSync(join(folder, '.velist-backup-fetch', `${await digestOf(name)}.part`), Buffer.alloc(3 * MIB));
  writeFileSync(join(folder, '.velist-backup-fetch', `${await digestOf(name)}.part.etag`), '"of something else"');
  server.requests.length = 0;
  expect((await cli('restore latest --from s3 --to anew.sqlite')).code).toBe(0);
  expect(rangesAsked()).toEqual(['all']);
  expect(judgeBank(join(folder, 'anew.sqlite')).complaint).toBeNull();
});

test('an interrupt ends the command, and the next one goes on behind the last byte', async () => {
  await backUp();
  loseEverything();
  server.faults.push({ match: /GET .*\.sqlite\?x-id=GetObject/, effect: { stallAfterBytes: 6 * MIB }, times: 1 });
  const staged = () => filesLeft().find((file) => file.endsWith('.part'));
  const haveBytes = () => statSync(join(folder, staged() ?? '.')).size;
  const interrupted = await cli('restore latest --from s3 --to back.sqlite', onlyS3(), async (child) => {
    while (!staged() || haveBytes() < 5 * MIB) await Bun.sleep(20);
    child.kill('SIGINT');
  });
  expect([interrupted.code, existsSync(join(folder, 'back.sqlite'))]).toEqual([130, false]);
  const kept = haveBytes();
  server.requests.length = 0;
  expect((await cli('restore latest --from s3 --to back.sqlite')).code).toBe(0);
  expect(rangesAsked()).toEqual([`bytes=${kept}-`]);
});

test('a first half that a power cut spoiled is found by the digest, and everything is downloaded once more', async () => {
  const name = await backUp();
  loseEverything();
  const head = await store.head(name);
  mkdirSync(join(folder, '.velist-backup-fetch'));
  writeFileSync(join(folder, '.velist-backup-fetch', `${await digestOf(name)}.part`), Buffer.alloc(3 * MIB));
  writeFileSync(join(folder, '.velist-backup-fetch', `${await digestOf(name)}.part.etag`), head?.etag ?? '');
  server.requests.length = 0;
  expect((await cli('restore latest --from s3 --to back.sqlite')).code).toBe(0);
  expect(rangesAsked()).toEqual([`bytes=${3 * MIB}-`, 'all']);
  expect(judgeBank(join(folder, 'back.sqlite')).complaint).toBeNull();
});

test('an object that was altered is refused by its digest, and nothing is placed', async () => {
  for (const compression of ['none', 'zstd']) {
    const name = await backUp({ BACKUP_COMPRESSION: compression });
    const file = (await remoteNames()).find((key) => key.startsWith(name) && !key.endsWith('.json')) ?? '';
    const bytes = Buffer.from(await getBytes(store, file, { limitBytes: 64 * MIB }));
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await store.put(file, one(bytes));
    const refused = await cli(`restore ${name} --from s3 --to back.sqlite`);
    expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining('its digest differs')]);
    expect(existsSync(join(folder, 'back.sqlite'))).toBe(false);
    expect(filesLeft().filter((entry) => entry.startsWith('.velist-backup-fetch'))).toEqual([]);
    const verified = await cli(`verify ${name} --from s3`);
    expect([verified.code, verified.stdout]).toEqual([4, expect.stringContaining('its digest differs')]);
    await store.deleteMany(await keysOf(store));
  }
});

test('a manifest that promises another database than its artifact holds is refused', async () => {
  const name = await backUp({ BACKUP_COMPRESSION: 'zstd' });
  loseEverything();
  await changeManifest(name, (manifest) => ({
    ...manifest,
    database: { ...manifest.database, sizeBytes: 4096, pages: 1 },
  }));
  const refused = await cli('restore latest --from s3 --to back.sqlite');
  expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining('does not open to the database')]);
  expect(filesLeft()).toEqual([]);
});

test('manifests that are unreadable, point elsewhere or have lost their file are shown as faults, and hide no other', async () => {
  const good = await backUp();
  const names = [1, 2, 3].map((day) => `backup-2001-01-0${day}T00-00-00-000Z.sqlite`);
  const bytes = await getBytes(store, `${good}.json`, { limitBytes: MIB });
  const manifest = parseManifest(new TextDecoder().decode(bytes), good);
  await store.put(`${names[0]}.json`, one('not JSON'));
  await store.put('precious.sqlite', one('mine'));
  const elsewhere = { ...manifest, name: names[1], artifact: { ...manifest.artifact, file: 'precious.sqlite' } };
  await store.put(`${names[1]}.json`, one(JSON.stringify(elsewhere)));
  const lost = { ...manifest, name: names[2], sequence: 3, artifact: { ...manifest.artifact, file: names[2] } };
  await store.put(`${names[2]}.json`, one(JSON.stringify(lost)));
  await store.put('backup-2001-02-01T00-00-00-000Z.sqlite', one('no manifest: no backup'));

  await using opened = openService();
  const backups = await opened.service.getBackups({ target: 's3' });
  expect(backups.map(({ filename, verified, foreign }) => [filename, verified, foreign])).toEqual([
    [good, true, false],
    ...[...names].reverse().map((name) => [name, false, false] as [string, boolean, boolean]),
  ]);
  expect(backups.slice(1).map(({ placements }) => placements.at(-1)?.error?.message)).toEqual([
    'on S3: its file is not there',
    expect.stringContaining('artifact.file: names another'),
    expect.stringContaining('is not JSON'),
  ]);
  expect((await opened.service.getStatus()).s3).toMatchObject({ stored: 1, waiting: 0 });
  const status = await refusal(() => opened.service.restore(names[1] ?? '', { mode: 'file' }));
  expect(status.code).toBe('BAD_BACKUP');
});

test('a listing reads each manifest once', async () => {
  await backUp();
  const name = await backUp();
  await using opened = openService();
  await opened.service.getBackups({ target: 's3' });
  const manifestsRead = () =>
    server.requests.filter(({ method, url }) => method === 'GET' && /backup-.*\.json\?/.test(url)).length;
  server.requests.length = 0;
  await opened.service.getBackups({ target: 's3' });
  expect(manifestsRead()).toBe(0);
  await changeManifest(name, (manifest) => ({ ...manifest, note: 'changed by hand' }));
  server.requests.length = 0;
  const [newest] = await opened.service.getBackups({ target: 's3' });
  expect([newest?.note, manifestsRead()]).toEqual(['changed by hand', 1]);
});

function killOwnJobs(): void {
  const children = spawnSync('ps', ['--ppid', String(process.pid), '-o', 'pid=,args='])
    .stdout.toString()
    .split('\n');
  for (const line of children) if (line.includes('job-main')) process.kill(Number.parseInt(line, 10), 'SIGKILL');
}

test('a listing of many backups comes whole, newest first, and holds no page up', async () => {
  const name = await backUp();
  const bytes = await getBytes(store, `${name}.json`, { limitBytes: MIB });
  const manifest = parseManifest(new TextDecoder().decode(bytes), name);
  const many = Array.from({ length: 600 }, (_, index) => {
    const old = `${new Date(Date.UTC(2001, 0, 1, index)).toISOString().replaceAll(':', '-').replace('.', '-')}`;
    const artifact = { ...manifest.artifact, file: `backup-${old}.sqlite`, sizeBytes: 1 };
    const database = { ...manifest.database, sizeBytes: 1 };
    return {
      ...manifest,
      name: `backup-${old}.sqlite`,
      sequence: index + 1,
      note: 'x'.repeat(2_000),
      artifact,
      database,
    };
  });
  for (let at = 0; at < many.length; at += 20) {
    await Promise.all(
      many
        .slice(at, at + 20)
        .flatMap((one_) => [store.put(`${one_.name}.json`, one(JSON.stringify(one_))), store.put(one_.name, one('x'))]),
    );
  }
  await using opened = openService();
  const { service } = opened;
  const listed = await service.getBackups({ target: 's3' });
  expect(listed.map(({ filename }) => filename)).toEqual([name, ...many.map((other) => other.name).reverse()]);

  // A job that is killed in the middle of its long answer has died, and nothing else has.
  server.requests.length = 0;
  const request = {
    kind: 'list-remote',
    prefix: PREFIX,
    known: [],
    access: { kind: 's3', ...server, bucket: BUCKET },
  } as const;
  const torn = refusal(() => runJob<'list-remote'>(request, { environment: { PATH: process.env['PATH'] ?? '' } }));
  while (server.requests.filter(({ url, status }) => /backup-[^?]*\.json\?/.test(url) && status === 200).length < 601)
    await Bun.sleep(10);
  // We read nothing meanwhile, so the job waits with half of its line written.
  Bun.sleepSync(2_000);
  killOwnJobs();
  expect((await torn).code).toBe('JOB_DIED');

  // S3 stands still: what is known answers.
  server.faults.push({ match: /./, effect: 'stall' });
  let hasListed = false;
  const listing = service
    .getBackups({ target: 's3' })
    .catch(() => {})
    .finally(() => (hasListed = true));
  expect((await service.getBackups()).length).toBe(601);
  expect((await service.getStatus()).s3.stored).toBe(601);
  expect(hasListed).toBe(false);
  await service.stop();
  await listing;
});

test('a backup at S3 alone is listed, downloaded, verified, planned, restored and undone', async () => {
  const name = await backUp();
  const bytes = readFileSync(join(folder, 'backups', name));
  ask(join(folder, 'app.sqlite'), "INSERT INTO log VALUES (2, 'later') RETURNING id");
  const later = await backUp();
  await using opened = openService();
  const { service } = opened;
  for (const filename of [name, later]) await service.deleteBackup(filename, { target: 'local' });
  expect(readdirSync(join(folder, 'backups')).filter((entry) => entry.endsWith('.sqlite'))).toEqual([]);

  const listed = await service.getBackups();
  expect(listed.map(({ filename, size, verified }) => [filename, size > 12 * MIB, verified])).toEqual([
    [later, true, true],
    [name, true, true],
  ]);
  expect(listed.map(({ placements }) => placements.map(({ target, status }) => `${target} ${status}`))).toEqual([
    ['s3 stored'],
    ['s3 stored'],
  ]);
  const status = await service.getStatus();
  expect(status.s3).toMatchObject({ stored: 2, waiting: 0, error: null, listedAt: expect.any(Date) });
  expect([status.local.count, status.lastGood?.filename]).toEqual([0, later]);

  const runs: RunProgress[] = [];
  const stepsSeen = () => [...new Set(runs.flatMap(({ steps }) => steps.map((step) => step.name)))];
  service.on((event) => event.type === 'progress' && runs.push(event.run));
  const download = await service.openBackup(name);
  expect([download.sizeBytes, download.etag]).toEqual([bytes.length, `"${listed[1]?.sha256}-${bytes.length}"`]);
  const received = await new Response(download.stream(0, download.sizeBytes - 1)).bytes();
  expect(Buffer.from(received).equals(bytes)).toBe(true);
  expect(stepsSeen()).toEqual(['fetch', 'check']);
  expect(runs.some(({ steps }) => (steps[0]?.bytesDone ?? 0) > 0)).toBe(true);

  runs.length = 0;
  server.requests.length = 0;
  const plan = await service.planRestore(name);
  expect(plan.tables?.find((table) => table.name === 'log')).toEqual({ name: 'log', now: 2, after: 1 });
  // It was downloaded a moment ago.
  expect(rangesAsked()).toEqual([]);
  const restored = await service.restore(name, { mode: 'online', expected: plan.expected });
  expect(ask(join(folder, 'app.sqlite'), 'SELECT max(id) FROM log')).toBe(1);
  expect(rangesAsked()).toEqual([]);

  const verified = await service.verifyBackup(name, { full: true });
  expect(verified).toMatchObject({ verified: true, verification: { state: 'verified', method: 'full' } });
  // A check proves what is at S3 now, not what was fetched from there.
  expect(rangesAsked()).toEqual(['all']);

  const safety = restored.safetyBackup ?? '';
  await service.performBackup();
  await service.deleteBackup(safety, { target: 'local' });
  expect((await service.getBackup(safety)).placements.map(({ target }) => target)).toEqual(['s3']);
  runs.length = 0;
  const undone = await service.undoRestore();
  expect(undone.backup).toBe(safety);
  expect(runs.at(-1)?.steps.map((step) => step.name)).toEqual(['fetch', 'check', 'safety', 'place', 'prove']);
  expect(ask(join(folder, 'app.sqlite'), 'SELECT max(id) FROM log')).toBe(2);

  await service.deleteBackup(name);
  expect((await refusal(() => service.getBackup(name))).code).toBe('GONE');
  expect((await remoteNames()).filter((key) => key.startsWith(name))).toEqual([]);
});

test('damage of a backup at S3 alone is found by verify and shown from then on', async () => {
  const name = await backUp();
  await using opened = openService();
  const { service } = opened;
  await service.deleteBackup(name, { target: 'local' });
  const bytes = Buffer.from(await getBytes(store, name, { limitBytes: 64 * MIB }));
  bytes[MIB] = (bytes[MIB] ?? 0) ^ 1;
  await store.put(name, one(bytes));
  expect((await service.verifyBackup(name)).verification).toMatchObject({ state: 'damaged' });
  // A pin rewrites the manifest there, and says nothing of the damage.
  await service.updateBackup(name, { pinned: true });
  await service.getBackups({ target: 's3' });
  expect(await service.getBackup(name)).toMatchObject({ pinned: true, verified: false });
  await using later = openService();
  expect((await later.service.getBackup(name)).verification.state).toBe('damaged');
});

test('a download of a sealed backup at S3 alone is refused with the command that restores it', async () => {
  const name = await backUp(sealed);
  await using opened = openService(sealed);
  await opened.service.deleteBackup(name, { target: 'local' });
  const refused = await refusal(() => opened.service.openBackup(name));
  expect(refused.code).toBe('BAD_REQUEST');
  expect(refused.message).toBe(`${name} is encrypted on S3, and the private key is not on this server`);
  expect(refused.hint).toContain('--from s3');
  const verified = await opened.service.verifyBackup(name, { identity: `${identity}\n` });
  expect(verified.verified).toBe(true);
});

test('pins hold at S3 too, also when they are set after the upload, and for a backup that is there alone', async () => {
  const [first, second] = [await backUp(), await backUp()];
  await using opened = openService({ BACKUP_S3_RETENTION_COUNT: '1' });
  const { service } = opened;
  await service.updateBackup(first, { pinned: true });
  await service.deleteBackup(second, { target: 'local' });
  await service.updateBackup(second, { pinned: true, note: 'keep this' });
  expect(await service.getBackup(second)).toMatchObject({ pinned: true, note: 'keep this' });
  const third = await service.performBackup();
  const fourth = await service.performBackup();
  const manifests = (await remoteNames()).filter((key) => key.endsWith('.json'));
  expect(manifests).toEqual([first, second, fourth.filename].map((name) => `${name}.json`));
  expect((await service.getBackup(third.filename ?? '')).placements.map(({ target }) => target)).toEqual(['local']);
});

test('what retention removes at S3, and what somebody deletes there, leaves one record each', async () => {
  const first = await backUp();
  await using opened = openService({ BACKUP_S3_RETENTION_COUNT: '1' });
  const { service } = opened;
  const { filename: second = '' } = await service.performBackup('ada');
  await service.deleteBackup(second, { target: 's3', user: 'ada' });
  expect(service.getAudit({ limit: 10 })).toMatchObject([
    { act: 'delete', subject: second, target: 's3', user: 'ada', via: 'library', result: 'done' },
    { act: 'retention', subject: first, target: 's3', user: null, via: 'service', result: 'done' },
  ]);
});

test('what retention can not remove is told by name, and the upload counts', async () => {
  const first = await backUp();
  await using opened = openService({ BACKUP_S3_RETENTION_COUNT: '1' });
  server.faults.push({ match: /DELETE/, effect: { status: 403, code: 'AccessDenied' } });
  const { s3Uploaded } = await opened.service.performBackup();
  expect(s3Uploaded).toBe(true);
  expect(opened.lines).toContainEqual(
    expect.stringContaining(`Not removed from S3 by retention: ${first}: S3 refused the key`),
  );
  server.faults.length = 0;
  // As a locked bucket does it: the deletion is answered well, and the object is there.
  server.faults.push({ match: /DELETE/, effect: { status: 204 } });
  expect((await opened.service.performBackup()).s3Uploaded).toBe(true);
  expect(opened.lines).toContainEqual(expect.stringContaining(`${first} is still in bucket "my-backups"`));
  const pruned = await opened.service.prune({ target: 's3' });
  expect([pruned.removed, pruned.kept.find(({ filename }) => filename === first)?.reasons]).toEqual([
    [],
    [expect.stringContaining('could not be')],
  ]);
  const typed = await cli('prune --target s3', environmentOf({ BACKUP_S3_RETENTION_COUNT: '1' }));
  expect([typed.code, typed.stdout]).toEqual([1, expect.stringContaining(`KEPT    ${first} (was to be removed`)]);
  expect((await opened.service.getStatus()).s3).toMatchObject({ waiting: 0, error: null });
});

test('a removal that was cut leaves a fault that nobody restores, and the next run ends it', async () => {
  const first = await backUp();
  await store.delete(first);
  await using opened = openService({ BACKUP_S3_RETENTION_COUNT: '1' });
  const [item] = await opened.service.getBackups({ target: 's3' });
  expect([item?.filename, item?.verified]).toEqual([first, false]);
  await opened.service.deleteBackup(first, { target: 'local' });
  await opened.service.performBackup();
  expect((await remoteNames()).filter((key) => key.startsWith(first))).toEqual([]);
});

test('S3 that was away for a while gets what waited, oldest first, after a restart too; the state says how long', async () => {
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  const waiting: string[] = [];
  {
    await using opened = openService();
    for (let count = 0; count < 3; count++) {
      const { filename = '', s3Uploaded } = await opened.service.performBackup();
      expect(s3Uploaded).toBe(false);
      waiting.push(filename);
    }
    const { s3 } = await opened.service.getStatus();
    expect(s3).toMatchObject({ stored: 0, waiting: 3, error: { code: 'S3_DENIED' } });
    expect(s3.nextTryAt?.getTime()).toBeGreaterThan(Date.now());
    // Another process, as long as this one tries.
    const told = await cli('status', {
      ...onlyS3(),
      ...{ BACKUP_S3_ENABLED: 'true', BACKUP_LOCAL_PATH: 'backups', BACKUP_STATE_PATH: 'state.sqlite' },
      DATABASE_URL: 'app.sqlite',
    });
    expect(told.stdout).toMatch(/^s3 +waiting for 3 uploads, next try in (\d+ min )?\d+ s: S3 refused the key/m);
  }
  await using stopped = openService();
  expect((await stopped.service.getStatus()).s3).toMatchObject({ waiting: 3, nextTryAt: null });

  server.faults.length = 0;
  await using restarted = openService();
  restarted.service.start();
  // A copy counts as stored a moment after the log says that it was uploaded.
  while ((await restarted.service.getStatus()).s3.waiting > 0) await Bun.sleep(20);
  const order = restarted.lines.filter((line) => line.includes('Uploaded to S3')).map((line) => line.split('/').at(-1));
  expect(order).toEqual(waiting);
  expect((await restarted.service.getStatus()).s3).toMatchObject({ stored: 3, waiting: 0, error: null });
});

test.each([
  ['that refused the key, and could not be listed', { status: 403, code: 'AccessDenied' }, 'S3_DENIED', true],
  ['that was silent between two listings', 'reset', 'S3_UNREACHABLE', false],
] as const)('S3 %s, gets what waits as soon as a listing shows that it is back', async (_, effect, code, isListed) => {
  await using opened = openService({ BACKUP_ENABLED: 'false' });
  const { service } = opened;
  service.start();
  const look = () => service.getBackups({ target: 's3' });
  await look();
  server.faults.push({ match: /./, effect });
  // Each failure doubles the delay: after four it is longer than this test may take.
  for (let count = 0; count < 4; count++) expect((await service.performBackup()).s3Uploaded).toBe(false);
  if (isListed) expect((await refusal(look)).code).toBe(code);
  const { s3 } = await service.getStatus();
  expect(s3).toMatchObject({ waiting: 4, error: { code } });
  expect(s3.nextTryAt?.getTime()).toBeGreaterThan(Date.now() + 120_000);

  server.faults.length = 0;
  await look();
  while ((await service.getStatus()).s3.waiting > 0) await Bun.sleep(20);
  expect(Date.now()).toBeLessThan(s3.nextTryAt?.getTime() ?? 0);
});

test('with another path everything is uploaded there; with the path of before it is known again', async () => {
  const name = await backUp();
  await using opened = openService();
  const { service } = opened;
  service.updateConfig({ s3Path: 'another/path' });
  expect((await service.getBackup(name)).placements.at(-1)).toMatchObject({ target: 's3', status: 'waiting' });
  expect((await service.getStatus()).s3).toMatchObject({ stored: 0, waiting: 1, listedAt: null });
  const next = await service.performBackup();
  const elsewhere = createS3Store({ ...server, bucket: BUCKET, prefix: 'another/path' });
  const keys = await storedKeys(elsewhere);
  elsewhere.close();
  expect(keys).toEqual([name, `${name}.json`, next.filename ?? '', `${next.filename}.json`]);
  service.updateConfig({ s3Path: PREFIX });
  await service.getBackups({ target: 's3' });
  expect((await service.getBackup(name)).placements.at(-1)).toMatchObject({ target: 's3', status: 'stored' });
});

test('a copy that somebody removed in the bucket is uploaded again, one that was deleted here is not', async () => {
  const [lost, deleted] = [await backUp(), await backUp()];
  await using opened = openService();
  const { service } = opened;
  await service.deleteBackup(deleted, { target: 's3' });
  await store.deleteMany([lost, `${lost}.json`]);
  await service.getBackups({ target: 's3' });
  expect(opened.lines).toContainEqual(expect.stringContaining(`No longer on S3: ${lost}`));
  const { filename } = await service.performBackup();
  const manifests = (await remoteNames()).filter((key) => key.endsWith('.json'));
  expect(manifests).toEqual([`${lost}.json`, `${filename}.json`]);
});

test('a backup that is deleted while it is uploaded does not come back', async () => {
  await using opened = openService();
  const { service } = opened;
  const answer = Promise.withResolvers<void>();
  server.faults.push({ match: /PUT .*\.sqlite\?/, effect: { answerAfter: answer.promise }, times: 1 });
  const backup = service.performBackup();
  while (!server.faults.some(({ times }) => times === 0)) await Bun.sleep(5);
  const [uploading] = await service.getBackups();
  await service.deleteBackup(uploading?.filename ?? '');
  answer.resolve();
  expect(await backup).toMatchObject({ success: true, s3Uploaded: false });
  const { filename } = await service.performBackup();
  expect((await remoteNames()).filter((key) => key.endsWith('.json'))).toEqual([`${filename}.json`]);
  expect((await service.getBackups()).map((backup) => backup.filename)).toEqual([filename ?? '']);
});

test('what is deleted or pinned while S3 is listed stays so', async () => {
  const [deleted, pinned] = [await backUp(), await backUp()];
  await using opened = openService();
  const { service } = opened;
  await service.getBackups({ target: 's3' });
  await service.deleteBackup(pinned, { target: 'local' });
  const answer = Promise.withResolvers<void>();
  server.faults.push({ match: /GET .*list-type=2/, effect: { answerAfter: answer.promise }, times: 1 });
  const listing = service.getBackups({ target: 's3' });
  while (!server.faults.some(({ times }) => times === 0)) await Bun.sleep(5);
  const changing = service.updateBackup(pinned, { pinned: true });
  await service.deleteBackup(deleted, { target: 's3' });
  answer.resolve();
  await Promise.all([listing, changing]);
  const { filename } = await service.performBackup();
  const manifests = (await remoteNames()).filter((key) => key.endsWith('.json'));
  expect(manifests).toEqual([`${pinned}.json`, `${filename}.json`]);
  expect(await service.getBackup(pinned)).toMatchObject({
    pinned: true,
    size: statSync(join(folder, 'app.sqlite')).size,
  });
  expect((await service.getBackup(deleted)).placements.map(({ target }) => target)).toEqual(['local']);
});

test('a manifest that was spoiled in the bucket is written anew', async () => {
  const name = await backUp();
  await using opened = openService();
  await store.put(`${name}.json`, one('not a manifest'));
  await opened.service.getBackups({ target: 's3' });
  await opened.service.performBackup();
  expect((await opened.service.getBackup(name)).placements.at(-1)).toMatchObject({ target: 's3', status: 'stored' });
  loseEverything();
  expect(await cli(`restore ${name} --from s3 --to back.sqlite`)).toMatchObject({ code: 0 });
});

test('two programs that upload the same backup leave one that is whole', async () => {
  await using first = openService(sealed);
  await using second = openService(sealed);
  await Promise.all([first.service.performBackup(), second.service.performBackup()]);
  const files = (await remoteNames()).filter((key) => key.endsWith('.age'));
  const uploaded = files.map((file) =>
    server.requests.filter(
      ({ method, url }) => url.includes(file) && /^PUT .*PutObject|^POST .*uploads/.test(`${method} ${url}`),
    ),
  );
  expect(uploaded.map(({ length }) => length)).toEqual([1, 1]);
});

test('an upload that takes for ever does not delay the next backup', async () => {
  const environment = loadEnvironment(variables({ BACKUP_SKIP_UNCHANGED: 'false' }));
  // More often than a person may ask for.
  const backup = { ...environment.backup, enabled: true, cron: '* * * * * *' };
  const service = createService({ ...environment, backup }, { write: () => {} });
  server.faults.push({ match: /^PUT/, effect: 'stall' });
  service.start();
  while ((await service.getBackups()).length < 3) await Bun.sleep(50);
  await service.close();
});

test('a machine built anew goes on behind the numbers of the lost one', async () => {
  const old = await backUp();
  const later = await backUp();
  const database = join(newFolder(), 'app.sqlite');
  renameSync(join(folder, 'app.sqlite'), database);
  loseEverything();
  renameSync(database, join(folder, 'app.sqlite'));
  await Bun.sleep(1_000); // the numbers of a folder begin with the second
  const fresh = await backUp();
  await using opened = openService();
  expect((await opened.service.getBackups()).map(({ filename }) => filename)).toEqual([fresh, later, old]);
});
