/** A job's process in a test's own hands: started as the service starts it, watched by its events, killed at will. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ErrorBody } from '../../src/words/errors.ts';
import type { JobMessage, JobRequest } from '../../src/engine/process/protocol.ts';

export interface WatchedJob {
  kill(): void;
  /** Resolves when the process is gone and everything it said was heard. */
  readonly ended: Promise<JobEnd>;
}

export interface JobEnd {
  readonly killed: boolean;
  /** What it last said it was doing. */
  readonly lastSaid: string;
  readonly error: ErrorBody | null;
  readonly result: unknown;
}

const script = fileURLToPath(new URL('../../src/engine/process/job-main.ts', import.meta.url));

/**
 * @param onSaid hears `started`, the name of each step, `pinned` and `bytes`.
 * @param through a command that starts the job, as `strace` does.
 */
export function startJob(
  request: JobRequest,
  onSaid: (what: string) => void,
  through: readonly string[] = [],
): WatchedJob {
  const [program = '', ...args] = [...through, process.execPath, '--config=/dev/null', '--no-env-file', script];
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] ?? '' },
  });
  let lastSaid = 'started';
  let error: ErrorBody | null = null;
  let result: unknown = null;
  const say = (what: string) => {
    lastSaid = what;
    onSaid(what);
  };
  child.stdin.on('error', () => {}); // It may be killed before it reads.
  child.stdin.write(`${JSON.stringify(request)}\n`);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as JobMessage; // our own process wrote it
    if (message.type === 'result') result = message.value;
    else if (message.type === 'error') error = message.error;
    else if (message.type === 'step') say(message.name);
    else if (message.type !== 'bytes' || lastSaid !== 'bytes') say(message.type);
  });
  const ended = once(child, 'close').then(([, signal]) => ({ killed: signal === 'SIGKILL', lastSaid, error, result }));
  say('started');
  return { kill: () => void child.kill('SIGKILL'), ended };
}
