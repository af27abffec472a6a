/**
 * Puts a verified file where a database is, or where one shall be. Three ways, each all or nothing:
 *
 * - a new file: temporary name, fsync, rename, fsync of the folder; an existing file is never touched;
 * - online: through SQLite's backup API, one transaction that other connections see at once (200 MB beside a writer at
 *   300 tx/s: 477 ms);
 * - offline: only when nobody holds the database; its log and shared memory are removed *before* the rename, because an
 *   old log beside a restored file silently undoes the restore.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError, errnoCode } from '../errors.ts';
import { openConnection, pragma, sqliteCode } from './live-database.ts';
import { leadsNowhere, thereIsAFile } from './missing.ts';
import { isOpenSomewhere } from './open-files.ts';
import { leftoverOf, sideFiles } from './stamp.ts';
import { openUnwritten } from './verify.ts';

/**
 * Pages of one step. The steps are one transaction, and the write lock is held from the first to the last; between the
 * first two there is the moment to save what was committed so far. Small enough to stay in SQLite's cache, so that the
 * log's last commit is near its end; 200 MB take as long in such steps as in one.
 */
const STEP_PAGES = 256;
const SQLITE_BUSY = 5;
const PLACE_TIMEOUT_MS = 30_000;
const PLACE_RETRY_MS = 10;

/** @throws BackupError TARGET_EXISTS, DISK_FULL, NO_PERMISSION. */
export function placeAsNewFile(
  source: string,
  destination: string,
  { journalMode, ownedAsFolder = false }: { readonly journalMode?: 'wal'; readonly ownedAsFolder?: boolean } = {},
): void {
  removeDead(dirname(destination), (name) => name === basename(destination));
  const temporary = stage(source, destination);
  try {
    if (journalMode) setJournalMode(temporary, journalMode);
    if (ownedAsFolder) giveToOwnerOf(dirname(destination), temporary);
    // link fails where rename would overwrite.
    linkSync(temporary, destination);
  } catch (error) {
    if (existsSync(destination)) {
      throw new BackupError('TARGET_EXISTS', `${destination} already exists`, {
        hint: 'Choose another name; a restore to a new file overwrites nothing.',
        cause: error,
      });
    }
    throw BackupError.from(error);
  } finally {
    unlinkSync(temporary);
  }
  syncFolderNow(dirname(destination));
}

/**
 * Replaces a database in WAL mode while others use it.
 *
 * @param onLocked is called when nobody else can commit any more and nothing is replaced yet. When it throws, nothing
 * will be. Called again where SQLite had to begin anew.
 * @throws BackupError PAGE_SIZE_DIFFERS, DB_BUSY, DISK_FULL, and what `onLocked` throws.
 */
export async function placeOnline(
  source: string,
  databasePath: string,
  { onLocked }: { readonly onLocked: () => void },
): Promise<void> {
  checkPageSizes(source, databasePath);
  if (pragmaOf(openUnwritten(source), 'page_count') > 1) return await replacePages(source, databasePath, onLocked);
  // A database without a table is one page, and one step would leave no moment between.
  const withStatistics = stage(source, databasePath);
  try {
    addEmptyStatistics(withStatistics);
    await replacePages(withStatistics, databasePath, onLocked);
  } finally {
    unlinkSync(withStatistics);
  }
}

function checkPageSizes(source: string, databasePath: string): void {
  const backupBytes = pragmaOf(openUnwritten(source), 'page_size');
  const liveBytes = pragmaOf(openConnection(databasePath, PLACE_TIMEOUT_MS), 'page_size');
  if (backupBytes === liveBytes) return;
  throw new BackupError(
    'PAGE_SIZE_DIFFERS',
    `the backup has pages of ${backupBytes} bytes, the database in use of ${liveBytes}`,
    {
      hint: 'SQLite can not do that while the database is in use: stop the app and restore offline.',
    },
  );
}

async function replacePages(source: string, databasePath: string, onLocked: () => void): Promise<void> {
  const from = openUnwritten(source);
  const rate = Math.min(STEP_PAGES, Number(pragma(from, 'page_count')) - 1);
  const deadline = performance.now() + PLACE_TIMEOUT_MS;
  try {
    for (;;) {
      let told = false;
      const progress = () => {
        if (!told) onLocked();
        told = true;
      };
      try {
        await backup(from, databasePath, { rate, progress });
        return;
      } catch (error) {
        if (error instanceof BackupError || !isBusy(error)) throw error;
        if (performance.now() < deadline) {
          await sleep(PLACE_RETRY_MS);
          continue;
        }
        throw new BackupError('DB_BUSY', `the database was busy for ${PLACE_TIMEOUT_MS / 1_000} s`, {
          hint: 'Nothing was changed. Another program holds a long write; end that, then try again.',
          cause: error,
        });
      }
    }
  } finally {
    from.close();
  }
}

