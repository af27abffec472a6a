/** Connections to a database in a process of their own, so that nothing that a test opens or closes touches their locks. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface SqlProcess extends AsyncDisposable {
  readonly pid: number;
  /** Carries out statements on a connection, which is opened when it is first used. @returns the rows of the last one. */
  run(sql: string, connection?: string): Promise<readonly Record<string, unknown>[]>;
  /** Closes one connection. */
  close(connection?: string): Promise<void>;
  kill(): Promise<void>;
}

export function startSqlProcess(path: string): SqlProcess {
  const main = fileURLToPath(new URL('./sql-process-main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: ((line: string) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  async function ask(order: object): Promise<readonly Record<string, unknown>[]> {
    const answer = new Promise<string>((resolve) => waiting.push(resolve));
    child.stdin.write(`${JSON.stringify(order)}\n`);
    const { rows, error } = JSON.parse(await answer);
    if (error !== undefined) throw new Error(error);
    return rows;
  }
  return {
    pid: child.pid ?? 0,
    run: (sql, connection = 'app') => ask({ sql, connection }),
    close: async (connection = 'app') => void (await ask({ close: true, connection })),
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}
