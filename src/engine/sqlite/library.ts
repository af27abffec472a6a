/**
 * What every use of the SQLite library needs: how to open a database with it, one value of a pragma, its result codes.
 *
 * Databases of others are opened here and nowhere else (`architecture.test.ts`), and nothing that stands in one is believed:
 * what a definition in it may call is what SQLite itself calls harmless, and a file that is not the live database is opened
 * as https://sqlite.org/security.html advises for files from elsewhere, but for two things. Its pages are mapped, which makes
 * a check three times as fast; a file that shrinks meanwhile ends the job alone. And `cell_size_check` is left to the check
 * itself, which looks at each cell: with both, `integrity_check` took a third longer.
 */
import { DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite';
import { statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/**
 * The database of an app that uses it. Definitions in the schema that this SQLite does not understand are passed over
 * (`SQLITE_WriteSchema`), as everything but a judge should: pages are copied whatever they mean. We write no schema.
 *
 * @param query how to open it: https://sqlite.org/uri.html
 */
export function openLive(path: string, query: string, options: DatabaseSyncOptions = {}): DatabaseSync {
  const unguarded = { ...options, defensive: false } as DatabaseSyncOptions; // newer than the types
  const connection = new DatabaseSync(`${pathToFileURL(path).href}?${query}`, unguarded);
  connection.exec('PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA writable_schema = ON');
  return connection;
}

/**
 * Opens any other database: a backup, a copy of ours, a file from elsewhere. Like `openLive`, but the connection may
 * only answer queries.
 */
export function openElsewhere(path: string, query: string, options: DatabaseSyncOptions = {}): DatabaseSync {
  const limits = { attach: 0, length: valueBytesMax(statSync(path).size) };
  const connection = openLive(path, query, { ...options, limits } as DatabaseSyncOptions); // newer than the types
  // Bun has these, and Node from 24 on. With Node 22 it is the watch over the job alone that holds (`watch.ts`).
  const { setAuthorizer, enableDefensive }: Newer = connection;
  setAuthorizer?.call(connection, (action, _name, called, database) => (mayDo(action, called, database) ? 0 : DENIED));
  enableDefensive?.call(connection, true);
  onGuard.add(connection);
  return connection;
}

type Newer = Partial<Pick<DatabaseSync, 'setAuthorizer' | 'enableDefensive'>>;
const onGuard = new WeakSet<DatabaseSync>();

/** What an expression makes out of a value may be longer than all that the file holds, and not by so much. */
const VALUE_BYTES_LEAST = 64 * 1024 * 1024;
const VALUE_FACTOR = 2;
/** SQLite's own limit: https://sqlite.org/limits.html */
const VALUE_BYTES_MAX = 1_000_000_000;

function valueBytesMax(fileBytes: number): number {
  return Math.min(VALUE_BYTES_MAX, Math.max(VALUE_BYTES_LEAST, VALUE_FACTOR * fileBytes));
}

/**
 * A value that is longer than all that the file holds, and than twice that: what computes it stands in the file, and its
 * check is given up. At SQLite's own limit it is nobody's fault.
 */
export function isBeyondFile(connection: DatabaseSync, error: unknown): boolean {
  const length = (connection as { readonly limits?: { readonly length: number } }).limits?.length; // newer than the types
  return sqliteCode(error) === SQLITE_TOOBIG && length !== undefined && length < VALUE_BYTES_MAX;
}

const DENIED = 1;
/** https://sqlite.org/c3ref/c_alter_table.html: ATTACH, DETACH, ALTER TABLE, REINDEX, ANALYZE. */
const REFUSED: ReadonlySet<number> = new Set([24, 25, 26, 27, 28]);
/** All of these numbers make or drop a thing of the schema, but DELETE. */
const MAKING_MAX = 17;
const DELETE = 9;
const MAKING_VIRTUAL: ReadonlySet<number> = new Set([29, 30]);
const FUNCTION = 31;
/** They load code, or take addresses for it. */
const refusedFunctions: ReadonlySet<string> = new Set(['load_extension', 'fts3_tokenizer']);

/** An R-tree prepares what changes its rows when it is opened; `query_only` sees to it that none of that runs. */
function mayDo(action: number, called: string | null, database: string | null): boolean {
  if (action === FUNCTION) return !refusedFunctions.has((called ?? '').toLowerCase());
  if (REFUSED.has(action)) return false;
  const isMaking = (action <= MAKING_MAX && action !== DELETE) || MAKING_VIRTUAL.has(action);
  // The list of pages is a table of ours in memory.
  return !isMaking || database === 'temp';
}

/** One value of a pragma. */
export function pragma(connection: DatabaseSync, name: string): unknown {
  const row = connection.prepare(`PRAGMA ${name}`).get();
  return row ? Object.values(row)[0] : undefined;
}

/**
 * Reads the schema anew. What this SQLite does not understand (words of a newer one, more columns than it has room for) is
 * left out from here on.
 *
 * @returns what it says of the first such entry, `malformed database schema (NAME) - …`; null when it understands all.
 */
export function notUnderstood(connection: DatabaseSync): string | null {
  const read = () => connection.prepare('SELECT count(*) FROM main.sqlite_schema').get();
  passOverUnknown(connection, 'RESET');
  try {
    read();
    return null;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('malformed database schema')) throw error;
    passOverUnknown(connection, 'ON');
    read();
    return error.message;
  }
}

/** SQLite lets no connection on its guard do so. */
function passOverUnknown(connection: DatabaseSync, how: 'ON' | 'RESET'): void {
  const { enableDefensive }: Newer = connection;
  enableDefensive?.call(connection, false);
  connection.exec(`PRAGMA writable_schema = ${how}`);
  if (onGuard.has(connection)) enableDefensive?.call(connection, true);
}

/** Primary result codes, https://sqlite.org/rescode.html */
export const SQLITE_ERROR = 1;
export const SQLITE_PERM = 3;
export const SQLITE_BUSY = 5;
export const SQLITE_LOCKED = 6;
export const SQLITE_NOMEM = 7;
export const SQLITE_READONLY = 8;
export const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
export const SQLITE_FULL = 13;
export const SQLITE_CANTOPEN = 14;
export const SQLITE_TOOBIG = 18;
export const SQLITE_NOTADB = 26;

/** An extended one. */
export const SQLITE_CORRUPT_VTAB = 267;

/** The primary SQLite result code of an error that `node:sqlite` threw. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}

export function isDamage(error: unknown): boolean {
  const code = sqliteCode(error);
  const text = error instanceof Error ? error.message : String(error);
  return (
    code === SQLITE_CORRUPT || code === SQLITE_NOTADB || /malformed|not a database|unsupported file format/.test(text)
  );
}