/**
 * Replaces a database that nobody holds, keeping its journal mode and file mode.
 *
 * @throws BackupError RESTORE_IN_USE when any other connection is open; then nothing was changed.
 */
export function placeOffline(source: string, databasePath: string): void {
  const temporary = stage(source, databasePath);
  try {
    // Before the hold leaves WAL mode: were we killed then, this file says which mode the database had.
    setJournalMode(temporary, formatVersion(databasePath) === FORMAT_WAL ? 'wal' : 'delete');
    giveSameRights(temporary, databasePath);
    const hold = holdExclusively(databasePath);
    try {
      for (const suffix of sideFiles) if (existsSync(databasePath + suffix)) unlinkSync(databasePath + suffix);
      renameSync(temporary, databasePath);
      syncFolderNow(dirname(databasePath));
    } finally {
      hold.close();
    }
  } catch (error) {
    if (existsSync(temporary)) unlinkSync(temporary);
    throw error;
  }
}

/**
 * Replaces a database that can't be opened: its files are moved aside, never removed.
 *
 * @returns the name of the old main file.
 */
export function placeOverUnreadable(source: string, databasePath: string, options: { now: Date }): string {
  if (isOpenSomewhere(databasePath)) throw inUse(databasePath);
  const temporary = stage(source, databasePath);
  setJournalMode(temporary, 'wal');
  giveSameRights(temporary, databasePath);
  const setAside = `${databasePath}.damaged-${options.now.toISOString().replaceAll(/[:.]/g, '-')}`;
  // A second name, not a move: were we killed here, an app that finds no file would begin an empty one.
  linkSync(databasePath, setAside);
  for (const suffix of sideFiles) {
    if (existsSync(databasePath + suffix)) renameSync(databasePath + suffix, setAside + suffix);
  }
  renameSync(temporary, databasePath);
  syncFolderNow(dirname(databasePath));
  return setAside;
}

/**
 * A database that is not there: the file becomes it. Its folder, which may be missing on a new machine, is made.
 *
 * @param journalMode of the database that the file is a backup of; null when that is not known.
 * @throws BackupError TARGET_EXISTS when there is a database by now; DB_MISSING when its name is a link to nothing;
 * RESTORE_IN_USE when a part of one lies there.
 */
export function placeWhereMissing(source: string, databasePath: string, journalMode: string | null = null): void {
  refuseWhatIsThere(databasePath);
  const left = leftoverOf(databasePath);
  if (left && !existsSync(databasePath)) {
    throw new BackupError('RESTORE_IN_USE', `${left} lies there without its database`, {
      hint: 'It would be replayed into the restored file. Move it away, then try again.',
    });
  }
  makeFolderOf(databasePath);
  const isWal = journalMode === null || journalMode === 'wal';
  try {
    placeAsNewFile(source, databasePath, { ...(isWal && { journalMode: 'wal' }), ownedAsFolder: true });
  } catch (error) {
    throw error instanceof BackupError && error.code === 'TARGET_EXISTS' ? thereIsAFile(databasePath, error) : error;
  }
}

/** @throws BackupError TARGET_EXISTS, DB_MISSING for a link to nothing. */
export function refuseWhatIsThere(databasePath: string): void {
  if (existsSync(databasePath)) throw thereIsAFile(databasePath);
  if (lstatSync(databasePath, { throwIfNoEntry: false })) throw leadsNowhere(databasePath);
}

/**
 * Removes what killed restores left beside a database: `….restoring-` and the number of a process that is no more. One
 * that was to replace its database offline may have taken it out of WAL mode; that is put right first.
 */
export function removeDeadPlacements(databasePath: string): void {
  if (existsSync(dirname(databasePath))) removeDead(dirname(databasePath), () => true);
}

function removeDead(folder: string, isMeant: (destination: string) => boolean): void {
  for (const entry of readdirSync(folder)) {
    const [, destination, pid, sideFile] = /^(.+)\.restoring-(\d+)(-wal|-shm|-journal)?$/.exec(entry) ?? [];
    if (!destination || !isMeant(destination) || isAlive(Number(pid))) continue;
    const staged = join(folder, entry);
    if (sideFile || giveModeBack(staged, join(folder, destination))) unlinkSync(staged);
  }
}

