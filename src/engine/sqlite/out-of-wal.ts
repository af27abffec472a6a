/**
 * A database out of WAL mode for as long as it is replaced offline: then SQLite itself says whether anybody is still
 * connected to it, and its pages may be of another size. A note beside it, `….restoring-` and our process's number, says
 * which mode it had: were we killed, the next run gives that back.
 */
import { closeSync, existsSync, fsyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { readHeaderOf, walHeader } from './header.ts';
import { pragma } from './library.ts';
import { explainLiveError, isLocked, openConnection } from './live-database.ts';
import { inUse } from './open-files.ts';
import { refuseStrayRoots } from './schema.ts';
import { syncFolderNow } from './sync-folder.ts';

export interface OutOfWal extends Disposable {
  /** False when it was in another mode anyway. */
  readonly wasWal: boolean;
}

/** A newcomer that holds the database for longer is left to the next run. */
const GIVE_BACK_TIMEOUT_MS = 1_000;

/**
 * Merges the log. Disposed, it gives the mode back.
 *
 * @param databasePath its real path.
 * @throws BackupError RESTORE_IN_USE while another connection is open, in whatever process; NO_PERMISSION, DISK_FULL,
 * DB_DAMAGED.
 */
export function leaveWal(databasePath: string): OutOfWal {
  if (readHeaderOf(databasePath)?.isWal !== true) return { wasWal: false, [Symbol.dispose]: () => {} };
  const note = writeNote(databasePath);
  let connection: DatabaseSync | undefined;
  try {
    connection = openConnection(databasePath, 0);
    refuseStrayRoots(connection);
    if (pragma(connection, 'journal_mode = DELETE') !== 'delete') throw inUse(databasePath);
  } catch (error) {
    unlinkSync(note);
    if (isLocked(error)) throw inUse(databasePath);
    throw explainLiveError(error, { databasePath, timeoutMs: 0 });
  } finally {
    connection?.close();
  }
  return {
    wasWal: true,
    [Symbol.dispose]() {
      if (giveModeBack(note, databasePath, GIVE_BACK_TIMEOUT_MS)) unlinkSync(note);
    },
  };
}

function writeNote(databasePath: string): string {
  const note = `${databasePath}.restoring-${process.pid}`;
  const file = openSync(note, 'w', 0o600);
  try {
    writeSync(file, walHeader());
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  syncFolderNow(dirname(databasePath));
  return note;
}

/** False when the database is busy: the next run tries again. */
export function giveModeBack(note: string, databasePath: string, timeoutMs = 0): boolean {
  if (!existsSync(databasePath) || readHeaderOf(note)?.isWal !== true) return true;
  if (readHeaderOf(databasePath)?.isWal !== false) return true;
  const connection = openConnection(databasePath, timeoutMs);
  try {
    return pragma(connection, 'journal_mode = WAL') === 'wal';
  } catch (error) {
    // What can't be read has no mode to be given back.
    return !isLocked(error);
  } finally {
    connection.close();
  }
}
