/** What every use of the SQLite library needs: how to open a database with it, one value of a pragma, its result codes. */
import { DatabaseSync, type DatabaseSyncOptions } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/**
 * Definitions in the schema that this SQLite does not understand are passed over (`SQLITE_WriteSchema`), as everything but
 * a judge should: pages are copied whatever they mean. We write no schema.
 *
 * @param query how to open it: https://sqlite.org/uri.html
 */
export function openWith(path: string, query: string, options: DatabaseSyncOptions = {}): DatabaseSync {
  const unguarded = { ...options, defensive: false } as DatabaseSyncOptions; // newer than the types
  const connection = new DatabaseSync(`${pathToFileURL(path).href}?${query}`, unguarded);
  connection.exec('PRAGMA temp_store = MEMORY; PRAGMA writable_schema = ON');
  return connection;
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
  connection.exec('PRAGMA writable_schema = RESET');
  try {
    read();
    return null;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('malformed database schema')) throw error;
    connection.exec('PRAGMA writable_schema = ON');
    read();
    return error.message;
  }
}

/** Primary result codes, https://sqlite.org/rescode.html */
export const SQLITE_ERROR = 1;
export const SQLITE_PERM = 3;
export const SQLITE_BUSY = 5;
export const SQLITE_LOCKED = 6;
export const SQLITE_READONLY = 8;
export const SQLITE_IOERR = 10;
export const SQLITE_CORRUPT = 11;
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
