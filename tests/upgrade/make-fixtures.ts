/**
 * Makes what an older version left: backup folders and S3 prefixes as the program at commit 84b75aa writes them, before
 * a place had an identity. Run by hand, `bun tests/upgrade/make-fixtures.ts`; the result is committed, because a test
 * must not need the history of this repository.
 *
 * The old sources are taken out of git into a scratch folder and run there, service and jobs alike. They are as they were
 * but for one line in the program of the jobs, which gives them the clock of the moment that is told. Only the S3 server
 * is of today: it keeps bytes and knows nothing of backups.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { BackupService } from '../../src/service/backup-service.ts';
import type { createBackups } from '../../src/fleet/from-config.ts';
import type { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { moveClock } from '../support/moved-clock.ts';
import { startS3Server } from '../support/s3-server.ts';
import { BUCKET, FIXTURES, OLD_COMMIT } from './fixtures.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const killedRestore = fileURLToPath(new URL('./killed-restore-main.ts', import.meta.url));

const clock = takeClock();
const old = await checkOut(OLD_COMMIT);
const server = await startS3Server();
await server.createBucket(BUCKET);
const scratch = mkdtempSync(join(tmpdir(), 'made-by-old-'));
const log: string[] = [];
const write = (line: string) => void log.push(line);
const onlyPath = { PATH: process.env['PATH'] ?? '' };
try {
  await makeOne();
  await makeGlob();
  await makeMixedNames();
  await makeMixedSameName();
  await makeReplaced();
  await makeBucket();
  shrinkStates();
  rmSync(FIXTURES, { recursive: true, force: true });
  await bucketToFiles(join(scratch, 'bucket'));
  cpSync(scratch, FIXTURES, { recursive: true });
  console.log(`${FIXTURES}: ${sizeOf(FIXTURES)} bytes`);
} finally {
  await server.close();
  rmSync(scratch, { recursive: true, force: true });
  rmSync(old.root, { recursive: true, force: true });
}

/** One database: retention, a pin, a note, settings, an adopted file, a stranger's, a restore, and one that was killed. */
async function makeOne(): Promise<void> {
  const scene = await openScene('one', 'dev.sqlite', 'orders', {
    BACKUP_RETENTION_COUNT: '4',
    BACKUP_KEEP_DAILY: '3',
  });
  const names: string[] = [];
  for (const moment of ['02T09:00', '02T12:00', '02T15:00', '03T09:00', '03T12:00', '03T15:00'])
    names.push(await scene.backUp(moment));
  await scene.at('03T16:00', async (service) => {
    await service.updateBackup(names[3] ?? '', { pinned: true });
    await service.updateBackup(names[4] ?? '', { note: 'before the new prices' });
    service.updateConfig({ retentionCount: 5, maxAgeMinutes: 90 });
  });
  copyUnder(scene.database, scene.backups, 'backup-2026-03-03T17-00-00-000Z.sqlite');
  copyUnder(scene.database, scene.backups, 'backup-2026-03-03T18-00-00-000Z.sqlite');
  await scene.at('03T19:00', (service) => service.adoptBackup('backup-2026-03-03T17-00-00-000Z.sqlite'));
  await scene.backUp('04T09:00');
  await scene.at('04T10:00', (service) => service.restore(names[5] ?? '', { user: 'ada' }));
  await scene.backUp('04T11:00');
  scene.add('committed while a restore ran that was killed');
  await scene.at('04T12:00', (service) => service.restore(names[3] ?? '', { user: 'ada' }));
  scene.add('after the restore');
  await scene.kill('04T13:00', names[5] ?? '');
}

/** A glob: the folder of each database says which file it is of, in a `database.json` that means another thing today. */
async function makeGlob(): Promise<void> {
  const folder = join(scratch, 'glob');
  mkdirSync(join(folder, 'tenants'), { recursive: true });
  for (const name of ['acme', 'umbrella']) makeSmall(join(folder, 'tenants', `${name}.sqlite`), name);
  await inFolder(folder, async () => {
    const config = {
      localPath: 'storage/backups',
      statePath: 'storage/velist-backup.sqlite',
      databases: [{ glob: 'tenants/*.sqlite' }],
    };
    clock.set(timeOf('02T09:00'));
    const guard = await old.createBackups(config, { env: onlyPath, write });
    for (const { service } of guard.databases) await must(service.performBackup());
    await guard.close();
  });
}

/** Two cron lines with the defaults, two databases by other names. */
async function makeMixedNames(): Promise<void> {
  const shop = await openScene('mixed-names', 'shop.sqlite', 'orders', { BACKUP_RETENTION_COUNT: '10' });
  const blog = await openScene('mixed-names', 'blog.sqlite', 'posts', { BACKUP_RETENTION_COUNT: '10' });
  for (const hour of ['09', '10', '11']) {
    await shop.backUp(`02T${hour}:00`);
    await blog.backUp(`02T${hour}:30`);
  }
}

