/**
 * What continuous backup costs, beside the same writer alone: the writer's waits, the replicator's processor and memory,
 * how far the stream is behind, bytes written per byte of log, idle, restore beside `cp` with fsync.
 *
 *     bun bench/continuous.ts --megabytes 1000 --seconds 30
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Worker } from '../src/engine/process/worker.ts';
import { materialize } from '../src/engine/replication/materialize.ts';
import type { StreamStatus } from '../src/engine/replication/status.ts';
import { makeBank } from '../tests/support/bank.ts';
import { percentile, summarize } from './statistics.ts';
import { startWriter } from './writer.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '30' },
    synchronous: { type: 'string', default: 'NORMAL' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const seconds = Number(values.seconds);
const synchronous = values.synchronous === 'FULL' ? 'FULL' : 'NORMAL';
const TICKS_PER_SECOND = 100;
const place = mkdtempSync(join(values.folder, 'velist-continuous-bench-'));
const database = join(place, 'bank.sqlite');
const stream = join(place, 'continuous');
try {
  makeBank(database, { sizeBytes: Number(values.megabytes) * 1_000_000 });
  await measure();
} finally {
  rmSync(place, { recursive: true, force: true });
}

async function measure(): Promise<void> {
  const alone = await write();
  let status: StreamStatus | null = null;
  const behindMs: number[] = [];
  const startedMs = performance.now();
  const worker = new Worker({
    ...{ kind: 'replicate' as const, request: {}, environment: { PATH: process.env['PATH'] ?? '' } },
    onMessage(news) {
      if (news.type !== 'status') return;
      const isNew = status?.bookmark !== news.status.bookmark;
      // A commit waited at most since the capture before.
      if (isNew && status?.at && news.status.at) behindMs.push(Date.parse(news.status.at) - Date.parse(status.at));
      status = news.status;
    },
    onStart: () => void worker.send({ type: 'follow', id: 'bank', databasePath: database, folder: stream, ...options }),
  });
  const options = { intervalMs: 1_000, windowsMs: [3_600_000, 86_400_000, 604_800_000, 2_592_000_000], bytesMax: null };
  worker.start();
  while ((status as StreamStatus | null)?.phase !== 'capturing') await sleep(50);
  const imageMs = performance.now() - startedMs;
  await sleep(2_000);
  const pid = worker.pid ?? 0;
  const idle = await cpuOf(pid, () => sleep(10_000));
  behindMs.length = 0;
  const before = sizeOf(stream);
  let captured = alone;
  const busy = await cpuOf(pid, async () => {
    captured = await write();
  });
  const memory = Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_000;
  await worker.stop();
  const sorted = behindMs.toSorted((a, b) => a - b);
  console.log(
    `writer alone      p50 ${alone.p50.toFixed(1)} ms, p99.9 ${alone.p999.toFixed(1)}, max ${alone.max.toFixed(1)}`,
  );
  console.log(
    `writer captured   p50 ${captured.p50.toFixed(1)} ms, p99.9 ${captured.p999.toFixed(1)}, max ${captured.max.toFixed(1)}`,
  );
  console.log(`first image       ${(imageMs / 1_000).toFixed(1)} s`);
  console.log(`replicator        ${busy.toFixed(1)} % of a core, idle ${idle.toFixed(2)} %, ${memory.toFixed(0)} MB`);
  console.log(
    `between captures  p50 ${percentile(sorted, 50)} ms, p99 ${percentile(sorted, 99)} ms, ${sorted.length} captures`,
  );
  console.log(`stream            ${((sizeOf(stream) - before) / 1_000_000).toFixed(1)} MB more`);
  await restoreBesideCopy();
}

async function restoreBesideCopy(): Promise<void> {
  const [copy, restored] = [join(place, 'copy.sqlite'), join(place, 'restored.sqlite')];
  const copyStarted = performance.now();
  spawnSync('sh', ['-c', `cp "${database}" "${copy}" && sync "${copy}"`]);
  const copyMs = performance.now() - copyStarted;
  rmSync(copy);
  const startedMs = performance.now();
  await materialize(stream, { latest: true }, restored);
  const restoreMs = performance.now() - startedMs;
  console.log(
    `restore           ${restoreMs.toFixed(0)} ms, cp and fsync ${copyMs.toFixed(0)} ms (${(restoreMs / copyMs).toFixed(2)} times)`,
  );
}

async function write() {
  const writer = await startWriter(database, { synchronous, busyTimeoutMs: 5_000 });
  await sleep(1_000 * seconds);
  const { waitsMs, errors, firstError } = await writer.stop();
  if (errors > 0) console.log(`the writer met ${errors} errors: ${firstError}`);
  return summarize(waitsMs);
}

/** In percent of a core, while that goes on. */
async function cpuOf(pid: number, work: () => Promise<unknown>): Promise<number> {
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

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
