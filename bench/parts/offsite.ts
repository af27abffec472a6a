/**
 * How fast a backup reaches S3 and comes back, on a real server (Ceph RGW) on the loopback, against a plain loop of the
 * same client that sends, or asks for, one part after the other in one process. Of the job's process its memory is taken
 * too: all of it (`VmHWM`) and what it takes from others (`RssAnon`).
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { PLAIN, type Sealing } from '../../src/engine/format/seal.ts';
import type { S3Access } from '../../src/engine/store/s3/access.ts';
import { type Rgw, startRgw, whyNoRgw } from '../../tests/support/rgw.ts';
import { type Bench, newBank, newFolder, type Part, type Section, settleDisk, warm } from '../bench.ts';
import { jobEnvironment, ourJob } from '../candidates.ts';
import { bold, table } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';
import { watchJob, type Watched } from '../watch-job.ts';

const LOCK_WAIT_MS = 30_000;
const BUCKET = 'bench';

interface Way {
  readonly name: string;
  readonly ours: boolean;
  readonly upMs: Figure;
  readonly downMs: Figure;
  readonly upPeakMegabytes: Figure;
  readonly upOwnMegabytes: Figure;
  readonly downPeakMegabytes: Figure;
  readonly downOwnMegabytes: Figure;
}

export interface OffsiteFigures {
  /** Why nothing was measured. */
  readonly missing: string | null;
  readonly rounds: number;
  readonly megabytes: number;
  readonly ways: readonly Way[];
  /** `restore latest --from s3` on a machine with nothing on it, the start of the program included. */
  readonly emptyMachineMs: Figure;
}

export const offsite: Part<OffsiteFigures> = { measure, tell };

async function measure(bench: Bench): Promise<OffsiteFigures> {
  const missing = whyNoRgw();
  const { rounds, megabytes } = bench;
  if (missing !== null) return { missing, rounds, megabytes, ways: [], emptyMachineMs: null };
  const rgw = await startRgw({ store: 'bluestore', parent: bench.folder });
  try {
    await rgw.createBucket(BUCKET);
    return { missing, rounds, megabytes, ...(await measureOn(rgw, bench)) };
  } finally {
    await rgw.close();
  }
}

async function measureOn(rgw: Rgw, bench: Bench): Promise<Pick<OffsiteFigures, 'ways' | 'emptyMachineMs'>> {
  const folder = newFolder(bench);
  const { path } = await ourJob.copy({ database: newBank(bench, bench.megabytes), folder, number: 0 });
  const identity = await generateIdentity();
  const recipients = [await identityToRecipient(identity)];
  const sealings: readonly (readonly [string, Sealing])[] = [
    ['upload and fetch', PLAIN],
    ['with zstd', { compression: 'zstd', recipients: [] }],
    ['with age', { compression: 'none', recipients }],
    ['with zstd and age', { compression: 'zstd', recipients }],
  ];
  const loops: { up: number; down: number }[] = [];
  const jobs = sealings.map((): Trip[] => []);
  for (let round = 0; round < bench.rounds; round++) {
    loops.push(await loop(rgw, path, bench));
    for (const [at, [name, sealing]] of sealings.entries()) {
      const trip = await roundTrip(rgw, { path, sealing, identity, prefix: `${round}-${at}` }, bench);
      jobs[at]?.push(trip);
      bench.say(`${round + 1}. ${name}: up ${inMs(trip.up.tookMs)} ms, down ${inMs(trip.down.tookMs)} ms`);
    }
  }
  const none = { upPeakMegabytes: null, upOwnMegabytes: null, downPeakMegabytes: null, downOwnMegabytes: null };
  const plain: Way = {
    name: 'plain loop, part by part',
    ours: false,
    upMs: median(loops.map(({ up }) => up)),
    downMs: median(loops.map(({ down }) => down)),
    ...none,
  };
  const ways = sealings.map(([name], at) => wayOf(name, jobs[at] ?? []));
  return { ways: [plain, ...ways], emptyMachineMs: await restoreOnEmptyMachine(rgw, bench) };
}

interface Trip {
  readonly up: Watched;
  readonly down: Watched;
}

async function roundTrip(
  rgw: Rgw,
  { path, sealing, identity, prefix }: { path: string; sealing: Sealing; identity: string; prefix: string },
  bench: Bench,
): Promise<Trip> {
  const name = path.slice(dirname(path).length + 1);
  const access = { prefix, access: accessTo(rgw) };
  warm(path);
  settleDisk(bench.folder);
  const up = await watchJob<'upload'>({
    kind: 'upload',
    target: 's3',
    folder: dirname(path),
    name,
    ...access,
    sealing,
    retention: null,
    known: [],
  });
  settleDisk(bench.folder);
  const staging = mkdtempSync(join(bench.folder, 'fetch-'));
  const to = join(staging, 'back.sqlite');
  const down = await watchJob<'fetch'>({
    kind: 'fetch',
    target: 's3',
    name,
    ...access,
    identities: [identity],
    staging,
    to,
    lockWaitMs: LOCK_WAIT_MS,
  });
  if (statSync(to).size !== statSync(path).size) throw new Error('what came back has another size');
  rmSync(staging, { recursive: true });
  return { up, down };
}

