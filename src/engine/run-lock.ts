/**
 * One run per backup folder, across processes: an exclusive SQLite transaction on an empty file in that folder. The
 * operating system releases it when its holder dies, so nobody ever clears it by hand.
 */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from './errors.ts';
import { sqliteCode } from './sqlite/library.ts';

/** One upload from a folder to a target at a time, across processes; another target is not waited for. */
export const uploadLock = (target: string): string => (target === 's3' ? '.uploads.lock' : `.uploads-${target}.lock`);

const RETRY_MS = 100;
const SQLITE_BUSY = 5;

/**
 * Waits up to `waitMs` for the lock.
 *
 * @throws BackupError BUSY when another run holds it for longer; ABORTED by the signal.
 */
export async function takeLock(path: string, options: { waitMs: number; signal: AbortSignal }): Promise<Disposable> {
  const deadline = performance.now() + options.waitMs;
  for (;;) {
    const lock = tryLock(path);
    if (lock) return lock;
    if (performance.now() >= deadline) {
      throw new BackupError('BUSY', `another run is using the backup folder ${dirname(path)}`, {
        hint: 'Wait until it has ended, then try again.',
      });
    }
    await sleep(RETRY_MS, undefined, { signal: options.signal });
  }
}

/** Whether somebody is seen to hold it just now. Who may not open it sees nobody. */
export function isLocked(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    // As a reader, whom only the holder keeps out: two that look do not take each other for it.
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

function tryLock(path: string): Disposable | null {
  if (!existsSync(path)) {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600); // the umask may have taken more
  }
  const file = new DatabaseSync(path);
  try {
    file.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if (sqliteCode(error) === SQLITE_BUSY) return null;
    throw error;
  }
  return { [Symbol.dispose]: () => file.close() };
}
