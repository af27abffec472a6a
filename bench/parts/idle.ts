/**
 * What a tick of the schedule costs when the database is as the newest backup holds it: no process, nothing written but
 * the record of the run. Driven on the real service with the clock handed in: a changed interval makes the scheduler
 * look at once, and by then the clock stands after the planned time.
 */
import { lstatSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BackupService } from '../../src/service/backup-service.ts';
import { type Bench, newBank, newFolder, type Part, type Section } from '../bench.ts';
import { jobEnvironment } from '../candidates.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, median } from '../statistics.ts';
import { settingsWith } from '../../tests/support/settings.ts';

/** The default retention, and many. */
const BACKUP_COUNTS = [10, 100];
const TICKS = 50;
const DATABASE_MEGABYTES = 1;
const HOUR_MS = 3_600_000;

interface Row {
  readonly backups: number;
  readonly medianMs: Figure;
  readonly maxMs: Figure;
  readonly processes: number;
  readonly bytesWritten: Figure;
  readonly filesChanged: readonly string[];
}

export interface IdleFigures {
  readonly ticks: number;
  readonly rows: readonly Row[];
}

export const idle: Part<IdleFigures> = { measure, tell };

async function measure(bench: Bench): Promise<IdleFigures> {
  const rows: Row[] = [];
  for (const backups of BACKUP_COUNTS) {
    const row = await measureTicks(bench, backups);
    bench.say(`${backups} backups: ${inMs(row.medianMs)} ms, ${inMs(row.bytesWritten)} bytes written`);
    rows.push(row);
  }
  return { ticks: TICKS, rows };
}

async function measureTicks(bench: Bench, backups: number): Promise<Row> {
  const database = newBank(bench, DATABASE_MEGABYTES);
  // A file that was written a moment ago proves nothing by its time.
  const longAgo = new Date(Date.now() - HOUR_MS);
  utimesSync(database, longAgo, longAgo);
  const clock = new Clock();
  const folder = newFolder(bench);
  const service = new BackupService({
    databasePath: database,
    backupsPath: join(folder, 'backups'),
    statePath: join(folder, 'state.sqlite'),
    settings: settingsWith({ retentionCount: backups }),
    log: () => {},
    jobEnvironment: jobEnvironment(),
    now: clock.now,
  });
  try {
    const started = new Promise<void>((resolve) => {
      const unsubscribe = service.on((event) => {
        if (event.type !== 'run') return;
        unsubscribe();
        resolve();
      });
    });
    service.start();
    await started;
    for (let made = 1; made < backups; made++) await service.performBackup();
    const ticks = [];
    for (let number = 0; number < TICKS; number++) {
      ticks.push(await tick(service, clock, { number, folders: [folder, dirname(database)] }));
    }
    return {
      backups,
      medianMs: median(ticks.map(({ ms }) => ms)),
      maxMs: Math.max(...ticks.map(({ ms }) => ms)),
      processes: ticks.reduce((sum, { processes }) => sum + processes, 0),
      bytesWritten: median(ticks.map(({ bytesWritten }) => bytesWritten)),
      filesChanged: [...new Set(ticks.flatMap(({ filesChanged }) => filesChanged))],
    };
  } finally {
    await service.close();
  }
}

interface Tick {
  readonly ms: number;
  readonly processes: number;
  readonly bytesWritten: number;
  readonly filesChanged: readonly string[];
}

async function tick(
  service: BackupService,
  clock: Clock,
  { number, folders }: { number: number; folders: readonly string[] },
): Promise<Tick> {
  // Another interval than before: the scheduler wakes at the next turn of the event loop.
  service.updateConfig({ intervalMinutes: 11 - (number % 2) });
  const before = { ...activity(), files: timesOf(folders) };
  clock.advance(HOUR_MS);
  const result = await new Promise<string>((resolve) => {
    const unsubscribe = service.on((event) => {
      if (event.type !== 'run') return;
      unsubscribe();
      resolve(event.run.result);
    });
  });
  const ms = performance.now() - clock.firstAskedMs;
  const after = activity();
  if (result !== 'unchanged') throw new Error(`a tick on an unchanged database ended ${result}`);
  const files = timesOf(folders);
  await nextTurn();
  return {
    ms,
    processes: after.processes === before.processes ? 0 : 1,
    bytesWritten: after.bytesWritten - before.bytesWritten,
    filesChanged: [...files].filter(([path, time]) => before.files.get(path) !== time).map(([path]) => path),
  };
}

/** Stands still until it is told to go on, and notes when it was first asked after that: the tick begins there. */
class Clock {
  #nowMs = Date.now();
  firstAskedMs = Number.NaN;

  readonly now = (): Date => {
    if (Number.isNaN(this.firstAskedMs)) this.firstAskedMs = performance.now();
    return new Date(this.#nowMs);
  };

  advance(ms: number): void {
    this.#nowMs += ms;
    this.firstAskedMs = Number.NaN;
  }
}

/**
 * What this process wrote so far, and whether it had children: those that run, and the page faults of those that ended
 * (proc(5), `cminflt`), which no process can avoid.
 */
function activity(): { bytesWritten: number; processes: string } {
  const io = readFileSync('/proc/self/io', 'utf8');
  const statistics = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
  const running = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
  return { bytesWritten: Number(/^wchar: (\d+)$/m.exec(io)?.[1]), processes: `${statistics[8]}/${running}` };
}

/** Names, relative to their folder, and times of change. */
function timesOf(folders: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
        (path) => [path, lstatSync(join(folder, path)).mtimeMs] as const,
      ),
    ),
  );
}

function tell({ ticks, rows }: IdleFigures): Section {
  const usual = rows[0];
  return {
    title: 'What an idle database costs',
    text: [
      `One tick of the schedule on a database that did not change, ${ticks} times, by the number of backups in the folder. The size of the database does not matter, because it is not opened.`,
      table(
        ['backups', 'median ms', 'max ms', 'processes started', 'bytes written', 'files changed'],
        rows.map((row) => [
          String(row.backups),
          inMs(row.medianMs),
          inMs(row.maxMs),
          String(row.processes),
          inMs(row.bytesWritten),
          row.filesChanged.map((file) => `\`${file}\``).join(', '),
        ]),
      ),
      tellGoals([
        { text: 'a tick takes at most 5 ms (the median, in ms)', measured: usual?.medianMs ?? null, most: 5 },
        { text: 'no process is started', measured: usual?.processes ?? null, most: 0 },
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
