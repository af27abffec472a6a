/** Programs run to their end, in an environment of their own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** @returns code 1 where it could not be started, or the name of the signal that ended it. */
export function run(
  program: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string | undefined> },
): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...options.env };
    execFile(program, args, { cwd: options.cwd, env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : (error.signal ?? 1);
      resolve({ code, stdout, stderr });
    });
  });
}

/** @param env beside `PATH` and `HOME`. */
export async function mustRun(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string | undefined> = {},
): Promise<string> {
  const ended = await run(program, args, { cwd, env });
  if (ended.code !== 0)
    throw new Error(`${program} ${args.join(' ')} ended with ${ended.code}:\n${ended.stdout}${ended.stderr}`);
  return ended.stdout;
}

/** What is left of standard error without Node's word on its SQLite, which the app's own import gets. */
export function complaints({ stderr }: Ended): string {
  return stderr.replace(/^.*(ExperimentalWarning|--trace-warnings).*\n/gm, '');
}

/** Starts a program and waits for the line that says it is ready; @returns what the expression caught of it. */
export async function begin(
  [program = '', ...args]: readonly string[],
  where: { cwd: string; env: Record<string, string> },
  { ready, running }: { ready: RegExp; running: ChildProcess[] },
): Promise<string> {
  const child = spawn(program, args, { ...where, stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  return await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, found] = ready.exec(line) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${program} ended with ${code}: ${complaint}`)));
  });
}

/** @returns its exit code. */
export async function end(child: ChildProcess): Promise<number | null> {
  const ended = once(child, 'close');
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  child.kill('SIGTERM');
  await ended;
  return child.exitCode;
}
