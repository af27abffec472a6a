/**
 * Starts one job as a process of its own and listens to it. One job, one process, in a clean environment: the app's
 * bunfig, preload, .env and NODE_OPTIONS must not reach it, and in a compiled binary (where `process.execPath` is the
 * app itself) `BUN_BE_BUN` makes it the runtime, so that a child never starts the app a second time.
 *
 * The job's program is the file beside this one. A bundler leaves that file behind; then the program is a text of the
 * package, and the job's process reads it from a pipe, because no file of the app's may be run in its place.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { BackupError, errnoCode, exhausted, isExhausted } from '../../words/errors.ts';
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
  requireRuntime();
  const program = await findProgram();
  options.signal?.throwIfAborted();
  const child = startOrSay(program, { ...options.environment, ...JOB_MARK, BUN_BE_BUN: '1' });
  // Heard before anything of it is used: a child that could not be started has no streams, and its error, which nobody
  // would hear, ends the app.
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', (error) => reject(notStarted(error)));
    child.once('close', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  ended.catch(() => {});
  if (!hasStreams(child)) return await ended.then(neverStarted);
  let answer: JobMessage | undefined;
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-STDERR_CHARACTERS_MAX);
  });
  // A child that died before reading its request is reported by its exit.
  child.stdin.on('error', () => {});
  const line: JobLine = { ...(request as JobRequest), parent: process.pid, limits: options.limits };
  child.stdin.write(`${JSON.stringify(line)}\n`);
  let step: StepName | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = () => {
    child.kill('SIGTERM');
    // Placing is all or nothing: the kill waits for the step behind it.
    if (options.mayKill === false || step === 'place') return;
    killTimer ??= setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
  };
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (text) => {
    const message = parseMessage(text);
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
      } else if (options.signal?.aborted) stop();
    }
    options.onEvent?.(message);
  });
  options.signal?.addEventListener('abort', stop, { once: true });
  try {
    const how = await ended;
    if (answer?.type === 'result') return answer.value as JobMap[Kind]['result']; // by the protocol
    if (answer?.type === 'error') throw withStack(BackupError.fromJSON(answer.error), answer.stack);
    // A drill has such a step too, and places nothing.
    const placed = step === 'prove' && 'sourceName' in request ? request.sourceName : null;
    if (answer?.type === 'gave-up') {
      const why = overLimit(answer);
      throw step === 'safety' ? noSafety(gaveUp(why)) : notChecked(why, placed);
    }
    if (options.signal?.aborted) throw stopped(placed);
    if (step !== undefined && checks.has(step) && killers.has(how))
      throw notChecked(`its process ended (${how})`, placed);
    throw died(how, complaint);
  } finally {
    clearTimeout(killTimer);
    options.signal?.removeEventListener('abort', stop);
    child.stdin.destroy();
  }
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
    over === 'time' ? `${Math.ceil(limit / 1_000)} s of the processor` : `${Math.ceil(limit / 1_000_000)} MB of memory`;
  return `it took more than ${what}, and an honest database of its size needs far less`;
}

/** @param placed the backup that is in its place already; null where nothing was placed. */
function notChecked(why: string, placed: string | null): BackupError {
  return placed === null ? gaveUp(why) : notProven(placed, gaveUp(why).message);
}

function noSafety({ message }: BackupError): BackupError {
  return new BackupError('RESTORE_SAFETY_FAILED', `the safety copy could not be made: ${message}`, {
    hint: 'Nothing was changed. See what the tables of the live database compute for each row; a restore to a new file (--to) needs no safety copy.',
  });
}

function stopped(placed: string | null): BackupError {
  if (placed !== null) return notProven(placed, 'the run was stopped');
  return new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again when you like.' });
}

function notProven(placed: string, why: string): BackupError {
  return new BackupError('NOT_CHECKED', `${placed} was placed, but the result was not checked: ${why}`, {
    hint: 'The file passed its check before it was placed. Make a backup: that checks all of the database.',
  });
}

/** Tells an app that it was started in a job's place, whatever we did not think of; `loadEnvironment` refuses there. */
const JOB_MARK = { VELIST_BACKUP_JOB: '1' };
const onBun = process.versions['bun'] !== undefined;
const runtimeArguments = onBun ? ['--config=/dev/null', '--no-env-file'] : ['--disable-warning=ExperimentalWarning'];
const PROGRAM_DESCRIPTOR = 3;
const PROGRAM_NAME = '/velist-backup-job.cjs';
const loader =
  `const program = new (require('node:module'))('${PROGRAM_NAME}');` +
  `program._compile(require('node:fs').readFileSync(${PROGRAM_DESCRIPTOR}, 'utf8'), '${PROGRAM_NAME}');`;

