/**
 * What a live database looks like from outside, by `stat` alone: the inode, size and times of the main file and of its
 * write-ahead log. Two equal stamps mean that nothing was committed in between.
 *
 * `stat` never opens the file, so this is the one thing that the app's own process may do to a live database (closing
 * any descriptor of it would drop SQLite's locks there). Kernel timestamps are coarse: a write in the same tick as the
 * one before leaves mtime as it was, so a stamp that was young when it was recorded proves nothing.
 */
import { existsSync, statSync } from 'node:fs';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { realPathOfFile } from './real-path.ts';

interface FileStamp {
  readonly inode: string;
  readonly sizeBytes: number;
  readonly modifiedNs: string;
  /**
   * When the system noted the last change, which no program can set back. Only of the main file, since SQLite run by root
   * changes that of a log as it opens it. Early versions did not record it.
   */
  readonly changedNs?: string | undefined;
}

export interface DatabaseStamp {
  readonly main: FileStamp;
  /** Null for an absent and for an empty log: they are the same. */
  readonly wal: FileStamp | null;
  readonly recordedAtMs: number;
}

/** Younger than this when recorded, a stamp may hide a later write. */
const SETTLED_AFTER_MS = 2_000;

/** @param options.realPath if it is known where the path leads. */
export function stampDatabase(
  databasePath: string,
  options: { readonly nowMs: number; readonly realPath?: string },
): DatabaseStamp {
  const path = options.realPath ?? resolveDatabase(databasePath);
  const main = stampFile(path, true);
  if (!main) throw missing(databasePath);
  const wal = stampFile(`${path}-wal`);
  return { main, wal: wal && wal.sizeBytes > 0 ? wal : null, recordedAtMs: options.nowMs };
}

/** True when nothing can have been committed since `earlier` was recorded. */
export function isUnchanged(earlier: DatabaseStamp, current: DatabaseStamp): boolean {
  if (!sameFile(earlier.main, current.main) || !sameFile(earlier.wal, current.wal)) return false;
  // `touch -r` and `cp -p` set the other time back. A stamp without this one proves nothing.
  if (earlier.main.changedNs !== current.main.changedNs) return false;
  // Beside a log no commit writes to the main file, but a checkpoint does, and each backup begins with one.
  return earlier.recordedAtMs - modifiedMs(earlier.wal ?? earlier.main) >= SETTLED_AFTER_MS;
}

/** A short text that changes whenever the database does: what a restore dialog shows it was based on. */
export function stampText(stamp: DatabaseStamp): string {
  const text = (file: FileStamp | null) =>
    file ? `${file.inode}.${file.sizeBytes}.${file.modifiedNs}.${file.changedNs ?? ''}` : '-';
  return `${text(stamp.main)}/${text(stamp.wal)}`;
}

/** When the database was last written, by its files' times. */
export function changedAt(stamp: DatabaseStamp): Date {
  return new Date(Math.max(modifiedMs(stamp.main), stamp.wal ? modifiedMs(stamp.wal) : 0));
}

/** The real path, all symbolic links followed, as SQLite does it: the log lies beside the real file. */
export function resolveDatabase(databasePath: string): string {
  try {
    return realPathOfFile(databasePath);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') throw missing(databasePath);
    throw BackupError.from(error);
  }
}

/** True when `path` is the live database, its log or its shared memory, under whatever name or hard link. */
export function isLiveFile(path: string, databasePath: string): boolean {
  const candidate = identityOf(path);
  if (!candidate) return false;
  let live: string;
  try {
    live = realPathOfFile(databasePath);
  } catch {
    return false;
  }
  return [live, `${live}-wal`, `${live}-shm`].some((file) => identityOf(file) === candidate);
}

/** What SQLite keeps beside a database, by the ends of their names. */
export const sideFiles: readonly string[] = ['-wal', '-shm', '-journal'];

/** What lies beside the place of a database and belongs to it; undefined when nothing does. */
export function leftoverOf(databasePath: string): string | undefined {
  return sideFiles.map((suffix) => databasePath + suffix).find((path) => existsSync(path));
}

function identityOf(path: string): string | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    // Not there, or below something that is no folder.
    return null;
  }
}

function stampFile(path: string, isMain = false): FileStamp | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!found) return null;
  return {
    inode: `${found.dev}:${found.ino}`,
    sizeBytes: Number(found.size),
    modifiedNs: String(found.mtimeNs),
    ...(isMain && { changedNs: String(found.ctimeNs) }),
  };
}

function sameFile(a: FileStamp | null, b: FileStamp | null): boolean {
  if (a === null || b === null) return a === b;
  return a.inode === b.inode && a.sizeBytes === b.sizeBytes && a.modifiedNs === b.modifiedNs;
}

function modifiedMs(file: FileStamp): number {
  return Number(BigInt(file.modifiedNs) / 1_000_000n);
}

function missing(databasePath: string): BackupError {
  return new BackupError('DB_MISSING', `there is no file at ${databasePath}`, {
    hint: 'Check DATABASE_URL, or start the app that creates the database.',
  });
}
