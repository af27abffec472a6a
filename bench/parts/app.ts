/** What the application's own process feels: its event loop and its memory while the service inside it makes backups. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { type Bench, newBank, newFolder, type Part, type Section } from '../bench.ts';
import { jobEnvironment } from '../candidates.ts';
import { table } from '../report.ts';
import { type Figure, inMs, median } from '../statistics.ts';

const SAMPLE_EVERY_MS = 20;
const LOOP_RESOLUTION_MS = 1;

export interface AppFigures {
  readonly rounds: number;
  readonly megabytes: number;
  readonly backupMs: Figure;
  readonly alone: LoopDelay;
  readonly beside: LoopDelay;
  readonly appGrewMegabytes: number;
  readonly jobMegabytes: number;
  readonly jobMappedMegabytes: number;
}

interface Delays {
  readonly p99: number;
  readonly max: number;
}

/** In milliseconds, medians over the rounds; `max` is the largest of all. */
interface LoopDelay {
  readonly p99: Figure;
  readonly max: Figure;
}

export const app: Part<AppFigures> = { measure, tell };

async function measure(bench: Bench): Promise<AppFigures> {
  const database = newBank(bench, bench.megabytes);
  const memory = new MemoryWatch();
  const rounds: { backupMs: number; alone: Delays; beside: Delays }[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    const folder = newFolder(bench);
    const service = createServiceFromEnvironment({
      env: {
        ...jobEnvironment(),
        DATABASE_URL: database,
        BACKUP_LOCAL_PATH: join(folder, 'backups'),
        BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
      },
      write: () => {},
    });
    await service.getStatus();
    memory.start();
    const startedMs = performance.now();
    const beside = await delayWhile(async () => {
      const result = await service.performBackup();
      if (!result.success) throw new Error(result.error?.message);
    });
    const backupMs = performance.now() - startedMs;
    memory.stop();
    await service.close();
    const alone = await delayWhile(() => sleep(backupMs));
    rmSync(folder, { recursive: true });
    bench.say(`${round + 1}. event loop at most ${inMs(beside.max)} ms late, alone ${inMs(alone.max)} ms`);
    rounds.push({ backupMs, alone, beside });
  }
  const combine = (of: (round: (typeof rounds)[number]) => Delays): LoopDelay => ({
    p99: median(rounds.map((round) => of(round).p99)),
    max: Math.max(...rounds.map((round) => of(round).max)),
  });
  return {
    rounds: rounds.length,
    megabytes: bench.megabytes,
    backupMs: median(rounds.map((round) => round.backupMs)),
    alone: combine((round) => round.alone),
    beside: combine((round) => round.beside),
    appGrewMegabytes: memory.appGrewKb / 1024,
    jobMegabytes: memory.jobKb / 1024,
    jobMappedMegabytes: memory.jobMappedKb / 1024,
  };
}

/** How late the event loop was, beyond the resolution of its sampling. */
async function delayWhile(work: () => Promise<unknown>): Promise<Delays> {
  const delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  delay.enable();
  await work();
  delay.disable();
  return { p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 };
}

/** Memory of this process and of the jobs that it starts. */
class MemoryWatch {
  appGrewKb = 0;
  jobKb = 0;
  jobMappedKb = 0;
  readonly #beforeKb = memoryKb(process.pid, 'VmRSS');
  #timer: NodeJS.Timeout | undefined;

  start(): void {
    this.#timer = setInterval(() => {
      this.appGrewKb = Math.max(this.appGrewKb, memoryKb(process.pid, 'VmRSS') - this.#beforeKb);
      for (const child of children()) {
        this.jobKb = Math.max(this.jobKb, memoryKb(child, 'RssAnon'));
        this.jobMappedKb = Math.max(this.jobMappedKb, memoryKb(child, 'RssFile'));
      }
    }, SAMPLE_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Of proc_pid_status(5); 0 for a process that ended meanwhile. */
function memoryKb(pid: number, kind: 'VmRSS' | 'RssAnon' | 'RssFile'): number {
  try {
    return Number(new RegExp(`${kind}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function children(): readonly number[] {
  const { pid } = process;
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}

function tell(figures: AppFigures): Section {
  const { alone, beside } = figures;
  return {
    title: 'What the application’s process feels',
    text: [
      `The service runs inside a process like that of an application, and makes ${figures.rounds} backups of ${figures.megabytes} MB (${inMs(figures.backupMs)} ms each). The event loop is sampled every ${LOOP_RESOLUTION_MS} ms; the job’s own memory is what it does not share with others; the files that it maps (its runtime, the copy that it checks) are in the page cache anyway.`,
      table(
        ['', 'alone', 'during a backup'],
        [
          ['event loop, p99', `${inMs(alone.p99)} ms`, `${inMs(beside.p99)} ms`],
          ['event loop, max', `${inMs(alone.max)} ms`, `${inMs(beside.max)} ms`],
          ['memory of the application', '', `+${figures.appGrewMegabytes.toFixed(1)} MB`],
          ['the job’s own memory', '', `${figures.jobMegabytes.toFixed(1)} MB at most`],
          ['files that it maps', '', `${figures.jobMappedMegabytes.toFixed(0)} MB at most`],
        ],
      ),
    ].join('\n\n'),
    plots: [],
  };
}
