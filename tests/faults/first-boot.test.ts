/** A machine that starts without its database: what is brought back, from where, and what is refused instead. */
import { beforeEach, expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { JobMessage } from '../../src/engine/process/protocol.ts';
import { placeWhereMissing } from '../../src/engine/sqlite/place.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { judgeBank, makeBank } from '../support/bank.ts';
import { openBucket } from '../support/bucket.ts';
import { keysOf } from '../support/objects.ts';
import { ask, makeDatabase, refusal, scratchFolders } from '../support/scratch.ts';
import type { FirstBootRequest } from '../../src/engine/stories/first-boot.ts';

const BUCKET = 'my-backups';
const PREFIX = 'first-boot';
const MIB = 1024 * 1024;
const newFolder = scratchFolders();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const jobPath = fileURLToPath(new URL('../../src/engine/process/job-main.ts', import.meta.url));
const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);

const { server, store } = await openBucket(BUCKET, PREFIX);
let folder: string;
const database = () => join(folder, 'data', 'app.sqlite');
const backups = () => join(folder, 'backups');

beforeEach(async () => {
  server.faults.length = 0;
  await store.deleteMany(await keysOf(store));
  folder = newFolder();
  mkdirSync(dirname(database()));
});

const variables = (more: Record<string, string> = {}) => ({
  PATH: process.env['PATH'] ?? '',
  DATABASE_URL: database(),
  BACKUP_LOCAL_PATH: backups(),
  BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
  BACKUP_ENABLED: 'false',
  BACKUP_S3_ENABLED: 'true',
  BACKUP_S3_PATH: PREFIX,
  S3_BUCKET: BUCKET,
  S3_REGION: server.region,
  S3_ENDPOINT: server.endpoint,
  S3_ACCESS_KEY: server.accessKeyId,
  S3_SECRET_KEY: server.secretAccessKey,
  ...more,
});
const localOnly = { BACKUP_S3_ENABLED: 'false', S3_BUCKET: '' };

function openService(more: Record<string, string> = {}) {
  const lines: string[] = [];
  const service = createServiceFromEnvironment({ env: variables(more), write: (line) => lines.push(line) });
  return { service, lines, [Symbol.asyncDispose]: () => service.close() };
}

async function boot(more: Record<string, string> = {}, options: { identityFile?: string } = {}) {
  await using opened = openService(more);
  return { result: await opened.service.restoreIfMissing(options), lines: opened.lines };
}

const refused = (more: Record<string, string> = {}) => refusal(() => boot(more));

async function backUp(more: Record<string, string> = {}): Promise<string> {
  await using opened = openService(more);
  const { filename = '', success } = await opened.service.performBackup();
  expect(success).toBe(true);
  return filename;
}

/** `count` backups, the last with the most rows. */
async function backUpRows(count: number, more: Record<string, string> = {}): Promise<string[]> {
  makeDatabase(database(), { rows: 100 });
  const names: string[] = [];
  for (let number = 1; number <= count; number++) {
    ask(database(), `INSERT INTO notes VALUES (${1_000 + number}, 'more') RETURNING id`);
    names.push(await backUp(more));
  }
  return names;
}

