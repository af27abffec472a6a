/**
 * The database that the torture and kill suites attack: a ledger in which every half-done, lost or mixed state shows.
 *
 * - `log` holds each transaction: which writer, its number `n` (1, 2, 3, … of that writer), its place `t` among all.
 *   `clock` and `totals` count the same by triggers. A copy is the commit `t`, and must hold exactly 1 to `t`.
 * - `accounts` hold a sum that never changes.
 * - `filler` gives the size; each row names the transaction that wrote it, `stock` holds rows, bytes and the sum of
 *   those names. One page of another moment breaks it.
 * - `docs` (FTS5) and `words` (WITHOUT ROWID) always hold the same rows.
 *
 * Runs on Bun and on Node, whose type stripping takes erasable syntax only.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

export interface LedgerForm {
  readonly sizeBytes: number;
  readonly pageSize: number;
  readonly autoVacuum: 'none' | 'full' | 'incremental';
  readonly journalMode: 'wal' | 'delete' | 'truncate' | 'persist';
  readonly writers: number;
}

export const ACCOUNTS = 200;
const START_BALANCE = 1_000;
const FILLER_BYTES = 3_000;
const FILLER_ROWS_MIN = 4;

/** Rows of filler that give about that size. */
export function fillerRows(sizeBytes: number): number {
  return Math.max(FILLER_ROWS_MIN, Math.floor(sizeBytes / (FILLER_BYTES + 100)));
}

