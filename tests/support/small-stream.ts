/** Segments of one page, made by hand. */
import type { LocalSegment, LocalStream } from '../../src/engine/replication/local-stream.ts';
import type { LtxHeader } from '../../src/engine/format/ltx/header.ts';
import { inTurns } from '../../src/engine/replication/rest.ts';

export const SMALL_PAGE = 512;

export async function addSegment(
  stream: LocalStream,
  level: number,
  txid: bigint,
  at: Date,
  change: Partial<LtxHeader> = {},
): Promise<LocalSegment> {
  const header: LtxHeader = {
    ...{
      pageSize: SMALL_PAGE,
      commitPages: 1,
      minTxid: txid,
      maxTxid: txid,
      at,
      preChecksum: null,
      nodeId: 0n,
      tag: 7,
    },
    ...{ stateBefore: txid - 1n, stateAfter: txid, walOffset: 32, walBytes: 0, salts: [0, 0] as const, ...change },
  };
  const write = stream.write(level, header, function* (encoder) {
    yield encoder.page(1, Buffer.alloc(header.pageSize, Number(txid)));
  });
  return await stream.add(await inTurns(write));
}