const stampOf = (path: string) => {
  const { ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return { ino, size, mtimeNs, ctimeNs };
};
const rows = () => ask(database(), 'SELECT count(*) FROM notes');
function remove(...paths: string[]): void {
  for (const path of paths) rmSync(path, { recursive: true, force: true });
}
const loseDatabase = () => remove(database(), `${database()}-wal`, `${database()}-shm`);
/** What a lost machine leaves: the bucket. */
const loseMachine = () => remove(...readdirSync(folder).map((entry) => join(folder, entry)));
const damage = (name: string) => truncateSync(join(backups(), name), 8192);

function start(argv: string, more: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv.split(' ')], {
    cwd: folder,
    env: variables(more),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function ended(child: ChildProcess): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

const cli = (argv: string, more: Record<string, string> = {}) => ended(start(argv, more));

test('an empty machine gets the newest backup of S3 back, in WAL mode, its folder made', async () => {
  const [, newest = ''] = await backUpRows(2);
  loseMachine();
  const { result, lines } = await boot();
  expect(result).toEqual({ outcome: 'restored', path: database(), backup: newest, from: 's3', skipped: [] });
  expect(lines.join('\n')).toContain(`Restored: ${newest} (s3)`);
  expect([rows(), ask(database(), 'PRAGMA journal_mode')]).toEqual([102, 'wal']);
  expect(statSync(database()).mode & 0o777).toBe(0o600);
  // The copy that was fetched is not kept beside the database that it became.
  expect(readdirSync(join(backups(), '.fetched'))).toEqual([]);
});

test('a database that was in rollback mode comes back in it', async () => {
  makeDatabase(database(), { journalMode: 'delete' });
  await backUp(localOnly);
  loseDatabase();
  await boot(localOnly);
  expect(ask(database(), 'PRAGMA journal_mode')).toBe('delete');
});

test('with no backup anywhere it is a first boot, and says where it looked', async () => {
  const { result, lines } = await boot();
  const looked = [backups(), `s3://${BUCKET}/${PREFIX}`];
  expect(result).toEqual({ outcome: 'first-boot', path: database(), looked });
  expect(lines.join('\n')).toContain('No backup, first boot');
  expect(existsSync(database())).toBe(false);
  const { code, stdout } = await cli('restore --if-missing');
  expect([code, stdout]).toEqual([0, `No backup, first boot: there is none in ${looked.join(' and none in ')}.\n`]);
});

test('what is there is never touched, and S3 is not even asked', async () => {
  await backUpRows(1);
  const garbage = 'not a database';
  for (const make of [
    () => makeDatabase(database(), { rows: 3 }),
    () => writeFileSync(database(), garbage),
    () => {
      makeDatabase(join(folder, 'elsewhere.sqlite'));
      symlinkSync(join(folder, 'elsewhere.sqlite'), database());
    },
  ]) {
    loseDatabase();
    make();
    const before = stampOf(database());
    server.requests.length = 0;
    // A key is not read either: an app that has its database starts without it.
    const { result } = await boot({}, { identityFile: '/nowhere/key.txt' });
    expect(result.outcome).toBe('present');
    expect(stampOf(database())).toEqual(before);
    expect(server.requests).toEqual([]);
  }
});

test('an empty file, a link to nothing, a folder and a log without its database are refused by name', async () => {
  await backUpRows(1);
  loseDatabase();
  writeFileSync(database(), '');
  expect(await refused()).toMatchObject({ code: 'DB_EMPTY' });
  expect(statSync(database()).size).toBe(0);

  loseDatabase();
  symlinkSync(join(folder, 'not-mounted', 'app.sqlite'), database());
  expect(await refused()).toMatchObject({ code: 'DB_MISSING', message: expect.stringContaining('is a link') });
  expect(lstatSync(database()).isSymbolicLink()).toBe(true);

  loseDatabase();
  mkdirSync(database());
  expect(await refused()).toMatchObject({ code: 'NOT_SQLITE' });

  for (const suffix of ['-wal', '-shm', '-journal']) {
    loseDatabase();
    writeFileSync(database() + suffix, 'left');
    expect(await refused()).toMatchObject({ code: 'RESTORE_IN_USE', message: expect.stringContaining(suffix) });
    expect([existsSync(database()), readFileSync(database() + suffix, 'utf8')]).toEqual([false, 'left']);
    rmSync(database() + suffix);
  }
});

test('an empty file is a first boot while there is no backup: an app may have opened it and died', async () => {
  writeFileSync(database(), '');
  expect((await boot()).result.outcome).toBe('first-boot');
});

test('an S3 that does not answer, or refuses, is an error and never a first boot', async () => {
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  expect(await refused()).toMatchObject({ code: 'S3_DENIED', hint: expect.stringContaining('empty database') });
  server.faults.length = 0;
  expect(await refused({ S3_ENDPOINT: 'http://127.0.0.1:9' })).toMatchObject({ code: 'S3_UNREACHABLE' });
  const { code, stderr } = await cli('serve --restore-if-missing', { S3_ENDPOINT: 'http://127.0.0.1:9', PORT: '0' });
  expect([code, existsSync(database())]).toEqual([1, false]);
  expect(stderr).toContain('it is not known whether S3 holds a backup');
});

test('while S3 is away, a good backup of the folder may be an old one: that is refused too', async () => {
  await backUpRows(1);
  loseDatabase();
  expect(await refused({ S3_ENDPOINT: 'http://127.0.0.1:9' })).toMatchObject({ code: 'S3_UNREACHABLE' });
});

test('the newer of folder and S3 is taken', async () => {
  const [older = '', newer = ''] = await backUpRows(2);
  loseDatabase();
  const here = await boot();
  expect(here.result).toMatchObject({ backup: newer, from: 'local' });

  loseDatabase();
  remove(join(backups(), newer), join(backups(), `${newer}.json`));
  expect(existsSync(join(backups(), older))).toBe(true);
  expect((await boot()).result).toMatchObject({ backup: newer, from: 's3' });
  expect(rows()).toBe(102);
});

test('a damaged newest backup is passed over with a warning: its copy on S3 first, then an older one', async () => {
  const [older = '', newer = ''] = await backUpRows(2);
  loseDatabase();
  damage(newer);
  const fromS3 = await boot();
  expect(fromS3.result).toMatchObject({ backup: newer, from: 's3', skipped: [{ filename: newer, from: 'local' }] });
  expect(fromS3.lines.join('\n')).toContain(`Not brought back: ${newer} (local)`);

  loseDatabase();
  const alone = await boot(localOnly);
  expect(alone.result).toMatchObject({ backup: older, from: 'local', skipped: [{ filename: newer, from: 'local' }] });
  expect(rows()).toBe(101);
});

test('an object on S3 that is not what was stored is passed over too', async () => {
  const [older = '', newer = ''] = await backUpRows(2);
  loseMachine();
  server.faults.push({ match: new RegExp(`GET /.*/${newer}\\?`), effect: 'flip a bit' });
  const { result } = await boot();
  expect(result).toMatchObject({ backup: older, from: 's3', skipped: [{ filename: newer, from: 's3' }] });
  expect(rows()).toBe(101);
});

test('where none is good, nothing begins: damaged ones, foreign files and safety backups are no first boot', async () => {
  const [name = ''] = await backUpRows(1, localOnly);
  const good = readFileSync(join(backups(), name));
  loseDatabase();
  damage(name);
  expect(await refused(localOnly)).toMatchObject({ code: 'NO_BACKUP', message: expect.stringContaining(name) });
  writeFileSync(join(backups(), name), good);
  rmSync(join(backups(), `${name}.json`));
  expect(await refused(localOnly)).toMatchObject({
    code: 'NO_BACKUP',
    message: expect.stringContaining('no manifest'),
  });
  expect(existsSync(database())).toBe(false);
  expect((await cli('restore --if-missing', localOnly)).code).toBe(3);
});

test('a safety backup is not brought back: it holds what a restore replaced', async () => {
  const [older = ''] = await backUpRows(2, localOnly);
  await using opened = openService(localOnly);
  const { safetyBackup } = await opened.service.restore(older, { mode: 'offline' });
  loseDatabase();
  const { result } = await boot(localOnly);
  expect(result).toMatchObject({ outcome: 'restored', skipped: [] });
  expect(result.outcome === 'restored' && result.backup).not.toBe(String(safetyBackup));
});

test('backups that were made and are gone are no first boot: the disk may not be mounted', async () => {
  const [name = ''] = await backUpRows(1, localOnly);
  loseDatabase();
  remove(backups());
  expect(await refused(localOnly)).toMatchObject({ code: 'NO_BACKUP', message: expect.stringContaining(name) });
});

test('an encrypted copy needs its key, by file; nothing older is taken for want of it', async () => {
  makeDatabase(database());
  await backUp();
  ask(database(), "INSERT INTO notes VALUES (1001, 'more') RETURNING id");
  const name = await backUp({ BACKUP_COMPRESSION: 'zstd', BACKUP_ENCRYPTION_RECIPIENT: recipient });
  loseMachine();
  expect(await refused()).toMatchObject({ code: 'BAD_REQUEST', hint: expect.stringContaining('--identity') });
  const wrong = join(folder, 'wrong.txt');
  writeFileSync(wrong, `${await generateIdentity()}\n`);
  expect(await refusal(() => boot({}, { identityFile: wrong }))).toMatchObject({ code: 'BAD_REQUEST' });
  const none = { identityFile: join(folder, 'none.txt') };
  expect(await refusal(() => boot({}, none))).toMatchObject({ code: 'BAD_REQUEST' });
  expect(existsSync(database())).toBe(false);

  const right = join(folder, 'key.txt');
  writeFileSync(right, `# made by age-keygen\n${identity}\n`);
  const { code, stdout } = await cli(`restore --if-missing --json --identity ${right}`);
  expect([code, JSON.parse(stdout)]).toMatchObject([0, { outcome: 'restored', backup: name, from: 's3' }]);
  expect(rows()).toBe(101);
});

test('of two that start at once one brings it back and the other finds it', async () => {
  await backUpRows(1);
  loseMachine();
  server.requests.length = 0;
  const both = await Promise.all([
    ended(start('restore --if-missing --json')),
    ended(start('restore --if-missing --json')),
  ]);
  expect(both.map(({ code, stderr }) => [code, stderr])).toEqual([
    [0, ''],
    [0, ''],
  ]);
  expect(both.map(({ stdout }) => JSON.parse(stdout).outcome).sort()).toEqual(['present', 'restored']);
  const downloads = server.requests.filter(({ method, url }) => method === 'GET' && /\.sqlite\?x-id/.test(url));
  expect(new Set(downloads.map(({ headers }) => headers['range'])).size).toBe(downloads.length);
  expect(rows()).toBe(101);
});

test('serve brings the database back before its schedule begins, and backs it up', async () => {
  await backUpRows(1);
  loseMachine();
  const child = start('serve --restore-if-missing', { PORT: '0', BACKUP_ENABLED: 'true' });
  const end = ended(child);
  let seen = '';
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    seen += `${line}\n`;
    if (line.includes('Completed:')) break;
  }
  child.kill('SIGTERM');
  await end;
  expect(seen).toMatch(/Restored: .*\n(.*\n)*.*Auto-backup started.*\n(.*\n)*.*Completed:/);
  expect(rows()).toBe(101);
});

test('an interrupt while it downloads ends with 130, a kill leaves nothing, and the next start goes on', async () => {
  makeBank(database(), { sizeBytes: 24 * MIB });
  const name = await backUp();
  const { artifact } = JSON.parse(readFileSync(join(backups(), `${name}.json`), 'utf8'));
  const part = join(backups(), '.fetched', `${artifact.sha256}.part`);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    loseMachine();
    server.faults.length = 0;
    server.faults.push({ match: new RegExp(`GET /.*/${name}\\?`), effect: { stallAfterBytes: 3 * MIB } });
    const child = start('restore --if-missing');
    const end = ended(child);
    while ((statSync(part, { throwIfNoEntry: false })?.size ?? 0) === 0) await Bun.sleep(5);
    child.kill(signal);
    const { code } = await end;
    if (signal === 'SIGTERM') expect(code).toBe(130);
    expect(existsSync(database())).toBe(false);
  }
  server.faults.length = 0;
  expect((await boot()).result).toMatchObject({ outcome: 'restored', backup: name });
  expect(judgeBank(database()).complaint).toBeNull();
});

