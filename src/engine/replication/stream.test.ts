/** Segments, their merging, planning and applying, against a model: the whole state at each TXID. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { LtxEncoder } from '../format/ltx/encoder.ts';
import type { LtxHeader } from '../format/ltx/header.ts';
import { applySegment } from './apply.ts';
import { headerOver, mergePages } from './merge.ts';
import { type ListedSegment, planStream, SNAPSHOT_LEVEL, type WishedMoment } from './plan.ts';
import { parseSegmentName, SegmentReader, segmentName } from './segment.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const PAGE = 512;

interface Stored extends ListedSegment {
  readonly path: string;
}

function randomFrom(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return state % below;
  };
}

function writeSegment(folder: string, level: number, header: Partial<LtxHeader>, pages: ReadonlyMap<number, number>) {
  const whole: LtxHeader = {
    ...{ pageSize: PAGE, commitPages: 1, minTxid: 1n, maxTxid: 1n, at: new Date(0), walOffset: 0, walBytes: 0 },
    ...{ salts: [0, 0], preChecksum: null, nodeId: 0n, stateBefore: 0n, stateAfter: 0n, tag: 7, ...header },
  };
  const pieces: Buffer[] = [];
  const encoder = new LtxEncoder(whole, (piece) => pieces.push(Buffer.from(piece)));
  for (const [number, fill] of [...pages].sort(([a], [b]) => a - b)) encoder.page(number, Buffer.alloc(PAGE, fill));
  encoder.end();
  const path = join(folder, `${level}-${segmentName(whole)}`);
  writeFileSync(path, Buffer.concat(pieces));
  return { level, minTxid: whole.minTxid, maxTxid: whole.maxTxid, at: whole.at, path };
}

/** States 1 to n, and a segment for each: pages change, the database grows and shrinks. */
function makeStream(seed: number, commits: number) {
  const folder = scratch();
  const random = randomFrom(seed);
  const states: Buffer[] = [Buffer.alloc(0)];
  const segments: Stored[] = [];
  for (let txid = 1; txid <= commits; txid++) {
    const before = states[txid - 1] ?? Buffer.alloc(0);
    const pagesBefore = before.length / PAGE;
    const commitPages = Math.max(1, pagesBefore + (txid === 1 ? 8 : random(9) - 4));
    const changed = new Map<number, number>();
    for (let number = pagesBefore + 1; number <= commitPages; number++) changed.set(number, random(256));
    for (let k = random(4); k >= 0; k--) changed.set(1 + random(commitPages), random(256));
    const after = Buffer.alloc(commitPages * PAGE);
    before.copy(after);
    for (const [number, fill] of changed) after.fill(fill, (number - 1) * PAGE, number * PAGE);
    states.push(after);
    const at = new Date(txid * 1_000);
    const proof = { stateBefore: BigInt(txid - 1), stateAfter: BigInt(txid) };
    const span = { minTxid: BigInt(txid), maxTxid: BigInt(txid) };
    segments.push(writeSegment(folder, 0, { ...span, ...proof, commitPages, at }, changed));
  }
  return { folder, random, states, segments };
}

function mergeSegments(paths: readonly string[], write: (bytes: Uint8Array) => void): void {
  const headers = paths.map((path) => {
    using segment = new SegmentReader(path);
    return segment.header;
  });
  const encoder = new LtxEncoder(headerOver(headers), write);
  for (const _ of mergePages(paths, encoder));
  encoder.end();
}

function mergeInto(folder: string, level: number, from: readonly Stored[]): Stored {
  const [first, last] = [from[0], from.at(-1)];
  if (!first || !last) throw new Error('nothing to merge');
  const pieces: Buffer[] = [];
  mergeSegments(
    from.map(({ path }) => path),
    (piece) => pieces.push(Buffer.from(piece)),
  );
  const span = { minTxid: first.minTxid, maxTxid: last.maxTxid };
  const path = join(folder, `${level}-${segmentName(span)}`);
  writeFileSync(path, Buffer.concat(pieces));
  return { level, ...span, at: last.at, path };
}

function restore(segments: readonly Stored[], wish: WishedMoment, start: Buffer | null = null) {
  const bases = start === null ? [] : [{ txid: 3n, at: new Date(3_000) }];
  const plan = planStream(wish, { segments, bases });
  if (plan.outcome !== 'found') return plan;
  const path = join(scratch(), 'restored');
  writeFileSync(path, plan.base ? (start ?? '') : '');
  const file = openSync(path, 'r+');
  try {
    ftruncateSync(file, plan.base ? (start?.length ?? 0) : 0);
    for (const segment of plan.segments) for (const _step of applySegment(file, segment.path));
  } finally {
    closeSync(file);
  }
  return { ...plan, bytes: readFileSync(path) };
}

