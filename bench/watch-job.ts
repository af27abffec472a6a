/** One job as a benchmark sees it: how long it takes, and the memory of its process. */
import { readFileSync } from 'node:fs';
import type { JobKind, JobMap } from '../src/engine/process/protocol.ts';
import { runJob } from '../src/engine/process/run-job.ts';
import { jobEnvironment } from './candidates.ts';

const SAMPLE_EVERY_MS = 20;

export interface Watched {
  readonly tookMs: number;
  readonly peakMegabytes: number;
  readonly ownMegabytes: number;
}

/** One job, with the memory of its process. */
export async function watchJob<Kind extends JobKind>(request: JobMap[Kind]['request']): Promise<Watched> {
  let peakKb = 0;
  let ownKb = 0;
  const timer = setInterval(() => {
    for (const child of children()) {
      peakKb = Math.max(peakKb, memoryKb(child, 'VmHWM'));
      ownKb = Math.max(ownKb, memoryKb(child, 'RssAnon'));
    }
  }, SAMPLE_EVERY_MS);
  const startedMs = performance.now();
  try {
    await runJob<Kind>(request, { environment: jobEnvironment() });
    return { tookMs: performance.now() - startedMs, peakMegabytes: peakKb / 1024, ownMegabytes: ownKb / 1024 };
  } finally {
    clearInterval(timer);
  }
}

function children(): readonly number[] {
  const { pid } = process;
  const jobs = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  return jobs.filter((job) => readIfThere(`/proc/${job}/cmdline`).includes('job-main'));
}

function memoryKb(pid: number, kind: 'VmHWM' | 'RssAnon'): number {
  return Number(new RegExp(`${kind}:\\s+(\\d+)`).exec(readIfThere(`/proc/${pid}/status`))?.[1] ?? 0);
}

/** Empty for a process that ended meanwhile. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
