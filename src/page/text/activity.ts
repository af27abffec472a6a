/** What the page says of the activity where there is no chart. Pure. */
import type { Activity } from '../../http/contract.ts';

type Bar = Activity['bars'][number];
type Range = Activity['range'];

export const ranges: readonly Range[] = ['24h', '7d', '30d'];
export const rangeWords: Record<Range, string> = { '24h': '24 hours', '7d': '7 days', '30d': '30 days' };

interface Missed {
  /** Where the gap that is still open began. */
  readonly from: number;
  /** Planned runs in it; null if the plan is not an interval. */
  readonly runs: number | null;
  readonly reason: string | null;
}

/** The planned runs that were missed at the end, up to now; null if the last one ran. */
export function missedLately(activity: Activity, intervalMs: number | null): Missed | null {
  let missed: Bar[] = [];
  for (const bar of activity.bars) {
    if (bar.state === 'missed') missed.push(bar);
    else if (bar.state !== 'none') missed = [];
  }
  const [first] = missed;
  const last = missed.at(-1);
  if (first === undefined || last === undefined) return null;
  const lengthMs = Date.parse(last.to) - Date.parse(first.from);
  return {
    from: Date.parse(first.from),
    runs: intervalMs === null ? null : Math.max(1, Math.round(lengthMs / intervalMs)),
    reason: missed.findLast(({ reason }) => reason !== null)?.reason ?? null,
  };
}
