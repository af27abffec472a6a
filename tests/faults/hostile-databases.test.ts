/**
 * Databases that somebody else may have made. A check of one ends at its limit and says so, the next backup is tried, and
 * neither a stop nor the end of the parent waits for a statement.
 */
import { expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { manifestName } from '../../src/engine/format/names.ts';
import type { JobKind, JobMap } from '../../src/engine/process/protocol.ts';
import { type JobOptions, runJob } from '../../src/engine/process/run-job.ts';
import type { CheckLimits } from '../../src/engine/sqlite/watch.ts';
import { hostileKinds } from '../support/hostile-databases.ts';
import { ask, makeDatabase, openShop, refusal, scratchFolders } from '../support/scratch.ts';
import { attack, countsOf } from './hostile-databases.ts';

const newFolder = scratchFolders();
/** Where the jobs of a process are told. */
const isLinux = process.platform === 'linux';
const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

test('every kind of hostile database: each job answers, nothing hangs and nothing escapes', async () => {
  const seed = 1;
  const { attacks, faults } = await attack({ rounds: 1, seed });
  console.log(`hostile databases: seed ${seed}, ${attacks.length} jobs, ${countsOf(attacks)}`);
  expect(faults).toEqual([]);
  expect(attacks).toHaveLength(4 * Object.keys(hostileKinds).length);
  expect(new Set(attacks.map(({ outcome }) => outcome)).size).toBeGreaterThan(2);
}, 300_000);

/** Each row takes a moment of the processor, and there are so many that nobody waits for the last. */
const SLOW = "length(replace(hex(zeroblob(20000)), '0', hex(zeroblob(20)))) * 0";
/** Each row takes 120 MB, which SQLite's own limits allow. */
const LARGE = 'length(hex(zeroblob(30000000 + id))) * 0';
/** Longer than a value may be in a file of this size. */
const LONG = 'length(hex(zeroblob(200000000 + id))) * 0';

function makeCostly(path: string, expression: string): void {
  makeDatabase(path, { rows: 20_000, journalMode: 'delete' });
  const database = new DatabaseSync(path, { defensive: false } as object); // newer than the types
  database.exec('PRAGMA writable_schema = ON');
  database
    .prepare("UPDATE sqlite_schema SET sql = ? WHERE name = 'notes'")
    .run(`CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, g AS (${expression}) NOT NULL)`);
  database.close();
}

const small: CheckLimits = { cpuMs: 500, memoryBytes: 1_000_000_000 };
const verify = (path: string, limits: CheckLimits) =>
  refusal(() => runJob<'verify'>({ kind: 'verify', path, method: 'quick', sha256: null }, { environment: {}, limits }));

/** Jobs as the service starts them, within small limits. */
const withSmallLimits = { runJob: limited(small) };
function limited(limits: CheckLimits): typeof runJob {
  return <Kind extends JobKind>(request: JobMap[Kind]['request'], options: JobOptions) =>
    runJob<Kind>(request, { ...options, limits });
}

test('a check that takes more time than an honest one is given up, and says so', async () => {
  const path = join(newFolder(), 'slow.sqlite');
  makeCostly(path, SLOW);
  const { code, message } = await verify(path, small);
  expect([code, message]).toEqual(['CHECK_GAVE_UP', expect.stringMatching(/it took more than 1 s of processor time/)]);
});

test('a check that takes more memory than an honest one is given up, and says so', async () => {
  const path = join(newFolder(), 'large.sqlite');
  makeCostly(path, LARGE);
  const { code, message } = await verify(path, { cpuMs: 60_000, memoryBytes: 100_000_000 });
  expect([code, message]).toEqual(['CHECK_GAVE_UP', expect.stringMatching(/it took more than 100 MB of memory/)]);
});

test('within its own limits the check of a small file is given up soon, and the command line calls it neither good nor damaged', async () => {
  const path = join(newFolder(), 'long.sqlite');
  makeCostly(path, LONG);
  const program = startCli(['verify', path, '--json']);
  const [out, [code]] = await Promise.all([text(program.stdout), once(program, 'exit')]);
  expect([code, JSON.parse(out).error.code]).toEqual([1, 'CHECK_GAVE_UP']);
});

test('an honest file is checked within the same limits', async () => {
  const path = join(newFolder(), 'honest.sqlite');
  makeDatabase(path, { rows: 20_000, journalMode: 'delete' });
  const request = { kind: 'verify', path, method: 'full', sha256: null } as const;
  expect((await runJob<'verify'>(request, { environment: {}, limits: small })).pages).toBeGreaterThan(100);
});

/** Two backups, of which the newest is hostile, with a manifest that fits it. */
async function withHostileNewest(folder: string) {
  const shop = openShop(folder, { ...withSmallLimits, form: { journalMode: 'delete' } });
  const { filename: good = '' } = await shop.service.performBackup();
  ask(shop.databasePath, "INSERT INTO notes VALUES (1000, 'newer') RETURNING id");
  const { filename: hostile = '' } = await shop.service.performBackup();
  makeCostly(join(folder, 'hostile.sqlite'), SLOW);
  const path = join(shop.backups, hostile);
  copyFileSync(join(folder, 'hostile.sqlite'), path);
  const manifestPath = join(shop.backups, manifestName(hostile));
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'));
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
  const sizeBytes = statSync(path).size;
  const of = { sha256, sizeBytes };
  Object.assign(manifest, { database: { ...manifest.database, ...of }, artifact: { ...manifest.artifact, ...of } });
  delete manifest.published;
  writeFileSync(manifestPath, JSON.stringify(manifest));
  return { ...shop, good, hostile, [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose]() };
}

test('a machine that starts without its database comes up from the good backup behind a hostile one', async () => {
  const folder = newFolder();
  await using shop = await withHostileNewest(folder);
  await shop.service.close();
  unlinkSync(shop.databasePath);
  const result = await shop.again().restoreIfMissing();
  expect(result).toMatchObject({
    ...{ outcome: 'restored', backup: shop.good },
    skipped: [{ filename: shop.hostile, reason: expect.stringContaining('abandoned') }],
  });
  expect(ask(shop.databasePath, 'SELECT count(*) FROM notes')).toBe(100);
});

test('a drill that gives one up goes on to the backup before it, and says both', async () => {
  await using shop = await withHostileNewest(newFolder());
  const { ok, drills } = await shop.service.drill();
  expect(ok).toBe(false);
  expect(drills.map(({ backup, result, error }) => [backup, result, error?.code])).toEqual([
    [shop.hostile, 'failed', 'CHECK_GAVE_UP'],
    [shop.good, 'proven', undefined],
  ]);
});

test('a check that was given up calls no backup damaged', async () => {
  await using shop = await withHostileNewest(newFolder());
  const before = await shop.service.getBackup(shop.hostile);
  expect((await refusal(() => shop.service.verifyBackup(shop.hostile))).code).toBe('CHECK_GAVE_UP');
  expect((await shop.service.getBackup(shop.hostile)).verification).toEqual(before.verification);
});

test('a backup of a database whose own check runs away fails with its reason, and publishes nothing', async () => {
  const folder = newFolder();
  makeCostly(join(folder, 'shop.sqlite'), SLOW);
  await using shop = openShop(folder, { ...withSmallLimits, form: null });
  const { success, error } = await shop.service.performBackup();
  expect([success, error?.code]).toEqual([false, 'CHECK_GAVE_UP']);
  expect(readdirSync(shop.backups).filter((name) => name.startsWith('backup-'))).toEqual([]);
});

test('a restore over a database that is hostile itself is refused for want of a safety copy, and leaves it', async () => {
  const folder = newFolder();
  makeCostly(join(folder, 'shop.sqlite'), SLOW);
  makeDatabase(join(folder, 'other.sqlite'), { journalMode: 'delete' });
  const before = readFileSync(join(folder, 'shop.sqlite'));
  await using shop = openShop(folder, { ...withSmallLimits, form: null });
  const { code, message } = await refusal(() => shop.service.restore(join(folder, 'other.sqlite'), { mode: 'online' }));
  expect([code, message]).toEqual(['RESTORE_SAFETY_FAILED', expect.stringContaining('the check was abandoned')]);
  expect(readFileSync(join(folder, 'shop.sqlite')).equals(before)).toBe(true);
});

test.skipIf(!isLinux)(
  'a stop ends a check in the middle of a statement, and so does the end of the service',
  async () => {
    const folder = newFolder();
    makeCostly(join(folder, 'slow.sqlite'), SLOW);
    await using shop = openShop(folder, { runJob: limited({ cpuMs: 600_000, memoryBytes: 4_000_000_000 }) });
    for (const stop of [() => shop.service.stopRun(), () => shop.service.stop()]) {
      const checked = refusal(() => shop.service.verifyFile(join(folder, 'slow.sqlite')));
      await jobOf(process.pid);
      await stop();
      expect((await checked).code).toBe('ABORTED');
    }
  },
  120_000,
);

test.skipIf(!isLinux)('a job ends with its parent in the middle of a statement', async () => {
  const path = join(newFolder(), 'slow.sqlite');
  makeCostly(path, SLOW);
  const program = startCli(['verify', path]);
  const job = await jobOf(program.pid ?? 0);
  // In its check: the processor is busy with it.
  await until(() => cpuTicksOf(job) > 30);
  program.kill('SIGKILL');
  await once(program, 'exit');
  // Its own limit would end it as well, some 15 s of processor time later.
  const atEnd = cpuTicksOf(job);
  let last = atEnd;
  await until(() => {
    last = Math.max(last, cpuTicksOf(job));
    return !isRunning(job);
  });
  expect(last - atEnd).toBeLessThan(300);
});

function startCli(args: readonly string[]): ChildProcess & { readonly stdout: NonNullable<ChildProcess['stdout']> } {
  const folder = newFolder();
  mkdirSync(join(folder, 'empty'));
  const options = { cwd: folder, env: { PATH: process.env['PATH'] ?? '' } };
  return spawn(process.execPath, ['--no-env-file', cli, ...args], options);
}

/** The job that a process has started. */
async function jobOf(parent: number): Promise<number> {
  let job: number | undefined;
  await until(() => {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(/\s+/);
    job = children.map(Number).find((pid) => pid > 0 && commandOf(pid).includes('job-main') && cpuTicksOf(pid) > 10);
    return job !== undefined;
  });
  return job ?? 0;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function statOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  } catch {
    return [];
  }
}

const cpuTicksOf = (pid: number) => Number(statOf(pid)[11] ?? 0) + Number(statOf(pid)[12] ?? 0);
/** Nobody may have asked yet how it ended. */
const isRunning = (pid: number) => existsSync(`/proc/${pid}`) && statOf(pid)[0] !== 'Z';

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}
