/**
 * LZ4 blocks, CRC-64 and the page section of LTX files, in AssemblyScript: 64-bit arithmetic that JavaScript has only as
 * BigInt. `npm run codec` compiles it into `src/engine/format/ltx/codec-wasm.ts`; a test holds that both are the same.
 *
 * All functions work on addresses in the module's one memory, which the caller lays out. Nothing is allocated.
 */

// Below the caller's areas: the running checksum, the sum of page checksums, the state, scratch, the compressor's table.
const CHECKSUM: usize = 0;
const PAGE_SUM: usize = 8;
const STATE: usize = 16;
const SCRATCH: usize = 24;
const TABLE: usize = 1024;
const TABLE_BITS: u32 = 12;

/**
 * CRC-64/GO-ISO: reflected, polynomial x^64 + x^4 + x^3 + x + 1. So eight bytes at once are a few shifts, and the bits that
 * fall off come in again at the top; no table is needed.
 */
function crc(state: u64, at: usize, bytes: usize): u64 {
  const wholeEnd = at + (bytes & ~7);
  const end = at + bytes;
  for (; at < wholeEnd; at += 8) {
    const y = state ^ load<u64>(at);
    const off = (y << 63) ^ (y << 61) ^ (y << 60);
    state = y ^ (y >> 1) ^ (y >> 3) ^ (y >> 4) ^ off ^ (off >> 1) ^ (off >> 3) ^ (off >> 4);
  }
  for (; at < end; at++) {
    const x = state ^ (<u64>load<u8>(at));
    const off = (x & 0xff) << 56;
    state = (x >> 8) ^ off ^ (off >> 1) ^ (off >> 3) ^ (off >> 4);
  }
  return state;
}

/** Begins a file: the running checksum and the sum of page checksums. */
export function begin(): void {
  store<u64>(CHECKSUM, 0xffffffffffffffff);
  store<u64>(PAGE_SUM, 0);
}

export function update(at: usize, bytes: usize): void {
  store<u64>(CHECKSUM, crc(load<u64>(CHECKSUM), at, bytes));
}

/** The CRC of these bytes alone, at `to`. */
export function checksumOf(at: usize, bytes: usize, to: usize): void {
  store<u64>(to, ~crc(0xffffffffffffffff, at, bytes));
}

/**
 * Of a page by its number and its CRC. Not linear, unlike a CRC: two pages that change places, or the same bit in two of
 * them, do not cancel out. The mix is that of SplitMix64 (https://doi.org/10.1145/2714064.2660195).
 */
