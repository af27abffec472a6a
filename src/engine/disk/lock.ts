/**
 * One run per backup folder, across processes: an exclusive SQLite transaction on an empty file in that folder. The
 * operating system releases it when its holder dies, so nobody ever clears it by hand.
 *
 * A lock file that can't be used (root made it, something was written into it) is set aside, if the system says that
 * nobody holds it. A process that has opened the old file but not locked it yet must not lock it then. So each process,
 * once it has the lock, checks whether its file still has the name; and a process that set one aside checks again
 * whether it was locked meanwhile.
 */
import { accessSync, closeSync, constants, existsSync, fchmodSync, lstatSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { setAside, type Warn } from './aside.ts';
import { giveToOwnerOfFolder } from './owner.ts';
import { requireDescriptors } from './descriptors.ts';
import { BackupError } from '../../words/errors.ts';
import { fileLocks } from '../sqlite/file-locks.ts';
import { sqliteCode } from '../sqlite/library.ts';
import { openNew } from '../sqlite/open-new.ts';

/** One upload from a folder to a target at a time, across processes; another target is not waited for. */
export const uploadLock = (target: string): string => (target === 's3' ? '.uploads.lock' : `.uploads-${target}.lock`);
/** One change of what is said of the backups at a target at a time. */
export const remoteManifestLock = (target: string): string => `.manifests-${target}.lock`;

const RETRY_MS = 100;
const SQLITE_BUSY = 5;
/** PERM, READONLY, CORRUPT, CANTOPEN, NOTADB: https://sqlite.org/rescode.html */
const UNUSABLE: ReadonlySet<number | undefined> = new Set([3, 8, 11, 14, 26]);

/**
 * Waits up to `waitMs` for the lock.
 *
 * @param options.warn hears that a lock file was set aside.
 * @throws BackupError BUSY when another run holds it for longer; ABORTED by the signal; NO_PERMISSION for a lock file that
 * can't be used and may be held.
 */
export async function takeLock(
  path: string,
  options: { readonly waitMs: number; readonly signal: AbortSignal; readonly warn?: Warn },
): Promise<Disposable> {
  const deadline = performance.now() + options.waitMs;
  for (;;) {
    const lock = tryLock(path, options.warn ?? (() => {}));
    if (lock) return lock;
    if (performance.now() >= deadline) {
      throw new BackupError('BUSY', `another run is using the backup folder ${dirname(path)}`, {
        hint: 'Wait until it has ended, then try again.',
      });
    }
    await sleep(RETRY_MS, undefined, { signal: options.signal });
  }
}

/** Is the lock held right now? A lock file that we may not open counts as free. */
export function isLocked(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    // As a reader, whom only the holder keeps out: two processes that look do not take each other for the holder.
    const file = new DatabaseSync(path, { readOnly: true });
    try {
      file.prepare('SELECT count(*) FROM sqlite_schema').get();
      return false;
    } catch (error) {
      return sqliteCode(error) === SQLITE_BUSY;
    } finally {
      file.close();
    }
  } catch {
    return false;
  }
}

/** Null while another holds it, or when it was exchanged a moment ago. */
function tryLock(path: string, warn: Warn, { isSecond = false } = {}): Disposable | null {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) {
    warn(`The lock file ${path} is a link, which velist-backup never creates; it was moved to ${setAside(path)}.`);
  }
  if (!existsSync(path)) {
    const file = openNew(path);
    fchmodSync(file, 0o600); // the umask may have taken more
    closeSync(file);
    giveToOwnerOfFolder(path);
  }
  const before = inodeOf(path);
  let file: DatabaseSync | undefined;
  try {
    file = new DatabaseSync(path);
    file.exec('BEGIN EXCLUSIVE');
    if (before !== null && inodeOf(path) === before) return { [Symbol.dispose]: () => file?.close() };
    file.close();
    return null;
  } catch (error) {
    file?.close();
    const code = sqliteCode(error);
    if (code === SQLITE_BUSY) return null;
    if (before === null || !UNUSABLE.has(code)) throw error;
    // If nothing can be made in the folder, the folder is at fault; without descriptors, the process is.
    requireDescriptors();
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    // If a new lock file fails in the same way, the old one was not at fault.
    if (isSecond) throw error;
    replaceUnusable(path, before, { warn, cause: error });
    return tryLock(path, warn, { isSecond: true });
  }
}

function replaceUnusable(path: string, inode: string, { warn, cause }: { warn: Warn; cause: unknown }): void {
  if (isHeld(inode) !== false) throw mayBeHeld(path, cause);
  const aside = setAside(path);
  if (isHeld(inode) !== false) {
    renameSync(aside, path);
    throw mayBeHeld(path, cause);
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  warn(`The lock file ${path} can't be used (${reason}); it was moved to ${aside}, which may be removed.`);
}

/** From the system's list, which also names locks of files that we may not open; null if there is none (macOS). */
function isHeld(inode: string): boolean | null {
  const locks = fileLocks(inode);
  return locks && locks.length > 0;
}

function inodeOf(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found ? String(found.ino) : null;
}

function mayBeHeld(path: string, cause: unknown): BackupError {
  return new BackupError('NO_PERMISSION', `the lock file ${path} can't be used by the user of this process`, {
    hint: 'Another user created it, and a run of theirs may be in progress. When none is, give the file to the user who runs this process (`chown`).',
    cause,
  });
}
