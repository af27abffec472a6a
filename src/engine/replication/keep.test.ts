/** Weeks of a stream, by the names of its segments alone: what is merged when, what goes, and that what is promised can be reached. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import type { LtxHeader } from '../format/ltx/header.ts';
import { dueMerges } from './compact.ts';
import { planKeep } from './keep.ts';
import type { LocalSegment } from './local-stream.ts';
import { planStream, SNAPSHOT_LEVEL } from './plan.ts';

setDefaultTimeout(120_000);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const windowsMs = [HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS];
const beginMs = Date.UTC(2024, 0, 1, 9, 12);

function segment(
  level: number,
  minTxid: bigint,
  maxTxid: bigint,
  at: Date,
  change: Partial<LtxHeader> = {},
): LocalSegment {
  const header: LtxHeader = {
    ...{ pageSize: 4096, commitPages: 10, minTxid, maxTxid, at, preChecksum: null, nodeId: 0n, tag: 7 },
    ...{ stateBefore: 0n, stateAfter: 0n, walOffset: level === 0 ? 32 : 0, walBytes: 0, salts: [0, 0], ...change },
  };
  const sizeBytes = level === SNAPSHOT_LEVEL ? 1_000_000 : 1_000 * Number(maxTxid - minTxid + 1n);
  return { level, minTxid, maxTxid, at, path: `${level}/${minTxid}-${maxTxid}`, sizeBytes, header };
}

function inOrder(list: readonly LocalSegment[]): LocalSegment[] {
  return list.toSorted((a, b) => a.level - b.level || (a.minTxid < b.minTxid ? -1 : 1));
}

class Simulation {
  segments: readonly LocalSegment[];
  readonly marks = new Set<bigint>();
  txid = 1n;
  bytesMax = Number.POSITIVE_INFINITY;
  isOver = false;

  constructor() {
    const at = new Date(beginMs);
    this.segments = inOrder([segment(0, 1n, 1n, at), segment(SNAPSHOT_LEVEL, 1n, 1n, at, { walOffset: 32 })]);
  }

  commit(at: Date, change: Partial<LtxHeader> = {}): void {
    this.txid++;
    this.segments = inOrder([...this.segments, segment(0, this.txid, this.txid, at, change)]);
  }

  /** All pages are read from the database, as when a proof fails without checksums. */
  startAnew(at: Date): void {
    this.commit(at);
    const whole = segment(SNAPSHOT_LEVEL, 1n, this.txid, at, { walOffset: 32 });
    this.segments = inOrder([...this.segments, whole]);
  }

  upkeep(now: Date): void {
    const due = () => dueMerges(this, this.marks, now);
    for (let merges = due(); merges.length > 0; merges = due()) {
      const made = merges.map(({ level, from }) => {
        const [first, last] = [from[0], from.at(-1)];
        if (first === undefined || last === undefined) throw new Error('nothing to merge');
        expect(from.slice(1).every(({ minTxid }, index) => minTxid === (from[index]?.maxTxid ?? 0n) + 1n)).toBe(true);
        return segment(level, first.minTxid, last.maxTxid, last.at);
      });
      this.segments = inOrder([...this.segments, ...made]);
    }
    const { remove, isOver } = planKeep(this.segments, this.marks, { windowsMs, bytesMax: this.bytesMax }, now);
    const gone = new Set(remove);
    this.segments = this.segments.filter((one) => !gone.has(one));
    this.isOver = isOver;
  }

  /** How much older than the wish what comes back is. */
  ageAt(at: Date): number {
    const plan = planStream({ at }, { segments: this.segments, bases: [] });
    return plan.outcome === 'found' ? at.getTime() - plan.at.getTime() : Number.POSITIVE_INFINITY;
  }

  check(now: Date): void {
    const newest = planStream({ latest: true }, { segments: this.segments, bases: [] });
    expect(newest.outcome === 'found' && newest.txid).toBe(this.txid);
    expect(this.segments.some(({ level }) => level === 0)).toBe(true);
    for (const txid of this.marks)
      expect([txid, planStream({ txid }, { segments: this.segments, bases: [] }).outcome]).toEqual([txid, 'found']);
    // A commit each ten minutes: that, and the window of the level that is kept for that long.
    const steps = [10 * MINUTE_MS, 11 * MINUTE_MS, 15 * MINUTE_MS, 70 * MINUTE_MS];
    for (const [level, windowMs] of windowsMs.entries()) {
      for (const part of [0.2, 0.5, 0.95]) {
        const at = new Date(now.getTime() - windowMs * part);
        if (at.getTime() > beginMs)
          expect([level, part, this.ageAt(at) <= (steps[level] ?? 0)]).toEqual([level, part, true]);
      }
    }
  }
}

