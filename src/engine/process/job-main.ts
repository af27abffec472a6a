/**
 * The job's own process: reads one request from standard input, tells its story in events on standard output, ends. A
 * worker is the same program, which gets another first line (`worker.ts`).
 *
 * A process of its own because closing any descriptor of the live database drops SQLite's locks in that process, and
 * because two copies of the SQLite library in one process do the same. Standard input stays open as long as the parent
 * lives; when it closes, the job stops at the next safe point. Terminal signals are the parent's to judge.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { endProcess } from '../sqlite/ending.ts';
import { beginWatch, mayEnd } from '../sqlite/watch.ts';
import { carryOut } from './carry-out.ts';
import type { JobLine, JobMessage, JobRequest } from './protocol.ts';
import type { StoryContext } from '../../words/story.ts';
import { work } from './work.ts';
import type { WorkerLine, WorkLine } from './worker-protocol.ts';

const abort = new AbortController();
const context: StoryContext = {
  signal: abort.signal,
  now: () => new Date(),
  onEvent: (event) => {
    // A half-finished replacement is worse than a job that outlives its parent; the replacement is always finished.
    if (event.type === 'step') mayEnd(event.name !== 'place');
    send(event);
  },
};

process.on('SIGINT', () => {});
process.on('SIGTERM', () => abort.abort());

const input = createInterface({ input: process.stdin });
input.once('line', (text) => {
  const line = JSON.parse(text) as JobLine | WorkLine; // our own parent wrote it
  void ('work' in line ? work(line, input, send) : run(line));
});
input.once('close', () => abort.abort());

async function run({ parent = process.ppid, limits, ...request }: JobLine): Promise<void> {
  let code = 0;
  try {
    giveWay(request);
    await beginWatch({ parent, limits });
    // It removes its traces before it ends.
    if (request.kind === 'test-target') mayEnd(false);
    send({ type: 'result', value: await carryOut(request, context) });
  } catch (error) {
    code = 1;
    const known = BackupError.from(error);
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    send({ type: 'error', error: known.toJSON(), stack });
  }
  endProcess(code);
}

/**
 * Work that nobody waits for leaves the processor to the app: beside `quick_check` and the digest its commits took
 * longer.
 */
function giveWay({ kind }: JobRequest): void {
  const isWaitedFor = [
    'restore',
    'first-boot',
    'plan',
    'fetch',
    'check',
    'moment-file',
    'remote-moments',
    'remote-moment-file',
    'mark',
  ].includes(kind);
  const { PRIORITY_BELOW_NORMAL } = constants.priority;
  try {
    // Started by `nice`, it may give way more already; only root could take that back.
    if (!isWaitedFor && getPriority() < PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_BELOW_NORMAL);
  } catch {
    // A sandbox may forbid it: a favour to the app, and no reason to make no backup.
  }
  try {
    // Where memory ends, the system ends a job before it ends the app. https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html
    writeFileSync('/proc/self/oom_score_adj', String(FIRST_TO_END));
  } catch {
    // Not Linux, or a sandbox.
  }
}

const FIRST_TO_END = 1_000;

/** A parent that reads nothing for this long counts as gone. */
const SEND_WAIT_MS_MAX = 60_000;
const SEND_RETRY_MS = 5;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** All of a line, also of a long one: the pipe takes a part at a time, and none while the parent does not read. */
function send(message: JobMessage | WorkerLine): void {
  let rest = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let waitedMs = 0; rest.length > 0 && waitedMs < SEND_WAIT_MS_MAX;) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      // The parent is gone; the signal above ends the story.
      if (errnoCode(error) !== 'EAGAIN') return;
      Atomics.wait(sleeper, 0, 0, SEND_RETRY_MS);
      waitedMs += SEND_RETRY_MS;
    }
  }
}
