/** Waiting for a database that another connection holds. */
import { SQLITE_BUSY, SQLITE_LOCKED, sqliteCode } from './library.ts';

/**
 * How often to look whether it is free. In a rollback-journal mode a busy writer leaves gaps of far less than a
 * millisecond between its commits; SQLite's own waiting, every 100 ms, missed them for up to 4 s beside one writer.
 */
const RETRY_MS = 0.5;

/**
 * Tries again while another connection holds the database. The thread blocks meanwhile, as it would in SQLite itself.
 */
export function onceFree<Result>(read: () => Result, deadline: number): Result {
  for (;;) {
    try {
      return read();
    } catch (error) {
      if (!isLocked(error) || performance.now() >= deadline) throw error;
      blockThread(RETRY_MS);
    }
  }
}

const neverNotified = new Int32Array(new SharedArrayBuffer(4));

export function blockThread(ms: number): void {
  Atomics.wait(neverNotified, 0, 0, ms);
}

/** Another connection holds the lock that this one needs. */
export function isLocked(error: unknown): boolean {
  const code = sqliteCode(error);
  const text = error instanceof Error ? error.message : '';
  return code === SQLITE_BUSY || code === SQLITE_LOCKED || /database (table )?is locked/.test(text);
}