/** As before, by the same name in two folders: nothing in the manifests but the inodes tells them apart. */
async function makeMixedSameName(): Promise<void> {
  const folder = join(scratch, 'mixed-same-name');
  const a = await openScene('mixed-same-name', 'a/app.sqlite', 'orders', { BACKUP_RETENTION_COUNT: '10' });
  const b = await openScene('mixed-same-name', 'b/app.sqlite', 'posts', { BACKUP_RETENTION_COUNT: '10' });
  for (const hour of ['09', '10', '11']) {
    await a.backUp(`02T${hour}:00`);
    await b.backUp(`02T${hour}:30`);
  }
  if (!existsSync(join(folder, 'storage/backups'))) throw new Error('they were to share a folder');
}

/** One database that was restored in place again and again: each time the file has another inode, or an earlier one. */
async function makeReplaced(): Promise<void> {
  const scene = await openScene('replaced', 'dev.sqlite', 'orders', { BACKUP_RETENTION_COUNT: '10' });
  for (const hour of ['09', '10', '11', '12']) {
    const name = await scene.backUp(`02T${hour}:00`);
    scene.add('replaced by a restore');
    await scene.at(`02T${hour}:30`, (service) => service.restore(name, { mode: 'offline' }));
  }
}

/**
 * Prefixes: of one database; of two by other names; of two by the same name, a staging machine with the environment of
 * production; and one whose copies are packed with zstd.
 */
async function makeBucket(): Promise<void> {
  const s3 = (prefix: string) => ({
    S3_BUCKET: BUCKET,
    S3_REGION: server.region,
    S3_ENDPOINT: server.endpoint,
    S3_ACCESS_KEY: server.accessKeyId,
    S3_SECRET_KEY: server.secretAccessKey,
    BACKUP_S3_ENABLED: 'true',
    BACKUP_S3_PATH: prefix,
    BACKUP_RETENTION_COUNT: '10',
  });
  const one = await openScene('s3-one', 'dev.sqlite', 'orders', s3('one'));
  const shop = await openScene('s3-mixed/shop', 'shop.sqlite', 'orders', s3('mixed'));
  const blog = await openScene('s3-mixed/blog', 'blog.sqlite', 'posts', s3('mixed'));
  const sealed = await openScene('s3-sealed', 'dev.sqlite', 'orders', { ...s3('sealed'), BACKUP_COMPRESSION: 'zstd' });
  const production = await openScene('s3-same-name/production', 'dev.sqlite', 'orders', s3('same-name'));
  const staging = await openScene('s3-same-name/staging', 'dev.sqlite', 'orders', s3('same-name'));
  for (const hour of ['09', '10', '11']) {
    await production.backUp(`02T${hour}:40`);
    await staging.backUp(`02T${hour}:50`);
    await one.backUp(`02T${hour}:00`);
    await shop.backUp(`02T${hour}:10`);
    await blog.backUp(`02T${hour}:20`);
    await sealed.backUp(`02T${hour}:30`);
  }
  await one.at('02T12:00', async (service) => {
    const [newest] = await service.getBackups();
    await service.deleteBackup(newest?.filename ?? '', { target: 'local' });
    await service.updateBackup(newest?.filename ?? '', { pinned: true, note: 'kept' });
  });
}

interface Scene {
  readonly database: string;
  readonly backups: string;
  add(text: string): void;
  at<T>(moment: string, work: (service: BackupService) => T | Promise<T>): Promise<T>;
  /** A row more, and a backup of that moment, as by cron; answers its name. */
  backUp(moment: string): Promise<string>;
  /** An online restore that dies right after it replaced the database. */
  kill(moment: string, backup: string): Promise<void>;
}

