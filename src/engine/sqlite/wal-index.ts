/**
 * Reads where the index of a write-ahead log says that the log ends. Only for a process that has the database open: its
 * descriptor has to outlive the connection, since closing it drops SQLite's locks on the index.
 *
 * Layout (https://sqlite.org/walformat.html#the_wal_index_header, in the machine's own order of bytes): the header of 48
 * bytes twice, with a flag at 12 once it is filled, the number of frames at 16 and of pages at 20, the checksum of the last one at 24 and the
 * salts at 32; then at 96 how many frames are in the main file. While a commit writes the header the two differ.
 */
import { readSync } from 'node:fs';
import { endianness } from 'node:os';

export interface LogIndex {
  /** As the log's own header has them, in hex digits. */
  readonly salts: string;
  /** Frames up to the last commit; 0 for an empty log. */
  readonly frames: number;
  readonly mergedFrames: number;
  /** Size of the database after the last commit. Without frames it says nothing. */
  readonly pages: number;
  /** The checksum of everything up to the last of these frames, as that frame has it. */
  readonly checksum: readonly [number, number];
}

const HEADER_BYTES = 48;
const isLittle = endianness() === 'LE';

/** Null while a commit changes it. */
export function readLogIndex(descriptor: number): LogIndex | null {
  const bytes = Buffer.alloc(2 * HEADER_BYTES + 4);
  if (readSync(descriptor, bytes, 0, bytes.length, 0) < bytes.length) return null;
  if (bytes.compare(bytes, HEADER_BYTES, 2 * HEADER_BYTES, 0, HEADER_BYTES) !== 0 || bytes[12] === 0) return null;
  const number = (at: number) => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  return {
    salts: bytes.toString('hex', 32, 40),
    frames: number(16),
    pages: number(20),
    mergedFrames: number(2 * HEADER_BYTES),
    checksum: [number(24), number(28)],
  };
}

export function isSameEnd(one: LogIndex | null, other: LogIndex | null): boolean {
  return one !== null && other !== null && one.salts === other.salts && one.frames === other.frames;
}

/** Everything is in the main file: SQLite reads that alone, and nobody may write to it while a reader looks. */
export function isAllMerged({ frames, mergedFrames }: LogIndex): boolean {
  return frames === mergedFrames;
}
