/** A bank for tests: accounts whose sum never changes, a log numbered without gaps, and filler up to a size. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';

export const START_BALANCE = 1_000;
const ACCOUNTS = 1_000;
const FILLER_BYTES = 3_000;

export type JournalMode = 'wal' | 'delete' | 'truncate' | 'persist';

export function makeBank(path: string, options: { sizeBytes: number; journalMode?: JournalMode }): void {
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA journal_mode = ${options.journalMode ?? 'wal'}; PRAGMA synchronous = OFF;
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE INDEX log_by_text ON log (text);
    CREATE TABLE filler (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ACCOUNTS})
      INSERT INTO accounts SELECT i, ${START_BALANCE} FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${Math.max(1, Math.floor(options.sizeBytes / 4_096))})
      INSERT INTO filler SELECT i, randomblob(${FILLER_BYTES}) FROM n;
    INSERT INTO log VALUES (1, 'opened');
    PRAGMA wal_checkpoint(TRUNCATE);
  `);
  database.close();
}

export interface Judgement {
  readonly complaint: string | null;
  /** Number of the last transaction in the copy. */
  readonly transactions: number;
}

/** Checks one backup three ways: SQLite's full check, the invariant across rows, and that it holds transactions 1..n. */
export function judgeBank(path: string): Judgement {
  const database = new DatabaseSync(path, { readOnly: true });
  const one = (sql: string) => Object.values(database.prepare(sql).get() ?? {})[0];
  try {
    database.exec('PRAGMA busy_timeout = 20000');
    const transactions = Number(one('SELECT max(id) FROM log'));
    const check = String(one('PRAGMA integrity_check(1)'));
    if (check !== 'ok') return { complaint: `integrity_check: ${check}`, transactions };
    const sum = Number(one('SELECT sum(balance) FROM accounts'));
    if (sum !== ACCOUNTS * START_BALANCE) return { complaint: `the accounts hold ${sum}`, transactions };
    const rows = Number(one('SELECT count(*) FROM log'));
    if (rows !== transactions) return { complaint: `${rows} transactions of ${transactions}`, transactions };
    return { complaint: null, transactions };
  } catch (error) {
    return { complaint: error instanceof Error ? error.message : String(error), transactions: 0 };
  } finally {
    database.close();
  }
}

export interface Writer {
  readonly process: ChildProcess;
  stop(): Promise<{ commits: number; errors: number; firstError: string; waitsMs: number[] }>;
}

export async function startWriter(
  path: string,
  options: {
    perSecond?: number;
    busyTimeoutMs?: number;
    synchronous?: 'NORMAL' | 'FULL';
    journalMode?: JournalMode;
  } = {},
): Promise<Writer> {
  const script = fileURLToPath(new URL('./bank-writer.ts', import.meta.url));
  const { perSecond = 0, busyTimeoutMs = 0, synchronous = 'NORMAL', journalMode = 'wal' } = options;
  const form = [String(perSecond), String(busyTimeoutMs), synchronous, journalMode];
  const child = spawn(process.execPath, [script, path, ...form], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const [first] = (await once(lines, 'line')) as [string];
  if (first !== 'started') throw new Error(`the writer said ${first}`);
  return {
    process: child,
    async stop() {
      const last = once(lines, 'line') as Promise<[string]>;
      child.kill('SIGTERM');
      return JSON.parse((await last)[0]);
    },
  };
}
