/**
 * Applies segments to a file in place, one after the other, each cut to its end: a database that shrank and grew again must
 * not keep pages of before. Whoever calls makes it durable.
 */
import { ftruncateSync, writeSync } from 'node:fs';
import type { ReadLtx } from '../format/ltx/decoder.ts';
import { SegmentReader } from './segment.ts';

const BATCH_BYTES = 256 * 1024;

/**
 * @param descriptor of the file, writable.
 * @throws BackupError BAD_BACKUP; then the file is of no moment.
 */
export function* applySegment(descriptor: number, path: string): Generator<void, ReadLtx> {
  using segment = new SegmentReader(path);
  const { pageSize, commitPages } = segment.header;
  const batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let [first, used] = [0, 0];
  const flush = () => {
    for (let done = 0; done < used;)
      done += writeSync(descriptor, batch, done, used - done, (first - 1) * pageSize + done);
    used = 0;
  };
  for (; segment.page !== null; segment.advance()) {
    const { number, bytes } = segment.page;
    const isNext = number === first + used / pageSize;
    if (used > 0 && (!isNext || used === BATCH_BYTES)) {
      flush();
      yield;
    }
    if (used === 0) first = number;
    batch.set(bytes, used);
    used += pageSize;
  }
  flush();
  const read = segment.end();
  ftruncateSync(descriptor, commitPages * pageSize);
  return read;
}
