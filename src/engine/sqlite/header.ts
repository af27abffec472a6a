/**
 * What the first 100 bytes of a database file say (https://sqlite.org/fileformat2.html#the_database_header). They are
 * read through a descriptor: that takes no lock and changes nothing, so it also works beside a crashed app's journal.
 *
 * The descriptor of a live database stays its owner's, and open as long as any connection of this process is: closing it
 * would drop SQLite's locks.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

export interface Header {
  readonly pageSize: number;
  readonly isWal: boolean;
  /** Null as long as the database never had a table: then it takes any. */
  readonly encoding: TextEncoding | null;
  /** `PRAGMA user_version`. */
  readonly schemaVersion: number;
}

export type TextEncoding = 'UTF-8' | 'UTF-16le' | 'UTF-16be';

const HEADER_BYTES = 100;
const MAGIC = 'SQLite format 3\0';
const READ_VERSION_WAL = 2;
const PAGE_SIZE_MAX = 65_536;
const encodings: readonly (TextEncoding | null)[] = [null, 'UTF-8', 'UTF-16le', 'UTF-16be'];

/** Null when the file does not begin like a SQLite database. */
export function readHeader(descriptor: number): Header | null {
  const bytes = readBytes(descriptor);
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
  const pageSize = bytes.readUInt16BE(16);
  return {
    // 65,536 does not fit into two bytes and is written as 1.
    pageSize: pageSize === 1 ? PAGE_SIZE_MAX : pageSize,
    isWal: bytes[19] === READ_VERSION_WAL,
    encoding: encodings[bytes.readUInt32BE(56)] ?? null,
    schemaVersion: bytes.readInt32BE(60),
  };
}

/** By name, which opens and closes the file: not for a live database that this process has a connection to. */
export function readHeaderOf(path: string): Header | null {
  const file = openSync(path, 'r');
  try {
    return readHeader(file);
  } finally {
    closeSync(file);
  }
}

/**
 * A text that every commit changes, in a database without a log: SQLite counts commits in the header. File, length and
 * time are in it for whatever else may write there.
 */
export function commitMark(descriptor: number): string {
  const { dev, ino, size, mtimeNs } = fstatSync(descriptor, { bigint: true });
  return [dev, ino, size, mtimeNs, readBytes(descriptor).toString('hex', 24, 28)].join('.');
}

/** The length of the file up to its last page; more bytes may follow. */
export function contentBytes(descriptor: number): number {
  const { size } = fstatSync(descriptor);
  const bytes = readBytes(descriptor);
  const pages = bytes.readUInt32BE(28);
  const pageSize = readHeader(descriptor)?.pageSize ?? 0;
  // If a version of SQLite before 3.7.0 wrote it, the number of pages may be outdated.
  const isValid = pages > 0 && bytes.readUInt32BE(24) === bytes.readUInt32BE(92);
  return isValid ? Math.min(size, pages * pageSize) : size;
}

/** Takes a file without a log out of WAL mode. Nobody else may have it open. */
export function sayRollbackMode(descriptor: number): void {
  writeSync(descriptor, Buffer.from([1, 1]), 0, 2, 18);
}

/** A header that says no more than that its database was in WAL mode. */
export function walHeader(): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(MAGIC, 'latin1');
  return bytes.fill(READ_VERSION_WAL, 18, 20);
}

/**
 * Makes a file of one page, which nobody else has open, longer by a page that nothing uses: unlike a table, it leaves no
 * trace that a query can see.
 */
export function addFreePage(descriptor: number): void {
  const header = readBytes(descriptor);
  const pageSize = readHeader(descriptor)?.pageSize ?? 0;
  const hasPointerMap = header.readUInt32BE(52) !== 0;
  const free = hasPointerMap ? 3 : 2;
  const added = Buffer.alloc((free - 1) * pageSize);
  if (hasPointerMap) added[0] = POINTER_TO_FREE_PAGE;
  // A page of the list of free pages that names no further one and holds none is all zeroes.
  writeSync(descriptor, added, 0, added.length, pageSize);
  header.writeUInt32BE(free, 28);
  header.writeUInt32BE(free, 32);
  header.writeUInt32BE(1, 36);
  header.copy(header, 92, 24, 28);
  writeSync(descriptor, header, 0, HEADER_BYTES, 0);
}

/** https://sqlite.org/fileformat2.html#pointer_map_or_ptrmap_pages */
const POINTER_TO_FREE_PAGE = 2;

/** Zeroes where the file is shorter. */
function readBytes(descriptor: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  readSync(descriptor, bytes, 0, HEADER_BYTES, 0);
  return bytes;
}
