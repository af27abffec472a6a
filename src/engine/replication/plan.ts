/**
 * Which segments bring a moment back. Pure, so that a plan can be shown before anything is done; it is Litestream's own rule,
 * so both choose the same files from one stream.
 *
 * It begins at a base, a segment with all pages or a backup at a known TXID, and goes on each time with the segment that
 * reaches furthest.
 */
import type { SegmentSpan } from './segment.ts';

export interface ListedSegment extends SegmentSpan {
  /** 0 is what was captured; higher ones are merged; `SNAPSHOT_LEVEL` has all pages. */
  readonly level: number;
  readonly at: Date;
}

export const SNAPSHOT_LEVEL = 9;

/** Something that holds a whole state: a backup. */
export interface Base {
  readonly txid: bigint;
  readonly at: Date;
}

export type WishedMoment = { readonly latest: true } | { readonly at: Date } | { readonly txid: bigint };

export type StreamPlan<S extends ListedSegment, B extends Base> =
  | {
      readonly outcome: 'found';
      /** Null where the first segment has all pages itself. */
      readonly base: B | null;
      readonly segments: readonly S[];
      readonly txid: bigint;
      readonly at: Date;
    }
  /** Nothing is that old, or that TXID was merged away. `before` and `after` are the nearest that can be had. */
  | { readonly outcome: 'none'; readonly before: bigint | null; readonly after: bigint | null }
  /** A segment is missing: what lies behind it can't be reached. */
  | { readonly outcome: 'gap'; readonly txid: bigint; readonly next: bigint };

export function planStream<S extends ListedSegment, B extends Base>(
  wish: WishedMoment,
  { segments, bases }: { readonly segments: readonly S[]; readonly bases: readonly B[] },
): StreamPlan<S, B> {
  const isWished = ({ maxTxid, at }: Pick<S, 'maxTxid' | 'at'>) => {
    if ('at' in wish) return at <= wish.at;
    return 'latest' in wish || maxTxid <= wish.txid;
  };
  const eligible = segments.filter(isWished);
  const base = last(
    bases.filter(({ txid, at }) => isWished({ maxTxid: txid, at })),
    ({ txid }) => txid,
  );
  const snapshot = last(
    eligible.filter(({ level }) => level === SNAPSHOT_LEVEL),
    ({ maxTxid }) => maxTxid,
  );
  const isFromBase = base !== null && base.txid >= (snapshot?.maxTxid ?? 0n);
  const plan: S[] = isFromBase || snapshot === null ? [] : [snapshot];
  let reached: Base | null = isFromBase ? base : snapshot && { txid: snapshot.maxTxid, at: snapshot.at };
  for (;;) {
    const next = furthest(eligible, reached?.txid ?? 0n);
    if (next === undefined) break;
    plan.push(next);
    reached = { txid: next.maxTxid, at: next.at };
  }
  if (reached === null || ('txid' in wish && reached.txid !== wish.txid)) return nearest(reached, segments, bases);
  const beyond = 'latest' in wish ? nextBeyond(segments, reached.txid) : null;
  if (beyond !== null) return { outcome: 'gap', txid: reached.txid, next: beyond };
  return { outcome: 'found', base: isFromBase ? base : null, segments: plan, txid: reached.txid, at: reached.at };
}

function last<Item>(items: readonly Item[], txidOf: (item: Item) => bigint): Item | null {
  return items.toSorted((a, b) => order(txidOf(b), txidOf(a)))[0] ?? null;
}

/** Among those that go on from here the one that ends last; among these the one that begins first, of the highest level. */
function furthest<S extends ListedSegment>(segments: readonly S[], txid: bigint): S | undefined {
  let best: S | undefined;
  for (const one of segments) {
    if (one.minTxid > txid + 1n || one.maxTxid <= txid) continue;
    if (best === undefined || isBetter(one, best)) best = one;
  }
  return best;
}

function isBetter(one: ListedSegment, best: ListedSegment): boolean {
  if (one.maxTxid !== best.maxTxid) return one.maxTxid > best.maxTxid;
  if (one.minTxid !== best.minTxid) return one.minTxid < best.minTxid;
  if (one.level !== best.level) return one.level > best.level;
  return one.at < best.at;
}

function nextBeyond(segments: readonly ListedSegment[], txid: bigint): bigint | null {
  const beyond = segments.filter(({ minTxid }) => minTxid > txid + 1n).map(({ minTxid }) => minTxid);
  return beyond.length === 0 ? null : beyond.reduce((a, b) => (a < b ? a : b));
}

/** What can be had instead: the moment that was reached, and the first one behind it. */
function nearest(
  reached: Base | null,
  segments: readonly ListedSegment[],
  bases: readonly Base[],
): { outcome: 'none'; before: bigint | null; after: bigint | null } {
  const txid = reached?.txid ?? 0n;
  const nexts = segments.filter(({ minTxid, maxTxid }) => minTxid <= txid + 1n && maxTxid > txid);
  const wholes = segments.filter(({ level, maxTxid }) => level === SNAPSHOT_LEVEL && maxTxid > txid);
  const ends = [...[...nexts, ...wholes].map(({ maxTxid }) => maxTxid), ...bases.map((base) => base.txid)];
  const [after = null] = ends.filter((end) => end > txid).toSorted(order);
  return { outcome: 'none', before: reached?.txid ?? null, after };
}

function order(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
