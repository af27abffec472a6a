/**
 * How long the newest moment of a stream at S3 takes to come back: a base of the whole database and 3,600 segments, an hour of
 * commits in the worst case, beside `curl` of the base alone from the same server. Where Ceph's RGW is not installed the
 * server is that of our tests, which is slow itself and said so.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LocalStream } from '../../src/engine/replication/local-stream.ts';
import type { LtxHeader } from '../../src/engine/format/ltx/header.ts';
import { inTurns } from '../../src/engine/replication/rest.ts';
import { bookmarkOf } from '../../src/engine/replication/segment.ts';
import { segmentKey } from '../../src/engine/replication/stream-keys.ts';
import type { S3Access } from '../../src/engine/store/s3/access.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { copyToTarget } from '../../tests/support/remote-stream.ts';
import { startRgw, whyNoRgw } from '../../tests/support/rgw.ts';
import { startS3Server } from '../../tests/support/s3-server.ts';
import { type Bench, newBank, newFolder, type Part, type Section, settleDisk } from '../bench.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';
import { watchJob } from '../watch-job.ts';

const SEGMENTS = 3_600;
const PAGES_PER_SEGMENT = 4;
const BUCKET = 'streams';
const PREFIX = 'bank';
const LOCK_WAIT_MS = 30_000;

export interface RestoreStreamFigures {
  readonly server: string;
  readonly megabytes: number;
  readonly rounds: number;
  readonly baseMegabytes: number;
  readonly restoreMs: Figure;
  readonly curlMs: Figure;
  readonly ratio: Figure;
  readonly peakMegabytes: Figure;
}

export const restoreStream: Part<RestoreStreamFigures> = { measure, tell };

async function measure(bench: Bench): Promise<RestoreStreamFigures> {
  const isReal = whyNoRgw() === null;
  const server = isReal ? await startRgw({ store: 'bluestore', parent: bench.folder }) : await startS3Server();
  try {
    await server.createBucket(BUCKET);
    const { region, endpoint, accessKeyId, secretAccessKey } = server;
    const access: S3Access = { kind: 's3', bucket: BUCKET, region, endpoint, accessKeyId, secretAccessKey };
    const figures = await measureOn(access, bench);
    return { server: isReal ? 'Ceph RGW' : 'the server of the tests', ...figures };
  } finally {
    await server.close();
  }
}

async function measureOn(access: S3Access, bench: Bench): Promise<Omit<RestoreStreamFigures, 'server'>> {
  const store = createS3Store({ ...access, prefix: PREFIX });
  try {
    const baseBytes = await storeStream(newBank(bench, bench.megabytes), store, bench);
    const baseKey = segmentKey('s3', { level: 9, minTxid: 1n, maxTxid: 1n, isSealed: false });
    const rounds: { readonly restoreMs: number; readonly curlMs: number; readonly peakMegabytes: number }[] = [];
    for (let round = 1; round <= bench.rounds; round++) {
      const address = await store.presign(baseKey, { method: 'GET', expiresInSeconds: 3_600 });
      settleDisk(bench.folder);
      const curlMs = await curl(address, bench);
      settleDisk(bench.folder);
      const { tookMs: restoreMs, peakMegabytes } = await restoreOnce(access, bench);
      bench.say(`${round}. ${inMs(restoreMs)} ms, ${peakMegabytes.toFixed(0)} MB; curl of the base ${inMs(curlMs)} ms`);
      rounds.push({ restoreMs, curlMs, peakMegabytes });
    }
    return {
      ...{ megabytes: bench.megabytes, rounds: bench.rounds, baseMegabytes: baseBytes / 1e6 },
      restoreMs: median(rounds.map((one) => one.restoreMs)),
      curlMs: median(rounds.map((one) => one.curlMs)),
      ratio: median(rounds.map((one) => one.restoreMs / one.curlMs)),
      peakMegabytes: Math.max(...rounds.map((one) => one.peakMegabytes)),
    };
  } finally {
    store.close();
  }
}

/** Answers the size of the base. */
async function storeStream(database: string, store: Parameters<typeof copyToTarget>[1], bench: Bench): Promise<number> {
  const stream = new LocalStream(join(newFolder(bench), 'continuous'));
  stream.prepare();
  const file = openSync(database, 'r');
  const pageSize = 4_096;
  const pages = statSync(database).size / pageSize;
  const read = (number: number) => {
    const bytes = Buffer.allocUnsafe(pageSize);
    readSync(file, bytes, 0, pageSize, (number - 1) * pageSize);
    return bytes;
  };
  const write = async (level: number, txid: bigint, numbers: Iterable<number>) => {
    const header: LtxHeader = {
      ...{ pageSize, commitPages: pages, minTxid: txid, maxTxid: txid, at: new Date(Number(txid) * 1_000) },
      ...{ walOffset: 32, walBytes: 0, salts: [0, 0] as const, preChecksum: null, nodeId: 0n },
      // No tag, as in a stream of Litestream: the state is read back and compared with nothing.
      ...{ stateBefore: 0n, stateAfter: 0n, tag: 0 },
    };
    const encode = stream.write(level, header, function* (encoder) {
      for (const number of numbers) yield encoder.page(number, read(number));
    });
    return await stream.add(await inTurns(encode));
  };
  bench.say(`a base of ${pages} pages and ${SEGMENTS} segments`);
  const base = await write(
    9,
    1n,
    Array.from({ length: pages }, (_, index) => index + 1),
  );
  for (let txid = 2; txid <= SEGMENTS + 1; txid++) {
    const first = 1 + ((txid * 7_919) % (pages - PAGES_PER_SEGMENT));
    const numbers = Array.from({ length: PAGES_PER_SEGMENT }, (_, index) => first + index);
    await write(0, BigInt(txid), numbers);
  }
  closeSync(file);
  await copyToTarget(stream.folder, store, { kind: 's3' });
  rmSync(stream.folder, { recursive: true });
  return base.sizeBytes;
}