test('killed while it places, at any of twelve moments, there is no database or a whole one', async () => {
  makeBank(database(), { sizeBytes: 24 * MIB });
  const name = await backUp(localOnly);
  const manifest = JSON.parse(readFileSync(join(backups(), `${name}.json`), 'utf8'));
  const request: FirstBootRequest = {
    ...{ kind: 'first-boot', source: join(backups(), name), sourceName: name, databasePath: database() },
    ...{ sha256: manifest.database.sha256, journalMode: 'wal' },
  };
  let placed = 0;
  for (const [after, delayMs] of [
    ...[0, 1, 2, 4, 8, 12, 16, 24, 40].map((delay) => ['place', delay] as const),
    ...[0, 1, 4].map((delay) => ['prove', delay] as const),
  ]) {
    remove(dirname(database()));
    await killedJob(request, { after, delayMs });
    if (existsSync(database())) {
      placed++;
      expect([delayMs, judgeBank(database()).complaint]).toEqual([delayMs, null]);
    }
    // What the next start finds is either enough, or replaced.
    const { result } = await boot(localOnly);
    expect(['present', 'restored']).toContain(result.outcome);
    expect(judgeBank(database()).complaint).toBeNull();
    expect(readdirSync(dirname(database())).filter((entry) => entry.startsWith('.velist-restore-'))).toEqual(
      result.outcome === 'restored' ? [] : expect.anything(),
    );
  }
  expect(placed).toBeGreaterThan(0);
});

