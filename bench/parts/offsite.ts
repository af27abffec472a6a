/**
 * The way to S3 and back: the upload job and the fetch job, as it is and sealed, on a real server (Ceph RGW), beside the plainest loop with the same client. The memory is that of the job's process,
 * as the kernel counts it. At the end the command that a machine runs which has nothing but the S3 variables.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { PLAIN, sealName, type Sealing, sealOf } from '../../src/engine/artifact.ts';
import type { S3Access } from '../../src/engine/jobs/protocol.ts';
import { runJob } from '../../src/engine/jobs/run-job.ts';
import { createS3Store } from '../../src/engine/targets/s3-store.ts';
import { startRgw, whyNoRgw } from '../../tests/support/rgw.ts';
import { type Bench, newBank, newFolder, type Part, type Section, settleDisk, warm } from '../bench.ts';
import { jobEnvironment, ourJob } from '../candidates.ts';
import type { PartLoopOrder } from '../part-loop-main.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';

const BUCKET = 'bench';
const MiB = 1024 ** 2;
/** A part of the server's memory holds what was deleted, for some seconds. */
const MEMORY_STORE_MEGABYTES = 1024;
const SAMPLE_EVERY_MS = 10;
const LOCK_WAIT_MS = 30_000;
const MEMORY_GOAL_MB = 200;
/** Throughput at least nine tenths of the loop's. */
const TIME_GOAL = 1 / 0.9;

const stores = { memstore: 'its store in memory', bluestore: 'its store on a file of the same disk' } as const;

interface Way {
  readonly ms: Figure;
  /** Of the database, whatever became of it on the way. */
  readonly megabytesPerSecond: Figure;
  /** Peaks of the process: memory of its own, and all of it with the pages of programs and files. */
  readonly ownMegabytes: Figure;
  readonly residentMegabytes: Figure;
}

interface Row {
  readonly name: string;
  readonly up: Way;
  readonly down: Way;
  /** What is stored, by what the database has. */
  readonly stored: Figure;
}

export interface OffsiteFigures {
  readonly missing: string | null;
  readonly rounds: number;
  readonly server: string;
  readonly loop: Row | null;
  readonly rows: readonly Row[];
  readonly restoreMs: Figure;
}

export const offsite: Part<OffsiteFigures> = { measure, tell };

async function measure(bench: Bench): Promise<OffsiteFigures> {
  const missing = whyNoRgw();
  if (missing !== null) {
    bench.say(missing);
    return { missing, rounds: 0, server: '', loop: null, rows: [], restoreMs: null };
  }
  const database = newBank(bench, bench.megabytes);
  const folder = newFolder(bench);
  const { path } = await ourJob.copy({ database, folder, number: 0 });
  rmSync(database);
  // The disk is no part of what is measured, where memory is large enough to do without.
  const store = bench.megabytes > MEMORY_STORE_MEGABYTES ? 'bluestore' : 'memstore';
  const server = await startRgw({ store, parent: bench.folder });
  try {
    await server.createBucket(BUCKET);
    const place = new Place(bench, { s3: { ...server, bucket: BUCKET }, backup: path });
    const identity = await generateIdentity();
    const recipients = [await identityToRecipient(identity)];
    const sealings: readonly Sealing[] = [
      PLAIN,
      { compression: 'zstd', recipients: [] },
      { compression: 'none', recipients },
      { compression: 'zstd', recipients },
    ];
    const loops: Row[] = [];
    const jobs = sealings.map((): Row[] => []);
    for (let round = 0; round < bench.rounds; round++) {
      loops.push(await place.measureLoop());
      for (const [at, sealing] of sealings.entries()) jobs[at]?.push(await place.measureJobs(sealing, identity));
    }
    return {
      missing: null,
      rounds: bench.rounds,
      server: `Ceph RGW ${/version (\S+)/.exec(await server.admin('--version'))?.[1]}, ${stores[store]}`,
      loop: middleOf(loops),
      rows: jobs.map(middleOf),
      restoreMs: await place.restoreOnEmptyMachine(),
    };
  } finally {
    await server.close();
  }
}

/** One backup in its folder, and the bucket that it goes to. */
class Place {
  readonly #bench: Bench;
  readonly #s3: S3Access;
  readonly #backup: string;
  readonly #megabytes: number;

  constructor(bench: Bench, { s3, backup }: { readonly s3: S3Access; readonly backup: string }) {
    this.#bench = bench;
    this.#s3 = s3;
    this.#backup = backup;
    this.#megabytes = statSync(backup).size / MiB;
  }

