/**
 * The checksums of all pages at one moment, kept beside the stream, so that a start need not read the whole stream to know
 * them. What was captured since is read from its segments. The state of the newest segment proves the result.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { syncFolderNow } from '../disk/sync-folder.ts';
import type { LocalSegment, LocalStream } from './local-stream.ts';
import { PageSums, sumPage } from './page-sums.ts';
import { planStream } from './plan.ts';
import { SegmentReader } from './segment.ts';

const FILE = 'sums';
const MAGIC = 'VBSUMS01';
const HEADER_BYTES = 40;
const PAGES_PER_STEP = 64;

interface Kept {
  readonly sums: PageSums;
  readonly txid: bigint;
  readonly at: Date;
  readonly tag: number;
}

export function saveSums(folder: string, { sums, txid, at, tag }: Kept): void {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(sums.pageSize, 8);
  header.writeUInt32LE(tag, 12);
  header.writeBigUInt64LE(txid, 16);
  header.writeBigUInt64LE(sums.state, 24);
  header.writeBigInt64LE(BigInt(at.getTime()), 32);
  const path = join(folder, FILE);
  const temporary = `${path}.tmp`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    giveToOwnerOfFolder(temporary);
    writeSync(file, header);
    const { buffer, byteOffset, byteLength } = sums.words;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let done = 0; done < byteLength;) done += writeSync(file, bytes, done, byteLength - done);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncFolderNow(folder);
}

/** Null for a file that is not there, or not as it was written. */
function loadSums(folder: string): Kept | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(join(folder, FILE));
  } catch {
    return null;
  }
  const words = (bytes.length - HEADER_BYTES) / 4;
  if (bytes.length < HEADER_BYTES || words % 2 !== 0 || bytes.toString('latin1', 0, 8) !== MAGIC) return null;
  const sums = PageSums.of(bytes.readUInt32LE(8), new Uint32Array(bytes.buffer.slice(bytes.byteOffset + HEADER_BYTES)));
  if (sums.state !== bytes.readBigUInt64LE(24)) return null;
  return {
    sums,
    tag: bytes.readUInt32LE(12),
    txid: bytes.readBigUInt64LE(16),
    at: new Date(Number(bytes.readBigInt64LE(32))),
  };
}

/**
 * The checksums of the newest moment of the stream; null if it can't be read to its end, or ends at another state than it
 * says.
 */
export function* sumsOfNewest(
  folder: string,
  stream: LocalStream,
  newest: LocalSegment,
): Generator<void, PageSums | null> {
  const kept = loadSums(folder);
  const { tag, stateAfter, pageSize } = newest.header;
  if (kept !== null && kept.tag === tag && kept.txid <= newest.maxTxid && kept.sums.pageSize === pageSize) {
    // Those that are merged least first: the fewest bytes are read behind a moment that is young.
    const since = stream.segments.filter(({ maxTxid, minTxid }) => maxTxid > kept.txid && minTxid > 1n);
    const sums = yield* goOn(kept, since, newest);
    if (sums?.state === stateAfter) return sums;
  }
  const sums = yield* goOn(null, stream.segments, newest);
  return sums?.state === stateAfter ? sums : null;
}

function* goOn(
  kept: Kept | null,
  segments: readonly LocalSegment[],
  newest: LocalSegment,
): Generator<void, PageSums | null> {
  if (kept?.txid === newest.maxTxid) return kept.sums;
  const plan = planStream({ txid: newest.maxTxid }, { segments, bases: kept === null ? [] : [kept] });
  if (plan.outcome !== 'found') return null;
  const sums = kept?.sums ?? new PageSums(newest.header.pageSize);
  for (const { path, header } of plan.segments) {
    if (header.pageSize !== sums.pageSize) return null;
    try {
      yield* takeIn(sums, path);
    } catch {
      // Damaged, or gone: the caller has another way.
      return null;
    }
  }
  return sums;
}

function* takeIn(sums: PageSums, path: string): Generator<void, void> {
  using segment = new SegmentReader(path);
  const numbers: number[] = [];
  let words = new Uint32Array(2 * 1_024);
  for (; segment.page !== null; segment.advance()) {
    if (2 * numbers.length === words.length) {
      const larger = new Uint32Array(2 * words.length);
      larger.set(words);
      words = larger;
    }
    sumPage(segment.page.bytes, words, 2 * numbers.length);
    numbers.push(segment.page.number);
    if (numbers.length % PAGES_PER_STEP === 0) yield;
  }
  segment.end();
  sums.accept(sums.change(numbers, words, segment.header.commitPages));
}