async function killedJob(request: FirstBootRequest, { after, delayMs }: { after: string; delayMs: number }) {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', jobPath], {
    env: { PATH: process.env['PATH'] },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  child.stdin.write(`${JSON.stringify(request)}\n`);
  for await (const line of createInterface({ input: child.stdout })) {
    const message = JSON.parse(line) as JobMessage;
    if (message.type !== 'step' || message.name !== after) continue;
    if (delayMs > 0) await Bun.sleep(delayMs);
    child.kill('SIGKILL');
    break;
  }
  await exited;
}

test('what a killed start of the same process number left is no part of the next database', async () => {
  const [name = ''] = await backUpRows(1, localOnly);
  loseDatabase();
  // As in a container, where numbers come again: a journal that would undo the first page of whatever lies beside it.
  const staged = `${database()}.restoring-${process.pid}`;
  copyFileSync(join(backups(), name), staged);
  const crashed = new DatabaseSync(staged);
  crashed.exec("PRAGMA cache_size = 1; BEGIN; UPDATE notes SET text = 'torn'; ");
  const journal = readFileSync(`${staged}-journal`);
  crashed.exec('ROLLBACK');
  crashed.close();
  writeFileSync(`${staged}-journal`, journal);
  placeWhereMissing(join(backups(), name), database());
  expect(readdirSync(dirname(database()))).toEqual(['app.sqlite']);
  expect([rows(), ask(database(), 'PRAGMA integrity_check')]).toEqual([101, 'ok']);
});