/** False when the database is busy: the next run tries again. */
function giveModeBack(staged: string, databasePath: string): boolean {
  if (!existsSync(databasePath) || formatVersion(staged) !== FORMAT_WAL) return true;
  if (formatVersion(databasePath) !== FORMAT_ROLLBACK) return true;
  const connection = openConnection(databasePath, 0);
  try {
    return pragma(connection, 'journal_mode = WAL') === 'wal';
  } catch (error) {
    // What can't be read has no mode to be given back.
    return !isBusy(error);
  } finally {
    connection.close();
  }
}

function isAlive(pid: number): boolean {
  // Asked before we stage anything: a container that starts anew gives out the same numbers again.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoCode(error) !== 'ESRCH';
  }
}

/** The whole file under a temporary name beside its destination, durable. A reflink where the file system has them. */
function stage(source: string, destination: string): string {
  const temporary = `${destination}.restoring-${process.pid}`;
  try {
    copyFileSync(source, temporary, constants.COPYFILE_FICLONE);
    chmodSync(temporary, 0o600);
    const file = openSync(temporary, 'r+');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    return temporary;
  } catch (error) {
    if (existsSync(temporary)) unlinkSync(temporary);
    throw BackupError.from(error);
  }
}

/**
 * Leaving WAL mode needs that no other connection is open, and merges the log; an exclusive transaction in
 * rollback mode then keeps newcomers out until the file is replaced.
 */
function holdExclusively(databasePath: string): DatabaseSync {
  const connection = openConnection(databasePath, 0);
  let journalMode = 'unknown';
  try {
    journalMode = String(pragma(connection, 'journal_mode'));
    if (journalMode === 'wal' && pragma(connection, 'journal_mode = DELETE') !== 'delete') throw inUse(databasePath);
    connection.exec('BEGIN EXCLUSIVE');
    return connection;
  } catch (error) {
    if (journalMode === 'wal') returnToWal(connection);
    connection.close();
    throw isBusy(error) ? inUse(databasePath, error) : error;
  }
}

/** A newcomer came between leaving WAL mode and the lock: give the database its mode back, if it lets us. */
function returnToWal(connection: DatabaseSync): void {
  try {
    connection.exec('PRAGMA journal_mode = WAL');
  } catch (error) {
    if (!isBusy(error)) throw error;
  }
}

/** The mode is in the file's header, so a file from elsewhere may bring another than the database had. */
function setJournalMode(path: string, mode: string): void {
  const file = new DatabaseSync(path);
  try {
    file.exec(`PRAGMA journal_mode = ${mode === 'wal' ? 'WAL' : 'DELETE'}`);
  } finally {
    file.close();
  }
}

/** A file without tables gets an empty one, of SQLite's own statistics. */
function addEmptyStatistics(path: string): void {
  const file = new DatabaseSync(path);
  try {
    file.exec('ANALYZE');
  } finally {
    file.close();
  }
}

const FORMAT_ROLLBACK = 1;
const FORMAT_WAL = 2;

/** https://sqlite.org/fileformat2.html#file_format_version_numbers */
function formatVersion(path: string): number | undefined {
  const file = openSync(path, 'r');
  try {
    const header = Buffer.alloc(20);
    readSync(file, header, 0, header.length, 0);
    return header[18];
  } finally {
    closeSync(file);
  }
}

/** Each folder that is made gets the owner of the one above it. */
function makeFolderOf(path: string): void {
  const first = mkdirSync(dirname(path), { recursive: true });
  if (first === undefined) return;
  const made = dirname(path).slice(first.length).split('/').filter(Boolean);
  for (let folder = first; ; folder = join(folder, made.shift() ?? '')) {
    giveToOwnerOf(dirname(folder), folder);
    if (made.length === 0) return;
  }
}

/** Root restores before the app starts, and the app that may make files in that folder must be able to open this one. */
function giveToOwnerOf(folder: string, path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(folder);
  chownSync(path, uid, gid);
}

/** File mode and, where we may give a file away, owner: an app must be able to open what root restored. */
function giveSameRights(path: string, model: string): void {
  const { mode, uid, gid } = statSync(model);
  chmodSync(path, mode & 0o777);
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}

function pragmaOf(file: DatabaseSync, name: string): number {
  try {
    return Number(pragma(file, name));
  } finally {
    file.close();
  }
}

/** A backup step that found the database locked ends as "not an error", code 0, in `node:sqlite` of Bun and of Node. */
function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === SQLITE_BUSY || code === 0 || (error instanceof Error && /database is locked/.test(error.message));
}

function inUse(databasePath: string, cause?: unknown): BackupError {
  return new BackupError('RESTORE_IN_USE', `another process holds ${databasePath}`, {
    hint: 'Stop the app and try again, or restore online: that works while it runs.',
    cause,
  });
}

/** Makes renames in a folder durable. */
export function syncFolderNow(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