  async measureLoop(): Promise<Row> {
    const s3 = { ...this.#s3, prefix: '' };
    const to = join(newFolder(this.#bench), 'copy');
    const order = { s3, key: 'loop/object' };
    const up = await this.#time(() => partLoop({ ...order, direction: 'up', path: this.#backup }), 'part-loop-main');
    const down = await this.#time(() => partLoop({ ...order, direction: 'down', path: to }), 'part-loop-main');
    rmSync(to);
    await this.#empty('loop');
    return this.#told({ name: 'the loop', up, down, stored: 1 });
  }

  async measureJobs(sealing: Sealing, identity: string): Promise<Row> {
    const name = sealName(sealOf(sealing));
    const prefix = `jobs/${name}`;
    const up = await this.#time(() => this.#upload(prefix, sealing), 'job-main');
    const stored = (await this.#empty(prefix, { keep: true })) / MiB / this.#megabytes;
    const to = join(newFolder(this.#bench), 'fetched.sqlite');
    const down = await this.#time(() => this.#fetch(prefix, to, identity), 'job-main');
    rmSync(to);
    await this.#empty(prefix);
    return this.#told({ name, up, down, stored });
  }

  /** What is typed on a new machine after `export S3_…`. */
  async restoreOnEmptyMachine(): Promise<number> {
    const prefix = 'backups/database';
    await this.#upload(prefix, PLAIN);
    const machine = newFolder(this.#bench);
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const { endpoint, region, accessKeyId, secretAccessKey } = this.#s3;
    const environment = {
      ...{ ...jobEnvironment(), HOME: machine, S3_BUCKET: BUCKET, S3_REGION: region, S3_ENDPOINT: endpoint ?? '' },
      ...{ S3_ACCESS_KEY: accessKeyId ?? '', S3_SECRET_KEY: secretAccessKey ?? '' },
    };
    this.#settle();
    const startedMs = performance.now();
    const restoring = ['restore', 'latest', '--from', 's3', '--to', 'restored.sqlite'];
    await outputOf([process.execPath, main, ...restoring], { environment, folder: machine });
    const ms = performance.now() - startedMs;
    if (statSync(join(machine, 'restored.sqlite')).size !== statSync(this.#backup).size)
      throw new Error('not all of it');
    this.#bench.say(`restore on an empty machine: ${inMs(ms)} ms`);
    return ms;
  }

  async #upload(prefix: string, sealing: Sealing): Promise<void> {
    const [folder, name] = [join(this.#backup, '..'), this.#backup.split('/').at(-1) ?? ''];
    await runJob<'upload'>(
      { kind: 'upload', folder, name, prefix, s3: this.#s3, sealing, retention: null, known: [] },
      { environment: jobEnvironment() },
    );
  }

  async #fetch(prefix: string, to: string, identity: string): Promise<void> {
    const name = this.#backup.split('/').at(-1) ?? '';
    await runJob<'fetch'>(
      {
        ...{ kind: 'fetch', name, prefix, s3: this.#s3, identities: [identity] },
        ...{ staging: `${to}.staging`, to, lockWaitMs: LOCK_WAIT_MS },
      },
      { environment: jobEnvironment() },
    );
  }

  /** The bytes there; removes them unless told to keep them. */
  async #empty(prefix: string, { keep = false } = {}): Promise<number> {
    const store = createS3Store({ ...this.#s3, prefix });
    let bytes = 0;
    const keys: string[] = [];
    for await (const { key, sizeBytes } of store.list('')) {
      bytes += sizeBytes;
      keys.push(key);
    }
    if (!keep) await store.deleteMany(keys);
    store.close();
    return bytes;
  }

  #settle(): void {
    settleDisk(this.#bench.folder);
    warm(this.#backup);
  }

  async #time(work: () => Promise<unknown>, program: string): Promise<Way> {
    this.#settle();
    const memory = watchMemory(program);
    const startedMs = performance.now();
    await work();
    const ms = performance.now() - startedMs;
    return { ms, megabytesPerSecond: this.#megabytes / (ms / 1000), ...memory.stop() };
  }

  #told(row: Row): Row {
    const way = ({ ms, megabytesPerSecond, ownMegabytes, residentMegabytes }: Way) =>
      `${inMs(ms)} ms, ${inMs(megabytesPerSecond)} MB/s, ${inMs(ownMegabytes)}/${inMs(residentMegabytes)} MB`;
    this.#bench.say(`${row.name}: up ${way(row.up)}; down ${way(row.down)}`);
    return row;
  }
}

/** In a process of its own, like the jobs; the start of the runtime belongs to the time of both. */
async function partLoop(order: PartLoopOrder): Promise<void> {
  const main = fileURLToPath(new URL('../part-loop-main.ts', import.meta.url));
  const command = [process.execPath, '--config=/dev/null', '--no-env-file', main];
  await outputOf(command, { environment: jobEnvironment(), input: JSON.stringify(order) });
}

interface Running {
  readonly environment: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly input?: string;
}

async function outputOf(command: readonly string[], { environment, folder, input = '' }: Running): Promise<string> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { env: environment, cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(input);
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(output) : reject(new Error(complaint || `code ${code}`))));
  });
}

/** The peaks of our child whose command names that program, until told to stop. */
function watchMemory(program: string): { stop(): Pick<Way, 'ownMegabytes' | 'residentMegabytes'> } {
  let ownKb = 0;
  let residentKb = 0;
  const timer = setInterval(() => {
    for (const pid of childrenOf(process.pid)) {
      try {
        if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program)) continue;
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        ownKb = Math.max(ownKb, Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0));
        residentKb = Math.max(residentKb, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0));
      } catch {
        // It ended between two looks.
      }
    }
  }, SAMPLE_EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      return { ownMegabytes: ownKb / 1024, residentMegabytes: residentKb / 1024 };
    },
  };
}

function childrenOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
      return children === '' ? [] : children.split(' ');
    } catch {
      return []; // A thread that ended between two looks.
    }
  });
}

