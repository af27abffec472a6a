/**
 * How long `durable()` takes beside the commit alone: at a second folder, at S3 on this machine, and at the same behind 30 ms of
 * delay. Beside each stands one plain PUT of as many bytes, which is what S3 itself takes.
 *
 * The S3 server is Ceph RGW where it is installed, else the one of the tests, which shares its processor with the app.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { FOLDER_MARK } from '../../src/engine/store/folder/kind.ts';
import { openTarget } from '../../src/engine/store/kinds.ts';
import { bytesOf } from '../../src/engine/store/store.ts';
import { BackupService, type BackupServiceOptions } from '../../src/service/backup-service.ts';
import { startFaultProxy } from '../../tests/support/fault-proxy.ts';
import { startRgw, whyNoRgw } from '../../tests/support/rgw.ts';
import { startS3Server } from '../../tests/support/s3-server.ts';
import { settingsWith } from '../../tests/support/settings.ts';
import { type Bench, newFolder, type Part, type Section } from '../bench.ts';
import { jobEnvironment } from '../candidates.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, summarize } from '../statistics.ts';

const BUCKET = 'durable';
const DELAY_MS = 30;
const TOGETHER = 50;
const SAMPLES = 300;
const WARM_UP = 20;
/** About what one commit of the bench takes as a segment. */
const PUT_BYTES = 1_000;
const HOUR_MS = 3_600_000;

interface Latency {
  readonly p50: Figure;
  readonly p99: Figure;
}

interface Row {
  readonly name: string;
  readonly commit: Latency;
  /** From the end of the commit on. */
  readonly durable: Latency;
  /** The slowest of many calls at one time. */
  readonly togetherMs: Figure;
  readonly put: Latency | null;
}

export interface DurableFigures {
  readonly server: string;
  readonly rows: readonly Row[];
}

type Places = Pick<BackupServiceOptions, 's3' | 'targets'>;
type Bucket = NonNullable<BackupServiceOptions['s3']>;

export const durable: Part<DurableFigures> = { measure, tell };

async function measure(bench: Bench): Promise<DurableFigures> {
  const why = whyNoRgw();
  const server = why === null ? await startRgw() : await startS3Server();
  const proxy = await startFaultProxy(server.endpoint);
  proxy.faults.push({ match: /./, effect: { meanwhile: () => sleep(DELAY_MS) } });
  const { region, accessKeyId, secretAccessKey } = server;
  const bucketAt = (endpoint: string): Bucket => ({
    ...{ kind: 's3', endpoint, region, accessKeyId, secretAccessKey },
    ...{ bucket: BUCKET, retentionCount: null },
  });
  try {
    await server.createBucket(BUCKET);
    const rows: Row[] = [];
    const add = async (name: string, places: Places, bucket: Bucket | null) => {
      const row = { name, ...(await measureAt(bench, places)), put: bucket && (await measurePut(bucket)) };
      bench.say(`${name}: commit ${inMs(row.commit.p50)} ms, durable ${inMs(row.durable.p50)} ms`);
      rows.push(row);
    };
    await add('captured here', {}, null);
    await add('a second folder', { targets: [newTargetFolder(bench)] }, null);
    const [near, far] = [bucketAt(server.endpoint), bucketAt(proxy.endpoint)];
    await add('S3 on this machine', { s3: near }, near);
    await add(`S3 behind ${DELAY_MS} ms`, { s3: far }, far);
    return { server: why === null ? 'Ceph RGW' : 'the S3 server of the tests', rows };
  } finally {
    await proxy.close();
    await server.close();
  }
}

function newTargetFolder(bench: Bench) {
  const path = newFolder(bench);
  writeFileSync(join(path, FOLDER_MARK), '');
  return { kind: 'folder' as const, name: 'second', path, prefix: 'app', retentionCount: null };
}

async function measureAt(bench: Bench, places: Places): Promise<Pick<Row, 'commit' | 'durable' | 'togetherMs'>> {
  const folder = newFolder(bench);
  mkdirSync(join(folder, 'backups'));
  const databasePath = join(folder, 'app.sqlite');
  using database = new DatabaseSync(databasePath);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  database.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)');
  const insert = database.prepare('INSERT INTO orders (text) VALUES (?)');
  const service = openService(folder, databasePath, places);
  const [commits, waits]: [number[], number[]] = [[], []];
  try {
    service.start();
    await service.durable({ timeoutMs: 60_000 });
    for (let sample = 0; sample < SAMPLES + WARM_UP; sample++) {
      const beganMs = performance.now();
      insert.run(`order ${sample}`);
      const committedMs = performance.now();
      await service.durable();
      if (sample < WARM_UP) continue;
      commits.push(committedMs - beganMs);
      waits.push(performance.now() - committedMs);
    }
    insert.run('the last');
    const beganMs = performance.now();
    await Promise.all(Array.from({ length: TOGETHER }, () => service.durable()));
    return { commit: summarize(commits), durable: summarize(waits), togetherMs: performance.now() - beganMs };
  } finally {
    await service.close();
  }
}

function openService(folder: string, databasePath: string, places: Places): BackupService {
  return new BackupService({
    ...{ databasePath, backupsPath: join(folder, 'backups'), statePath: join(folder, 'state.sqlite') },
    settings: settingsWith({ enabled: false, s3Enabled: places.s3 !== undefined, s3Path: folder.slice(-6) }),
    ...{ log: () => {}, jobEnvironment: jobEnvironment() },
    continuous: {
      ...{ intervalMs: 1_000, bytesMax: null, stopMs: 8_000 },
      windowsMs: [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS],
    },
    ...places,
  });
}

async function measurePut(bucket: Bucket): Promise<Latency> {
  const store = openTarget({ ...bucket, kind: 's3' }, `plain-${randomUUID()}`);
  try {
    const waits: number[] = [];
    for (let sample = 0; sample < SAMPLES + WARM_UP; sample++) {
      const beganMs = performance.now();
      await store.put(`object-${sample}`, bytesOf('x'.repeat(PUT_BYTES)), { sizeBytes: PUT_BYTES, ifAbsent: true });
      if (sample >= WARM_UP) waits.push(performance.now() - beganMs);
    }
    return summarize(waits);
  } finally {
    store.close();
  }
}

function tell({ server, rows }: DurableFigures): Section {
  const [, folder, near] = rows;
  const overPut = near?.put ? (near.durable.p50 ?? Number.NaN) - (near.put.p50 ?? Number.NaN) : null;
  return {
    title: 'durable()',
    text: [
      `One writer commits a row (\`synchronous=NORMAL\`) and waits until it is stored, ${SAMPLES} times. \`durable()\` counts from the end of the commit on: the message to the process that captures, the capture, its flush to the local disk, and the target. S3 is ${server}. The last column is the slowest of ${TOGETHER} calls at one time, which share one capture and one request.`,
      table(
        ['', 'commit p50 ms', 'p99', '`durable()` p50 ms', 'p99', 'one PUT p50 ms', 'p99', `${TOGETHER} at once ms`],
        rows.map(({ name, commit, durable: wait, put, togetherMs }) => [
          name,
          ...[commit.p50, commit.p99, wait.p50, wait.p99].map(inMs),
          ...[put?.p50 ?? null, put?.p99 ?? null].map(inMs),
          inMs(togetherMs),
        ]),
      ),
      tellGoals([
        {
          text: '`durable()` at a second folder takes at most 3 ms (p50)',
          measured: folder?.durable.p50 ?? null,
          most: 3,
        },
        { text: '`durable()` at S3 on this machine takes at most one PUT and 5 ms (p50)', measured: overPut, most: 5 },
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
