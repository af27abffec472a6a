/**
 * The clock and the memory limit of a check. A database from elsewhere may contain expressions that take days or
 * gigabytes, and JavaScript cannot react before the SQL statement ends. So a thread of the job's process watches from
 * outside: the processor time and the memory used since the check began, and whether the parent lives. It ends the
 * whole process, which nothing survives, and says why on standard output. Processor time counts, not wall-clock time,
 * so a slow disk, a sleeping machine or a busy one costs no honest database its check.
 *
 * It runs only in a job; elsewhere (tests that call the engine) nobody watches.
 */
import { existsSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { BackupError, exhausted, isExhausted } from '../../words/errors.ts';

export interface CheckLimits {
  /** Time of the processor, all threads together. */
  readonly cpuMs: number;
  /** Memory of the process's own; pages of the file that are mapped do not count. */
  readonly memoryBytes: number;
}

interface WatchOptions {
  /** The parent process of the job. */
  readonly parent: number;
  /** Used instead of the limits that follow from the size of the file. */
  readonly limits?: CheckLimits | undefined;
  /** How often to look; 50 ms if left out. */
  readonly lookMs?: number;
}

const MIB = 1024 * 1024;
/**
 * Measured with `integrity_check`: 1 GB of text with two indexes takes 0.03 µs a byte, small rows with 20 indexes 0.1. Fifty
 * times the second, for slow machines; and ten times more for what may not fit into memory, where each look into an index
 * reads a page anew.
 */
const CPU_LEAST_MS = 5_000;
const CPU_US_PER_BYTE = 5;
const CPU_US_PER_FAR_BYTE = 50;
const FITTING_BYTES = 256 * MIB;
/**
 * The runtime, a few copies of the longest value that SQLite takes, and what is kept for each page: a position, or a bit.
 * https://sqlite.org/limits.html
 */
const MEMORY_LEAST_BYTES = 512 * MIB;
const VALUE_BYTES_MAX = 1_000_000_000;
const VALUES_HELD = 4;
const PAGES_SHARE = 1 / 8;
/** A file system may compress a file so far; a file of holes is smaller than it says. */
const HOLES_FACTOR = 32;
const BLOCK_BYTES = 512;

/** What the check of an honest database of so many bytes stays far below. */
export function limitsOf(bytes: number): CheckLimits {
  const near = Math.min(bytes, FITTING_BYTES);
  return {
    cpuMs: CPU_LEAST_MS + Math.round((near * CPU_US_PER_BYTE + (bytes - near) * CPU_US_PER_FAR_BYTE) / 1_000),
    memoryBytes: MEMORY_LEAST_BYTES + VALUES_HELD * Math.min(bytes, VALUE_BYTES_MAX) + Math.round(bytes * PAGES_SHARE),
  };
}

/** The size of the file and its log, as far as they are more than holes. */
export function bytesToCheck(path: string): number {
  let bytes = 0;
  for (const file of [path, `${path}-wal`]) {
    if (!existsSync(file)) continue;
    const { size, blocks } = statSync(file);
    // Some file systems count no blocks.
    bytes += blocks > 0 ? Math.min(size, blocks * BLOCK_BYTES * HOLES_FACTOR) : size;
  }
  return bytes;
}

/** Between two looks. */
const LOOK_MS = 50;
/** A job whose parent is gone tidies up by itself, if it can. */
const ORPHAN_GRACE_MS = 10_000;
/** What counts as memory where the system does not tell mapped pages apart (macOS). */
const MAPPED_BYTES_MAX = 2 ** 31;

/** Cells that both threads see. A state is changed by `compareExchange` alone: either the work goes on or the process ends. */
const CHECK = 0;
const ENDABLE = 1;
const IDLE = 0;
const GOING = 1;
const ENDED = 2;
const CELLS_BYTES = 8;

interface Watched {
  readonly states: Int32Array;
  /** Time of the processor at which the check ends, in ms; its limit; memory. */
  readonly numbers: Float64Array;
  readonly limits: CheckLimits | undefined;
}

let watched: Watched | null = null;

/**
 * Begins to watch. The job calls it once.
 *
 * @throws BackupError EXHAUSTED if the system has no thread left, JOB_DIED if it did not begin for another reason: a job
 * without one checks nothing.
 */
export async function beginWatch({ parent, limits, lookMs = LOOK_MS }: WatchOptions): Promise<void> {
  const shared = new SharedArrayBuffer(CELLS_BYTES + 3 * 8);
  const given = { shared, parent, cellsBytes: CELLS_BYTES, lookMs, graceMs: ORPHAN_GRACE_MS };
  const workerData = { ...given, mappedBytesMax: MAPPED_BYTES_MAX };
  try {
    // As a text, because below a bundler it has no file of its own.
    const thread = new Worker(`(${lookOn})()`, { eval: true, workerData, env: {} });
    await new Promise<void>((resolve, reject) => {
      thread.once('message', () => resolve());
      thread.once('error', reject);
      thread.once('exit', (code) => reject(new Error(`it ended with code ${code}`)));
    });
    thread.unref();
  } catch (error) {
    throw notWatched(error);
  }
  watched = { states: new Int32Array(shared, 0, 2), numbers: new Float64Array(shared, CELLS_BYTES, 3), limits };
  mayEnd(true);
}

/**
 * A thread can be refused for want of resources alone (EAGAIN, and ENOMEM of some systems); Node names the error in its
 * message, Bun 1.4 says only that it failed. Measured with `ulimit -u`. https://man7.org/linux/man-pages/man3/pthread_create.3.html
 */
const NO_THREAD = /\b(EAGAIN|ENOMEM)\b|^Failed to spawn worker thread/;

export function notWatched(error: unknown): BackupError {
  const message = error instanceof Error ? error.message : String(error);
  if (isExhausted(error) || NO_THREAD.test(message))
    return exhausted(error, 'the watching thread could not be started');
  return new BackupError('JOB_DIED', `the thread that watches checks did not begin: ${message}`, {
    hint: 'Without it nothing is checked. The next run tries again.',
    cause: error,
  });
}

/** Whether the process may end in the middle of what it does now, when its parent is gone. */
export function mayEnd(may: boolean): void {
  if (watched) change(watched.states, ENDABLE, may ? GOING : IDLE);
}

/**
 * Runs work that reads what others wrote into a database of that many bytes, within the limits for that size. If it
 * exceeds them the process ends, and `run-job` throws CHECK_GAVE_UP.
 * @param options.isClocked false for work that has a clock of its own.
 */
export function withinLimits<Result>(bytes: number, work: () => Result, { isClocked = true } = {}): Result {
  // Inside another such work, on the same file.
  if (watched === null || Atomics.load(watched.states, CHECK) !== IDLE) return work();
  const { states, numbers } = watched;
  const { cpuMs, memoryBytes } = watched.limits ?? limitsOf(bytes);
  const { user, system } = process.cpuUsage();
  numbers[0] = isClocked ? (user + system) / 1_000 + cpuMs : Number.POSITIVE_INFINITY;
  numbers[1] = cpuMs;
  numbers[2] = memoryBytes;
  change(states, CHECK, GOING);
  try {
    return work();
  } finally {
    change(states, CHECK, IDLE);
  }
}

function change(states: Int32Array, cell: number, to: number): void {
  const from = to === IDLE ? GOING : IDLE;
  // The other thread is about to end the process: nothing may be begun any more.
  if (Atomics.compareExchange(states, cell, from, to) === ENDED) Atomics.wait(states, cell, ENDED);
}

/** The program of the thread. It uses nothing from outside, because it is handed over as text. */
function lookOn(): void {
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads');
  const { readFileSync, writeSync } = process.getBuiltinModule('node:fs');
  const states = new Int32Array(workerData.shared, 0, 2);
  const numbers = new Float64Array(workerData.shared, workerData.cellsBytes, 3);
  let orphanMs = 0;

  /** Ends the process, unless the work that it does has just come to its end. */
  const end = (cell: number, why?: object): void => {
    if (Atomics.compareExchange(states, cell, 1, 2) !== 1) return;
    if (why) tell(`${JSON.stringify(why)}\n`);
    process.kill(process.pid, 'SIGKILL');
  };
  const tell = (line: string): void => {
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        writeSync(1, line);
        return;
      } catch {
        // The pipe is full, or nobody reads it any more.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      }
    }
  };
  const memoryBytes = (): number => {
    try {
      const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
      if (kilobytes !== undefined) return Number(kilobytes) * 1024;
    } catch {
      // Not Linux, or a sandbox without /proc.
    }
    return process.memoryUsage.rss() - workerData.mappedBytesMax;
  };
  const look = (): void => {
    if (process.ppid !== workerData.parent) {
      end(0);
      orphanMs += workerData.lookMs;
      if (orphanMs >= workerData.graceMs) end(1);
    }
    if (Atomics.load(states, 0) !== 1) return;
    const [untilMs = 0, cpuMs = 0, bytes = 0] = numbers;
    const { user, system } = process.cpuUsage();
    if ((user + system) / 1_000 > untilMs) end(0, { type: 'gave-up', over: 'time', limit: cpuMs });
    else if (memoryBytes() > bytes) end(0, { type: 'gave-up', over: 'memory', limit: bytes });
  };
  setInterval(look, workerData.lookMs);
  parentPort?.postMessage('looks on');
}