function mix(number: u32, checksumAt: usize): u64 {
  let x = load<u64>(checksumAt) + <u64>number * 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/** The state of a database is the sum of its pages, modulo 2^64. */
export function addToState(number: u32, checksumAt: usize): void {
  store<u64>(STATE, load<u64>(STATE) + mix(number, checksumAt));
}

export function takeFromState(number: u32, checksumAt: usize): void {
  store<u64>(STATE, load<u64>(STATE) - mix(number, checksumAt));
}

/** Adds a page to the sum that a file with tracked checksums ends with. */
export function sumPage(number: u32, at: usize, bytes: usize): void {
  store<u32>(SCRATCH, bswap<u32>(number));
  store<u64>(PAGE_SUM, load<u64>(PAGE_SUM) ^ ~crc(crc(0xffffffffffffffff, SCRATCH, 4), at, bytes));
}

// https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md: the last five bytes are literals, and no match begins in the
// last twelve.
const LAST_LITERALS: usize = 5;
const MATCH_LIMIT: usize = 12;
const MIN_MATCH: usize = 4;

function slot(sequence: u32): usize {
  return TABLE + ((<usize>((sequence * 2654435761) >> (32 - TABLE_BITS))) << 1);
}

function putLength(at: usize, rest: usize): usize {
  for (; rest >= 255; rest -= 255) store<u8>(at++, 255);
  store<u8>(at++, <u8>rest);
  return at;
}

/** One raw LZ4 block of at most 64 KiB. @returns its size, at most `bytes + bytes / 255 + 16`. */
export function compress(from: usize, bytes: usize, to: usize): usize {
  const end = from + bytes;
  let out = to;
  let anchor = from;
  if (bytes > MATCH_LIMIT) {
    memory.fill(TABLE, 0, 2 << TABLE_BITS);
    const lastStart = end - MATCH_LIMIT;
    const matchEnd = end - LAST_LITERALS;
    let at = from + 1;
    let misses: u32 = 1 << 6;
    while (at <= lastStart) {
      const sequence = load<u32>(at);
      const entry = slot(sequence);
      let match = from + <usize>load<u16>(entry);
      store<u16>(entry, <u16>(at - from));
      if (match >= at || load<u32>(match) != sequence) {
        // The longer nothing fits, the larger the steps.
        at += misses >> 6;
        misses++;
        continue;
      }
      misses = 1 << 6;
      while (at > anchor && match > from && load<u8>(at - 1) == load<u8>(match - 1)) {
        at--;
        match--;
      }
      const after = matchedTo(at + MIN_MATCH, match + MIN_MATCH, matchEnd);
      out = putSequence(out, anchor, at - anchor, at - match, after - at);
      anchor = at = after;
      if (at <= lastStart) store<u16>(slot(load<u32>(at - 2)), <u16>(at - 2 - from));
    }
  }
  const literals = end - anchor;
  const token = out++;
  store<u8>(token, <u8>(min<usize>(literals, 15) << 4));
  if (literals >= 15) out = putLength(out, literals - 15);
  memory.copy(out, anchor, literals);
  return out + literals - to;
}

function matchedTo(at: usize, match: usize, end: usize): usize {
  while (at + 8 <= end) {
    const difference = load<u64>(at) ^ load<u64>(match);
    if (difference != 0) return at + <usize>(ctz<u64>(difference) >> 3);
    at += 8;
    match += 8;
  }
  while (at < end && load<u8>(at) == load<u8>(match)) {
    at++;
    match++;
  }
  return at;
}

function putSequence(out: usize, anchor: usize, literals: usize, offset: usize, matched: usize): usize {
  const token = out++;
  const more = matched - MIN_MATCH;
  store<u8>(token, <u8>((min<usize>(literals, 15) << 4) | min<usize>(more, 15)));
  if (literals >= 15) out = putLength(out, literals - 15);
  if (literals <= 16) {
    store<u64>(out, load<u64>(anchor));
    store<u64>(out + 8, load<u64>(anchor + 8));
  } else memory.copy(out, anchor, literals);
  out += literals;
  store<u16>(out, <u16>offset);
  out += 2;
  return more >= 15 ? putLength(out, more - 15) : out;
}

/**
 * Both areas need 16 bytes of slack behind them.
 *
 * @returns the size of what it made, at most `capacity`; -1 for what is no LZ4 block, or makes more.
 */
export function decompress(from: usize, bytes: usize, to: usize, capacity: usize): i32 {
  const end = from + bytes;
  const outEnd = to + capacity;
  let at = from;
  let out = to;
  while (at < end) {
    const token = <usize>load<u8>(at++);
    let literals = token >> 4;
    if (literals == 15) {
      let more: usize = 255;
      while (more == 255) {
        if (at >= end) return -1;
        more = load<u8>(at++);
        literals += more;
      }
    }
    if (literals > end - at || literals > outEnd - out) return -1;
    if (literals <= 16) {
      store<u64>(out, load<u64>(at));
      store<u64>(out + 8, load<u64>(at + 8));
    } else memory.copy(out, at, literals);
    out += literals;
    at += literals;
    if (at == end) return <i32>(out - to);
    if (end - at < 2) return -1;
    const offset = <usize>load<u16>(at);
    at += 2;
    if (offset == 0 || offset > out - to) return -1;
    let matched = (token & 15) + MIN_MATCH;
    if (matched == 15 + MIN_MATCH) {
      let more: usize = 255;
      while (more == 255) {
        if (at >= end) return -1;
        more = load<u8>(at++);
        matched += more;
      }
    }
    if (matched > outEnd - out) return -1;
    out = copyMatch(out, offset, matched);
  }
  return -1;
}

function copyMatch(out: usize, offset: usize, matched: usize): usize {
  const end = out + matched;
  let match = out - offset;
  if (offset >= 8) {
    for (; out < end; out += 8, match += 8) store<u64>(out, load<u64>(match));
  } else if (offset == 1) {
    memory.fill(out, load<u8>(match), matched);
  } else {
    while (out < end) store<u8>(out++, load<u8>(match++));
  }
  return end;
}

/** Page flag of LTX: the size of the block follows. */
const SIZE_FOLLOWS: u8 = 1;

/**
 * Pages as LTX frames: number, flags, size, one LZ4 block. All of it goes into the running checksum, the page itself in
 * place of its block.
 *
 * @param numbers u32 for each page; `sizes` takes that of each frame.
 * @returns bytes at `to`.
 */
export function encodePages(from: usize, count: u32, pageSize: usize, to: usize, numbers: usize, sizes: usize): usize {
  let out = to;
  let state = load<u64>(CHECKSUM);
  for (let k: usize = 0; k < <usize>count; k++) {
    const page = from + k * pageSize;
    const block = out + 10;
    store<u32>(out, bswap<u32>(load<u32>(numbers + (k << 2))));
    store<u8>(out + 4, 0);
    store<u8>(out + 5, SIZE_FOLLOWS);
    const size = compress(page, pageSize, block);
    store<u32>(out + 6, bswap<u32>(<u32>size));
    state = crc(crc(state, out, 10), page, pageSize);
    store<u32>(sizes + (k << 2), <u32>(size + 10));
    out = block + size;
  }
  store<u64>(CHECKSUM, state);
  return out - to;
}

const PRIME_1: u32 = 2654435761;
const PRIME_2: u32 = 2246822519;
const PRIME_3: u32 = 3266489917;
const PRIME_4: u32 = 668265263;
const PRIME_5: u32 = 374761393;

function round(lane: u32, at: usize): u32 {
  return rotl<u32>(lane + load<u32>(at) * PRIME_2, 13) * PRIME_1;
}

/** xxHash of 32 bits with seed 0, as LZ4 frames have it: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
export function xxh32(at: usize, bytes: usize): u32 {
  const end = at + bytes;
  let hash = PRIME_5;
  if (bytes >= 16) {
    let a = PRIME_1 + PRIME_2;
    let b = PRIME_2;
    let c: u32 = 0;
    let d: u32 = 0 - PRIME_1;
    for (; at + 16 <= end; at += 16) {
      a = round(a, at);
      b = round(b, at + 4);
      c = round(c, at + 8);
      d = round(d, at + 12);
    }
    hash = rotl<u32>(a, 1) + rotl<u32>(b, 7) + rotl<u32>(c, 12) + rotl<u32>(d, 18);
  }
  hash += <u32>bytes;
  for (; at + 4 <= end; at += 4) hash = rotl<u32>(hash + load<u32>(at) * PRIME_3, 17) * PRIME_4;
  for (; at < end; at++) hash = rotl<u32>(hash + <u32>load<u8>(at) * PRIME_5, 11) * PRIME_1;
  hash = (hash ^ (hash >> 15)) * PRIME_2;
  hash = (hash ^ (hash >> 13)) * PRIME_3;
  return hash ^ (hash >> 16);
}
