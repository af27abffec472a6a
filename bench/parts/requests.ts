/**
 * How many requests an S3 server gets, by what for, and how many of them are there so that a place has one writer. Counted
 * at a server in this process; the answers depend on no machine.
 */
import { join } from 'node:path';
import { BackupService, type BackupServiceOptions } from '../../src/service/backup-service.ts';
import { Heartbeats } from '../../src/service/targets/heartbeats.ts';
import { type S3Server, startS3Server } from '../../tests/support/s3-server.ts';
import { type Bench, newBank, newFolder, type Part, type Section } from '../bench.ts';
import { jobEnvironment } from '../candidates.ts';
import { table } from '../report.ts';
import { settingsWith } from '../../tests/support/settings.ts';

const BUCKET = 'requests';
const DATABASE_MEGABYTES = 1;
const KEPT = 2;
const FLEET = 10;
const TICK_MS = 2_000;

interface Row {
  readonly what: string;
  readonly all: number;
  /** How many of them are for the writer. */
  readonly writer: number;
  /** `PUT 2, GET 1, …` */
  readonly kinds: string;
}

export interface RequestFigures {
  readonly rows: readonly Row[];
}

export const requests: Part<RequestFigures> = { measure, tell };

async function measure(bench: Bench): Promise<RequestFigures> {
  const server = await startS3Server();
  try {
    await server.createBucket(BUCKET);
    const rows = [...(await measureOne(server, bench)), await measureFleet(server, bench)];
    for (const { what, all, writer } of rows) bench.say(`${what}: ${all}, ${writer} of them for the writer`);
    return { rows };
  } finally {
    await server.close();
  }
}

async function measureOne(server: S3Server, bench: Bench): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const count = async (what: string, work: () => Promise<unknown>) => {
    server.requests.length = 0;
    await work();
    rows.push(rowOf(what, server));
  };
  const service = open(server, bench, { prefix: 'one' });
  await count('the first upload of a start', () => service.performBackup());
  for (let made = 1; made <= KEPT; made++) await service.performBackup();
  await count('each upload after it, with the removal of an old backup', () => service.performBackup());
  await count('a look at what is there, every quarter of an hour', () => service.getBackups({ target: 's3' }));
  await count('the end', () => service.close());
  return rows;
}

/** Counts from one heartbeat to the next, while nothing changes. */
async function measureFleet(server: S3Server, bench: Bench): Promise<Row> {
  const heartbeats = new Heartbeats();
  const services = Array.from({ length: FLEET }, (_, number) =>
    open(server, bench, { prefix: `fleet/${number}`, heartbeats, tickMs: TICK_MS }),
  );
  for (const service of services) await service.performBackup();
  // The first renewal has none before it to read.
  for (let renewals = 0; renewals < 2; renewals++) await renewal(server);
  await renewal(server);
  const row = rowOf(`a tick of ${FLEET} databases in one bucket, nothing changed`, server);
  for (const service of services) await service.close();
  return row;
}

/** Counts from now until the next one has ended. */
async function renewal(server: S3Server): Promise<void> {
  server.requests.length = 0;
  const isRenewed = () =>
    server.requests.some(({ method, url, status }) => method === 'PUT' && url.includes('/beat-') && status !== 0);
  while (!isRenewed()) await new Promise((resolve) => setTimeout(resolve, 20));
}

function open(
  server: S3Server,
  bench: Bench,
  {
    prefix,
    tickMs = 3_600_000,
    heartbeats,
  }: { prefix: string; tickMs?: number } & Pick<BackupServiceOptions, 'heartbeats'>,
): BackupService {
  const folder = newFolder(bench);
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  return new BackupService({
    ...{ databasePath: newBank(bench, DATABASE_MEGABYTES), backupsPath: join(folder, 'backups') },
    statePath: join(folder, 'state.sqlite'),
    settings: settingsWith({ retentionCount: KEPT, s3Enabled: true, s3Path: prefix }),
    s3: { endpoint, region, accessKeyId, secretAccessKey, bucket: BUCKET, retentionCount: KEPT },
    ...{ log: () => {}, jobEnvironment: jobEnvironment(), heartbeats },
    waits: { lockMs: 30_000, pinMs: 30_000, tickMs },
  });
}

function rowOf(what: string, { requests: seen }: S3Server): Row {
  const kinds = new Map<string, number>();
  for (const { method, url } of seen) {
    const kind = url.includes('list-type=2') ? 'LIST' : method;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return {
    what,
    all: seen.length,
    writer: seen.filter(({ url }) => /writer(\/|%2F)/i.test(url)).length,
    kinds: [...kinds].map(([kind, times]) => `${kind} ${times}`).join(', '),
  };
}

function tell({ rows }: RequestFigures): Section {
  return {
    title: 'Requests to S3',
    text: [
      'These are the requests for a small database, sent in one piece. Those for the writer make sure that no other machine writes there; a process that protects many databases renews one heartbeat in a bucket.',
      table(
        ['', 'requests', 'for the writer', ''],
        rows.map(({ what, all, writer, kinds }) => [what, String(all), String(writer), kinds]),
      ),
    ].join('\n\n'),
    plots: [],
  };
}