describe.each([1, 2, 3, 4])('a stream of 60 commits (seed %i)', (seed) => {
  const { folder, random, states, segments: level0 } = makeStream(seed, 60);
  const level1: Stored[] = [];
  for (let at = 0; at < level0.length;) {
    const length = 1 + random(10);
    level1.push(mergeInto(folder, 1, level0.slice(at, at + length)));
    at += length;
  }
  const level2 = [mergeInto(folder, 2, level1.slice(0, 3)), mergeInto(folder, 2, level1.slice(3))];
  const snapshots = [3, 5].map((length) => mergeInto(folder, SNAPSHOT_LEVEL, level1.slice(0, length)));
  const all = [...level0, ...level1, ...level2, ...snapshots];

  test('each moment of it comes back, by TXID, by time, and the newest', () => {
    for (const start of [null, states[3] ?? null]) {
      for (let txid = 1; txid <= 60; txid++) {
        for (const wish of [{ txid: BigInt(txid) }, { at: new Date(txid * 1_000 + 500) }]) {
          const found = restore(all, wish, start);
          expect([found.outcome, 'txid' in found && found.txid]).toEqual(['found', BigInt(txid)]);
          if (found.outcome === 'found') expect(found.bytes.equals(states[txid] ?? Buffer.alloc(0))).toBe(true);
        }
      }
      const latest = restore(all, { latest: true }, start);
      expect(latest.outcome === 'found' && latest.bytes.equals(states[60] ?? Buffer.alloc(0))).toBe(true);
    }
  });

  test('with segments lost it is a moment that was, or none; never a mix', () => {
    for (let round = 0; round < 60; round++) {
      const left = all.filter(() => random(3) > 0);
      const wish: WishedMoment = random(2) === 0 ? { latest: true } : { at: new Date(random(61_000)) };
      const found = restore(left, wish);
      if (found.outcome !== 'found') continue;
      expect(found.bytes.equals(states[Number(found.txid)] ?? Buffer.alloc(0))).toBe(true);
      if ('at' in wish) expect(found.at <= wish.at).toBe(true);
    }
  });
});

test('a hole before the newest segment is said for the newest, and the moment before it comes back by its time', () => {
  const { folder, segments, states } = makeStream(9, 10);
  const left = segments.filter(({ minTxid }) => minTxid !== 7n);
  expect(restore(left, { latest: true })).toEqual({ outcome: 'gap', txid: 6n, next: 8n });
  const found = restore(left, { at: new Date(6_500) });
  expect(found.outcome === 'found' && found.bytes.equals(states[6] ?? Buffer.alloc(0))).toBe(true);
  expect(restore(left, { txid: 9n })).toEqual({ outcome: 'none', before: 6n, after: null });
  const coarse = segments.filter(({ minTxid }) => minTxid < 4n);
  const merged = [...coarse, mergeInto(folder, 1, segments.slice(3, 8))];
  expect(restore(merged, { txid: 5n })).toEqual({ outcome: 'none', before: 3n, after: 8n });
});

test('what does not go on from the one before is not merged: a hole, another stream, another state, another page size', async () => {
  const { folder, segments } = makeStream(5, 6);
  const paths = segments.map(({ path }) => path);
  const merged = (...list: (string | undefined)[]) => refusal(() => mergeSegments(list.map(String), () => {}));
  expect((await merged(paths[0], paths[2])).message).toContain('TXID 3 does not go on from TXID 1');
  expect((await merged(paths[1], paths[0])).message).toContain('does not go on');
  const span = { minTxid: 2n, maxTxid: 2n, commitPages: 8 };
  const other = (change: Partial<LtxHeader>) =>
    writeSegment(folder, 8, { ...span, stateBefore: 1n, ...change }, new Map([[1, 1]])).path;
  expect((await merged(paths[0], other({ tag: 8 }))).message).toContain('of another stream');
  expect((await merged(paths[0], other({ stateBefore: 5n }))).message).toContain('begins at another state');
  const damaged = readFileSync(other({}));
  damaged[120] = (damaged[120] ?? 0) ^ 1;
  writeFileSync(join(folder, 'damaged'), damaged);
  expect((await merged(paths[0], join(folder, 'damaged'))).code).toBe('BAD_BACKUP');
  rmSync(folder, { recursive: true });
});

test('names sort as their moments do, and other names are none', () => {
  const span = { minTxid: 255n, maxTxid: 0xffffffffffffffffn };
  expect(segmentName(span)).toBe('00000000000000ff-ffffffffffffffff.ltx');
  expect(parseSegmentName(segmentName(span))).toEqual(span);
  const wrong = ['0000000000000000-0000000000000001.ltx', '0000000000000002-0000000000000001.ltx', 'a.ltx'];
  for (const name of [...wrong, '00000000000000FF-00000000000000FF.ltx', `${segmentName(span)}.tmp`])
    expect(parseSegmentName(name)).toBeNull();
});
