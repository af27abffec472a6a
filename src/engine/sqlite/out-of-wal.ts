/**
 * Keeps a database out of WAL mode while it is replaced offline: SQLite itself then says whether anybody is still
 * connected, and its pages may have another size. A note beside it, `….restoring-` and the number of our process,
 * records the mode it had: if we are killed, the next run gives it back.
 */
import { closeSync, existsSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { aboutToOpen, endConnection } from './ending.ts';
import { readHeaderOf, walHeader } from './header.ts';
import { isDamage, pragma } from './library.ts';
import { explainLiveError, isLocked, openConnection } from './live-database.ts';
import { inUse } from './open-files.ts';
import { refuseStrayRoots } from './schema.ts';
import { holdStaging, removeIfAllowed, stagedName } from './staged.ts';
import { syncFolderNow } from '../disk/sync-folder.ts';

interface OutOfWal extends Disposable {
  /** False when it was in another mode anyway. */
  readonly wasWal: boolean;
}

/** A newcomer that holds the database for longer is left to the next run. */
const GIVE_BACK_TIMEOUT_MS = 1_000;

/**
 * Merges the log. Disposed, it gives the mode back.
 *
 * @param databasePath its real path.
 * @param onLeft hears that the mode could not be given back, which the next run does.
 * @throws BackupError RESTORE_IN_USE while another connection is open, in whatever process; NO_PERMISSION, DISK_FULL,
 * DB_DAMAGED.
 */
export function leaveWal(databasePath: string, onLeft: () => void = () => {}): OutOfWal {
  if (readHeaderOf(databasePath)?.isWal !== true) return { wasWal: false, [Symbol.dispose]: () => {} };
  const staging = holdStaging(databasePath);
  const note = stagedName(databasePath, 'restoring');
  const goBack = (timeoutMs: number) => {
    if (giveModeBack(note, databasePath, timeoutMs)) removeIfAllowed(note);
    else onLeft();
    staging[Symbol.dispose]();
  };
  try {
    writeNote(note);
    switchLogOff(databasePath);
  } catch (error) {
    // The switch may have succeeded all the same; the database itself shows it.
    goBack(0);
    if (isLocked(error)) throw inUse(databasePath);
    throw explainLiveError(error, { databasePath, timeoutMs: 0 });
  }
  return { wasWal: true, [Symbol.dispose]: () => goBack(GIVE_BACK_TIMEOUT_MS) };
}

function switchLogOff(databasePath: string): void {
  const connection = openConnection(databasePath, 0);
  try {
    refuseStrayRoots(connection);
    if (pragma(connection, 'journal_mode = DELETE') !== 'delete') throw inUse(databasePath);
  } finally {
    connection.close();
  }
}

function writeNote(note: string): void {
  const file = openSync(note, 'wx', 0o600);
  try {
    writeSync(file, walHeader());
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  syncFolderNow(dirname(note));
}

/** False when that is not possible now (the database is busy, the disk is full): the note stays, and the next run tries again. */
export function giveModeBack(note: string, databasePath: string, timeoutMs = 0): boolean {
  try {
    if (!existsSync(databasePath) || readHeaderOf(note)?.isWal !== true) return true;
    if (readHeaderOf(databasePath)?.isWal !== true) return switchLogOn(databasePath, timeoutMs);
    removeUnusedJournal(databasePath);
    return true;
  } catch (error) {
    // Something that is not a database has no mode to give back.
    return isDamage(error);
  }
}

/**
 * We were killed before the journal of the switch was valid. SQLite ignores a journal without its first bytes, and in
 * WAL mode nobody would ever remove it. Once a connection has read, no other can leave WAL mode and begin to use it.
 */
function removeUnusedJournal(databasePath: string): void {
  const journal = `${databasePath}-journal`;
  if (!existsSync(journal)) return;
  const opened = aboutToOpen(databasePath);
  const connection = openConnection(databasePath, 0);
  try {
    pragma(connection, 'schema_version');
    if (pragma(connection, 'journal_mode') === 'wal' && isWithoutHeader(journal)) removeIfAllowed(journal);
  } finally {
    endConnection(connection, opened);
  }
}

/** https://sqlite.org/fileformat2.html#the_rollback_journal */
function isWithoutHeader(journal: string): boolean {
  const file = openSync(journal, 'r');
  try {
    const magic = Buffer.alloc(JOURNAL_MAGIC_BYTES);
    readSync(file, magic);
    return magic.every((byte) => byte === 0);
  } finally {
    closeSync(file);
  }
}

const JOURNAL_MAGIC_BYTES = 8;

/** A journal that a kill left is rolled back first. */
function switchLogOn(databasePath: string, timeoutMs: number): boolean {
  const opened = aboutToOpen(databasePath);
  const connection = openConnection(databasePath, timeoutMs);
  try {
    return pragma(connection, 'journal_mode = WAL') === 'wal';
  } finally {
    endConnection(connection, opened);
  }
}
