/**
 * Finds where a write-ahead log ends, as SQLite itself does when it recovers one.
 *
 * Layout (https://sqlite.org/fileformat2.html#the_write_ahead_log, big-endian): a header of 32 bytes with a magic number
 * at 0, the page size at 8, two salts at 16 and a checksum at 24; then frames of 24 bytes and a page, with the size of
 * the database in pages at 4 (zero but in the last frame of a transaction), the salts at 8 and at 16 the checksum of
 * everything up to there. The log ends before the first frame with other salts (left over from before it restarted) or
 * another checksum (left over from a transaction that was rolled back, or cut off by a crash).
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { errnoCode } from '../../words/errors.ts';

/** A place in the write-ahead log: the same salts mean the same log, not restarted since. */
export interface LogEnd {
  /** Empty for a log without a header: nothing was written to it yet. */
  readonly salts: string;
  /** Frames are counted from 1; 0 is the begin. */
  readonly frame: number;
}

export const WAL_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 24;

interface Commit extends LogEnd {
  readonly bytes: number;
  /** Size of the database after it. */
  readonly pages: number;
  readonly checksum: Checksum;
}

/** The newest commit in the log, with the log's length up to there; null without one. Reading is safe in any process. */
export function lastCommit(path: string): Commit | null {
  return readIfThere(path, null, (log) => {
    const header = readLogHeader(log);
    if (header.length < WAL_HEADER_BYTES) return null;
    const frameBytes = FRAME_HEADER_BYTES + header.readUInt32BE(8);
    const { frame, pages, checksum } = lastCommittedFrame(log, header, frameBytes);
    if (frame === 0) return null;
    return { salts: saltsOf(header), frame, pages, checksum, bytes: WAL_HEADER_BYTES + frame * frameBytes };
  });
}

function readIfThere<Result>(path: string, absent: Result, read: (log: number) => Result): Result {
  let log: number;
  try {
    log = openSync(path, 'r');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return absent;
    throw error;
  }
  try {
    return read(log);
  } finally {
    closeSync(log);
  }
}

/** Where in the log the newest copy of each page lies, among its first so many frames, or those of them behind `after`. */
export function pageFrames(log: number, frames: number, after = 0): ReadonlyMap<number, number> {
  const frameBytes = FRAME_HEADER_BYTES + readLogHeader(log).readUInt32BE(8);
  const positions = new Map<number, number>();
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  for (let frame = after; frame < frames; frame++) {
    const position = WAL_HEADER_BYTES + frame * frameBytes;
    readSync(log, header, 0, FRAME_HEADER_BYTES, position);
    positions.set(header.readUInt32BE(0), position + FRAME_HEADER_BYTES);
  }
  return positions;
}

/** Shorter than `WAL_HEADER_BYTES` where the log has no header yet. */
export function readLogHeader(log: number): Buffer {
  const header = Buffer.alloc(WAL_HEADER_BYTES);
  const length = readSync(log, header, 0, WAL_HEADER_BYTES, 0);
  return header.subarray(0, length);
}

export function saltsOf(header: Buffer): string {
  return header.length < WAL_HEADER_BYTES ? '' : header.toString('hex', 16, 24);
}

function lastCommittedFrame(
  log: number,
  header: Buffer,
  frameBytes: number,
): { readonly frame: number; readonly pages: number; readonly checksum: Checksum } {
  const frame = Buffer.alloc(frameBytes);
  const littleEndian = header.readUInt32BE(0) % 2 === 0;
  let sums: Checksum = [header.readUInt32BE(24), header.readUInt32BE(28)];
  let committed = { frame: 0, pages: 0, checksum: sums };
  for (let number = 1; ; number++) {
    const position = WAL_HEADER_BYTES + (number - 1) * frameBytes;
    if (readSync(log, frame, 0, frameBytes, position) < frameBytes) return committed;
    if (frame.compare(header, 16, 24, 8, 16) !== 0) return committed;
    sums = addToChecksum(sums, frame.subarray(0, 8), littleEndian);
    sums = addToChecksum(sums, frame.subarray(FRAME_HEADER_BYTES), littleEndian);
    if (sums[0] !== frame.readUInt32BE(16) || sums[1] !== frame.readUInt32BE(20)) return committed;
    if (frame.readUInt32BE(4) > 0) committed = { frame: number, pages: frame.readUInt32BE(4), checksum: sums };
  }
}

export type Checksum = readonly [number, number];

/** https://sqlite.org/fileformat2.html#checksum_algorithm */
function addToChecksum([first, second]: Checksum, bytes: Buffer, littleEndian: boolean): Checksum {
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.byteLength; at += 8) {
    first = (first + words.getUint32(at, littleEndian) + second) >>> 0;
    second = (second + words.getUint32(at + 4, littleEndian) + first) >>> 0;
  }
  return [first, second];
}
