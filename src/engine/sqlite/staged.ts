/**
 * What a restore stages beside a database: `….restoring-` or `….placing-` and a number. While something is staged, its
 * maker holds a shared lock on a file beside it. A process that gets that lock exclusively thus knows that everything
 * staged was left by killed restores, those of other containers included: their processes can't be seen, and one of
 * ours may have the same number.
 */
import { randomInt } from 'node:crypto';
import { closeSync, existsSync, fchmodSync, fchownSync, lstatSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openNew } from './open-new.ts';

/** A process that cleans up holds the lock exclusively for at most this long. */
const HOLD_TIMEOUT_MS = 5_000;
const EXCHANGED_MAX = 5;

const lockOf = (destination: string): string => `${destination}.restoring.lock`;

/** A name beside the destination that nobody has; a process in another container may have our process number. */
export function stagedName(destination: string, what: 'restoring' | 'placing'): string {
  const name = `${destination}.${what}-${process.pid}`;
  return lstatSync(name, { throwIfNoEntry: false }) ? `${name}${randomInt(1e6, 1e7)}` : name;
}

interface Staged {
  readonly destination: string;
  readonly what: 'restoring' | 'placing';
  readonly isSideFile: boolean;
  /** The file of the lock is not itself staged. */
  readonly isLock: boolean;
}

/** Null for an entry of a folder that is nothing of the kind. */
export function parseStaged(entry: string): Staged | null {
  const parts = /^(.+)\.(restoring|placing)(-\d+|\.lock)(-wal|-shm|-journal)?$/.exec(entry);
  const [, destination, what, end, sideFile] = parts ?? [];
  if (destination === undefined || (what !== 'restoring' && what !== 'placing')) return null;
  return { destination, what, isSideFile: sideFile !== undefined, isLock: end === '.lock' };
}

/**
 * Held from before something is staged until it is gone. Several may hold it, even in one process. If there can be no
 * lock, the restore continues without one.
 */
export function holdStaging(destination: string): Disposable {
  const lock = lockShared(lockOf(destination));
  return {
    [Symbol.dispose]() {
      lock?.close();
      if (lock) whenAlone(destination, () => {});
    },
  };
}

/**
 * Does the work if nobody has anything staged there, and removes the lock's file.
 *
 * @returns false if somebody has, or may have.
 */
export function whenAlone(destination: string, work: () => void): boolean {
  const path = lockOf(destination);
  const lock = takeLockFile(path, 'BEGIN EXCLUSIVE', 0);
  if (lock === null) return false;
  try {
    work();
    return true;
  } finally {
    // Only now: from then on another may hold a new file of that name.
    removeIfAllowed(path);
    lock.close();
  }
}

/** What can't be removed is in nobody's way: the next run tries again. */
export function removeIfAllowed(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It is protected, or its folder is.
  }
}

function lockShared(path: string): DatabaseSync | null {
  for (let attempt = 0; attempt < EXCHANGED_MAX; attempt++) {
    const lock = takeLockFile(path, 'BEGIN; SELECT count(*) FROM sqlite_schema', HOLD_TIMEOUT_MS);
    if (lock) return lock;
  }
  return null;
}

/** Null if it is held, was exchanged meanwhile, or can't be used. */
function takeLockFile(path: string, how: string, timeoutMs: number): DatabaseSync | null {
  let lock: DatabaseSync | undefined;
  try {
    makeLockFile(path);
    const before = mayBeOurs(path) ? inodeOf(path) : null;
    if (before === null) return null;
    lock = new DatabaseSync(path);
    lock.exec(`PRAGMA busy_timeout = ${timeoutMs}; ${how}`);
    if (inodeOf(path) === before) return lock;
  } catch {
    // Held, or of another user: either way it is not ours.
  }
  lock?.close();
  return null;
}

function makeLockFile(path: string): void {
  if (existsSync(path)) return;
  const file = openNew(path);
  try {
    fchmodSync(file, 0o600); // the umask may have taken more
    const { uid, gid } = statSync(dirname(path));
    if (process.getuid?.() === 0) fchownSync(file, uid, gid);
  } finally {
    closeSync(file);
  }
}

/**
 * In a folder like `/tmp` others may leave a link, or a note that changes the mode of the database beside it. Ours are made by
 * the user of this process, by root, or by whoever owns the folder.
 */
export function mayBeOurs(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) return false;
  return process.geteuid === undefined || [process.geteuid(), 0, statSync(dirname(path)).uid].includes(found.uid);
}

function inodeOf(path: string): bigint | null {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
}
