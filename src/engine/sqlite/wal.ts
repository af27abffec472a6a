/**
 * Reads which transactions a write-ahead log holds: frame headers only, never a page.
 *
 * Layout (https://sqlite.org/fileformat2.html#the_write_ahead_log, big-endian): a header of 32 bytes with the page size
 * at 8 and two salts at 16; then frames of 24 bytes and a page, with the page number at 0, the size of the database in
 * pages at 4 (zero but in the last frame of a transaction) and the salts at 8. A frame with other salts than the header
 * is left over from before the log restarted: the log ends there. Checksums are SQLite's to check when it replays.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { errnoCode } from '../errors.ts';

export interface LoggedTransaction {
  /** Frames are counted from 1; this transaction is `firstFrame` to `lastFrame`. */
  readonly firstFrame: number;
  readonly lastFrame: number;
  /** Size of the database in pages after it. */
  readonly pages: number;
}

export interface LogContents {
  /** Another text after the log restarted. */
  readonly salts: string;
  readonly pageSize: number;
  readonly transactions: readonly LoggedTransaction[];
}

export const WAL_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 24;

/** Null for a log that is absent or too short to have a header. Reading the log is safe in any process. */
export function readLog(path: string): LogContents | null {
  let log: number;
  try {
    log = openSync(path, 'r');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const header = Buffer.alloc(WAL_HEADER_BYTES);
    if (readSync(log, header, 0, WAL_HEADER_BYTES, 0) < WAL_HEADER_BYTES) return null;
    const pageSize = header.readUInt32BE(8);
    return {
      salts: header.toString('hex', 16, 24),
      pageSize,
      transactions: [...transactionsOf(log, header, pageSize)],
    };
  } finally {
    closeSync(log);
  }
}

function* transactionsOf(log: number, header: Buffer, pageSize: number): Generator<LoggedTransaction> {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES);
  let firstFrame = 1;
  for (let number = 1; ; number++) {
    const position = WAL_HEADER_BYTES + (number - 1) * (FRAME_HEADER_BYTES + pageSize);
    if (readSync(log, frame, 0, FRAME_HEADER_BYTES, position) < FRAME_HEADER_BYTES) return;
    if (frame.compare(header, 16, 24, 8, 16) !== 0) return;
    const pages = frame.readUInt32BE(4);
    if (pages === 0) continue;
    yield { firstFrame, lastFrame: number, pages };
    firstFrame = number + 1;
  }
}

/** Bytes of a log that ends with this frame. */
export function logBytesUntil(frame: number, pageSize: number): number {
  return WAL_HEADER_BYTES + frame * (FRAME_HEADER_BYTES + pageSize);
}
