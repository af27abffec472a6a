/**
 * Checksums of pages, as SQLite's extension `cksumvfs` keeps them in the last 8 bytes of each: an app that uses it reads no
 * page whose checksum is wrong. Whoever changes page 1 without that extension, be it SQLite itself, has to write its
 * checksum anew. https://sqlite.org/cksumvfs.html
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const CHECKSUM_BYTES = 8;
/** Pages behind the first that are looked at: free ones may have none. */
const PAGES_LOOKED_AT = 8;
const PAGE_BYTES_MAX = 65_536;

/**
 * @param start the first bytes of a file: page 1, and a few pages more if it has them.
 * @returns whether the pages have checksums, and that of page 1 was written into `start`.
 */
export function renewFirstChecksum(start: Buffer): boolean {
  if (start.length < 100 || start.readUInt8(20) !== CHECKSUM_BYTES) return false;
  const pageBytes = pageBytesOf(start);
  const page = (number: number) => start.subarray((number - 1) * pageBytes, number * pageBytes);
  const others = Array.from({ length: PAGES_LOOKED_AT }, (_, index) => page(index + 2));
  if (!others.some((bytes) => bytes.length === pageBytes && hasChecksum(bytes))) return false;
  checksumOf(page(1)).copy(start, pageBytes - CHECKSUM_BYTES);
  return true;
}

/** In a file that no connection of this process has open. Only bytes that SQLite leaves to the extension are written. */
export function renewFirstChecksumOf(path: string): void {
  const file = openSync(path, 'r+');
  try {
    const start = Buffer.alloc((PAGES_LOOKED_AT + 1) * PAGE_BYTES_MAX);
    const length = readSync(file, start, 0, start.length, 0);
    if (!renewFirstChecksum(start.subarray(0, length))) return;
    const at = pageBytesOf(start) - CHECKSUM_BYTES;
    writeSync(file, start, at, CHECKSUM_BYTES, at);
  } finally {
    closeSync(file);
  }
}

/** Do its pages have checksums? */
export function hasPageChecksums(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc((PAGES_LOOKED_AT + 1) * PAGE_BYTES_MAX);
    return renewFirstChecksum(start.subarray(0, readSync(file, start, 0, start.length, 0)));
  } finally {
    closeSync(file);
  }
}

function pageBytesOf(start: Buffer): number {
  return start.readUInt16BE(16) === 1 ? PAGE_BYTES_MAX : start.readUInt16BE(16);
}

function hasChecksum(page: Buffer): boolean {
  return page.some((byte) => byte !== 0) && checksumOf(page).equals(page.subarray(-CHECKSUM_BYTES));
}

/** Two running sums over words of 32 bits, in little-endian order. */
function checksumOf(page: Buffer): Buffer {
  let [first, second] = [0, 0];
  for (let at = 0; at < page.length - CHECKSUM_BYTES; at += 8) {
    first = (first + page.readUInt32LE(at) + second) >>> 0;
    second = (second + page.readUInt32LE(at + 4) + first) >>> 0;
  }
  const sums = Buffer.alloc(CHECKSUM_BYTES);
  sums.writeUInt32LE(first, 0);
  sums.writeUInt32LE(second, 4);
  return sums;
}
