/**
 * Up to where in the log a captured segment reaches. Its header says so, in the fields that Litestream keeps for this, and
 * in the node id (which it ignores) the checksum of everything up to there: so a segment proves its position by itself.
 */
import type { LtxHeader } from '../format/ltx/header.ts';
import { FRAME_HEADER_BYTES, WAL_HEADER_BYTES } from '../sqlite/wal.ts';
import type { LogPosition } from './log-tail.ts';

type PositionFields = Pick<LtxHeader, 'walOffset' | 'walBytes' | 'salts' | 'nodeId'>;

/**
 * @param from where the capture began; 0 where it took the whole database.
 * @param position null for a log to which nothing was written yet.
 */
export function positionFields(position: LogPosition | null, from = 0): PositionFields {
  if (position === null) return { walOffset: WAL_HEADER_BYTES, walBytes: 0, salts: [0, 0], nodeId: 0n };
  const { frames, pageSize, salts, checksum } = position;
  const frameBytes = FRAME_HEADER_BYTES + pageSize;
  return {
    walOffset: WAL_HEADER_BYTES + from * frameBytes,
    walBytes: (frames - from) * frameBytes,
    salts,
    nodeId: (BigInt(checksum[0]) << 32n) | BigInt(checksum[1]),
  };
}

/** Undefined for a segment that says nothing of it: a merged one, or one of others. */
export function positionOf(header: LtxHeader): LogPosition | null | undefined {
  const { walOffset, walBytes, salts, nodeId, pageSize, tag } = header;
  if (walOffset === 0 || tag === 0) return undefined;
  if (salts[0] === 0 && salts[1] === 0) return null;
  const frames = (walOffset + walBytes - WAL_HEADER_BYTES) / (FRAME_HEADER_BYTES + pageSize);
  if (!Number.isInteger(frames)) return undefined;
  const checksum = [Number(nodeId >> 32n), Number(nodeId & 0xffff_ffffn)] as const;
  return { salts, frames, checksum, pageSize };
}

/** https://sqlite.org/fileformat2.html#file_format_version_numbers: the modes, the counter of changes, the last writer. */
const HEADER_FIELDS: readonly (readonly [at: number, bytes: number])[] = [
  [18, 2],
  [24, 4],
  [92, 8],
];

/** Those fields of a first page, one after the other. */
export function readHeaderFields(page: Buffer): Buffer {
  return Buffer.concat(HEADER_FIELDS.map(([at, bytes]) => page.subarray(at, at + bytes)));
}

/** Each of them, as `readHeaderFields` took them, with its place in the page. */
export function* headerFieldsOf(fields: Buffer): Generator<readonly [at: number, bytes: Buffer], void> {
  let done = 0;
  for (const [at, bytes] of HEADER_FIELDS) {
    yield [at, fields.subarray(done, done + bytes)];
    done += bytes;
  }
}
