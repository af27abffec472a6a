/**
 * Header of an LTX file, version 3 (https://github.com/superfly/ltx): 100 bytes, big-endian. Readers ignore the last 20;
 * there we keep our proof: the state of the database before and after the file, and a tag of the stream.
 */
import { BackupError } from '../../../words/errors.ts';

export const HEADER_BYTES = 100;
const MAGIC = 0x4c545831; // LTX1
const NO_CHECKSUM = 2;

export interface LtxHeader {
  readonly pageSize: number;
  /** Size of the database in pages, once the file is applied. */
  readonly commitPages: number;
  readonly minTxid: bigint;
  readonly maxTxid: bigint;
  readonly at: Date;
  /** Where in the log the capture began, and how much of it was taken; 0 where it is not from a log. */
  readonly walOffset: number;
  readonly walBytes: number;
  readonly salts: readonly [number, number];
  /** Sum of all pages before; null for a file that tracks none, which is what we and Litestream write. */
  readonly preChecksum: bigint | null;
  readonly nodeId: bigint;
  /** Zero in files of others. */
  readonly stateBefore: bigint;
  readonly stateAfter: bigint;
  readonly tag: number;
}

/** A file with all pages; nothing but its first TXID marks it. */
export function isSnapshot({ minTxid }: Pick<LtxHeader, 'minTxid'>): boolean {
  return minTxid === 1n;
}

/** The page at byte 2^30, where SQLite keeps its locks, is in no file. */
export function lockPageOf(pageSize: number): number {
  return 0x40000000 / pageSize + 1;
}

/** @throws BackupError BAD_BACKUP for a header that no reader would take. */
export function encodeHeader(header: LtxHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, header.preChecksum === null ? NO_CHECKSUM : 0);
  view.setUint32(8, header.pageSize);
  view.setUint32(12, header.commitPages);
  view.setBigUint64(16, header.minTxid);
  view.setBigUint64(24, header.maxTxid);
  view.setBigInt64(32, BigInt(header.at.getTime()));
  view.setBigUint64(40, header.preChecksum ?? 0n);
  view.setBigInt64(48, BigInt(header.walOffset));
  view.setBigInt64(56, BigInt(header.walBytes));
  view.setUint32(64, header.salts[0]);
  view.setUint32(68, header.salts[1]);
  view.setBigUint64(72, header.nodeId);
  view.setBigUint64(80, header.stateAfter);
  view.setBigUint64(88, header.stateBefore);
  view.setUint32(96, header.tag);
  decodeHeader(bytes);
  return bytes;
}

/** @throws BackupError BAD_BACKUP */
export function decodeHeader(bytes: Uint8Array): LtxHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES || view.getUint32(0) !== MAGIC) throw badSegment('it does not begin as one');
  const flags = view.getUint32(4);
  const isTracked = (flags & NO_CHECKSUM) === 0;
  const header: LtxHeader = {
    pageSize: view.getUint32(8),
    commitPages: view.getUint32(12),
    minTxid: view.getBigUint64(16),
    maxTxid: view.getBigUint64(24),
    at: new Date(Number(view.getBigInt64(32))),
    preChecksum: isTracked ? view.getBigUint64(40) : null,
    walOffset: Number(view.getBigInt64(48)),
    walBytes: Number(view.getBigInt64(56)),
    salts: [view.getUint32(64), view.getUint32(68)],
    nodeId: view.getBigUint64(72),
    stateAfter: view.getBigUint64(80),
    stateBefore: view.getBigUint64(88),
    tag: view.getUint32(96),
  };
  const fault = faultOf(header, flags, view.getBigUint64(40));
  if (fault !== null) throw badSegment(fault);
  return header;
}

function faultOf(header: LtxHeader, flags: number, pre: bigint): string | null {
  const { pageSize, minTxid, maxTxid, walOffset, walBytes, salts } = header;
  if ((flags & ~NO_CHECKSUM) !== 0) return `its flags ${flags} are of a version that is not known here`;
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return `a page size of ${pageSize}`;
  if (minTxid < 1n || maxTxid < minTxid) return `its TXIDs ${minTxid} to ${maxTxid} are in no order`;
  if (Number.isNaN(header.at.getTime())) return 'its time is none';
  if (walOffset < 0 || walBytes < 0) return 'a place before the log';
  if (walOffset === 0 && (walBytes !== 0 || salts[0] !== 0 || salts[1] !== 0)) return 'a log without a place in it';
  const mustBeZero = header.preChecksum === null || isSnapshot(header);
  if (mustBeZero !== (pre === 0n) || (!mustBeZero && pre >> 63n !== 1n)) return 'its sum of pages before is wrong';
  return null;
}

export function badSegment(what: string): BackupError {
  return new BackupError('BAD_BACKUP', `not a sound LTX file: ${what}`, {
    hint: 'It was damaged, cut off, or is of another program. Nothing of it was used; restore another moment.',
  });
}
