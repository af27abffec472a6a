/**
 * Which segments of a stream are kept. Pure. Each level has its window: what was captured is kept for the first, what is merged by
 * half minutes for the second, and so on. A segment goes only if a coarser one covers it, or if everything that needs it
 * is older than the last window.
 *
 * Kept whatever happens: what the newest moment and the marks need, the newest segment of each level, and a base before the
 * oldest window. Of the whole ones the first of each week stays as a base of what follows.
 */
import type { LtxHeader } from '../format/ltx/header.ts';
import { type ListedSegment, planStream, SNAPSHOT_LEVEL } from './plan.ts';

/** A segment on this disk or at a target: the same rule holds at both, each for itself. */
export interface KeptSegment extends ListedSegment {
  /** Its path, or its key. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: Pick<LtxHeader, 'walOffset'>;
}

interface KeepPolicy {
  /** How long each level is kept, from 0 on, in milliseconds. */
  readonly windowsMs: readonly number[];
  /** What the whole stream may take. */
  readonly bytesMax: number;
}

interface KeepPlan<S> {
  readonly remove: readonly S[];
  /** What is left is more than the stream may take, and nothing more can go. */
  readonly isOver: boolean;
}

/** @param doubted paths of segments that may be damaged: they take the place of none, as those that were passed over. */
export function planKeep<S extends KeptSegment>(
  segments: readonly S[],
  marks: ReadonlySet<bigint>,
  policy: KeepPolicy,
  now: Date,
  doubted: ReadonlySet<string> = new Set(),
): KeepPlan<S> {
  const lastOf = new Map(segments.map(({ level, minTxid }) => [level, minTxid]));
  // What lies behind it was merged and it was not: it could not be read. No restart forgets that.
  const wasPassedOver = (one: KeptSegment) =>
    one.level > 0 && (lastOf.get(one.level + 1) ?? 0n) > one.maxTxid && !isCovered(one, segments);
  const covering = segments.filter((one) => !doubted.has(one.path) && !wasPassedOver(one));
  const needed = neededAlways(segments, marks);
  const oldestMs = now.getTime() - Math.max(...policy.windowsMs);
  const wholes = segments.filter(({ level }) => level === SNAPSHOT_LEVEL);
  const beyond = wholes.findLast(({ at }) => at.getTime() <= oldestMs);
  let floors = wholes.filter(({ maxTxid }) => maxTxid >= (beyond?.maxTxid ?? 0n));
  let kept = keptFrom(floors[0], segments, covering, policy, now);
  const bytesOf = (list: readonly KeptSegment[]) => list.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const all = () => segments.filter((one) => kept.has(one) || needed.has(one));
  // Too much: the stream begins at a later base.
  while (bytesOf(all()) > policy.bytesMax && floors.length > 1) {
    floors = floors.slice(1);
    kept = keptFrom(floors[0], segments, covering, policy, now);
  }
  const left = all();
  const stays = new Set(left);
  return { remove: segments.filter((one) => !stays.has(one)), isOver: bytesOf(left) > policy.bytesMax };
}

/** All pages were read from the database then; what lies before does not lead over it. */
export function isFreshStart({ level, header }: Pick<KeptSegment, 'level' | 'header'>): boolean {
  return level === SNAPSHOT_LEVEL && header.walOffset !== 0;
}

function keptFrom(
  floor: KeptSegment | undefined,
  segments: readonly KeptSegment[],
  covering: readonly KeptSegment[],
  { windowsMs }: KeepPolicy,
  now: Date,
): ReadonlySet<KeptSegment> {
  const from = floor?.maxTxid ?? 0n;
  const starts = segments.filter(isFreshStart);
  const kept = new Set<KeptSegment>();
  const weeks = new Set<number>();
  for (const segment of segments) {
    const { level, maxTxid, at } = segment;
    if (maxTxid < from) continue;
    if (level === SNAPSHOT_LEVEL) {
      const week = Math.floor(at.getTime() / WEEK_MS);
      const isBase = segment === floor || isFreshStart(segment) || !weeks.has(week);
      weeks.add(week);
      if (isBase) kept.add(segment);
      continue;
    }
    if (maxTxid === from && segment !== floor) continue;
    const isYoung = at.getTime() > now.getTime() - (windowsMs[level] ?? 0);
    const isBase = () => starts.some((start) => start.maxTxid === maxTxid && segment.minTxid === maxTxid);
    if (isYoung || !(isCovered(segment, covering) || isBase())) kept.add(segment);
  }
  // The base before each window is read first by whoever wants its beginning.
  for (const windowMs of windowsMs) {
    const base = segments.findLast(
      ({ level, at, maxTxid }) =>
        level === SNAPSHOT_LEVEL && at.getTime() <= now.getTime() - windowMs && maxTxid >= from,
    );
    if (base) kept.add(base);
  }
  return kept;
}

function neededAlways(segments: readonly KeptSegment[], marks: ReadonlySet<bigint>): ReadonlySet<KeptSegment> {
  const needed = new Set<KeptSegment>();
  const levels = new Set(segments.map(({ level }) => level));
  for (const level of levels) {
    const newest = segments.findLast((one) => one.level === level);
    if (newest) needed.add(newest);
  }
  const newestTxid = segments.reduce((most, { maxTxid }) => (maxTxid > most ? maxTxid : most), 0n);
  for (const txid of new Set([newestTxid, ...marks])) {
    const plan = planStream({ txid }, { segments, bases: [] });
    if (plan.outcome === 'found') for (const segment of plan.segments) needed.add(segment);
  }
  return needed;
}

/** By one that is merged, of a coarser level. They lie in order of level and TXID. */
function isCovered({ level, minTxid, maxTxid }: KeptSegment, segments: readonly KeptSegment[]): boolean {
  for (let coarser = level + 1; coarser < SNAPSHOT_LEVEL; coarser++) {
    let [low, high] = [0, segments.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const one = segments[middle];
      if (one && (one.level < coarser || (one.level === coarser && one.minTxid <= minTxid))) low = middle + 1;
      else high = middle;
    }
    const last = segments[low - 1];
    if (last?.level === coarser && last.maxTxid >= maxTxid) return true;
  }
  return false;
}

const WEEK_MS = 7 * 24 * 60 * 60 * 1_000;
