/**
 * Judges the live database as it is at one moment, in the same room as every backup. Its pages lie in the main file and in
 * the log; SQLite reads both, and for what we read ourselves the log's index says which of its frames count.
 */
import { accessSync, closeSync, constants, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { type Judged, judge, type Judgement, type PageSizes, type VerifyMethod } from './judge.ts';
import { isDamage, pragma } from './library.ts';
import { explainLiveError, onceFree, openConnection, PIN_TIMEOUT_MS } from './live-database.ts';
import { type PageSource, pagesOf } from './pages.ts';
import { NO_REMARKS } from './rules.ts';
import { resolveDatabase } from './stamp.ts';
import { pageFrames } from './wal.ts';
import { type LogIndex, readLogIndex } from './wal-index.ts';

/**
 * Readers go on meanwhile, and writers too in WAL mode.
 *
 * @throws BackupError DB_MISSING, DB_BUSY, NO_PERMISSION, DISK_FULL: then nobody could look, and nothing is known.
 */
export function judgeLiveDatabase(databasePath: string, method: VerifyMethod): Judged {
  const path = resolveDatabase(databasePath);
  // Descriptors are closed after the connection: closing one drops its locks.
  const descriptors: number[] = [];
  let connection: DatabaseSync | undefined;
  try {
    const main = openSync(path, 'r');
    descriptors.push(main);
    connection = openConnection(path, 0);
    const index = beginReading(connection, path, descriptors);
    const openPages = (sizes: PageSizes) => livePages(sizes, { main, index, path, descriptors });
    const judged = judge(connection, { method, openPages, seesChecks: mayWrite(path) });
    // Without a log of its own all pages are in the file.
    const isAllInMain = index === null || index.frames === index.mergedFrames;
    const bytes = (judged.pages ?? 0) * (judged.pageSize ?? 0);
    if (!isAllInMain || judged.structure.length > 0 || bytes <= fstatSync(main).size) return judged;
    return { ...judged, facts: null, structure: [`the file ends before its ${judged.pages} pages do`] };
  } catch (error) {
    if (isDamage(error))
      return { structure: [error instanceof Error ? error.message : String(error)], ...NO_REMARKS, facts: null };
    throw explainLiveError(error, { databasePath, timeoutMs: PIN_TIMEOUT_MS });
  } finally {
    connection?.close();
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}

/** What is wrong with the structure of the live database; null when it can be relied on. */
export function checkLiveDatabase(databasePath: string, method: VerifyMethod = 'quick'): string | null {
  const { structure } = judgeLiveDatabase(databasePath, method);
  return structure.length === 0 ? null : structure.join('; ');
}

/** All that is said of it, for after a migration. */
export function checkDatabase(databasePath: string): Omit<Judgement, 'facts'> {
  const { structure, content, unchecked } = judgeLiveDatabase(databasePath, 'full');
  return { structure, content, unchecked };
}

/** Beside a writer that commits without a pause the index may change while we begin; then we begin anew. */
const BEGINNINGS_MAX = 1_000;

/** Begins a transaction, and says where its log ends; null without a log. */
function beginReading(connection: DatabaseSync, path: string, descriptors: number[]): LogIndex | null {
  const deadline = performance.now() + PIN_TIMEOUT_MS;
  const begin = () => {
    connection.exec('BEGIN');
    // BEGIN alone takes no snapshot; the first read does.
    onceFree(() => connection.prepare('SELECT count(*) FROM main.sqlite_schema').get(), deadline);
  };
  const hasLog = onceFree(() => pragma(connection, 'journal_mode'), deadline) === 'wal' && existsSync(`${path}-shm`);
  if (!hasLog) {
    begin();
    return null;
  }
  const descriptor = openSync(`${path}-shm`, 'r');
  descriptors.push(descriptor);
  for (let beginnings = 1; ; beginnings++) {
    const before = readLogIndex(descriptor);
    begin();
    const now = readLogIndex(descriptor);
    const isSame = before !== null && before.frames === now?.frames && before.salts === now.salts;
    if (isSame) return now;
    if (beginnings === BEGINNINGS_MAX) throw new Error('the log of the database never stood still');
    connection.exec('COMMIT');
  }
}

function livePages(
  sizes: PageSizes,
  { main, index, path, descriptors }: { main: number; index: LogIndex | null; path: string; descriptors: number[] },
): PageSource {
  const inMain = pagesOf(main, sizes);
  // All merged, SQLite reads the main file alone, and others may write the log anew; else it stays until we end.
  if (index === null || index.frames === index.mergedFrames) return inMain;
  const log = openSync(`${path}-wal`, 'r');
  descriptors.push(log);
  const frames = pageFrames(log, index.frames);
  return {
    ...sizes,
    read(page) {
      const position = frames.get(page);
      if (position === undefined) return inMain.read(page);
      const bytes = Buffer.alloc(sizes.pageSize);
      readSync(log, bytes, 0, sizes.pageSize, position);
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
