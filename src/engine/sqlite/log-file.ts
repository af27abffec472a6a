/**
 * The write-ahead log of a pinned database, opened by its name. A connection finds the log by the name that it opened the
 * database with, so what lies there is compared with what the index says: the salts, and the checksum of the last frame.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { errnoCode } from '../../words/errors.ts';
import { LOOK_FOR_ANOTHER_NAME, notShared } from './not-shared.ts';
import { FRAME_HEADER_BYTES, readLogHeader, saltsOf, WAL_HEADER_BYTES } from './wal.ts';
import type { LogIndex } from './wal-index.ts';

/** How long the log is up to the end of `log`. */
export function logBytes({ frames }: LogIndex, pageSize: number): number {
  return WAL_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + pageSize);
}

/**
 * Opens the log of which frames are needed. Reading and closing it is safe: SQLite holds no lock on it.
 *
 * @throws BackupError DB_NOT_SHARED when it is not there, or is not the one of the index.
 */
export function openLog(path: string, log: LogIndex): number {
  let descriptor: number;
  try {
    descriptor = openSync(`${path}-wal`, 'r');
  } catch (error) {
    throw errnoCode(error) === 'ENOENT' ? missingLog(path, 'wal') : error;
  }
  if (isLogOf(descriptor, log)) return descriptor;
  closeSync(descriptor);
  throw notShared(`${path}-wal is not the log that the index of ${path} describes`, LOOK_FOR_ANOTHER_NAME);
}

export function isLogOf(descriptor: number, log: LogIndex): boolean {
  const header = readLogHeader(descriptor);
  if (header.length < WAL_HEADER_BYTES || saltsOf(header) !== log.salts) return false;
  const frame = Buffer.alloc(FRAME_HEADER_BYTES);
  const position = logBytes({ ...log, frames: log.frames - 1 }, header.readUInt32BE(8));
  if (readSync(descriptor, frame, 0, FRAME_HEADER_BYTES, position) < FRAME_HEADER_BYTES) return false;
  const [first, second] = log.checksum;
  return frame.readUInt32BE(16) === first && frame.readUInt32BE(20) === second;
}

export function missingLog(path: string, what: 'wal' | 'shm'): Error {
  return notShared(
    `${path}-${what} was removed while the database was in use`,
    'The copy was dropped; nothing else was changed. Do not stop any program that has the database open before its rows are saved: `velist-backup doctor` names it and says how. Then find out what removes files in that folder, and prevent it.',
  );
}