async function openScene(name: string, file: string, table: string, variables: Record<string, string>): Promise<Scene> {
  const folder = join(scratch, name);
  const database = join(folder, file);
  const backups = join(folder, 'storage/backups');
  mkdirSync(dirname(database), { recursive: true });
  makeSmall(database, table);
  const scene: Scene = {
    database,
    backups,
    add(text) {
      const connection = new DatabaseSync(database);
      connection.prepare(`INSERT INTO ${table} (text) VALUES (?)`).run(text);
      connection.close();
    },
    at: (moment, work) =>
      // Names as a crontab has them: relative to the folder of the app.
      inFolder(folder, async () => {
        clock.set(timeOf(moment));
        const env = { ...onlyPath, DATABASE_URL: file, BACKUP_ENABLED: 'false', ...variables };
        const service = old.createServiceFromEnvironment({ env, write });
        try {
          return await work(service);
        } finally {
          await service.close();
        }
      }),
    async backUp(moment) {
      scene.add(`at ${moment}`);
      return await scene.at(moment, async (service) => await must(service.performBackup()));
    },
    async kill(moment, backup) {
      const request = {
        ...{ kind: 'restore', source: join(backups, backup), sourceName: backup, sha256: null },
        ...{ databasePath: database, folder: backups, mode: 'online', to: null, expected: null, user: 'ada' },
        ...{ retention: { count: 5, startBurstMs: 0 }, lockWaitMs: 5_000 },
      };
      clock.set(timeOf(moment));
      const ended = spawnSync(
        process.execPath,
        ['--config=/dev/null', '--no-env-file', killedRestore, old.root, table],
        { input: JSON.stringify(request), env: onlyPath, stdio: ['pipe', 'inherit', 'inherit'] },
      );
      if (ended.signal !== 'SIGKILL') throw new Error(`the restore was not killed: ${ended.status}`);
      if (!readdirSync(backups).some((entry) => entry.startsWith('.late-'))) throw new Error('it left no late log');
    },
  };
  return scene;
}

/** Two or three pages: the smallest that SQLite has. */
function makeSmall(path: string, table: string): void {
  const connection = new DatabaseSync(path);
  connection.exec(
    `PRAGMA page_size = 512; PRAGMA journal_mode = WAL; CREATE TABLE ${table} (id INTEGER PRIMARY KEY, text TEXT)`,
  );
  connection.close();
}

function copyUnder(database: string, backups: string, name: string): void {
  cpSync(database, join(backups, name));
}

/** Day, hour and minute in March 2026, UTC: long past, so that no clock of a test stands before it. */
function timeOf(moment: string): Date {
  return new Date(`2026-03-${moment}:00.000Z`);
}

async function must(made: ReturnType<BackupService['performBackup']>): Promise<string> {
  const { filename, ...result } = await made;
  const isEverywhere = Object.values(result.uploaded ?? {}).every(Boolean);
  if (filename !== undefined && isEverywhere) return filename;
  throw new Error(`${JSON.stringify(result)}\n${log.slice(-5).join('\n')}`);
}

async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = process.cwd();
  process.chdir(folder);
  try {
    return await work();
  } finally {
    process.chdir(before);
  }
}

interface OldVersion {
  readonly root: string;
  readonly createServiceFromEnvironment: typeof createServiceFromEnvironment;
  readonly createBackups: typeof createBackups;
}

async function checkOut(commit: string): Promise<OldVersion> {
  const root = mkdtempSync(join(tmpdir(), 'old-version-'));
  const tar = spawnSync('sh', ['-c', `git archive ${commit} src package.json tsconfig.json | tar x -C "${root}"`], {
    cwd: repository,
    stdio: 'inherit',
  });
  if (tar.status !== 0) throw new Error(`commit ${commit} could not be taken out`);
  symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules'));
  clock.giveToJobs(root);
  return {
    root,
    ...(await import(join(root, 'src/service/from-environment.ts'))),
    ...(await import(join(root, 'src/service/from-config.ts'))),
  };
}

/** This process and the jobs that it starts live at the moment that is set, and go on from there. */
function takeClock() {
  const clock = moveClock();
  const file = join(mkdtempSync(join(tmpdir(), 'clock-')), 'shift');
  return {
    set(at: Date) {
      clock.set(at);
      writeFileSync(file, String(clock.shiftMs));
    },
    giveToJobs(root: string) {
      const script = join(root, 'clock.ts');
      const moved = `import { moveClock } from '${join(repository, 'tests/support/moved-clock.ts')}';
        import { readFileSync } from 'node:fs';
        moveClock().advance(Number(readFileSync('${file}', 'utf8')));`;
      writeFileSync(script, moved);
      const job = join(root, 'src/engine/jobs/job-main.ts');
      writeFileSync(job, `import '${script}';\n${readFileSync(job, 'utf8')}`);
    },
  };
}

async function bucketToFiles(folder: string): Promise<void> {
  const store = createS3Store({ ...server, bucket: BUCKET, prefix: '' });
  for await (const { key } of store.list('')) {
    const path = join(folder, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.concat(await Array.fromAsync(store.get(key))));
  }
  store.close();
}

/** With the smallest pages they take a tenth of the room in this repository. */
function shrinkStates(): void {
  for (const entry of readdirSync(scratch, { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('velist-backup.sqlite')) continue;
    const state = new DatabaseSync(join(scratch, entry));
    state.exec('PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM; PRAGMA journal_mode = WAL');
    state.close();
  }
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