export function makeLedger(path: string, form: LedgerForm): void {
  const database = new DatabaseSync(path);
  const numbers = (last: number) =>
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${last}) INSERT INTO`;
  database.exec(`
    PRAGMA page_size = ${form.pageSize}; PRAGMA auto_vacuum = ${form.autoVacuum}; PRAGMA synchronous = OFF;
    BEGIN;
    CREATE TABLE clock (t INTEGER NOT NULL);
    CREATE TABLE totals (writer INTEGER PRIMARY KEY, rows INTEGER NOT NULL, n INTEGER NOT NULL);
    CREATE TABLE log (writer INTEGER, n INTEGER, t INTEGER NOT NULL, PRIMARY KEY (writer, n)) WITHOUT ROWID;
    CREATE UNIQUE INDEX log_by_time ON log (t);
    CREATE TRIGGER count_log AFTER INSERT ON log BEGIN
      UPDATE clock SET t = NEW.t;
      UPDATE totals SET rows = rows + 1, n = NEW.n WHERE writer = NEW.writer;
    END;
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE filler (id INTEGER PRIMARY KEY, t INTEGER NOT NULL, payload BLOB NOT NULL);
    CREATE INDEX filler_by_time ON filler (t, id);
    CREATE TABLE stock (rows INTEGER NOT NULL, bytes INTEGER NOT NULL, times INTEGER NOT NULL);
    CREATE VIRTUAL TABLE docs USING fts5 (body);
    CREATE TABLE words (word TEXT PRIMARY KEY, doc INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO clock VALUES (0);
    ${numbers(form.writers)} totals SELECT i - 1, 0, 0 FROM n;
    ${numbers(ACCOUNTS)} accounts SELECT i, ${START_BALANCE} FROM n;
    ${numbers(fillerRows(form.sizeBytes))} filler SELECT i, 0, randomblob(${FILLER_BYTES}) FROM n;
    INSERT INTO stock SELECT count(*), sum(length(payload)), 0 FROM filler;
    COMMIT;
    PRAGMA journal_mode = ${form.journalMode};
  `);
  database.close();
}

export interface LedgerJudgement {
  /** Null when the file is one whole moment. */
  readonly complaint: string | null;
  /** The commit that it is. */
  readonly commit: number;
  /** By writer: the number of its last transaction. */
  readonly last: readonly number[];
}

export interface JudgeOptions {
  /** A backup, which nobody writes to; false for the live database, which is then opened for reading only. */
  readonly unwritten: boolean;
  /** False after a restore: each writer's numbers go on, so those that the restore took back are missing. */
  readonly gapless?: boolean;
}

/** SQLite's full check, the sums that span tables, and which commit it is. */
export function judgeLedger(path: string, options: JudgeOptions): LedgerJudgement {
  let database: DatabaseSync | undefined;
  try {
    database = openForReading(path, options);
    return { complaint: complaintOf(database, options), ...commitOf(database) };
  } catch (error) {
    return { complaint: error instanceof Error ? error.message : String(error), commit: 0, last: [] };
  } finally {
    database?.close();
  }
}

/** Every transaction in its order, as `writer:n`. */
export function readLog(path: string, options: JudgeOptions): readonly string[] {
  const database = openForReading(path, options);
  try {
    return database
      .prepare("SELECT writer || ':' || n AS name FROM log ORDER BY t")
      .all()
      .map((row) => String(row['name']));
  } finally {
    database.close();
  }
}

/** Reading only, a last close leaves the log in place; a crash's state stays what it was. */
function openForReading(path: string, options: JudgeOptions): DatabaseSync {
  const query = options.unwritten ? '?mode=ro&immutable=1' : '';
  const database = new DatabaseSync(`${pathToFileURL(path).href}${query}`, { readOnly: true });
  database.exec('PRAGMA busy_timeout = 60000');
  return database;
}

function commitOf(database: DatabaseSync): Pick<LedgerJudgement, 'commit' | 'last'> {
  const commit = Number(database.prepare('SELECT t FROM clock').get()?.['t']);
  const last = database.prepare('SELECT n FROM totals ORDER BY writer').all();
  return { commit, last: last.map((row) => Number(row['n'])) };
}

function complaintOf(database: DatabaseSync, options: JudgeOptions): string | null {
  const check = Object.values(database.prepare('PRAGMA integrity_check(1)').get() ?? {})[0];
  if (check !== 'ok') return `integrity_check: ${String(check)}`;
  for (const { what, sql } of [...sums, ...(options.gapless === false ? [] : [gaps])]) {
    const row = database.prepare(sql).get();
    if (row) return `${what}: ${JSON.stringify(row)}`;
  }
  return null;
}

/** Each answers a row only when it is broken. */
const sums: readonly { readonly what: string; readonly sql: string }[] = [
  {
    what: 'the accounts hold another sum',
    sql: `SELECT sum(balance) AS sum FROM accounts HAVING sum(balance) IS NOT ${ACCOUNTS * START_BALANCE} OR count(*) <> ${ACCOUNTS}`,
  },
  {
    what: 'the log is not the transactions 1 to t',
    sql: `SELECT clock.t, count(log.t) AS rows, min(log.t) AS first, max(log.t) AS last FROM clock LEFT JOIN log
      GROUP BY clock.rowid HAVING count(log.t) <> clock.t OR coalesce(min(log.t), 1) <> 1 OR coalesce(max(log.t), 0) <> clock.t`,
  },
  {
    what: 'a writer counted otherwise than its log',
    sql: `SELECT totals.*, counted.* FROM totals
      LEFT JOIN (SELECT writer, count(*) AS found, max(n) AS newest FROM log GROUP BY writer) AS counted USING (writer)
      WHERE rows <> coalesce(found, 0) OR n <> coalesce(newest, 0)`,
  },
  {
    what: 'the stock is not the filler',
    sql: `SELECT * FROM stock, (SELECT count(*) AS foundRows, coalesce(sum(length(payload)), 0) AS foundBytes,
        coalesce(sum(t), 0) AS foundTimes FROM filler)
      WHERE rows <> foundRows OR bytes <> foundBytes OR times <> foundTimes`,
  },
  {
    what: 'the documents are not the words',
    sql: `SELECT * FROM (SELECT count(*) AS docs, coalesce(sum(rowid), 0) AS docSum FROM docs),
        (SELECT count(*) AS words, coalesce(sum(doc), 0) AS wordSum FROM words)
      WHERE docs <> words OR docSum <> wordSum`,
  },
];
const gaps = { what: 'a writer lacks one of its transactions', sql: 'SELECT * FROM totals WHERE rows <> n' };

/** What a writer has noted as committed: its own number and the moment among all. */
export interface Acknowledged {
  readonly n: number;
  readonly t: number;
}

const NOTE_BYTES = 32;

/** Where each writer notes its last commit, outside of the database. */
export function makeAcknowledgements(path: string, writers: number): void {
  const file = openSync(path, 'w');
  writeSync(file, Buffer.alloc(NOTE_BYTES * writers));
  closeSync(file);
}

/** Both numbers are written twice, so that a reader sees when it read half a note. */
export function noteAcknowledged(file: number, writer: number, { n, t }: Acknowledged): void {
  const note = Buffer.alloc(NOTE_BYTES);
  [n, t, n, t].forEach((value, index) => void note.writeDoubleLE(value, index * 8));
  writeSync(file, note, 0, NOTE_BYTES, writer * NOTE_BYTES);
}

export function readAcknowledged(path: string, writers: number): readonly Acknowledged[] {
  const file = openSync(path, 'r');
  try {
    return Array.from({ length: writers }, (_, writer) => readNote(file, writer));
  } finally {
    closeSync(file);
  }
}

const READS_MAX = 1_000;

function readNote(file: number, writer: number): Acknowledged {
  const note = Buffer.alloc(NOTE_BYTES);
  for (let reads = 0; reads < READS_MAX; reads++) {
    readSync(file, note, 0, NOTE_BYTES, writer * NOTE_BYTES);
    if (note.compare(note, 0, 16, 16, 32) === 0) return { n: note.readDoubleLE(0), t: note.readDoubleLE(8) };
  }
  throw new Error(`no whole note of writer ${writer}`);
}
