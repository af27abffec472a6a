/** Which segments of a target are kept: the rule is the one of the stream here, and it looks at nothing but what lies there. Pure. */
import { type KeptSegment, planKeep } from './keep.ts';
import { inOrder } from './local-stream.ts';
import { SNAPSHOT_LEVEL } from './plan.ts';
import type { RemoteSegment } from './remote-segments.ts';

interface Kept {
  readonly marks: ReadonlySet<bigint>;
  readonly windowsMs: readonly number[];
  readonly now: Date;
}

export function planRemoval(
  there: readonly RemoteSegment[],
  { marks, windowsMs, now }: Kept,
): readonly RemoteSegment[] {
  const segments = withStarts(there.toSorted(inOrder));
  const { remove } = planKeep(segments, marks, { windowsMs, bytesMax: Number.POSITIVE_INFINITY }, now);
  return remove;
}

/**
 * No listing says of a segment with all pages whether what lies before leads over it. Where it does not, because something
 * could not be shipped, nothing but this segment brings back what follows.
 */
function withStarts(segments: readonly RemoteSegment[]): readonly RemoteSegment[] {
  const finer = segments.filter(({ level }) => level < SNAPSHOT_LEVEL).toSorted(byFirst);
  const wholes = segments.filter(({ level }) => level === SNAPSHOT_LEVEL);
  return segments.map((one) => {
    const before = wholes[wholes.indexOf(one) - 1];
    const isStart = before !== undefined && reachFrom(before, finer) < one.maxTxid;
    return isStart && one.header.walOffset === 0 ? { ...one, header: { walOffset: START } } : one;
  });
}

function byFirst(one: KeptSegment, other: KeptSegment): number {
  return one.minTxid < other.minTxid ? -1 : one.minTxid > other.minTxid ? 1 : 0;
}

/** Whatever is not 0. */
const START = 1;

/** @param finer in the order of their first TXIDs. */
function reachFrom({ maxTxid }: KeptSegment, finer: readonly KeptSegment[]): bigint {
  let reached = maxTxid;
  for (const one of finer) {
    if (one.minTxid > reached + 1n) break;
    if (one.maxTxid > reached) reached = one.maxTxid;
  }
  return reached;
}
