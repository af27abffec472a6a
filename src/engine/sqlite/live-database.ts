/**
 * The only file that opens a live database, and it does so only in a job's own process.
 *
 * POSIX locks belong to a process: closing *any* descriptor of the database file drops every lock that SQLite holds on
 * it there. In the app's process that means a deleted WAL and lost commits; in ours, a lost pin. So a pin opens its
 * descriptor before the connection and closes it after, and nothing else here touches the file by name.
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, statfsSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { beginReading } from './begin.ts';
import { isLocked, onceFree } from './busy.ts';
import { aboutToOpen, endConnection, type Opened } from './ending.ts';
import { type Header, readHeader, type TextEncoding } from './header.ts';
import {
  isDamage,
  openLive,
  pragma,
  SQLITE_CANTOPEN,
  SQLITE_FULL,
  SQLITE_IOERR,
  SQLITE_NOTADB,
  SQLITE_PERM,
  SQLITE_READONLY,
  sqliteCode,
} from './library.ts';
import { askNearest } from './nearest.ts';
import { isOnNetwork } from './network.ts';
import { isOpenSomewhere } from './open-files.ts';
import { refuseOtherLog } from './other-log.ts';
import { refuseStrayRoots } from './schema.ts';
import { type DatabaseStamp, resolveDatabase, stampDatabase } from './stamp.ts';
import { type LogIndex, readLogIndex } from './wal-index.ts';

/** The row of `PRAGMA wal_checkpoint(PASSIVE)`: frames in the log, frames merged; null when none was issued. */
interface CheckpointRow {
  readonly busy: boolean;
  readonly logFrames: number;
  readonly mergedFrames: number;
}

export interface PinnedDatabase {
  readonly path: string;
  /** Reads the main file; belongs to the pin, never close it. */
  readonly descriptor: number;
  readonly pageSize: number;
  readonly pages: number;
  /** `PRAGMA user_version`, which many migration tools count in. */
  readonly schemaVersion: number;
  readonly journalMode: string;
  /** Null as long as it never had a table: then it takes any. */
  readonly encoding: TextEncoding | null;
  readonly checkpoint: CheckpointRow | null;
  /** Where the log ends at the pin; null in a mode without one, and where only SQLite itself may copy. */
  readonly log: LogIndex | null;
  /** False on a network file system, where the pin may not be seen by others: then only SQLite itself may copy. */
  readonly mayCopy: boolean;
  readonly pinnedAt: Date;
  /** Taken under the pin and before any byte is copied: whatever was written before it is in the copy. */
  readonly stamp: DatabaseStamp;
  /** Where the log ends now. Asked while a lock keeps writers out, it is the last commit. */
  logEndNow(): LogIndex | null;
  vacuumInto(destination: string): void;
  [Symbol.dispose](): void;
}

/** How long to wait for another connection that holds the database exclusively. */
export const PIN_TIMEOUT_MS = 30_000;

/**
 * Holds one moment of the database: until disposed, nobody can move a later page into the main file.
 *
 * @throws BackupError DB_MISSING, DB_EMPTY, NOT_SQLITE, DB_BUSY, DB_DAMAGED, DB_NOT_SHARED, NO_PERMISSION.
 */
export function pinDatabase(
  databasePath: string,
  options: { now: () => Date; timeoutMs?: number | undefined; checkpoint?: 'none' | undefined },
): PinnedDatabase {
  const path = resolveDatabase(databasePath);
  const timeoutMs = options.timeoutMs ?? PIN_TIMEOUT_MS;
  // Before all else: our checkpoint would merge the wrong log.
  refuseOtherLog(path);
  const opened = aboutToOpen(path);
  let connection: DatabaseSync | undefined;
  try {
    const descriptor = openSync(path, 'r');
    opened.descriptors.push(descriptor);
    const found = fstatSync(descriptor);
    if (!found.isFile()) throw notSqlite(databasePath);
    if (found.size === 0) throw emptyDatabase(databasePath);
    connection = openConnection(path, 0);
    return pin(connection, {
      opened,
      descriptor,
      timeoutMs,
      now: options.now,
      mayCheckpoint: options.checkpoint !== 'none',
    });
  } catch (error) {
    const [descriptor] = opened.descriptors;
    const explained = explainLiveError(error, {
      ...{ databasePath, timeoutMs },
      hasLog: () => descriptor === undefined || hasLog(descriptor),
    });
    endConnection(connection, opened);
    throw explained;
  }
}