function middleOf(rows: readonly Row[]): Row {
  const of = (take: (row: Row) => Figure) => median(rows.map((row) => take(row) ?? Number.NaN));
  const most = (take: (row: Row) => Figure) => Math.max(...rows.map((row) => take(row) ?? 0));
  const way = (take: (row: Row) => Way): Way => ({
    ms: of((row) => take(row).ms),
    megabytesPerSecond: of((row) => take(row).megabytesPerSecond),
    ownMegabytes: most((row) => take(row).ownMegabytes),
    residentMegabytes: most((row) => take(row).residentMegabytes),
  });
  return {
    name: rows[0]?.name ?? '',
    up: way((row) => row.up),
    down: way((row) => row.down),
    stored: of((row) => row.stored),
  };
}

function tell({ missing, rounds, server, loop, rows, restoreMs }: OffsiteFigures): Section {
  const title = 'To S3 and back';
  if (missing !== null || !loop) return { title, text: `Not measured: ${missing}.`, plots: [] };
  const plain = rows[0];
  const by = (way: Way | undefined, other: Way) => (way?.ms && other.ms ? way.ms / other.ms : null);
  const cells = (name: string, { up, down, stored }: Row) => [
    name,
    inMs(up.megabytesPerSecond),
    inTimes(by(up, loop.up)),
    `${inMs(up.ownMegabytes)} / ${inMs(up.residentMegabytes)}`,
    inMs(down.megabytesPerSecond),
    inTimes(by(down, loop.down)),
    `${inMs(down.ownMegabytes)} / ${inMs(down.residentMegabytes)}`,
    `${Math.round((stored ?? 0) * 100)} %`,
  ];
  return {
    title,
    text: [
      `One backup to ${server}, on the same machine, and back: the median of ${rounds} rounds; memory is the highest of all. Ours is the whole job: its process, the digest of the file and of what is sent, the look at what was stored, manifest, listing; on the way back both digests, \`quick_check\`, fsync. The loop is the same client sending the same parts, and nothing else. Both share two processors with the server, and our upload gives way to whoever else wants them. The database is mostly random bytes, which do not compress.`,
      table(
        [
          'sealed',
          'up, MB/s',
          'time by the loop',
          'memory, own / all MB',
          'down, MB/s',
          'time by the loop',
          'memory, own / all MB',
          'stored',
        ],
        [cells('the loop alone', loop), ...rows.map((row) => cells(row.name, row))],
      ),
      `\`velist-backup restore latest --from s3 --to restored.sqlite\` on a machine that has nothing but the S3 variables: ${inMs(restoreMs)} ms.`,
      tellGoals([
        { text: 'a plain upload takes at most 1.11 times the loop', measured: by(plain?.up, loop.up), most: TIME_GOAL },
        {
          text: 'a plain download takes at most 1.11 times the loop',
          measured: by(plain?.down, loop.down),
          most: TIME_GOAL,
        },
        {
          text: `an upload needs at most ${MEMORY_GOAL_MB} MB, sealed or not (all of the process)`,
          measured: Math.max(...rows.map(({ up }) => up.residentMegabytes ?? Number.NaN)),
          most: MEMORY_GOAL_MB,
        },
        {
          text: `a download needs at most ${MEMORY_GOAL_MB} MB, sealed or not (all of the process)`,
          measured: Math.max(...rows.map(({ down }) => down.residentMegabytes ?? Number.NaN)),
          most: MEMORY_GOAL_MB,
        },
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
