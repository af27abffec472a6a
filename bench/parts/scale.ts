/**
 * What much of something costs: a retention that removes many small backups, a folder with very many of them, a fleet of
 * many databases. Generated: one backup is made, and its file and manifest are multiplied.
 */
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

interface Row {
  readonly what: string;
  readonly ms: Figure;
  readonly goalMs: number | null;
}

export interface ScaleFigures {
  readonly rows: readonly Row[];
  /** Of one core, in percent. */
  readonly idlePercent: Figure;
}

export const scale: Part<ScaleFigures> = { measure, tell };

async function measure(bench: Bench): Promise<ScaleFigures> {
  const rows = [await measurePrune(bench), ...(await measureFolder(bench))];
  const fleet = await measureFleet(bench);
  const all = [...rows, ...fleet.rows];
  for (const { what, ms } of all) bench.say(`${what}: ${inMs(ms)} ms`);
  bench.say(`idle: ${fleet.idlePercent} % of a core`);
  return { rows: all, idlePercent: fleet.idlePercent };
}

async function measurePrune(bench: Bench): Promise<Row> {
  const { folder, close } = await openMany(bench, PRUNED + KEPT);
  await close();
  const catalog = new Catalog(folder);
  const context = { signal: new AbortController().signal, now: () => new Date(), onEvent: () => {} };
  const ms = await timed(async () => {
    const removed = await prune(catalog, undefined, { count: KEPT, startBurstMs: 0 }, context);
    if (removed.length !== PRUNED) throw new Error(`${removed.length} were removed`);
  });
  return { what: `retention removes ${PRUNED} small backups`, ms, goalMs: 300 };
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
    { what: `the first status ${many}`, ms: first, goalMs: null },
    { what: `status ${many}`, ms: status, goalMs: 200 },
    { what: `/health ${many}`, ms: health, goalMs: 10 },
    { what: `one more backup ${many}`, ms: backup, goalMs: 400 },
  ];
}

async function measureFleet(bench: Bench): Promise<Pick<ScaleFigures, 'rows' | 'idlePercent'>> {
  const root = newFolder(bench);
  const { folder: made, close } = await openMany(bench, 3);
  await close();
  const databases = Array.from({ length: MANY_DATABASES }, (_, number) => `d${number}`);
  for (const name of databases) {
    makeBank(join(root, `${name}.sqlite`), { sizeBytes: DATABASE_BYTES });
    const folder = join(root, 'backups', name);
    mkdirSync(folder, { recursive: true });
    multiply(made, folder, { count: 3, source: `${name}.sqlite` });
  }
  const env = { ...jobEnvironment(), BACKUP_LOCAL_PATH: join(root, 'backups'), BACKUP_STATE_PATH: join(root, 'state') };
  const config = { databases: [{ glob: join(root, '*.sqlite') }] };
  const fleet = await createBackups(config, {
    env: { ...env, BACKUP_DRILL_ENABLED: 'false', BACKUP_ENABLED: 'false' },
    write: () => {},
  });
  try {
    if (fleet.databases.length !== MANY_DATABASES) throw new Error(`${fleet.databases.length} databases were found`);
    const routes = backupFetch(fleet, { authorize: () => true });
    const many = `of ${MANY_DATABASES.toLocaleString('en')} databases`;
    const first = await timed(() => ask(routes, '/backup/health'));
    const rows = [
      { what: `the first /health ${many}`, ms: first, goalMs: null },
      { what: `/health ${many}`, ms: await often(() => ask(routes, '/backup/health')), goalMs: 20 },
      { what: `/metrics ${many}`, ms: await often(() => ask(routes, '/backup/metrics')), goalMs: 100 },
      { what: `overview ${many}`, ms: await often(() => ask(routes, '/backup/api/databases')), goalMs: 100 },
    ];
    fleet.start();
    await sleep(SETTLED_MS);
    const before = process.cpuUsage();
    await sleep(IDLE_MS);
    const { user, system } = process.cpuUsage(before);
    return { rows, idlePercent: Math.round((user + system) / IDLE_MS) / 10 };
  } finally {
    await fleet.close();
  }
}

/** A service over a folder of so many backups of a small database, none of them new. */
async function openMany(bench: Bench, count: number) {
  const root = newFolder(bench);
  const database = join(root, 'shop.sqlite');
  const folder = join(root, 'backups');
  makeBank(database, { sizeBytes: DATABASE_BYTES });
  const service = new BackupService({
    ...{ databasePath: database, backupsPath: folder, statePath: join(root, 'state.sqlite') },
    settings: settingsWith({ retentionCount: MANY_BACKUPS }),
    ...{ log: () => {}, jobEnvironment: jobEnvironment() },
  });
  await service.performBackup();
  bench.say(`generating ${count} backups`);
  multiply(folder, folder, { count, source: 'shop.sqlite' });
  return { service, folder, close: () => service.close() };
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
async function often(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let time = 0; time < TIMES; time++) {
    await sleep(1_100);
    times.push(await timed(work));
  }
  return median(times) ?? Number.NaN;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function tell({ rows, idlePercent }: ScaleFigures): Section {
  const goals = rows.flatMap(({ what, ms, goalMs }) =>
    goalMs === null ? [] : [{ text: `${what} in at most ${goalMs} ms`, measured: ms, most: goalMs }],
  );
  return {
    title: 'Many backups, many databases',
    text: [
      `Each figure is the median of ${TIMES}, in milliseconds, in one process; the retention is carried out once. The processor is that of ${MANY_DATABASES.toLocaleString('en')} databases of one process whose schedules are off: ${idlePercent} % of a core.`,
      table(
        ['what', 'ms'],
        rows.map(({ what, ms }) => [what, inMs(ms)]),
      ),
      tellGoals([...goals, { text: 'the idle fleet takes at most 0.5 % of a core', measured: idlePercent, most: 0.5 }]),
    ].join('\n\n'),
    plots: [],
  };
}