test('over six weeks each promised moment can be reached, also over a new beginning and another page size', () => {
  const stream = new Simulation();
  for (let minute = 10; minute < 42 * 24 * 60; minute += 10) {
    const now = new Date(beginMs + minute * MINUTE_MS);
    if (minute === 20 * 24 * 60) stream.startAnew(now);
    else stream.commit(now);
    if (minute === 50_000 || minute === 3_000) stream.marks.add(stream.txid);
    if (minute % 720 === 0) stream.upkeep(new Date(now.getTime() + MINUTE_MS));
    if (minute % 7_200 === 0) stream.check(now);
  }
  // Few files are left of six weeks of commits, and a handful of whole ones.
  expect(stream.segments.length).toBeLessThan(4_000);
  expect(stream.segments.filter(({ level }) => level === SNAPSHOT_LEVEL).length).toBeLessThan(12);
});

test('a stream that may take little begins later, and never loses its newest moment or a mark', () => {
  const stream = new Simulation();
  stream.bytesMax = 3_500_000;
  for (let minute = 10; minute < 12 * 24 * 60; minute += 10) {
    const now = new Date(beginMs + minute * MINUTE_MS);
    stream.commit(now);
    if (minute === 2_000) stream.marks.add(stream.txid);
    if (minute % 360 !== 0) continue;
    stream.upkeep(new Date(now.getTime() + MINUTE_MS));
    const newest = planStream({ latest: true }, { segments: stream.segments, bases: [] });
    expect(newest.outcome === 'found' && newest.txid).toBe(stream.txid);
    for (const txid of stream.marks)
      expect(planStream({ txid }, { segments: stream.segments, bases: [] }).outcome).toBe('found');
  }
  expect(stream.ageAt(new Date(beginMs + 11.9 * DAY_MS))).toBeLessThan(HOUR_MS);
});

test('a merged segment that could not be merged again takes the place of none', () => {
  const at = new Date(beginMs);
  const list = [
    segment(SNAPSHOT_LEVEL, 1n, 1n, at, { walOffset: 32 }),
    ...[2n, 3n, 4n, 5n, 6n, 7n].map((txid) => segment(0, txid, txid, at)),
    ...[segment(1, 2n, 3n, at), segment(1, 4n, 5n, at), segment(1, 6n, 7n, at)],
    ...[segment(2, 2n, 3n, at), segment(2, 6n, 7n, at)],
  ];
  const later = new Date(beginMs + 2 * HOUR_MS);
  const policy = { windowsMs, bytesMax: Number.POSITIVE_INFINITY };
  const { remove } = planKeep(inOrder(list), new Set(), policy, later);
  // The newest of each level stays, too.
  expect(remove.map(({ path }) => path)).toEqual(['0/2-2', '0/3-3', '0/6-6']);
});

test('nothing is merged over a mark, a new beginning, or a change of the page size', () => {
  const stream = new Simulation();
  const minutes = (count: number) => new Date(beginMs + count * MINUTE_MS);
  for (let k = 1; k <= 4; k++) stream.commit(new Date(minutes(10).getTime() + k * 1_000));
  stream.marks.add(3n);
  stream.commit(new Date(minutes(10).getTime() + 6_000), { pageSize: 8192 });
  stream.startAnew(new Date(minutes(10).getTime() + 7_000));
  stream.commit(new Date(minutes(10).getTime() + 8_000));
  const merges = dueMerges(stream, stream.marks, minutes(12));
  const spans = merges.map(({ from }) => `${from[0]?.minTxid}-${from.at(-1)?.maxTxid}`);
  expect(spans).toEqual(['2-3', '4-5', '6-6', '8-8']);
});
