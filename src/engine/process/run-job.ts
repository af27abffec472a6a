/** Runs one job in a process of its own and listens to it. */
import { createInterface } from 'node:readline';
import { BackupError } from '../../words/errors.ts';
import { parseMessage, type ProcessOfOurs, startProcess } from './start.ts';
import type { JobKind, JobLine, JobMap, JobMessage, JobRequest } from './protocol.ts';
import { gaveUp } from '../sqlite/gave-up.ts';
import type { CheckLimits } from '../sqlite/watch.ts';
import type { JobEvent, StepName } from '../../words/story.ts';

export interface JobOptions {
  /** All that the job's process inherits. */
  readonly environment: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** False for a job that must end by itself. */
  readonly mayKill?: boolean;
  readonly onEvent?: (event: JobEvent) => void;
  /** Limits of its checks, instead of those that the size of a file gives: for tests. */
  readonly limits?: CheckLimits;
}

/** After a stop was asked for; a check of a large file can't be interrupted any other way. */
const STOP_GRACE_MS = 5_000;
const STDERR_CHARACTERS_MAX = 4_000;

/**
 * @throws BackupError as the job's story threw it, ABORTED when stopped by the signal, CHECK_GAVE_UP when a check took more
 * than it may or its process ended in it, JOB_DIED when it ended without an answer in any other way.
 */
export async function runJob<Kind extends JobKind>(
  request: JobMap[Kind]['request'],
  options: JobOptions,
): Promise<JobMap[Kind]['result']> {
  const { child, ended } = await startProcess(options.environment, options.signal);
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-STDERR_CHARACTERS_MAX);
  });
  const line: JobLine = { ...(request as JobRequest), parent: process.pid, limits: options.limits };
  child.stdin.write(`${JSON.stringify(line)}\n`);
  const heard = listenTo(child, options);
  options.signal?.addEventListener('abort', heard.stop, { once: true });
  try {
    const how = await ended;
    const { answer } = heard;
    if (answer?.type === 'result') return answer.value as JobMap[Kind]['result']; // by the protocol
    throw failureOf(heard, { how, complaint, request, isStopped: options.signal?.aborted ?? false });
  } finally {
    heard.end();
    options.signal?.removeEventListener('abort', heard.stop);
    child.stdin.destroy();
  }
}

interface Heard {
  /** The last word of the job; undefined while it has not spoken it. */
  readonly answer: Answer | undefined;
  /** The step that it is in. */
  readonly step: StepName | undefined;
  /** Asks the job to stop, and ends it if it goes on for too long. */
  readonly stop: () => void;
  /** Nobody listens any more. */
  readonly end: () => void;
}

type Answer = Extract<JobMessage, { type: 'result' | 'error' | 'gave-up' }>;

function listenTo(child: ProcessOfOurs, { signal, mayKill, onEvent }: JobOptions): Heard {
  let answer: Answer | undefined;
  let step: StepName | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill('SIGTERM');
    // Putting a file in place is all or nothing: the kill waits for the step after it.
    if (mayKill === false || step === 'place') return;
    killTimer ??= setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
  };
  createInterface({ input: child.stdout }).on('line', (text) => {
    const message = parseMessage<JobMessage>(text);
    if (message === null) return;
    if (message.type === 'result' || message.type === 'error' || message.type === 'gave-up') {
      answer ??= message;
      return;
    }
    if (message.type === 'step') {
      step = message.name;
      if (step === 'place') {
        clearTimeout(killTimer);
        killTimer = undefined;
      } else if (signal?.aborted) stop();
    }
    onEvent?.(message);
  });
  return {
    get answer() {
      return answer;
    },
    get step() {
      return step;
    },
    stop,
    end: () => clearTimeout(killTimer),
  };
}

interface Ending {
  /** The signal or the code that it ended with. */
  readonly how: string;
  readonly complaint: string;
  readonly request: object;
  readonly isStopped: boolean;
}

/** Why a job that ended has no result. */
function failureOf({ answer, step }: Heard, { how, complaint, request, isStopped }: Ending): BackupError {
  if (answer?.type === 'error') return withStack(BackupError.fromJSON(answer.error), answer.stack);
  // A drill has such a step too, and places nothing.
  const placed = step === 'prove' && 'sourceName' in request ? String(request.sourceName) : null;
  if (answer?.type === 'gave-up') {
    const why = overLimit(answer);
    return step === 'safety' ? noSafety(gaveUp(why)) : notChecked(why, placed);
  }
  if (isStopped) return stopped(placed);
  if (step !== undefined && checks.has(step) && killers.has(how))
    return notChecked(`its process ended (${how})`, placed);
  return died(how, complaint);
}

/** Steps in which SQLite reads what others wrote into a file. */
const checks: ReadonlySet<StepName> = new Set(['verify', 'check', 'prove']);
/**
 * How the system ends a process that wants too much memory, and how a process ends at a fault of its own. A file that can't
 * be read to its end (SIGBUS) is another matter.
 */
const killers: ReadonlySet<string> = new Set(['SIGKILL', 'SIGSEGV', 'SIGABRT', 'SIGTRAP', 'SIGILL', 'SIGFPE']);

function overLimit({ over, limit }: Extract<JobMessage, { type: 'gave-up' }>): string {
  const what =
    over === 'time'
      ? `${Math.ceil(limit / 1_000)} s of processor time`
      : `${Math.ceil(limit / 1_000_000)} MB of memory`;
  return `it took more than ${what}, and an honest database of its size needs far less`;
}

/** @param placed the backup that is in its place already; null if nothing was placed. */
function notChecked(why: string, placed: string | null): BackupError {
  return placed === null ? gaveUp(why) : notProven(placed, gaveUp(why).message);
}

function noSafety({ message }: BackupError): BackupError {
  return new BackupError('RESTORE_SAFETY_FAILED', `the safety copy could not be made: ${message}`, {
    hint: 'Nothing was changed. Find out what the tables of the live database compute for each row; a restore to a new file (--to) needs no safety copy.',
  });
}

function stopped(placed: string | null): BackupError {
  if (placed !== null) return notProven(placed, 'the run was stopped');
  return new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again whenever you like.' });
}

function notProven(placed: string, why: string): BackupError {
  return new BackupError('NOT_CHECKED', `${placed} was put in place, but the result was not checked: ${why}`, {
    hint: 'The file passed its check before it was placed. Make a backup: that checks all of the database.',
  });
}

function died(how: string, complaint: string): BackupError {
  return new BackupError('JOB_DIED', `the job ended without an answer (${how})`, {
    hint:
      complaint.trim() === ''
        ? how === 'SIGBUS'
          ? 'A file could not be read to its end: check the disk.'
          : 'It was killed, perhaps because memory ran out. Try again.'
        : `It said: ${complaint.trim()}`,
  });
}

function withStack(error: BackupError, stack: string): BackupError {
  error.cause = stack;
  return error;
}
