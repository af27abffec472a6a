/** The program as cron starts it: a process of its own, in a working folder, with the variables of its line alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';

const mainPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The one JSON document of `--json`. */
  json<Answer>(): Answer;
}

export interface Line {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** `argv` as one types it, without the program's name. */
export async function run(argv: string, line: Line): Promise<Ended> {
  const child = start(argv, line);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr, json: <Answer>() => JSON.parse(stdout) as Answer };
}

export interface Served extends AsyncDisposable {
  readonly url: string;
  readonly log: readonly string[];
  says(pattern: RegExp): Promise<string>;
  /** As a power cut. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** `velist-backup serve` on a free port. */
export async function serve(argv: string, line: Line): Promise<Served> {
  const child = start(`serve ${argv}`.trim(), { ...line, env: { PORT: '0', ...line.env } });
  const log: string[] = [];
  const waiting = new Map<RegExp, (line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (text) => {
      log.push(text);
      for (const [pattern, resolve] of waiting) if (pattern.test(text)) resolve(text);
    });
  }
  const exited = once(child, 'exit');
  const says = (pattern: RegExp) => {
    const said = log.find((text) => pattern.test(text));
    if (said !== undefined) return Promise.resolve(said);
    const { promise, resolve } = Promise.withResolvers<string>();
    waiting.set(pattern, resolve);
    return Promise.race([
      promise,
      exited.then(() => Promise.reject(new Error(`it ended without ${pattern}:\n${log.join('\n')}`))),
    ]);
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  const served = { log, says, kill: () => end('SIGKILL'), stop: () => end('SIGTERM') };
  const url = /http:\S+\/backup/.exec(await says(/The page is at/))?.[0] ?? '';
  return { ...served, url, [Symbol.asyncDispose]: served.stop };
}

function start(argv: string, { cwd, env }: Line): ChildProcess {
  return spawn(process.execPath, ['--config=/dev/null', '--no-env-file', mainPath, ...argv.split(' ')], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** A table with rows, in WAL mode, as an app has it. */
export function makeTable(path: string, table: string, rows = 1): void {
  execute(path, `PRAGMA journal_mode = WAL; CREATE TABLE ${table} (id INTEGER PRIMARY KEY, v TEXT)`);
  for (let row = 1; row <= rows; row++) execute(path, `INSERT INTO ${table} (v) VALUES ('row ${row}')`);
}

export function execute(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = 20000; ${sql}`);
  } finally {
    database.close();
  }
}

/** Names of the tables. */
export function tablesOf(path: string): readonly string[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    database.exec('PRAGMA busy_timeout = 20000');
    const rows = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
    return rows.map(({ name }) => String(name));
  } finally {
    database.close();
  }
}
