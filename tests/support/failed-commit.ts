/** What a commit leaves whose `fsync` failed, or whose process was killed: whole frames behind the end of the log. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Appends a valid commit of this statement to the log, which its index does not know. Commits of others overwrite it. */
export function addFailedCommit(databasePath: string, sql: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'velist-failed-commit-'));
  try {
    const copy = join(folder, 'copy.sqlite');
    // `cp` is another process: here, closing the database would drop the locks of its connections.
    for (const suffix of ['', '-wal']) spawnSync('cp', [databasePath + suffix, copy + suffix]);
    const endBytes = statSync(`${copy}-wal`).size;
    const twin = new DatabaseSync(copy);
    twin.exec(`PRAGMA wal_autocheckpoint = 0; ${sql}`);
    appendFileSync(`${databasePath}-wal`, readFileSync(`${copy}-wal`).subarray(endBytes));
    twin.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
