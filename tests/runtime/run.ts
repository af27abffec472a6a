/** Programs run to their end, in an environment of their own. */
import { execFile } from 'node:child_process';
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
