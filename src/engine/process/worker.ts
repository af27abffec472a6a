/**
 * A worker: a process of ours that lives as long as its owner wants it. It gives a sign of life every few seconds; one that
 * is silent is killed, and one that ended is started again, after a delay that grows while it keeps ending. Messages go
 * both ways. It ends with its owner's process, however that ends, and never keeps that process alive.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../words/errors.ts';
import { parseMessage, type ProcessOfOurs, startProcess } from './start.ts';
import type { Down, Up, WorkerKind, WorkerLine, WorkerMap, WorkLine } from './worker-protocol.ts';

export interface WorkerOptions<Kind extends WorkerKind> {
  readonly kind: Kind;
  readonly request: WorkerMap[Kind]['request'];
  /** All that the process inherits. */
  readonly environment: Readonly<Record<string, string>>;
  readonly onMessage: (message: Up<Kind>) => void;
  /** A process has started, the first or one in the place of another: what it must hear can be sent now. */
  readonly onStart?: () => void;
  /** A process ended that was still wanted, or none could be started. */
  readonly onDown?: (error: BackupError, retryInMs: number) => void;
  /** Shorter ones are for tests. */
  readonly times?: Partial<WorkerTimes>;
}

interface WorkerTimes {
  readonly beatMs: number;
  /** Silence after which a process is killed. */
  readonly silenceMs: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
  /** A process that lived so long did not end because of its start. */
  readonly steadyMs: number;
  /** How long a process may take to end by itself. */
  readonly stopMs: number;
}

const TIMES: WorkerTimes = {
  beatMs: 5_000,
  silenceMs: 30_000,
  firstDelayMs: 1_000,
  delayMsMax: 60_000,
  steadyMs: 60_000,
  stopMs: 5_000,
};

const STDERR_CHARACTERS_MAX = 4_000;

export class Worker<Kind extends WorkerKind> {
  readonly #options: WorkerOptions<Kind>;
  readonly #times: WorkerTimes;
  #child: ProcessOfOurs | null = null;
  #wanted: AbortController | null = null;
  #supervision: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions<Kind>) {
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
  }

  /** The process that works now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    if (this.#wanted !== null) return;
    const wanted = new AbortController();
    this.#wanted = wanted;
    // One that was stopped a moment ago ends first.
    this.#supervision = this.#supervision.then(() => this.#supervise(wanted.signal));
  }

  /** @returns false if no process is there to hear it; the next one begins with `onStart`. */
  send(message: Down<Kind>): boolean {
    if (!this.#child?.stdin.writable) return false;
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
    return true;
  }

  /** Resolves when the process has ended. */
  async stop(): Promise<void> {
    this.#wanted?.abort();
    this.#wanted = null;
    await this.#supervision;
  }

  async #supervise(wanted: AbortSignal): Promise<void> {
    const { firstDelayMs, delayMsMax, steadyMs } = this.#times;
    let delayMs = firstDelayMs;
    while (!wanted.aborted) {
      const startedMs = performance.now();
      const error = await this.#runOne(wanted).catch(BackupError.from);
      if (wanted.aborted) return;
      if (performance.now() - startedMs >= steadyMs) delayMs = firstDelayMs;
      this.#options.onDown?.(error, delayMs);
      await sleep(delayMs, undefined, { signal: wanted, ref: false }).catch(() => {});
      delayMs = Math.min(delayMsMax, delayMs * 2);
    }
  }

  /** Resolves when the process has ended, with the reason. */
  async #runOne(wanted: AbortSignal): Promise<BackupError> {
    const { kind, request, environment, onStart } = this.#options;
    const { child, ended } = await startProcess(environment, wanted);
    letGo(child);
    this.#child = child;
    const heard = this.#listen(child);
    const watch = this.#endIfSilent(child, heard);
    let killTimer: NodeJS.Timeout | undefined;
    const stop = () => {
      child.stdin.end();
      killTimer = setTimeout(() => child.kill('SIGKILL'), this.#times.stopMs);
    };
    wanted.addEventListener('abort', stop, { once: true });
    if (wanted.aborted) stop();
    const line: WorkLine<Kind> = { work: kind, request, parent: process.pid, beatMs: this.#times.beatMs };
    child.stdin.write(`${JSON.stringify(line)}\n`);
    try {
      onStart?.();
      const how = await ended;
      return heard.error ?? died(heard.isSilent ? 'it gave no sign of life and was killed' : how, heard.complaint);
    } finally {
      this.#child = null;
      clearInterval(watch);
      clearTimeout(killTimer);
      wanted.removeEventListener('abort', stop);
      child.stdin.destroy();
    }
  }

  #listen(child: ProcessOfOurs): Heard {
    const heard: Heard = { atMs: performance.now(), isSilent: false, error: null, complaint: '' };
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      heard.complaint = (heard.complaint + text).slice(-STDERR_CHARACTERS_MAX);
    });
    createInterface({ input: child.stdout }).on('line', (text) => {
      heard.atMs = performance.now();
      const line = parseMessage<WorkerLine<Kind>>(text);
      if (line?.type === 'message') this.#options.onMessage(line.message);
      else if (line?.type === 'error') heard.error = BackupError.fromJSON(line.error);
    });
    return heard;
  }

  /** A process is silent if two looks in a row find it so: an app that was busy has not yet read what it said. */
  #endIfSilent(child: ProcessOfOurs, heard: Heard): NodeJS.Timeout {
    let wasLate = false;
    const watch = setInterval(() => {
      const isLate = performance.now() - heard.atMs >= this.#times.silenceMs;
      if (isLate && wasLate) {
        heard.isSilent = true;
        child.kill('SIGKILL');
      }
      wasLate = isLate;
    }, this.#times.beatMs);
    watch.unref();
    return watch;
  }
}

interface Heard {
  atMs: number;
  isSilent: boolean;
  error: BackupError | null;
  complaint: string;
}

/** The app may end whenever it likes; the worker sees it by its standard input. */
function letGo(child: ProcessOfOurs): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr])
    if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
}

function died(how: string, complaint: string): BackupError {
  return new BackupError('JOB_DIED', `the worker ended (${how})`, {
    hint: complaint.trim() === '' ? 'It is started again by itself.' : `It said: ${complaint.trim()}`,
  });
}
