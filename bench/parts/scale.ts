/**
 * What much of something costs: a retention that removes many small backups, a folder with very many of them, a fleet of
 * many databases, a plan for a large table. Generated: one backup is made, and its file and manifest are multiplied.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { prune } from '../../src/engine/catalog/prune-folder.ts';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import { nameBackup } from '../../src/engine/format/names.ts';
import { createBackups } from '../../src/fleet/from-config.ts';
import { backupFetch } from '../../src/http/mount.ts';
import { BackupService } from '../../src/service/backup-service.ts';
import { makeBank } from '../../tests/support/bank.ts';
import { settingsWith } from '../../tests/support/settings.ts';
import { type Bench, newFolder, type Part, type Section } from '../bench.ts';
import { jobEnvironment } from '../candidates.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, median } from '../statistics.ts';

const PRUNED = 100;
const KEPT = 10;
const MANY_BACKUPS = 10_000;
const MANY_DATABASES = 1_000;
const DATABASE_BYTES = 32 * 1024;
const TIMES = 5;
/** The schedules of a fleet have all begun by then. */
const SETTLED_MS = 70_000;
const IDLE_MS = 130_000;

/** All of them have a backup by then, or something is wrong. */
const FIRST_BACKUPS_MS = 900_000;
const LARGE_TABLE_ROWS = 20_000_000;
const BYTES_PER_MEGABYTE = 1_000_000;

interface Row extends Took {
  readonly what: string;
  readonly goalMs: number | null;
}

/** What a work took: by the clock, and of the processor in this process and in its jobs. */
interface Took {
  readonly ms: Figure;
  readonly cpuMs: Figure;
  readonly jobsCpuMs: Figure;
}

/** What many databases cost at rest. */
interface Idle {
  /** The share of one core, in percent. */
  readonly percent: Figure;
  readonly megabytes: Figure;
  readonly descriptors: Figure;
}

export interface ScaleFigures {
  readonly rows: readonly Row[];
  readonly idle: Idle;
  /** The machine's load over the last quarter of an hour: beside others the clock tells less than the processor. */
  readonly load: Figure;
}

export const scale: Part<ScaleFigures> = { measure, tell };

async function measure(bench: Bench): Promise<ScaleFigures> {
  const rows = [await measurePrune(bench), ...(await measureFolder(bench)), await measurePlan(bench)];
  const { rows: ofFleet, idle } = await measureFleet(bench);
  const all = [...rows, ...ofFleet, await measureFirstBackups(bench)];
  for (const { what, ms, cpuMs, jobsCpuMs } of all)
    bench.say(`${what}: ${inMs(ms)} ms, ${inMs(cpuMs)} of the processor, and ${inMs(jobsCpuMs)} in jobs`);
  bench.say(`idle: ${idle.percent} % of a core, ${idle.megabytes} MB, ${idle.descriptors} descriptors`);
  return { rows: all, idle, load: Math.round(loadavg()[2] ?? Number.NaN) };
}

async function measurePrune(bench: Bench): Promise<Row> {
  const { folder, close } = await openMany(bench, PRUNED + KEPT);
  await close();
  const catalog = new Catalog(folder);
  const context = { signal: new AbortController().signal, now: () => new Date(), onEvent: () => {} };
  const took = await timed(async () => {
    const removed = await prune(catalog, undefined, { count: KEPT, startBurstMs: 0 }, context);
    if (removed.length !== PRUNED) throw new Error(`${removed.length} were removed`);
  });
  return { what: `retention removes ${PRUNED} small backups`, ...took, goalMs: 300 };
}

async function measureFolder(bench: Bench): Promise<readonly Row[]> {
  const { service, close } = await openMany(bench, MANY_BACKUPS);
  const routes = backupFetch(service, { authorize: () => true });
  const first = await timed(() => service.getStatus());
  const status = await often(() => service.getStatus());
  const health = await often(() => ask(routes, '/backup/health'));
  const backup = await often(async () => {
    const { error } = await service.performBackup();
    if (error) throw new Error(error.message);
  });
  await close();
  const many = `of a folder of ${MANY_BACKUPS.toLocaleString('en')} backups`;
  return [
    { what: `the first status ${many}`, ...first, goalMs: null },
    { what: `status ${many}`, ...status, goalMs: 200 },
    { what: `/health ${many}`, ...health, goalMs: 10 },
    { what: `one more backup ${many}`, ...backup, goalMs: 400 },
  ];
}

