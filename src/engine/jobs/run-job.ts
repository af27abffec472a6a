/**
 * Starts one job as a process of its own and listens to it. One job, one process, in a clean environment: the app's
 * bunfig, preload, .env and NODE_OPTIONS must not reach it, and in a compiled binary (where `process.execPath` is the
 * app itself) `BUN_BE_BUN` makes it the runtime, so that a child never starts the app a second time.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BackupError } from '../errors.ts';
import type { JobEvent, JobKind, JobMap, JobMessage } from './protocol.ts';

export interface JobOptions {
  /** All that the job's process inherits. */
  readonly environment: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** False for a job that must end by itself once it has begun to change something. */
  readonly mayKill?: boolean;
  readonly onEvent?: (event: JobEvent) => void;
}

/** After a stop was asked for; a check of a large file can't be interrupted any other way. */
const STOP_GRACE_MS = 5_000;
const STDERR_CHARACTERS_MAX = 4_000;

/**
 * @throws BackupError as the job's story threw it, ABORTED when stopped by the signal, JOB_DIED when it ended without
 * an answer.
 */
export async function runJob<Kind extends JobKind>(
  request: JobMap[Kind]['request'],
  options: JobOptions,
): Promise<JobMap[Kind]['result']> {
  options.signal?.throwIfAborted();
  const child = spawn(process.execPath, [...runtimeArguments, jobPath], {
    env: { ...options.environment, BUN_BE_BUN: '1' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let answer: JobMessage | undefined;
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-STDERR_CHARACTERS_MAX);
  });
  // A child that died before reading its request is reported by its exit.
  child.stdin.on('error', () => {});
  child.stdin.write(`${JSON.stringify(request)}\n`);
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const message = parseMessage(line);
    if (message === null) return;
    if (message.type === 'result' || message.type === 'error') answer = message;
    else options.onEvent?.(message);
  });

  let killTimer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill('SIGTERM');
    if (options.mayKill !== false) killTimer ??= setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
  };
  options.signal?.addEventListener('abort', stop, { once: true });
  try {
    const ended = await new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(signal ?? `code ${code}`));
    });
    if (answer?.type === 'result') return answer.value as JobMap[Kind]['result']; // by the protocol
    if (answer?.type === 'error') throw withStack(BackupError.fromJSON(answer.error), answer.stack);
    if (options.signal?.aborted)
      throw new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again when you like.' });
    throw died(ended, complaint);
  } finally {
    clearTimeout(killTimer);
    options.signal?.removeEventListener('abort', stop);
    child.stdin.destroy();
  }
}

const onBun = process.versions['bun'] !== undefined;
const runtimeArguments = onBun ? ['--config=/dev/null', '--no-env-file'] : ['--disable-warning=ExperimentalWarning'];
/** The job is TypeScript beside us in the sources, JavaScript beside us in the package. */
const jobPath = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './job-main.ts' : './job-main.js', import.meta.url),
);

/** Null for the half of a line that a killed child leaves: its exit says that it died. */
function parseMessage(line: string): JobMessage | null {
  try {
    return JSON.parse(line) as JobMessage; // our own child wrote it
  } catch {
    return null;
  }
}

function died(how: string, complaint: string): BackupError {
  return new BackupError('JOB_DIED', `the job ended without an answer (${how})`, {
    hint:
      complaint.trim() === ''
        ? how === 'SIGBUS'
          ? 'A file could not be read to its end: check the disk.'
          : 'It was killed, perhaps for want of memory. Try again.'
        : `It said: ${complaint.trim()}`,
  });
}

function withStack(error: BackupError, stack: string): BackupError {
  error.cause = stack;
  return error;
}
