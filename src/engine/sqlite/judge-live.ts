/**
 * Judges the live database as it is at one moment, with the same checks as every backup. Its pages are in the main file
 * and in the log. SQLite reads both; for what we read ourselves, the log's index says which of its frames count.
 */
import { accessSync, constants, openSync, readSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { type Judged, judge, type Judgement, type PageSizes, type VerifyMethod } from './judge.ts';
import { beginReading } from './begin.ts';
import { aboutToOpen, endConnection, type Opened } from './ending.ts';
import { isDamage } from './library.ts';
import { explainLiveError, openConnection, PIN_TIMEOUT_MS } from './live-database.ts';
import { openLog } from './log-file.ts';
import { refuseOtherLog } from './other-log.ts';
import { type PageSource, pagesOf } from './pages.ts';
import { NO_REMARKS } from './rules.ts';
import { resolveDatabase } from './stamp.ts';
import { pageFrames } from './wal.ts';
import { isAllMerged, type LogIndex } from './wal-index.ts';
import { bytesToCheck, withinLimits } from './watch.ts';

/**
 * Readers go on meanwhile, and writers too in WAL mode.
 *
 * @throws BackupError DB_MISSING, DB_BUSY, DB_NOT_SHARED, NO_PERMISSION, DISK_FULL: then nobody could look, and nothing is known.
 */
export function judgeLiveDatabase(databasePath: string, method: VerifyMethod): Judged {
  const path = resolveDatabase(databasePath);
  refuseOtherLog(path);
  const opened = aboutToOpen(path);
  let connection: DatabaseSync | undefined;
  try {
    connection = openConnection(path, 0);
    const deadline = performance.now() + PIN_TIMEOUT_MS;
    const { log } = beginReading(connection, { ...opened, deadline });
    const openPages = (sizes: PageSizes) => livePages(sizes, opened, log);
    const [live, options] = [connection, { method, openPages, seesChecks: mayWrite(path) }];
    // It may have come out of a file from elsewhere a moment ago.
    const judged = withinLimits(bytesToCheck(path), () => judge(live, options));
    // Without a log of its own all pages are in the file.
    const isAllInMain = log === null || isAllMerged(log);
    const bytes = (judged.pages ?? 0) * (judged.pageSize ?? 0);
    if (!isAllInMain || judged.structure.length > 0 || bytes <= statSync(path).size) return judged;
    return { ...judged, facts: null, structure: [`the file is shorter than its ${judged.pages} pages`] };
  } catch (error) {
    if (isDamage(error))
      return { structure: [error instanceof Error ? error.message : String(error)], ...NO_REMARKS, facts: null };
    throw explainLiveError(error, { databasePath, timeoutMs: PIN_TIMEOUT_MS });
  } finally {
    endConnection(connection, opened);
  }
}

/** What is wrong with the structure of the live database; null when it can be relied on. */
export function checkLiveDatabase(databasePath: string, method: VerifyMethod = 'quick'): string | null {
  const { structure } = judgeLiveDatabase(databasePath, method);
  return structure.length === 0 ? null : structure.join('; ');
}

/** All findings, for use after a migration. */
export function checkDatabase(databasePath: string): Omit<Judgement, 'facts'> {
  const { structure, content, unchecked } = judgeLiveDatabase(databasePath, 'full');
  return { structure, content, unchecked };
}

function livePages(sizes: PageSizes, { path, descriptors }: Opened, log: LogIndex | null): PageSource {
  const main = openSync(path, 'r');
  descriptors.push(main);
  const inMain = pagesOf(main, sizes);
  // If all frames are merged, SQLite reads only the main file, and others may restart the log; otherwise the log stays
  // until we end.
  if (log === null || isAllMerged(log)) return inMain;
  const wal = openLog(path, log);
  descriptors.push(wal);
  const frames = pageFrames(wal, log.frames);
  return {
    ...sizes,
    read(page) {
      const position = frames.get(page);
      if (position === undefined) return inMain.read(page);
      const bytes = Buffer.alloc(sizes.pageSize);
      readSync(wal, bytes, 0, sizes.pageSize, position);
      return bytes;
    },
  };
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
