/**
 * Reads what was committed to a write-ahead log since a known position, up to where the log's index says that it ends.
 *
 * A position is proof of all that came before: each frame's checksum covers everything from the beginning of its log. So one
 * frame, read again, tells whether the log still is the one that was read. Frames behind the end of the index are never
 * read: they may belong to a commit that failed, and those of an open transaction are rewritten in place.
 *
 * https://sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { readSync } from 'node:fs';
import { addToChecksum, type Checksum, FRAME_HEADER_BYTES, readLogHeader, WAL_HEADER_BYTES } from '../sqlite/wal.ts';

export interface LogPosition {
  /** Counts the restarts of the log; null where only a segment tells of the position. */
  readonly sequence: number | null;
  readonly salts: readonly [number, number];
  /** Frames up to here, all of them committed; 0 at the begin of a log. */
  readonly frames: number;
  /** It covers everything up to here; at the begin of a log it is that of its header. */
  readonly checksum: Checksum;
  readonly pageSize: number;
}

export interface LogTail {
  readonly position: LogPosition;
  /** Size of the database after the last commit, in pages. */
  readonly commitPages: number;
  readonly commits: number;
  /** Where the newest version of each page lies in the log, none behind the end of the database. */
  readonly pages: ReadonlyMap<number, number>;
}

const VERSION = 3_007_000;
const CHUNK_BYTES = 512 * 1024;

/** Null for a log without a header: nothing was written to it yet. */
export function beginOfLog(log: number): LogPosition | null {
  const header = readLogHeader(log);
  if (header.length < WAL_HEADER_BYTES) return null;
  if (header.readUInt32BE(0) >>> 1 !== 0x377f0682 >>> 1 || header.readUInt32BE(4) !== VERSION) return null;
  return {
    pageSize: header.readUInt32BE(8),
    sequence: header.readUInt32BE(12),
    salts: [header.readUInt32BE(16), header.readUInt32BE(20)],
    frames: 0,
    checksum: [header.readUInt32BE(24), header.readUInt32BE(28)],
  };
}

/** Does the log still hold what was read up to that position? */
export function isStillThere(log: number, position: LogPosition): boolean {
  const begin = beginOfLog(log);
  if (begin === null || begin.pageSize !== position.pageSize || !isSame(begin.salts, position.salts)) return false;
  if (position.frames === 0) return isSame(begin.checksum, position.checksum);
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  const at = offsetOf(position.frames - 1, position.pageSize);
  if (readSync(log, header, 0, FRAME_HEADER_BYTES, at) < FRAME_HEADER_BYTES) return false;
  return isSame([header.readUInt32BE(16), header.readUInt32BE(20)], position.checksum);
}

/**
 * Was this log begun right behind that position? SQLite begins a log anew only when all of it is merged; then it counts one
 * restart, and adds one to the first salt. So it is, if the position was the end of the old one, and all of that was merged.
 */
export function followsOn(log: LogPosition, position: LogPosition): boolean {
  const isCountedOn = position.sequence !== null && log.sequence === (position.sequence + 1) >>> 0;
  return isCountedOn && log.salts[0] === (position.salts[0] + 1) >>> 0;
}

/**
 * @param untilFrames where the index says that the log ends, with a commit.
 * @returns null when the log is not whole up to there: then it is another one by now, or damaged.
 */
export function readLogTail(log: number, from: LogPosition, untilFrames: number): LogTail | null {
  const { pageSize, salts } = from;
  const isLittleEndian = readLogHeader(log).readUInt32BE(0) % 2 === 0;
  const frameBytes = FRAME_HEADER_BYTES + pageSize;
  const chunk = Buffer.allocUnsafeSlow(Math.max(1, Math.floor(CHUNK_BYTES / frameBytes)) * frameBytes);
  const pages = new Map<number, number>();
  let sums = from.checksum;
  let [commits, commitPages] = [0, 0];
  for (let index = from.frames; index < untilFrames;) {
    const count = Math.min(untilFrames - index, chunk.length / frameBytes);
    const first = offsetOf(index, pageSize);
    if (readSync(log, chunk, 0, count * frameBytes, first) < count * frameBytes) return null;
    for (let k = 0; k < count; k++) {
      const frame = chunk.subarray(k * frameBytes, (k + 1) * frameBytes);
      sums = addToChecksum(sums, frame.subarray(0, 8), isLittleEndian);
      sums = addToChecksum(sums, frame.subarray(FRAME_HEADER_BYTES), isLittleEndian);
      const isWhole =
        isSame([frame.readUInt32BE(8), frame.readUInt32BE(12)], salts) &&
        isSame([frame.readUInt32BE(16), frame.readUInt32BE(20)], sums);
      if (!isWhole) return null;
      pages.set(frame.readUInt32BE(0), first + k * frameBytes + FRAME_HEADER_BYTES);
      commitPages = frame.readUInt32BE(4);
      if (commitPages > 0) commits++;
    }
    index += count;
  }
  if (untilFrames > from.frames && commitPages === 0) return null;
  for (const number of pages.keys()) if (number > commitPages) pages.delete(number);
  return { position: { ...from, frames: untilFrames, checksum: sums }, commitPages, commits, pages };
}

function offsetOf(frame: number, pageSize: number): number {
  return WAL_HEADER_BYTES + frame * (FRAME_HEADER_BYTES + pageSize);
}

function isSame(one: readonly [number, number], other: readonly [number, number]): boolean {
  return one[0] === other[0] && one[1] === other[1];
}
