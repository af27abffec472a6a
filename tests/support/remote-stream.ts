/** A stream of real pages in a local folder, and its copy at a target, through the port that each kind of store has. */
import { closeSync, createReadStream, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encrypt } from '../../src/engine/format/age.ts';
import type { LtxHeader } from '../../src/engine/format/ltx/header.ts';
import { type LocalSegment, LocalStream } from '../../src/engine/replication/local-stream.ts';
import { stateOfFile } from '../../src/engine/replication/materialize.ts';
import { mergeOne } from '../../src/engine/replication/compact.ts';
import { inTurns } from '../../src/engine/replication/rest.ts';
import { parseSegmentName } from '../../src/engine/replication/segment.ts';
import { segmentKey } from '../../src/engine/replication/stream-keys.ts';
import type { TargetAccess } from '../../src/engine/store/kinds.ts';
import type { ObjectStore } from '../../src/engine/store/store.ts';

const PAGE_BYTES = 512;
export const STREAM_TAG = 7;

/** Makes the random bytes of one page: they do not compress, so a segment is as large as its pages. */
function page(seed: number): Buffer {
  const bytes = Buffer.alloc(PAGE_BYTES);
  let state = seed * 2_654_435_761 + 1;
  for (let at = 0; at < PAGE_BYTES; at += 4) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    bytes.writeInt32LE(state | 0, at);
  }
  return bytes;
}

export interface MadeStream {
  readonly folder: string;
  /** The whole database at each TXID, as a restored one has it. */
  readonly states: readonly Buffer[];
  readonly atOf: (txid: number) => Date;
}

/** States 1 to `commits`: the first is a whole copy, each next one changes two pages and adds one. */
export async function makeStream(folder: string, commits: number, firstPages = 8): Promise<MadeStream> {
  const stream = new LocalStream(folder);
  stream.prepare();
  const model = join(folder, 'model');
  const states: Buffer[] = [Buffer.alloc(0)];
  const atOf = (txid: number) => new Date(Date.UTC(2024, 0, 1, 9) + txid * 1_000);
  let stateBefore = 0n;
  for (let txid = 1; txid <= commits; txid++) {
    const before = states[txid - 1] ?? Buffer.alloc(0);
    const pages = txid === 1 ? firstPages : before.length / PAGE_BYTES + 1;
    const after = Buffer.concat([before, Buffer.alloc(pages * PAGE_BYTES - before.length)]);
    const changed = txid === 1 ? Array.from({ length: pages }, (_, k) => k + 1) : [1, 1 + (txid % firstPages), pages];
    for (const number of new Set(changed)) page(txid * 100_000 + number).copy(after, (number - 1) * PAGE_BYTES);
    // As each restored file has it: not in WAL mode.
    after.set([1, 1], 18);
    writeFileSync(model, after);
    const file = openSync(model, 'r');
    const stateAfter = await inTurns(stateOfFile(file, PAGE_BYTES));
    closeSync(file);
    const span = { minTxid: BigInt(txid), maxTxid: BigInt(txid) };
    const header: LtxHeader = {
      ...{
        pageSize: PAGE_BYTES,
        commitPages: pages,
        ...span,
        at: atOf(txid),
        stateBefore,
        stateAfter,
        tag: STREAM_TAG,
      },
      ...{ walOffset: 32, walBytes: 0, salts: [0, 0] as const, preChecksum: null, nodeId: 0n },
    };
    const numbers = [...new Set(changed)].sort((a, b) => a - b);
    const write = stream.write(txid === 1 ? 9 : 0, header, function* (encoder) {
      for (const number of numbers)
        yield encoder.page(number, after.subarray((number - 1) * PAGE_BYTES, number * PAGE_BYTES));
    });
    await stream.add(await inTurns(write));
    states.push(after);
    stateBefore = stateAfter;
  }
  return { folder, states, atOf };
}

/** Merges all captured segments of a span into one of a level. */
export async function mergeSpan(folder: string, level: number, first: number, last: number): Promise<LocalSegment> {
  const stream = new LocalStream(folder);
  stream.refresh();
  const from = stream.level(0).filter(({ minTxid }) => minTxid >= BigInt(first) && minTxid <= BigInt(last));
  return await mergeOne(stream, { level, from });
}

/** Copies what lies in the local stream to the target; sealed where there are recipients. */
export async function copyToTarget(
  folder: string,
  store: ObjectStore,
  { kind, recipients = [] }: { readonly kind: TargetAccess['kind']; readonly recipients?: readonly string[] },
): Promise<void> {
  const isSealed = recipients.length > 0;
  for (const level of readdirSync(join(folder, 'ltx')))
    for (const name of readdirSync(join(folder, 'ltx', level)).sort()) {
      const span = parseSegmentName(name);
      if (span === null) continue;
      const path = join(folder, 'ltx', level, name);
      const source = createReadStream(path) as AsyncIterable<Buffer>;
      const key = segmentKey(kind, { level: Number(level), isSealed, ...span });
      await store.put(key, isSealed ? encrypt(source, recipients) : source, { modifiedAt: headerTime(path) });
    }
}

function headerTime(path: string): Date {
  return new Date(Number(readFileSync(path).readBigInt64BE(32)));
}

/** A folder that is a target: it bears the mark. */
export function makeTargetFolder(path: string): string {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, '.velist-target'), '');
  return path;
}
