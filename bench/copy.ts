/**
 * What a backup costs: wall time against `cp` and fsync of the same file, the app's event loop, and memory.
 *
 *     bun bench/copy.ts [--megabytes 1024] [--rounds 5] [--folder DIR]
 *
 * Each round runs every candidate once, in turn, on the same database; the ratios are of that round, and the median is
 * quoted. Files are warm in the page cache for all alike.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { createServiceFromEnvironment } from '../src/service/from-environment.ts';
import type { Run } from '../src/service/model.ts';
import { makeBank } from '../tests/support/bank.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '5' },
    folder: { type: 'string', default: tmpdir() },
  },
});
const folder = mkdtempSync(join(values.folder, 'velist-bench-'));
const database = join(folder, 'app.sqlite');
try {
  makeBank(database, { sizeBytes: Number(values.megabytes) * 1024 * 1024 });
  readFileSync('/proc/self/status');
  const rounds: { copy: number; publish: number; whole: number; cp: number }[] = [];
  const appBeforeKb = residentKb(process.pid);
  let worstDelayMs = 0;
  let worstAppKb = 0;
  let worstJobKb = 0;
  for (let round = 0; round < Number(values.rounds); round++) {
    const cp = timeCp();
    const backups = join(folder, `backups-${round}`);
    const service = createServiceFromEnvironment({
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: database,
        BACKUP_LOCAL_PATH: backups,
        BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
      },
      write: () => {},
    });
    await service.getStatus();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const sampler = setInterval(() => {
      worstAppKb = Math.max(worstAppKb, residentKb(process.pid) - appBeforeKb);
      for (const child of children(process.pid)) worstJobKb = Math.max(worstJobKb, residentKb(child));
    }, 20);
    const startedMs = performance.now();
    const result = await service.performBackup();
    const whole = performance.now() - startedMs;
    clearInterval(sampler);
    delay.disable();
    worstDelayMs = Math.max(worstDelayMs, delay.max / 1e6);
    if (!result.success) throw new Error(result.error?.message);
    const copy = stepMs(result.report, 'checkpoint') + stepMs(result.report, 'copy');
    rounds.push({ cp, copy, publish: stepMs(result.report, 'publish'), whole });
    await service.close();
    rmSync(backups, { recursive: true });
  }
  report(rounds);
  console.log(`event loop: largest delay ${worstDelayMs.toFixed(1)} ms (1 ms sampling)`);
  console.log(
    `memory: app +${(worstAppKb / 1024).toFixed(1)} MB, job process ${(worstJobKb / 1024).toFixed(1)} MB at most`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function report(rounds: readonly { copy: number; publish: number; whole: number; cp: number }[]): void {
  for (const { cp, copy, publish, whole } of rounds) {
    console.log(
      `cp + fsync ${cp.toFixed(0)} ms, pinned copy ${copy} ms, publish ${publish} ms, complete ${whole.toFixed(0)} ms`,
    );
  }
  const ratio = (of: (round: (typeof rounds)[number]) => number) =>
    median(rounds.map((round) => of(round) / round.cp)).toFixed(2);
  console.log(`paced copy and publishing / cp + fsync: ${ratio((round) => round.copy + round.publish)}`);
  console.log(`complete, with quick_check and sha256 / cp + fsync: ${ratio((round) => round.whole)}`);
}

function timeCp(): number {
  const target = join(folder, 'cp');
  mkdirSync(target);
  const startedMs = performance.now();
  execFileSync('cp', ['--reflink=never', database, join(target, 'copy.sqlite')]);
  const file = openSync(join(target, 'copy.sqlite'), 'r+');
  fsyncSync(file);
  closeSync(file);
  const tookMs = performance.now() - startedMs;
  rmSync(target, { recursive: true });
  return tookMs;
}

function stepMs(run: Run, name: string): number {
  return run.steps.find((step) => step.name === name)?.ms ?? 0;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Resident memory of a process in KB, the mapped runtime included. */
function residentKb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function children(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}
