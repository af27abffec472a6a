/**
 * Several segments that follow each other become one: of each page the newest version, and none behind the end of the last.
 * Nothing is read but the segments, and each is checked to its end before the result counts.
 */
import type { LtxEncoder } from '../format/ltx/encoder.ts';
import { badSegment, type LtxHeader } from '../format/ltx/header.ts';
import { SegmentReader } from './segment.ts';

/** As many are open at once, and each takes a megabyte. */
export const MERGED_MAX = 40;

const PAGES_PER_STEP = 64;

/**
 * Hands the pages to an encoder that began with `headerOver` theirs.
 *
 * @param paths oldest first.
 * @throws BackupError BAD_BACKUP when one of them is damaged, does not go on from the one before, or is of another stream.
 */
export function* mergePages(paths: readonly string[], encoder: Pick<LtxEncoder, 'page'>): Generator<void, void> {
  if (paths.length === 0 || paths.length > MERGED_MAX) throw new Error(`${paths.length} segments cannot be merged`);
  const inputs: SegmentReader[] = [];
  try {
    for (const path of paths) inputs.push(new SegmentReader(path));
    const { commitPages } = headerOver(inputs.map(({ header }) => header));
    for (let steps = 1; ; steps++) {
      const next = newestOfLowest(inputs);
      if (next === null) break;
      if (next.number <= commitPages) encoder.page(next.number, next.bytes);
      for (const input of inputs) if (input.page?.number === next.number) input.advance();
      if (steps % PAGES_PER_STEP === 0) yield;
    }
    for (const input of inputs) input.end();
  } finally {
    for (const input of inputs) input[Symbol.dispose]();
  }
}

function newestOfLowest(inputs: readonly SegmentReader[]) {
  let found = null;
  for (const { page } of inputs) if (page !== null && (found === null || page.number <= found.number)) found = page;
  return found;
}

/**
 * From the first what was before, from the last what is after.
 *
 * @throws BackupError BAD_BACKUP as `mergePages` does.
 */
export function headerOver(headers: readonly LtxHeader[]): LtxHeader {
  const [first, last] = [headers[0], lastOf(headers)];
  if (first === undefined) throw new Error('there is nothing to merge');
  for (const [index, header] of headers.slice(1).entries()) requireNext(headers[index] ?? first, header);
  return {
    ...last,
    ...{ minTxid: first.minTxid, preChecksum: null, stateBefore: first.stateBefore, nodeId: 0n },
    ...{ walOffset: 0, walBytes: 0, salts: [0, 0] },
  };
}

/** It may begin within the one before, as a compacted one does, and must end behind it. */
function requireNext(before: LtxHeader, header: LtxHeader): void {
  const isNext = header.minTxid <= before.maxTxid + 1n && header.maxTxid > before.maxTxid;
  if (!isNext) throw badSegment(`TXID ${header.minTxid} does not go on from TXID ${before.maxTxid}`);
  if (header.pageSize !== before.pageSize) throw badSegment('its pages have another size than those before');
  const isContiguous = header.minTxid === before.maxTxid + 1n;
  const isProven = header.tag !== 0 && before.tag !== 0;
  if (isProven && header.tag !== before.tag) throw badSegment('it is of another stream');
  if (isProven && isContiguous && header.stateBefore !== before.stateAfter)
    throw badSegment(`TXID ${header.minTxid} begins at another state than TXID ${before.maxTxid} ends at`);
}

function lastOf<Item>(items: readonly Item[]): Item {
  const last = items.at(-1);
  if (last === undefined) throw new Error('there is nothing to merge');
  return last;
}