async function measurePlan(bench: Bench): Promise<Row> {
  const database = join(newFolder(bench), 'shop.sqlite');
  bench.say(`generating ${LARGE_TABLE_ROWS.toLocaleString('en')} rows`);
  const made = new DatabaseSync(database);
  made.exec(`CREATE TABLE events (at INTEGER, text TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${LARGE_TABLE_ROWS})
    INSERT INTO events SELECT i, 'an event of some length, ' || i FROM n`);
  made.close();
  const service = openService(database);
  const { filename = '' } = await service.performBackup();
  const took = await often(() => service.planRestore(filename));
  await service.close();
  const rows = LARGE_TABLE_ROWS.toLocaleString('en');
  return { what: `plan of a restore with a table of ${rows} rows without an index`, ...took, goalMs: 2_000 };
}

async function measureFleet(bench: Bench): Promise<Omit<ScaleFigures, 'load'>> {
  const root = newFolder(bench);
  const { folder: made, close } = await openMany(bench, 3);
  await close();
  for (let number = 0; number < MANY_DATABASES; number++)
    makeBank(join(root, `d${number}.sqlite`), { sizeBytes: DATABASE_BYTES });
  const fleet = await openFleet(root, { BACKUP_ENABLED: 'false' });
  try {
    for (const { service } of fleet.databases) {
      const { localPath, databasePath } = service.getConfig();
      mkdirSync(localPath, { recursive: true });
      multiply(made, localPath, { count: 3, source: basename(databasePath) });
    }
    if ((await fleet.databases[0]?.service.getStatus())?.local.count !== 3) throw new Error('they have no backups');
    const routes = backupFetch(fleet, { authorize: () => true });
    const many = `of ${MANY_DATABASES.toLocaleString('en')} databases`;
    const first = await timed(() => ask(routes, '/backup/health'));
    const rows = [
      { what: `the first /health ${many}`, ...first, goalMs: null },
      { what: `/health ${many}`, ...(await often(() => ask(routes, '/backup/health'))), goalMs: 20 },
      { what: `/metrics ${many}`, ...(await often(() => ask(routes, '/backup/metrics'))), goalMs: 100 },
      { what: `overview ${many}`, ...(await often(() => ask(routes, '/backup/api/databases'))), goalMs: 100 },
    ];
    fleet.start();
    await sleep(SETTLED_MS);
    const before = process.cpuUsage();
    await sleep(IDLE_MS);
    const { user, system } = process.cpuUsage(before);
    const idle = {
      percent: Math.round((user + system) / IDLE_MS) / 10,
      megabytes: Math.round(process.memoryUsage().rss / BYTES_PER_MEGABYTE),
      descriptors: readdirSync('/proc/self/fd').length,
    };
    return { rows, idle };
  } finally {
    await fleet.close();
  }
}

async function measureFirstBackups(bench: Bench): Promise<Row> {
  const root = newFolder(bench);
  for (let number = 0; number < MANY_DATABASES; number++)
    makeBank(join(root, `d${number}.sqlite`), { sizeBytes: DATABASE_BYTES });
  const fleet = await openFleet(root, {});
  try {
    const waiting = new Set(fleet.databases.map(({ name }) => join(root, 'backups', name)));
    const took = await timed(async () => {
      fleet.start();
      for (const endMs = performance.now() + FIRST_BACKUPS_MS; waiting.size > 0; await sleep(200)) {
        if (performance.now() > endMs) throw new Error(`${waiting.size} databases have no backup`);
        for (const folder of waiting) if (hasBackup(folder)) waiting.delete(folder);
      }
    });
    return { what: `first backups of ${MANY_DATABASES.toLocaleString('en')} databases`, ...took, goalMs: 30_000 };
  } finally {
    await fleet.close();
  }
}

function hasBackup(folder: string): boolean {
  try {
    return readdirSync(folder).some((name) => name.endsWith('.sqlite.json'));
  } catch {
    return false; // not made yet
  }
}

async function openFleet(root: string, env: Readonly<Record<string, string>>) {
  const paths = { BACKUP_LOCAL_PATH: join(root, 'backups'), BACKUP_STATE_PATH: join(root, 'state') };
  const fleet = await createBackups(
    { databases: [{ glob: join(root, '*.sqlite') }] },
    { env: { ...jobEnvironment(), ...paths, BACKUP_DRILL_ENABLED: 'false', ...env }, write: () => {} },
  );
  if (fleet.databases.length === MANY_DATABASES) return fleet;
  await fleet.close();
  throw new Error(`${fleet.databases.length} databases were found`);
}

