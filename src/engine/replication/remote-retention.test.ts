/** Weeks of a stream at a target, by the names of its segments alone, as a listing has them. */
import { expect, test } from 'bun:test';
import { planStream, SNAPSHOT_LEVEL } from './plan.ts';
import { planRemoval } from './remote-retention.ts';
import type { RemoteSegment } from './remote-segments.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const windowsMs = [HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS];
/** A Monday. */
const beginMs = Date.UTC(2024, 0, 1);
const none: ReadonlySet<bigint> = new Set();

function segment(level: number, minTxid: bigint, maxTxid: bigint, atMs: number): RemoteSegment {
  const at = new Date(atMs);
  const header = { walOffset: 0 };
  return {
    level,
    minTxid,
    maxTxid,
    at,
    path: `${level}/${minTxid}-${maxTxid}`,
    sizeBytes: 100,
    isSealed: false,
    header,
  };
}

/** One commit a minute: captured, merged by five minutes and by hours, and once a day all pages. */
function minutes(from: number, to: number): RemoteSegment[] {
  const atOf = (minute: number) => beginMs + minute * MINUTE_MS;
  const all: RemoteSegment[] = [];
  for (let minute = from; minute < to; minute++) {
    const txid = BigInt(minute + 1);
    all.push(segment(0, txid, txid, atOf(minute)), segment(1, txid, txid, atOf(minute)));
    for (const [level, span] of [
      [2, 5],
      [3, 60],
    ] as const)
      if ((minute + 1) % span === 0 && minute + 1 - span >= from)
        all.push(segment(level, BigInt(minute + 2 - span), txid, atOf(minute)));
    if ((minute + 1) % (24 * 60) === 0) all.push(segment(SNAPSHOT_LEVEL, 1n, txid, atOf(minute)));
  }
  return all;
}

function kept(there: readonly RemoteSegment[], now: Date, marks = none): readonly RemoteSegment[] {
  const removed = new Set(planRemoval(there, { marks, windowsMs, now }).map(({ path }) => path));
  return there.filter(({ path }) => !removed.has(path));
}

const canReach = (segments: readonly RemoteSegment[], txid: bigint) =>
  planStream({ txid }, { segments, bases: [] }).outcome === 'found';

const begin = segment(SNAPSHOT_LEVEL, 1n, 1n, beginMs);

test('only what a coarser one covers goes, and each window keeps what it promises', () => {
  const days = 3;
  const end = days * 24 * 60;
  const there = [begin, ...minutes(1, end)];
  const left = kept(there, new Date(beginMs + end * MINUTE_MS));
  expect(left.length).toBeLessThan(there.length / 2);
  // The last hour by commits, the last day by minutes, before that by five minutes.
  for (let txid = end; txid > end - 60; txid--) expect(canReach(left, BigInt(txid))).toBe(true);
  for (let txid = end - 24 * 60; txid > 120; txid -= 5) expect(canReach(left, BigInt(txid - (txid % 5)))).toBe(true);
  expect(left.some(({ level }) => level === 0)).toBe(true);
  expect(planRemoval(left, { marks: none, windowsMs, now: new Date(beginMs + end * MINUTE_MS) })).toEqual([]);
});

test('what nothing coarser covers there stays, however old it is', () => {
  const fine = minutes(1, 600).filter(({ level }) => level < 2);
  const left = kept([begin, ...fine], new Date(beginMs + 5 * DAY_MS));
  expect(left.filter(({ level }) => level === 1).length).toBe(fine.filter(({ level }) => level === 1).length);
});

test('level 0 keeps its newest, and a mark what it needs', () => {
  const there = [begin, ...minutes(1, 24 * 60)];
  const now = new Date(beginMs + 20 * DAY_MS);
  const marked = 777n;
  const left = kept(there, now, new Set([marked]));
  expect(left.filter(({ level }) => level === 0).map(({ maxTxid }) => maxTxid)).toContain(BigInt(24 * 60));
  expect([canReach(left, marked), canReach(kept(there, now), marked)]).toEqual([true, false]);
});

test('all pages behind a gap stay: nothing else brings back what follows', () => {
  // What was captured on the second day until noon could not be shipped.
  const noon = 36 * 60;
  const there = [
    begin,
    ...minutes(1, 24 * 60),
    segment(SNAPSHOT_LEVEL, 1n, BigInt(noon), beginMs + noon * MINUTE_MS),
    ...minutes(noon, 4 * 24 * 60),
  ];
  const left = kept(there, new Date(beginMs + 5 * DAY_MS));
  const wholes = left.filter(({ level }) => level === SNAPSHOT_LEVEL).map(({ maxTxid }) => maxTxid);
  // Of those over which the others lead, the first of the week is enough.
  expect(wholes).toEqual(expect.arrayContaining([1n, BigInt(noon)]));
  expect(wholes).not.toContain(BigInt(2 * 24 * 60));
  expect(canReach(left, BigInt(40 * 60))).toBe(true);
});
