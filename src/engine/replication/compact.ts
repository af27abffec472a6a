/**
 * What was captured is merged into coarser segments: level 1 by half minutes, 2 by five minutes, 3 by hours, and once a day
 * all pages (level 9). Merging reads segments and nothing else. Pure but for `mergeOne`.
 *
 * Windows are those of the clock, so that a merged segment ends where a moment was captured, and never reaches over the end
 * of a window, over a mark, or over a moment at which the stream began anew with all pages.
 */
import { headerOver, mergePages, MERGED_MAX } from './merge.ts';
import { isFreshStart } from './keep.ts';
import type { LocalSegment, LocalStream } from './local-stream.ts';
import { planStream, SNAPSHOT_LEVEL } from './plan.ts';
import { inTurns } from './rest.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const WINDOWS_MS: ReadonlyMap<number, number> = new Map([
  [1, 30 * SECOND_MS],
  [2, 5 * MINUTE_MS],
  [3, HOUR_MS],
]);

export interface Merge {
  readonly level: number;
  /** Oldest first. */
  readonly from: readonly LocalSegment[];
}

type Listed = Pick<LocalStream, 'segments'>;

/**
 * The merges that are due of the finest level that has any; those of coarser levels see what they made at the next look.
 *
 * @param isPossible false for one that failed for good.
 */
export function dueMerges(
  stream: Listed,
  marks: ReadonlySet<bigint>,
  now: Date,
  isPossible: (merge: Merge) => boolean = () => true,
): readonly Merge[] {
  for (const [level, windowMs] of WINDOWS_MS) {
    const merges = mergesInto(level, windowMs, stream, marks, now).filter(isPossible);
    if (merges.length > 0) return merges;
  }
  const whole = dueWhole(stream, now);
  return whole === null || !isPossible(whole) ? [] : [whole];
}

function mergesInto(
  level: number,
  windowMs: number,
  { segments }: Listed,
  marks: ReadonlySet<bigint>,
  now: Date,
): readonly Merge[] {
  const starts = new Set(segments.filter(isFreshStart).map(({ maxTxid }) => maxTxid));
  const reached = highest(segments.filter((one) => one.level === level));
  const boundary = Math.floor(now.getTime() / windowMs) * windowMs;
  const due = segments.filter(
    (one) =>
      one.level === level - 1 && one.minTxid > reached && one.at.getTime() < boundary && !starts.has(one.maxTxid),
  );
  const merges: LocalSegment[][] = [];
  for (const segment of due) {
    const group = merges.at(-1);
    const last = group?.at(-1);
    const isInGroup =
      group !== undefined &&
      last !== undefined &&
      group.length < MERGED_MAX &&
      last.maxTxid + 1n === segment.minTxid &&
      last.header.pageSize === segment.header.pageSize &&
      last.header.tag === segment.header.tag &&
      Math.floor(last.at.getTime() / windowMs) === Math.floor(segment.at.getTime() / windowMs) &&
      !marks.has(last.maxTxid);
    if (isInGroup) group.push(segment);
    else merges.push([segment]);
  }
  return merges.map((from) => ({ level, from }));
}

/** From the last whole one on, once a day; as far as so many segments reach. */
function dueWhole({ segments }: Listed, now: Date): Merge | null {
  const last = segments.findLast(({ level }) => level === SNAPSHOT_LEVEL);
  const today = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  if (last === undefined || last.at.getTime() >= today) return null;
  const plan = planStream({ at: new Date(today - 1) }, { segments, bases: [] });
  if (plan.outcome !== 'found' || plan.txid <= last.maxTxid) return null;
  return { level: SNAPSHOT_LEVEL, from: plan.segments.slice(0, MERGED_MAX) };
}

function highest(segments: readonly LocalSegment[]): bigint {
  return segments.reduce((most, { maxTxid }) => (maxTxid > most ? maxTxid : most), 0n);
}

/** @throws BackupError BAD_BACKUP for a damaged segment; system errors. Then the stream is as it was. */
export async function mergeOne(
  stream: LocalStream,
  { level, from }: Merge,
  signal?: AbortSignal,
): Promise<LocalSegment> {
  const header = headerOver(from.map((segment) => segment.header));
  const paths = from.map(({ path }) => path);
  const written = await inTurns(
    stream.write(level, header, (encoder) => mergePages(paths, encoder)),
    signal,
  );
  return await stream.add(written);
}
