/**
 * What continuous backup costs beside the same writer alone, and beside Litestream: the writer's waits, processor, memory
 * and bytes written of the process that follows, how often it captures, and the restore of the newest moment by `cp` + fsync.
 *
 * Litestream takes part where `litestream` is on the PATH, with a replica in a folder of the same disk:
 * `go install github.com/benbjohnson/litestream/cmd/litestream@v0.5.18`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from '../../src/engine/process/worker.ts';
import { materialize } from '../../src/engine/replication/materialize.ts';
import {
  type Bench,
  newBank,
  newFolder,
  type Part,
  type Section,
  settleDisk,
  TRANSACTIONS_PER_SECOND,
  warm,
} from '../bench.ts';
import { cpWithFsync, jobEnvironment, versionsOfPeers } from '../candidates.ts';
import { rangePlot } from '../plot.ts';
import { bold, table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median, percentile, summarize, type Waits } from '../statistics.ts';
import { startWriter } from '../writer.ts';

/** Follows a database in a process of its own, until it is stopped. */
interface Following {
  readonly pid: number;
  /** Where a file appears for each capture. */
  readonly captures: string;
  stop(): Promise<void>;
  restore(to: string): Promise<void>;
}

interface Follower {
  readonly name: string;
  readonly ours: boolean;
  readonly missing: string | null;
  /** Resolves once the whole database is captured. */
  start(database: string, folder: string): Promise<Following>;
}

interface Turn {
  readonly waitsMs: readonly number[];
  readonly errors: number;
  readonly firstImageMs: number;
  readonly busyPercent: number;
  readonly idlePercent: number;
  readonly megabytesResident: number;
  readonly bytesPerTransaction: number;
  /** Between two captures. */
  readonly betweenMs: readonly number[];
  readonly restoreMs: number;
  readonly cpMs: number;
}

/** The writer alone has its waits. */
type SomeTurn = Pick<Turn, 'waitsMs' | 'errors'> & Partial<Turn>;

interface Row {
  readonly name: string;
  readonly ours: boolean;
  readonly missing: string | null;
  readonly waits: { readonly [name in keyof Waits]: Figure };
  readonly errors: number;
  readonly figures: Readonly<Record<keyof Medians, Figure>> | null;
}

type Medians = Omit<Turn, 'waitsMs' | 'errors' | 'betweenMs'> & {
  readonly capturesPerSecond: number;
  readonly betweenP99Ms: number;
  readonly restoreRatio: number;
};

export interface ContinuousFigures {
  readonly megabytes: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

const IDLE_MS = 10_000;
const SETTLE_MS = 3_000;
const IMAGE_MS_MAX = 300_000;
const TICKS_PER_SECOND = 100;
const HOUR_MS = 3_600_000;
const setting = { synchronous: 'NORMAL', busyTimeoutMs: 5_000 } as const;
const ALONE = 'the writer alone';

export const continuous: Part<ContinuousFigures> = { measure, tell };

const ours: Follower = {
  name: 'velist-backup',
  ours: true,
  missing: null,
  async start(database, folder) {
    const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];
    const follow = { type: 'follow' as const, id: 'bank', databasePath: database, folder };
    const capturing = Promise.withResolvers<void>();
    const worker: Worker<'replicate'> = new Worker({
      ...{ kind: 'replicate' as const, request: {}, environment: jobEnvironment() },
      onStart: () => void worker.send({ ...follow, intervalMs: 1_000, windowsMs, bytesMax: null }),
      onMessage: (news) => news.type === 'status' && news.status.phase === 'capturing' && capturing.resolve(),
    });
    worker.start();
    await capturing.promise;
    return {
      pid: worker.pid ?? 0,
      captures: join(folder, 'ltx', '0'),
      stop: () => worker.stop(),
      restore: async (to) => void (await materialize(folder, { latest: true }, to)),
    };
  },
};

const litestream: Follower = {
  name: 'Litestream',
  ours: false,
  missing: versionsOfPeers()['litestream'] === 'not found' ? '`litestream` is not on the PATH' : null,
  async start(database, folder) {
    const replica = join(folder, 'replica');
    const child = spawn('litestream', ['replicate', '-log-level', 'error', database, `file://${replica}`], {
      stdio: 'ignore',
    });
    const captures = join(replica, 'ltx', '0');
    const untilMs = performance.now() + IMAGE_MS_MAX;
    while (!existsSync(captures) || !readdirSync(captures).some((name) => name.endsWith('.ltx'))) {
      if (child.exitCode !== null || performance.now() > untilMs) throw new Error('Litestream made no first image');
      await sleep(20);
    }
    return {
      pid: child.pid ?? 0,
      captures,
      stop: () => ended(child, 'SIGTERM'),
      async restore(to) {
        const { status, stderr } = spawnSync('litestream', ['restore', '-o', to, `file://${replica}`], {
          encoding: 'utf8',
        });
        if (status !== 0) throw new Error(`litestream restore: ${stderr}`);
      },
    };
  },
};