function pin(
  connection: DatabaseSync,
  at: { opened: Opened; descriptor: number; timeoutMs: number; now: () => Date; mayCheckpoint: boolean },
): PinnedDatabase {
  const { descriptor } = at;
  const { path } = at.opened;
  const deadline = performance.now() + at.timeoutMs;
  onceFree(() => refuseStrayRoots(connection), deadline);
  const mayHaveLog = onceFree(() => pragma(connection, 'journal_mode'), deadline) === 'wal';
  const checkpoint =
    mayHaveLog && at.mayCheckpoint && mayCheckpoint(connection) ? checkpointPassively(connection) : null;
  const mayCopy = !isOnNetwork(path);
  const { journalMode, log, index } = beginReading(connection, { ...at.opened, deadline }, { wantsLogEnd: mayCopy });
  connection.exec(`PRAGMA busy_timeout = ${at.timeoutMs}`);
  const pinnedAt = at.now();
  const stamp = stampDatabase(path, { nowMs: pinnedAt.getTime() });
  let open = true;
  return {
    path,
    descriptor,
    pageSize: Number(pragma(connection, 'page_size')),
    pages: Number(pragma(connection, 'page_count')),
    schemaVersion: Number(pragma(connection, 'user_version')),
    journalMode,
    encoding: encodingOf(connection, readHeader(descriptor)),
    checkpoint: journalMode === 'wal' ? checkpoint : null,
    log,
    mayCopy,
    pinnedAt,
    stamp,
    logEndNow: () => (index === null ? null : readLogIndex(index)),
    vacuumInto(destination) {
      connection.exec('COMMIT');
      connection.prepare('VACUUM INTO ?').run(destination);
      connection.exec('BEGIN');
    },
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      connection.exec('COMMIT');
      endConnection(connection, at.opened);
    },
  };
}

/** With a table SQLite is asked, because the header may be in the log alone; without one, its answer is a mere default. */
export function encodingOf(connection: DatabaseSync, header: Header | null): TextEncoding | null {
  const hasTables = connection.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() !== undefined;
  return hasTables ? (pragma(connection, 'encoding') as TextEncoding) : (header?.encoding ?? null); // one of those three
}

/** How the live database is set up. */
interface LookedInto {
  /** Null if a crashed app left a rollback journal: who only reads can't see behind it. */
  readonly journalMode: string | null;
  /** Tables that other replication tools keep in it; none if nobody could look without changing something. */
  readonly replicatorTables: readonly string[];
}

/**
 * How the live database is set up, by one read that changes nothing: a connection that may write, and is the last one,
 * checkpoints as it closes, rewrites the main file and deletes the log.
 *
 * @throws BackupError as `pinDatabase` does.
 */
export function lookIntoDatabase(databasePath: string): LookedInto {
  const path = resolveDatabase(databasePath);
  refuseOtherLog(path);
  let connection: DatabaseSync | null = null;
  try {
    const form = formOnDisk(path);
    connection = openToLook(path, form);
    if (connection === null) return { journalMode: 'wal', replicatorTables: [] };
    const tables = connection
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_litestream\\_%' ESCAPE '\\'")
      .all();
    return {
      journalMode: form === 'rollback' ? String(pragma(connection, 'journal_mode')) : 'wal',
      replicatorTables: tables.map(({ name }) => `table ${String(name)}`),
    };
  } catch (error) {
    if (isBehindJournal(error, path)) return { journalMode: null, replicatorTables: [] };
    throw explainLiveError(error, { databasePath, timeoutMs: LOOK_TIMEOUT_MS });
  } finally {
    connection?.close();
  }
}

