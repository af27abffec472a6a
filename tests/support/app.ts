/** The app as a process of its own, on loopback and a free port, ended by its process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface App {
  /** `http://localhost:40123/backup` */
  readonly url: string;
  readonly process: ChildProcess;
  readonly log: readonly string[];
  /** Resolves with the first log line that matches, past or to come. */
  says(pattern: RegExp): Promise<string>;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

export async function startApp(options: {
  database: string;
  backups: string;
  environment?: Record<string, string>;
  /** The file to run; the app's own start by default. */
  entry?: string;
}): Promise<App> {
  const child = spawn(process.execPath, ['--no-env-file', options.entry ?? join(root, 'src/app/bootstrap.ts')], {
    cwd: dirname(options.database),
    env: {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      PORT: '0',
      DATABASE_URL: options.database,
      BACKUP_LOCAL_PATH: options.backups,
      BACKUP_STATE_PATH: join(dirname(options.backups), 'state.sqlite'),
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  const waiting = new Set<{ pattern: RegExp; resolve: (line: string) => void }>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log.push(line);
      for (const wait of waiting) {
        if (!wait.pattern.test(line)) continue;
        waiting.delete(wait);
        wait.resolve(line);
      }
    });
  }
  const says = (pattern: RegExp) => {
    const said = log.find((line) => pattern.test(line));
    if (said !== undefined) return Promise.resolve(said);
    return Promise.race([
      new Promise<string>((resolve) => waiting.add({ pattern, resolve })),
      once(child, 'exit').then(() => Promise.reject(new Error(`the app ended:\n${log.join('\n')}`))),
    ]);
  };
  const exited = once(child, 'exit');
  const url = (await says(/The page is at /)).replace(/^.*The page is at /, '');
  return {
    url,
    process: child,
    log,
    says,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