async function loop(rgw: Rgw, path: string, bench: Bench): Promise<{ up: number; down: number }> {
  warm(path);
  settleDisk(bench.folder);
  const program = fileURLToPath(new URL('../part-loop-main.ts', import.meta.url));
  const to = join(mkdtempSync(join(bench.folder, 'loop-')), 'back');
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', program, path, to], {
    env: { ...jobEnvironment(), BENCH_S3: JSON.stringify(accessTo(rgw)) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const text of child.stdout.setEncoding('utf8')) said += text;
  rmSync(dirname(to), { recursive: true });
  const times = JSON.parse(said) as { up: number; down: number }; // our own program wrote it
  bench.say(`loop: up ${inMs(times.up)} ms, down ${inMs(times.down)} ms`);
  return times;
}

async function restoreOnEmptyMachine(rgw: Rgw, bench: Bench): Promise<number> {
  const home = join(newFolder(bench), 'empty');
  mkdirSync(home);
  const program = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const { bucket, region, endpoint, accessKeyId, secretAccessKey } = accessTo(rgw);
  const startedMs = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--config=/dev/null',
      '--no-env-file',
      program,
      'restore',
      'latest',
      '--from',
      's3',
      '--to',
      'app.sqlite',
      '--quiet',
    ],
    {
      cwd: home,
      env: {
        ...jobEnvironment(),
        S3_BUCKET: bucket,
        S3_REGION: region,
        S3_ENDPOINT: endpoint ?? '',
        S3_ACCESS_KEY: accessKeyId ?? '',
        S3_SECRET_KEY: secretAccessKey ?? '',
        BACKUP_S3_PATH: '0-0',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`the restore ended with code ${String(code)}`);
  const tookMs = performance.now() - startedMs;
  bench.say(`restore latest on an empty machine: ${inMs(tookMs)} ms`);
  return tookMs;
}

function accessTo({ endpoint, region, accessKeyId, secretAccessKey }: Rgw): S3Access {
  return { kind: 's3', bucket: BUCKET, region, endpoint, accessKeyId, secretAccessKey };
}

function wayOf(name: string, trips: readonly Trip[]): Way {
  return {
    name,
    ours: true,
    upMs: median(trips.map(({ up }) => up.tookMs)),
    downMs: median(trips.map(({ down }) => down.tookMs)),
    upPeakMegabytes: Math.max(...trips.map(({ up }) => up.peakMegabytes)),
    upOwnMegabytes: Math.max(...trips.map(({ up }) => up.ownMegabytes)),
    downPeakMegabytes: Math.max(...trips.map(({ down }) => down.peakMegabytes)),
    downOwnMegabytes: Math.max(...trips.map(({ down }) => down.ownMegabytes)),
  };
}

function tell({ missing, rounds, megabytes, ways, emptyMachineMs }: OffsiteFigures): Section {
  const title = 'To S3 and back';
  if (missing !== null) return { title, text: `Not measured: ${missing}.`, plots: [] };
  const [plain] = ways;
  const speed = (ms: Figure) => (ms === null ? '' : `${inMs((megabytes / ms) * 1000)} MB/s`);
  const memory = (peak: Figure, own: Figure) => (peak === null || own === null ? '' : `${inMs(peak)} / ${inMs(own)}`);
  const ratio = (loopMs: Figure | undefined, ms: Figure) => (loopMs && ms ? loopMs / ms : null);
  return {
    title,
    text: [
      `${megabytes} MB to Ceph RGW on the same machine, which shares its processors with the client, and back; medians of ${rounds} rounds. Our jobs are timed from outside: their start, the digest, the check of what was stored, the listing afterwards and, on the way back, the unsealing, \`quick_check\` and the durable write to its place are included. MB/s refer to the plain database. Speed by loop is above 1 if we are faster than the loop. Memory is the peak of the job's process, in MB: all of it / what it does not share with others.`,
      table(
        ['', 'up', 'speed / loop', 'memory', 'down', 'speed / loop', 'memory'],
        ways.map((way) => [
          way.ours ? bold(way.name) : way.name,
          speed(way.upMs),
          inTimes(ratio(plain?.upMs, way.upMs)),
          memory(way.upPeakMegabytes, way.upOwnMegabytes),
          speed(way.downMs),
          inTimes(ratio(plain?.downMs, way.downMs)),
          memory(way.downPeakMegabytes, way.downOwnMegabytes),
        ]),
      ),
      `\`velist-backup restore latest --from s3 --to app.sqlite\` in an empty folder, of the plain copy: ${inMs(emptyMachineMs)} ms.`,
    ].join('\n\n'),
    plots: [],
  };
}