/** A service over a folder of so many backups of a small database, none of them new. */
async function openMany(bench: Bench, count: number) {
  const root = newFolder(bench);
  const database = join(root, 'shop.sqlite');
  const folder = join(root, 'backups');
  makeBank(database, { sizeBytes: DATABASE_BYTES });
  const service = openService(database);
  await service.performBackup();
  bench.say(`generating ${count} backups`);
  multiply(folder, folder, { count, source: 'shop.sqlite' });
  return { service, folder, close: () => service.close() };
}

function openService(database: string): BackupService {
  const root = dirname(database);
  return new BackupService({
    ...{ databasePath: database, backupsPath: join(root, 'backups'), statePath: join(root, 'state.sqlite') },
    settings: settingsWith({ retentionCount: MANY_BACKUPS }),
    ...{ log: () => {}, jobEnvironment: jobEnvironment() },
  });
}

/** Puts the one backup of a folder into another, so many times, a minute apart. */
function multiply(
  from: string,
  to: string,
  { count, source }: { readonly count: number; readonly source: string },
): void {
  const [name = ''] = [...new Bun.Glob('backup-*.sqlite').scanSync(from)].sort();
  const manifest: Manifest = JSON.parse(readFileSync(join(from, `${name}.json`), 'utf8'));
  const startMs = Date.parse(manifest.createdAt);
  for (let number = 1; number < count + (from === to ? 0 : 1); number++) {
    const at = new Date(startMs - number * 60_000);
    const copy = nameBackup(at);
    copyFileSync(join(from, name), join(to, copy));
    const { mtimeNs } = statSync(join(to, copy), { bigint: true });
    const changed = {
      ...{ name: copy, createdAt: at.toISOString(), sequence: (manifest.sequence ?? 0) - number * 60 },
      ...{ published: { modifiedNs: String(mtimeNs) }, source: { ...manifest.source, name: source } },
      artifact: { ...manifest.artifact, file: copy },
    };
    writeFileSync(join(to, `${copy}.json`), JSON.stringify({ ...manifest, ...changed }));
  }
}

async function ask(routes: (request: Request) => Promise<Response>, path: string): Promise<void> {
  const answer = await routes(new Request(`http://localhost${path}`));
  await answer.arrayBuffer();
}

/** The word of health is held for a second. */
async function often(work: () => Promise<unknown>): Promise<Took> {
  const times: Took[] = [];
  for (let time = 0; time < TIMES; time++) {
    await sleep(1_100);
    times.push(await timed(work));
  }
  const middle = (of: keyof Took) => median(times.map((took) => took[of] ?? Number.NaN)) ?? null;
  return { ms: middle('ms'), cpuMs: middle('cpuMs'), jobsCpuMs: middle('jobsCpuMs') };
}

async function timed(work: () => Promise<unknown>): Promise<Took> {
  const [startedMs, before, jobsBeforeMs] = [performance.now(), process.cpuUsage(), jobsCpuMs()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return {
    ...{ ms: performance.now() - startedMs, cpuMs: (user + system) / 1_000 },
    jobsCpuMs: jobsCpuMs() - jobsBeforeMs,
  };
}

/** Processor time of the jobs that have ended: `cutime` and `cstime`, in hundredths of a second. See proc(5). */
function jobsCpuMs(): number {
  const [, fields = ''] = readFileSync('/proc/self/stat', 'utf8').split(') ');
  const [user = 0, system = 0] = fields.split(' ').slice(13, 15).map(Number);
  return (user + system) * 10;
}

function tell({ rows, idle, load }: ScaleFigures): Section {
  const goals = rows.flatMap(({ what, ms, goalMs }) =>
    goalMs === null ? [] : [{ text: `${what} in at most ${goalMs} ms`, measured: ms, most: goalMs }],
  );
  return {
    title: 'Many backups, many databases',
    text: [
      `Each figure is the median of ${TIMES}, in milliseconds, in one process; the retention, the first status, the first \`/health\` and the first backups are measured once. The processor is that of this process, and of its jobs; the load of the machine was ${load}. ${MANY_DATABASES.toLocaleString('en')} databases of one process whose schedules are off take ${idle.percent} % of a core, ${idle.megabytes} MB and ${idle.descriptors} descriptors.`,
      table(
        ['what', 'ms', 'processor, ms', 'in jobs, ms'],
        rows.map(({ what, ms, cpuMs, jobsCpuMs: jobs }) => [what, inMs(ms), inMs(cpuMs), inMs(jobs)]),
      ),
      tellGoals([
        ...goals,
        { text: 'the idle fleet takes at most 0.5 % of a core', measured: idle.percent, most: 0.5 },
        { text: 'it takes at most 200 MB', measured: idle.megabytes, most: 200 },
        { text: 'it has at most 100 descriptors', measured: idle.descriptors, most: 100 },
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