async function measure(bench: Bench): Promise<ContinuousFigures> {
  const bank = newBank(bench, bench.megabytes);
  const followers = [null, ours, litestream];
  const turns = followers.map((): SomeTurn[] => []);
  for (let round = 0; round < bench.rounds; round++)
    for (const [at, follower] of followers.entries()) {
      if (follower?.missing) continue;
      const turn = await takeTurn(bench, bank, follower);
      turns[at]?.push(turn);
      const told = turn.busyPercent === undefined ? '' : `, ${turn.busyPercent.toFixed(1)} % of a core`;
      bench.say(`${round + 1}. ${follower?.name ?? ALONE}: p99.9 ${inMs(summarize(turn.waitsMs).p999)} ms${told}`);
    }
  const rows = followers.map((follower, at) => rowOf(follower, turns[at] ?? []));
  return { megabytes: bench.megabytes, seconds: bench.seconds, rounds: bench.rounds, rows };
}

async function takeTurn(bench: Bench, bank: string, follower: Follower | null): Promise<SomeTurn> {
  const folder = newFolder(bench);
  const database = join(folder, 'app.sqlite');
  copyFileSync(bank, database);
  warm(database);
  settleDisk(bench.folder);
  try {
    if (follower === null) return await write(bench, database);
    const where = join(folder, 'stream');
    mkdirSync(where);
    const startedMs = performance.now();
    const following = await follower.start(database, where);
    const firstImageMs = performance.now() - startedMs;
    try {
      const measured = await follow(bench, database, following);
      await following.stop();
      return { ...measured, firstImageMs, ...(await restore(bench, database, following)) };
    } finally {
      await following.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function write(bench: Bench, database: string) {
  const writer = await startWriter(database, setting);
  await sleep(1_000 * bench.seconds);
  const { waitsMs, errors, commits } = await writer.stop();
  return { waitsMs, errors, commits };
}

async function follow(bench: Bench, database: string, { pid, captures }: Following) {
  await sleep(SETTLE_MS);
  settleDisk(bench.folder);
  const idlePercent = await processorOf(pid, () => sleep(IDLE_MS));
  const cameMs = new Map<string, number>();
  using _watcher = watching(captures, (name) => {
    if (name.endsWith('.ltx') && !cameMs.has(name)) cameMs.set(name, performance.now());
  });
  const before = bytesWrittenBy(pid);
  let written: Awaited<ReturnType<typeof write>> | undefined;
  const busyPercent = await processorOf(pid, async () => {
    written = await write(bench, database);
  });
  const { waitsMs = [], errors = 0, commits = 1 } = written ?? {};
  const times = [...cameMs.values()];
  return {
    ...{ waitsMs, errors, idlePercent, busyPercent },
    betweenMs: times.slice(1).map((ms, at) => ms - (times[at] ?? ms)),
    bytesPerTransaction: (bytesWrittenBy(pid) - before) / commits,
    megabytesResident: Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024,
  };
}

async function restore(bench: Bench, database: string, following: Following) {
  const folder = newFolder(bench);
  const to = join(folder, 'restored.sqlite');
  settleDisk(bench.folder);
  const startedMs = performance.now();
  await following.restore(to);
  const restoreMs = performance.now() - startedMs;
  rmSync(to);
  settleDisk(bench.folder);
  const { tookMs: cpMs } = await cpWithFsync.copy({ database, folder, number: 1 });
  rmSync(folder, { recursive: true });
  return { restoreMs, cpMs };
}

function watching(folder: string, hear: (name: string) => void): Disposable {
  const watcher = watch(folder, (_, name) => hear(String(name)));
  return { [Symbol.dispose]: () => watcher.close() };
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once('close', resolve));
  child.kill(signal);
  await closed;
}

/** In percent of a core, while that goes on. */
async function processorOf(pid: number, work: () => Promise<unknown>): Promise<number> {
  const [before, startedMs] = [ticksOf(pid), performance.now()];
  await work();
  return (100 * (ticksOf(pid) - before)) / TICKS_PER_SECOND / ((performance.now() - startedMs) / 1_000);
}

function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function bytesWrittenBy(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

function rowOf(follower: Follower | null, turns: readonly SomeTurn[]): Row {
  const of = (figure: (turn: Partial<Turn>) => number | undefined) =>
    median(turns.map((turn) => figure(turn) ?? Number.NaN));
  const between = turns.flatMap(({ betweenMs = [] }) => betweenMs).toSorted((a, b) => a - b);
  return {
    ...{ name: follower?.name ?? ALONE, ours: follower?.ours ?? false, missing: follower?.missing ?? null },
    waits: summarize(turns.flatMap(({ waitsMs }) => waitsMs)),
    errors: turns.reduce((sum, { errors }) => sum + errors, 0),
    figures: follower && {
      firstImageMs: of((turn) => turn.firstImageMs),
      busyPercent: of((turn) => turn.busyPercent),
      idlePercent: of((turn) => turn.idlePercent),
      megabytesResident: of((turn) => turn.megabytesResident),
      bytesPerTransaction: of((turn) => turn.bytesPerTransaction),
      restoreMs: of((turn) => turn.restoreMs),
      cpMs: of((turn) => turn.cpMs),
      restoreRatio: of(({ restoreMs, cpMs }) => (restoreMs ?? Number.NaN) / (cpMs ?? Number.NaN)),
      capturesPerSecond: of(
        ({ betweenMs = [] }) => (1_000 * betweenMs.length) / betweenMs.reduce((sum, ms) => sum + ms, 0),
      ),
      betweenP99Ms: percentile(between, 99),
    },
  };
}

function tell({ megabytes, seconds, rounds, rows }: ContinuousFigures): Section {
  const present = rows.filter(({ missing }) => missing === null);
  const alone = present[0]?.waits.p999 ?? null;
  const own = present.find((row) => row.ours);
  const times = (value: Figure, by: Figure) => (value === null || by === null ? null : value / by);
  return {
    title: 'Continuous backup',
    text: [
      `A database of ${megabytes} MB, written at ${TRANSACTIONS_PER_SECOND} transactions a second for ${seconds} s (\`synchronous=NORMAL\`), each way ${rounds} times in turn. Both capture once a second. Litestream writes a local copy of each file and its replica, we write the local stream. Medians; the waits of the writer are those of all turns together. Whoever captures also makes the checkpoints, which the writer alone makes itself: that is its p99.9. Litestream merges its first image once more within half a minute, partly in the time that counts as idle here and partly beside the writer, so its processor is that of a beginning.`,
      table(
        ['', 'p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'p99.9 / alone', 'errors'],
        rows.map(({ name, ours, missing, waits, errors }) => [
          ours ? bold(name) : name,
          ...(missing
            ? [missing]
            : [
                ...[waits.p50, waits.p99, waits.p999, waits.max].map(inMs),
                inTimes(times(waits.p999, alone)),
                String(errors),
              ]),
        ]),
      ),
      '![The waits of a writer beside continuous backup](continuous.svg)',
      table(
        [
          '',
          'first image s',
          '% of a core',
          'idle %',
          'MB resident',
          'KB written / transaction',
          'captures / s',
          'between them, p99 ms',
          'restore / `cp` + fsync',
        ],
        present.flatMap(({ name, ours, figures }) =>
          figures === null
            ? []
            : [
                [
                  ours ? bold(name) : name,
                  inMs(figures.firstImageMs === null ? null : figures.firstImageMs / 1_000),
                  inMs(figures.busyPercent),
                  inMs(figures.idlePercent),
                  inMs(figures.megabytesResident),
                  inMs(figures.bytesPerTransaction === null ? null : figures.bytesPerTransaction / 1_000),
                  inMs(figures.capturesPerSecond),
                  inMs(figures.betweenP99Ms),
                  inTimes(figures.restoreRatio),
                ],
              ],
        ),
      ),
      tellGoals([
        {
          text: 'the writer’s p99.9 is at most 1.1 times that alone',
          measured: times(own?.waits.p999 ?? null, alone),
          most: 1.1,
        },
        { text: 'at most 4 % of a core', measured: own?.figures?.busyPercent ?? null, most: 4 },
        { text: 'idle at most 0.1 % of a core', measured: own?.figures?.idlePercent ?? null, most: 0.1 },
        { text: 'at most 1,500 ms between captures (p99)', measured: own?.figures?.betweenP99Ms ?? null, most: 1_500 },
        { text: 'a restore takes at most 2 times `cp` + fsync', measured: own?.figures?.restoreRatio ?? null, most: 2 },
      ]),
    ].join('\n\n'),
    plots: [
      {
        file: 'continuous.svg',
        svg: rangePlot({
          title: 'Waits of a writer beside continuous backup',
          unit: 'ms a transaction',
          rows: present.map(({ name, ours, waits }) => ({
            ...{
              label: name,
              ours,
              p50: waits.p50 ?? 0,
              p99: waits.p99 ?? 0,
              p999: waits.p999 ?? 0,
              max: waits.max ?? 0,
            },
          })),
        }),
      },
    ],
  };
}