/**
 * A connection that changes nothing, not even as it closes. Null beside a log without its index: there even a reader
 * would make the index, under our own user. Behind a crashed app's journal its first read fails: `isBehindJournal`.
 */
export function openToLook(path: string, form: FormOnDisk): DatabaseSync | null {
  // Locked exclusively it has no index either; then the read is refused before anything is made.
  if (form === 'log without index' && isOpenSomewhere(path) !== true) return null;
  // Without a log all is in the main file, and a reader with locks would make one.
  const connection = openLive(path, `mode=ro${form === 'no log' ? '&immutable=1' : ''}`, { readOnly: true });
  connection.exec(`PRAGMA busy_timeout = ${LOOK_TIMEOUT_MS}`);
  return connection;
}

/** A crashed app left a rollback journal: who only reads can't see behind it. */
export function isBehindJournal(error: unknown, path: string): boolean {
  return sqliteCode(error) === SQLITE_READONLY && existsSync(`${path}-journal`);
}

type FormOnDisk = 'rollback' | 'no log' | 'log without index' | 'log';

/** By its header and the files beside it. No connection of this process may be open: the file is opened and closed. */
export function formOnDisk(path: string): FormOnDisk {
  const descriptor = openSync(path, 'r');
  try {
    if (!hasLog(descriptor)) return 'rollback';
  } finally {
    closeSync(descriptor);
  }
  if (existsSync(`${path}-shm`) && existsSync(`${path}-wal`)) return 'log';
  return (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0 ? 'no log' : 'log without index';
}

/** A status query must not wait behind a writer. */
const LOOK_TIMEOUT_MS = 2_000;

export { isLocked } from './busy.ts';

export function openConnection(path: string, timeoutMs: number): DatabaseSync {
  // mode=rw: a database that vanished a moment ago must not be created anew.
  const connection = openLive(path, 'mode=rw');
  connection.exec(`PRAGMA busy_timeout = ${timeoutMs}`);
  return connection;
}

function checkpointPassively(connection: DatabaseSync): CheckpointRow {
  // PASSIVE waits for nobody and holds nobody up. Every other mode takes the writer lock (360 of 20,120 inserts of an
  // app without busy timeout failed beside TRUNCATE). It reports busy as a row, not as an error.
  const row = connection.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
  return { busy: row?.busy === 1, logFrames: Number(row?.log), mergedFrames: Number(row?.checkpointed) };
}

/**
 * SQLite 3.7.0 to 3.51.2 can corrupt a WAL database when two connections write or checkpoint at once
 * (https://sqlite.org/wal.html#walresetbug); with such a library we issue no checkpoint. Fixed in 3.51.3 and in the
 * branches 3.50.7 and 3.44.6.
 */
function mayCheckpoint(connection: DatabaseSync): boolean {
  return !hasWalResetBug(String(connection.prepare('SELECT sqlite_version() AS version').get()?.version));
}

export function hasWalResetBug(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
  if (major !== 3 || minor < 7) return false;
  if (minor === 44) return patch < 6;
  if (minor === 50) return patch < 7;
  if (minor === 51) return patch < 3;
  return minor < 51;
}

/** Restoring over a damaged database sets its files aside: nothing of it is lost. */
export const DAMAGED_HINT =
  'No old backup is removed until this is solved. With the app stopped, `velist-backup restore latest --in-place` puts the newest good backup in its place and sets the damaged files aside.';

export function explainLiveError(
  error: unknown,
  { databasePath, timeoutMs, hasLog = () => true }: { databasePath: string; timeoutMs: number; hasLog?: () => boolean },
): unknown {
  if (error instanceof BackupError) return error;
  const code = sqliteCode(error);
  const text = error instanceof Error ? error.message : String(error);
  if (isLocked(error)) {
    return new BackupError('DB_BUSY', `${databasePath} was locked by another process for ${timeoutMs / 1_000} s`, {
      hint: hasLog()
        ? 'Another program holds it exclusively (PRAGMA locking_mode=EXCLUSIVE, or one very long write). End that, then try again.'
        : 'Another program writes without a pause, or holds it exclusively (PRAGMA locking_mode=EXCLUSIVE). Set `PRAGMA journal_mode = WAL` once in the app: then backups and writers never wait for each other.',
      cause: error,
    });
  }
  if (code === SQLITE_NOTADB || /not a database/.test(text)) return notSqlite(databasePath, error);
  if (isDamage(error)) {
    return new BackupError('DB_DAMAGED', `the live database ${databasePath} is damaged: ${text}`, {
      hint: DAMAGED_HINT,
      cause: error,
    });
  }
  const full = asFullDisk(error, databasePath);
  if (full) return full;
  if (isNotPermitted(error)) {
    return new BackupError('NO_PERMISSION', `${databasePath} can't be opened: ${text}`, {
      hint: 'Give the user who runs this process read and write access to the database, its -wal and -shm files and their folder.',
      cause: error,
    });
  }
  return BackupError.from(error);
}

/** Null when it is another error of SQLite's. */
export function asFullDisk(error: unknown, databasePath: string): BackupError | null {
  const code = sqliteCode(error);
  if (code !== SQLITE_FULL && !(mayHideFullDisk.has(code) && !hasRoomForLocks(databasePath))) return null;
  const text = error instanceof Error ? error.message : String(error);
  return new BackupError('DISK_FULL', `the disk with the database ${databasePath} is full: ${text}`, {
    hint: 'Free space on that disk. SQLite needs some room beside the database even to read it.',
    cause: error,
  });
}

/**
 * SQLite calls it a disk I/O error where a file could not grow or be synced, and says that it can't open or write the
 * database where a file beside it could not be made.
 */
const mayHideFullDisk: ReadonlySet<number | undefined> = new Set([SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_READONLY]);

/** In WAL mode even a reader needs the shared memory, a file of 32 KB. Some file systems count no files. */
function hasRoomForLocks(databasePath: string): boolean {
  const { bavail, bsize, files, ffree } = askNearest(databasePath, (path) => statfsSync(path));
  return Number(bavail) * Number(bsize) >= SHARED_MEMORY_BYTES && (Number(files) === 0 || Number(ffree) > 0);
}

const SHARED_MEMORY_BYTES = 32 * 1024;

/**
 * Does the database keep a write-ahead log? By its header, since a database that is locked tells nothing itself:
 * https://sqlite.org/fileformat2.html#file_format_version_numbers
 */
function hasLog(descriptor: number): boolean {
  const version = Buffer.alloc(1);
  readSync(descriptor, version, 0, 1, READ_VERSION_OFFSET);
  return version[0] === READ_VERSION_WAL;
}

const READ_VERSION_OFFSET = 19;
const READ_VERSION_WAL = 2;

function isNotPermitted(error: unknown): boolean {
  const [code, system] = [sqliteCode(error), errnoCode(error)];
  if (code === SQLITE_CANTOPEN || code === SQLITE_READONLY || code === SQLITE_PERM) return true;
  return system === 'EACCES' || system === 'EPERM' || system === 'EROFS';
}

export function notSqlite(databasePath: string, cause?: unknown): BackupError {
  return new BackupError('NOT_SQLITE', `${databasePath} is not a SQLite database, or it is encrypted`, {
    hint: 'Check DATABASE_URL. Encrypted databases (SQLCipher) are not supported.',
    cause,
  });
}

export function emptyDatabase(databasePath: string): BackupError {
  return new BackupError('DB_EMPTY', `${databasePath} is an empty file, not yet a database`, {
    hint: 'Start the app that creates its tables; a backup follows by itself.',
  });
}