/** Not waited for in the middle of a turn: the server may be in this process. */
async function curl(address: string, bench: Bench): Promise<number> {
  const to = join(newFolder(bench), 'base');
  const startedMs = performance.now();
  const child = spawn('curl', ['--silent', '--show-error', '--fail', '--output', to, address], { stdio: 'inherit' });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`curl ended with ${code}`);
  settleDisk(bench.folder);
  const tookMs = performance.now() - startedMs;
  rmSync(to);
  return tookMs;
}

async function restoreOnce(access: S3Access, bench: Bench) {
  const folder = mkdtempSync(join(bench.folder, 'restored-'));
  const watched = await watchJob<'remote-moment-file'>({
    kind: 'remote-moment-file',
    place: { target: 's3', prefix: PREFIX, access, identities: [], backups: [] },
    bookmark: bookmarkOf(BigInt(SEGMENTS + 1)),
    ...{ staging: join(folder, 'staging'), keep: false, to: join(folder, 'bank.sqlite'), lockWaitMs: LOCK_WAIT_MS },
  });
  rmSync(folder, { recursive: true });
  return watched;
}

function tell(figures: RestoreStreamFigures): Section {
  const { server, megabytes, rounds, baseMegabytes, restoreMs, curlMs, ratio, peakMegabytes } = figures;
  return {
    title: 'The newest moment of a stream at S3',
    text: [
      `A base of a database of ${megabytes} MB (${baseMegabytes.toFixed(0)} MB in its segment) and ${SEGMENTS} segments of ${PAGES_PER_SEGMENT} pages, from ${server} on the same machine, ${rounds} times; medians. The job fetches in ranges, applies in place, reads the result back and makes it durable; its process takes at most ${peakMegabytes?.toFixed(0) ?? '?'} MB.`,
      table(
        ['', 'ms', '/ `curl`'],
        [
          ['`curl` of the base alone', inMs(curlMs), inTimes(1)],
          ['**restore**', inMs(restoreMs), inTimes(ratio)],
        ],
      ),
      tellGoals([{ text: 'at most 200 MB of memory', measured: peakMegabytes, most: 200 }]),
    ].join('\n\n'),
    plots: [],
  };
}
