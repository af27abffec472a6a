/**
 * What a plan says of the live database, found without changing a byte of it: neither a log is merged nor an interrupted
 * write rolled back, so the stamp that the plan bears still holds when the restore begins.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { type Header, readHeader, type TextEncoding } from './header.ts';
import {
  emptyDatabase,
  encodingOf,
  explainLiveError,
  formOnDisk,
  isBehindJournal,
  notSqlite,
  openToLook,
} from './live-database.ts';
import { type CountedRows, countRows } from './count-rows.ts';
import { pragma } from './library.ts';
import { isOnNetwork } from './network.ts';
import { refuseStrayRoots } from './schema.ts';
import { resolveDatabase } from './stamp.ts';
import { bytesToCheck, withinLimits } from './watch.ts';

export interface LiveFacts {
  readonly pageSize: number;
  /** `PRAGMA user_version`. */
  readonly schemaVersion: number;
  readonly isWal: boolean;
  /** Null as long as it never had a table. */
  readonly encoding: TextEncoding | null;
  readonly isOnNetwork: boolean;
  /** Null when nobody could look behind the header. */
  readonly rows: CountedRows | null;
  /** Why nobody could look behind the header: a log or journal that only its next user may settle, or a lock. */
  readonly uncounted: 'log' | 'journal' | 'busy' | null;
}

/**
 * @param options.deadlineMs how long rows may be counted.
 * @throws BackupError DB_MISSING, DB_EMPTY, NOT_SQLITE, DB_DAMAGED, NO_PERMISSION.
 */
export function lookForPlan(databasePath: string, { deadlineMs }: { readonly deadlineMs: number }): LiveFacts {
  const path = resolveDatabase(databasePath);
  const header = headerOf(path, databasePath);
  const known = { ...header, isOnNetwork: isOnNetwork(path), rows: null, uncounted: null };
  let connection: DatabaseSync | null = null;
  try {
    connection = openToLook(path, formOnDisk(path));
    if (connection === null) return { ...known, uncounted: 'log' };
    const live = connection;
    return withinLimits(bytesToCheck(path), () => {
      refuseStrayRoots(live);
      const schemaVersion = Number(pragma(live, 'user_version'));
      const encoding = encodingOf(live, header);
      return { ...known, schemaVersion, encoding, rows: countRows(live, { deadlineMs }) };
    });
  } catch (error) {
    if (isBehindJournal(error, path)) return { ...known, uncounted: 'journal' };
    const reason = explainLiveError(error, { databasePath, timeoutMs: 0 });
    if (reason instanceof BackupError && reason.code === 'DB_BUSY') return { ...known, uncounted: 'busy' };
    throw reason;
  } finally {
    connection?.close();
  }
}

function headerOf(path: string, databasePath: string): Header {
  try {
    const file = openSync(path, 'r');
    try {
      const found = fstatSync(file);
      if (found.isFile() && found.size === 0) throw emptyDatabase(databasePath);
      const header = found.isFile() ? readHeader(file) : null;
      if (header === null) throw notSqlite(databasePath);
      return header;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw explainLiveError(error, { databasePath, timeoutMs: 0 });
  }
}
