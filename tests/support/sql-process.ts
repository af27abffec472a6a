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
  const waiting: PromiseWithResolvers<string>[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(line));
  let how: string | null = null;
  const ended = new Promise<void>((resolve) =>
    child.once('close', (code, signal) => {
      how = `the process of ${path} has ended: ${signal ?? `code ${code}`}`;
      for (const { reject } of waiting.splice(0)) reject(new Error(how));
      resolve();
    }),
  );
  // What it did not read any more is said by its end.
  child.stdin.on('error', () => {});
  async function ask(order: object): Promise<readonly Record<string, unknown>[]> {
    if (how !== null) throw new Error(how);
    const answer = Promise.withResolvers<string>();
    waiting.push(answer);
    child.stdin.write(`${JSON.stringify(order)}\n`);
    const { rows, error } = JSON.parse(await answer.promise);
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
