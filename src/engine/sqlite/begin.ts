/**
 * Begins a read transaction of which everything is known exactly: its journal mode, and the frame at which its log ends.
 * Both are read inside it. Before it they may be another's: an app may switch its mode at any moment, and frames behind
 * the end may belong to a commit that failed.
 */
import { accessSync, constants, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { errnoCode } from '../../words/errors.ts';
import { onceFree } from './busy.ts';
import type { Opened } from './ending.ts';
import { pragma } from './library.ts';
import { missingLog } from './log-file.ts';
import { lastCommit } from './wal.ts';
import { isSameEnd, type LogIndex, readLogIndex } from './wal-index.ts';

interface Reading {
  readonly journalMode: string;
  /** Where its log ends; null in a mode without one. */
  readonly log: LogIndex | null;
  /** Descriptor of the log's index; null if there is none to be read. */
  readonly index: number | null;
}

/** Where what is opened here is noted, and until when to wait, on the clock of `performance`. */
type Where = Pick<Opened, 'path' | 'descriptors'> & { readonly deadline: number };

/** A writer that commits without a pause may change the index while we begin; we then begin again. */
const BEGINNINGS_MAX = 1_000;

/**
 * The transaction goes on until its caller ends it.
 *
 * @param options.wantsLogEnd false if only SQLite itself reads the log.
 */
export function beginReading(connection: DatabaseSync, where: Where, { wantsLogEnd = true } = {}): Reading {
  let index: number | null = null;
  let isSeen = false;
  for (let beginnings = 1; beginnings <= BEGINNINGS_MAX; beginnings++) {
    const before = index === null ? null : readLogIndex(index);
    const journalMode = begin(connection, where.deadline);
    if (journalMode !== 'wal' || !wantsLogEnd) return { journalMode, log: null, index: null };
    if (!isShared(where.path)) return { journalMode, log: recoveredEnd(where.path), index: null };
    index ??= openIndex(where);
    const log = readLogIndex(index);
    // Read twice: a log that restarts in the middle of the first has the frames of before and the merged ones of after.
    if (log !== null && isSameEnd(before, log) && isSameEnd(log, readLogIndex(index)))
      return { journalMode, log, index };
    isSeen ||= log !== null;
    // On some file systems, a reader of the file sees nothing of what others write to their shared memory.
    if (beginnings === BEGINNINGS_MAX && !isSeen) return { journalMode, log: recoveredEnd(where.path), index: null };
    connection.exec('COMMIT');
  }
  throw new Error('the log of the database kept changing');
}

function begin(connection: DatabaseSync, deadline: number): string {
  connection.exec('BEGIN');
  // BEGIN alone takes no snapshot; the first read does.
  onceFree(() => connection.prepare('SELECT count(*) FROM main.sqlite_schema').get(), deadline);
  return String(pragma(connection, 'journal_mode'));
}

function openIndex({ path, descriptors }: Where): number {
  try {
    const index = openSync(`${path}-shm`, 'r');
    descriptors.push(index);
    return index;
  } catch (error) {
    throw errnoCode(error) === 'ENOENT' ? missingLog(path, 'shm') : error;
  }
}

/** If we may only read the index, possibly nobody maintains it; SQLite then recovers the log for itself. */
function isShared(path: string): boolean {
  try {
    accessSync(`${path}-shm`, constants.W_OK);
    return true;
  } catch (error) {
    return errnoCode(error) === 'ENOENT';
  }
}

/** The end that recovery finds. How much is merged is unknown. */
function recoveredEnd(path: string): LogIndex | null {
  const end = lastCommit(`${path}-wal`);
  return end && { salts: end.salts, frames: end.frame, pages: end.pages, mergedFrames: 0, checksum: end.checksum };
}
