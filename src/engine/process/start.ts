/**
 * Starts a process of ours, a job's or a worker's, in a clean environment: the app's bunfig, preload, .env and
 * NODE_OPTIONS must not reach it, and in a compiled binary (where `process.execPath` is the app itself) `BUN_BE_BUN`
 * makes it the runtime, so that a child never starts the app a second time.
 *
 * Its program is the file beside this one. A bundler leaves that file behind; then the program is a text of the package,
 * and the process reads it from a pipe, because no file of the app's may be run in its place.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { BackupError, errnoCode, exhausted, isExhausted } from '../../words/errors.ts';

export type ProcessOfOurs = ChildProcess & {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
};

interface Started {
  readonly child: ProcessOfOurs;
  /** How it ended, once its streams are closed: the name of a signal, or "code 1". */
  readonly ended: Promise<string>;
}

/**
 * @param environment all that the process inherits.
 * @throws BackupError UNSUPPORTED, JOB_DIED, EXHAUSTED; the reason of the signal.
 */
export async function startProcess(
  environment: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Started> {
  requireRuntime();
  const program = await findProgram();
  signal?.throwIfAborted();
  const child = startOrSay(program, { ...environment, ...JOB_MARK, BUN_BE_BUN: '1' });
  // Listened to before anything of it is used: a child that could not be started has no streams, and its error event
  // ends the app if nobody listens.
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', (error) => reject(notStarted(error)));
    child.once('close', (code, by) => resolve(by ?? `code ${code}`));
  });
  ended.catch(() => {});
  if (!hasStreams(child)) return await ended.then(neverStarted);
  // A child that died before reading its request is reported by its exit.
  child.stdin.on('error', () => {});
  return { child, ended };
}

/** @returns null for the half of a line that a killed child leaves: its exit says that it died. */
export function parseMessage<Message>(line: string): Message | null {
  try {
    return JSON.parse(line) as Message; // our own child wrote it
  } catch {
    return null;
  }
}

/**
 * Tells an app that it was started instead of a job, in cases that we did not foresee; `loadEnvironment` refuses there.
 */
const JOB_MARK = { VELIST_BACKUP_JOB: '1' };
const onBun = process.versions['bun'] !== undefined;
const runtimeArguments = onBun ? ['--config=/dev/null', '--no-env-file'] : ['--disable-warning=ExperimentalWarning'];
const PROGRAM_DESCRIPTOR = 3;
const PROGRAM_NAME = '/velist-backup-job.cjs';
const loader =
  `const program = new (require('node:module'))('${PROGRAM_NAME}');` +
  `program._compile(require('node:fs').readFileSync(${PROGRAM_DESCRIPTOR}, 'utf8'), '${PROGRAM_NAME}');`;

type Program = { readonly path: string } | { readonly text: string };

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

function hasStreams(child: ChildProcess): child is ProcessOfOurs {
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
      hint: 'It is the runtime of the app, and an update may have moved it: restart the app.',
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
    `${basename(process.execPath)} cannot run backup jobs: it is the app itself, not Node or Bun`,
    {
      hint: 'Run the app with node or bun, compile it with bun build --compile, or run `velist-backup serve` beside it.',
    },
  );
}

/** TypeScript beside us in the sources, JavaScript in the package, a text where a bundler has moved us away from it. */
async function findProgram(): Promise<Program> {
  // Some bundlers leave no address at all.
  const [, folder, type] = /^(file:.*\/engine\/process\/)start\.(ts|js)$/.exec(String(import.meta.url)) ?? [];
  const path = folder === undefined ? null : fileURLToPath(`${folder}job-main.${type}`);
  if (path !== null && existsSync(path)) return { path };
  const { bundledJob } = await import('./bundled-job.ts');
  if (bundledJob === null) throw noProgram();
  return { text: bundledJob };
}

function noProgram(): BackupError {
  return new BackupError('UNSUPPORTED', "the program for backup jobs was left out by the app's bundler", {
    hint: 'Bundle the package velist-backup as npm installs it, or keep it out of the bundle: mark it as external.',
  });
}
