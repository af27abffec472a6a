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
import { endianness } from 'node:os';
import { type Checksum, FRAME_HEADER_BYTES, readLogHeader, WAL_HEADER_BYTES } from '../sqlite/wal.ts';

export interface LogPosition {
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
const WORD_BYTES = 4;

/** Null for a log without a header: nothing was written to it yet. */
export function beginOfLog(log: number): LogPosition | null {
  const header = readLogHeader(log);
  if (header.length < WAL_HEADER_BYTES) return null;
  if (header.readUInt32BE(0) >>> 1 !== 0x377f0682 >>> 1 || header.readUInt32BE(4) !== VERSION) return null;
  return {
    pageSize: header.readUInt32BE(8),
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

/** A checkpoint that truncates begins an empty log anew each time. */
const BEGINNINGS_MAX = 65_535;

/**
 * Was this log begun behind that position? SQLite begins a log anew only when all of it is merged, and adds one to the first
 * salt each time. (The sequence in a log's header counts what the connection did that began it, and others may have begun
 * the one before.) What lay between, if anything, must be proven otherwise: by a pin, or by a main file that nobody wrote to.
 */
export function followsOn(log: LogPosition, position: LogPosition): boolean {
  const beginnings = (log.salts[0] - position.salts[0]) >>> 0;
  return beginnings >= 1 && beginnings <= BEGINNINGS_MAX;
}

/**
 * @param untilFrames where the index says that the log ends, with a commit.
 * @returns null when the log is not whole up to there: then it is another one by now, or damaged.
 */
export function readLogTail(log: number, from: LogPosition, untilFrames: number): LogTail | null {
  const { pageSize, salts } = from;
  const isOwnOrder = (readLogHeader(log).readUInt32BE(0) % 2 === 0) === (endianness() === 'LE');
  const frameBytes = FRAME_HEADER_BYTES + pageSize;
  const chunk = new DataView(new ArrayBuffer(Math.max(1, Math.floor(CHUNK_BYTES / frameBytes)) * frameBytes));
  const pages = new Map<number, number>();
  const sums = new Int32Array(from.checksum);
  let [commits, commitPages] = [0, 0];
  for (let index = from.frames; index < untilFrames;) {
    const count = Math.min(untilFrames - index, chunk.byteLength / frameBytes);
    const first = offsetOf(index, pageSize);
    if (readSync(log, chunk, 0, count * frameBytes, first) < count * frameBytes) return null;
    const words = isOwnOrder ? new Int32Array(chunk.buffer) : swapped(chunk);
    for (let at = 0; at < count * frameBytes; at += frameBytes) {
      addWords(sums, words, at / WORD_BYTES, (at + 8) / WORD_BYTES);
      addWords(sums, words, (at + FRAME_HEADER_BYTES) / WORD_BYTES, (at + frameBytes) / WORD_BYTES);
      const isOfLog = chunk.getUint32(at + 8) === salts[0] && chunk.getUint32(at + 12) === salts[1];
      if (!isOfLog || chunk.getInt32(at + 16) !== sums[0] || chunk.getInt32(at + 20) !== sums[1]) return null;
      pages.set(chunk.getUint32(at), first + at + FRAME_HEADER_BYTES);
      commitPages = chunk.getUint32(at + 4);
      if (commitPages > 0) commits++;
    }
    index += count;
  }
  if (untilFrames > from.frames && commitPages === 0) return null;
  for (const number of pages.keys()) if (number > commitPages) pages.delete(number);
  const checksum = [(sums[0] ?? 0) >>> 0, (sums[1] ?? 0) >>> 0] as const;
  return { position: { ...from, frames: untilFrames, checksum }, commitPages, commits, pages };
}

/** As `addToChecksum`, in place and by whole words: by bytes it was most of what a capture costs. */
function addWords(sums: Int32Array, words: Int32Array, from: number, to: number): void {
  let first = sums[0] ?? 0;
  let second = sums[1] ?? 0;
  for (let at = from; at < to; at += 2) {
    first = (first + (words[at] ?? 0) + second) | 0;
    second = (second + (words[at + 1] ?? 0) + first) | 0;
  }
  sums[0] = first;
  sums[1] = second;
}

/** The words of a log that a machine of the other order of bytes began. */
function swapped({ buffer }: DataView<ArrayBuffer>): Int32Array {
  const words = buffer.slice(0);
  Buffer.from(words).swap32();
  return new Int32Array(words);
}

function offsetOf(frame: number, pageSize: number): number {
  return WAL_HEADER_BYTES + frame * (FRAME_HEADER_BYTES + pageSize);
}

function isSame(one: readonly [number, number], other: readonly [number, number]): boolean {
  return one[0] === other[0] && one[1] === other[1];
}