type Program = { readonly path: string } | { readonly text: string };
type JobProcess = ChildProcess & { readonly stdin: Writable; readonly stdout: Readable; readonly stderr: Readable };

function startOrSay(program: Program, env: Record<string, string>): ChildProcess {
  try {
    return start(program, env);
  } catch (error) {
    // Bun throws what Node tells by an event.
    throw notStarted(error instanceof Error ? error : new Error(String(error)));
  }
}

function start(program: Program, env: Record<string, string>): ChildProcess {
  const runtime = findRuntime();
  if ('path' in program) return spawn(runtime, [...runtimeArguments, program.path], { env, stdio: 'pipe' });
  const asScript = onBun ? [] : ['--input-type=commonjs'];
  const stdio = ['pipe' as const, 'pipe' as const, 'pipe' as const, 'pipe' as const];
  const child = spawn(runtime, [...runtimeArguments, ...asScript, '-e', loader], { env, stdio });
  const pipe = child.stdio?.[PROGRAM_DESCRIPTOR] as Writable | undefined;
  // A child that died before reading it is reported by its exit.
  pipe?.on('error', () => {});
  pipe?.end(program.text);
  return child;
}

/**
 * The runtime's binary, and where an update has removed it while the app runs, the one that runs: Linux keeps the file as
 * long as a process has it. https://man7.org/linux/man-pages/man5/proc_pid_exe.5.html
 */
function findRuntime(): string {
  const running = `/proc/${process.pid}/exe`;
  return existsSync(process.execPath) || !existsSync(running) ? process.execPath : running;
}

function hasStreams(child: ChildProcess): child is JobProcess {
  return Boolean(child.stdin && child.stdout && child.stderr);
}

function neverStarted(): never {
  throw notStarted(new Error('it has no streams'));
}

function notStarted(cause: Error): BackupError {
  const code = errnoCode(cause) ?? cause.message;
  if (code === 'ENOENT' || code === 'EACCES') {
    const why = code === 'ENOENT' ? 'is gone' : 'may not be run';
    return new BackupError('JOB_DIED', `no job could be started: ${process.execPath} ${why} (${code})`, {
      hint: 'It is the runtime of the app, and an update may have moved it: start the app again.',
      cause,
    });
  }
  if (isExhausted(cause)) return exhausted(cause, 'no job could be started');
  return new BackupError('JOB_DIED', `no job could be started (${code})`, {
    hint: 'The machine may be out of processes, files or memory for this user; the next run tries again.',
    cause,
  });
}

/**
 * Whether what we would start is Node or Bun: a single executable application of Node starts itself again, whatever its
 * arguments say, and so do other binaries that have an app in them.
 */
function requireRuntime(): void {
  if (onBun) return;
  const sea = process.getBuiltinModule('node:sea');
  if (/^node/i.test(basename(process.execPath)) && !sea.isSea()) return;
  throw new BackupError(
    'UNSUPPORTED',
    `${basename(process.execPath)} can not run backup jobs: it is the app and no node`,
    {
      hint: 'Run the app by node or bun, compile it by bun build --compile, or let `velist-backup serve` back up beside it.',
    },
  );
}

/** TypeScript beside us in the sources, JavaScript in the package, a text where a bundler has moved us away from it. */
async function findProgram(): Promise<Program> {
  // Some bundlers leave no address at all.
  const [, folder, type] = /^(file:.*\/engine\/process\/)run-job\.(ts|js)$/.exec(String(import.meta.url)) ?? [];
  const path = folder === undefined ? null : fileURLToPath(`${folder}job-main.${type}`);
  if (path !== null && existsSync(path)) return { path };
  const { bundledJob } = await import('./bundled-job.ts');
  if (bundledJob === null) throw noProgram();
  return { text: bundledJob };
}

function noProgram(): BackupError {
  return new BackupError('UNSUPPORTED', "the program of backup jobs was left behind by the app's bundler", {
    hint: 'Bundle the package velist-backup as npm installs it, or keep it out of the bundle: mark it as external.',
  });
}

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
