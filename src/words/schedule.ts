/**
 * When is the next run due? Pure: schedule and times in, a time out. An interval is anchored to its planned times, so a
 * long run does not shift it, and what was missed (sleep, a busy machine, a clock that jumped) is skipped, not made up
 * for in a burst.
 */
import { Cron } from 'croner';

export type Schedule =
  { readonly kind: 'interval'; readonly intervalMs: number } | { readonly kind: 'cron'; readonly line: string };

/**
 * The next due time after `now`.
 *
 * @param lastPlanned the time for which the last run was planned.
 */
export function nextRun(schedule: Schedule, lastPlanned: Date, now: Date): Date {
  if (schedule.kind === 'cron') {
    const next = new Cron(schedule.line, { paused: true }).nextRun(now);
    if (!next) throw new Error(`the cron line ${schedule.line} never comes due`); // checkCron refused it earlier
    return next;
  }
  const { intervalMs } = schedule;
  const elapsedMs = now.getTime() - lastPlanned.getTime();
  // The clock went back: count anew from now, or the next run would wait for the old time to come again.
  if (elapsedMs < 0) return new Date(now.getTime() + intervalMs);
  return new Date(lastPlanned.getTime() + (Math.floor(elapsedMs / intervalMs) + 1) * intervalMs);
}

/**
 * The planned times from `fromMs` until before `toMs`, oldest first. For an interval, `anchorMs` is one of them.
 */
export function* plannedTimes(
  schedule: Schedule,
  { anchorMs, fromMs, toMs }: { readonly anchorMs: number; readonly fromMs: number; readonly toMs: number },
): Generator<number> {
  if (schedule.kind === 'interval') {
    const { intervalMs } = schedule;
    for (let step = Math.ceil((fromMs - anchorMs) / intervalMs); anchorMs + step * intervalMs < toMs; step++)
      yield anchorMs + step * intervalMs;
    return;
  }
  const cron = new Cron(schedule.line, { paused: true });
  // A cron line names whole seconds; the one before `from` makes `from` itself count.
  for (let next = cron.nextRun(new Date(fromMs - 1)); next && next.getTime() < toMs; next = cron.nextRun(next))
    yield next.getTime();
}

/** So far ahead the times of a cron line are looked at: a week has nights and a weekend. */
const GAPS_LOOK_MS = 7 * 24 * 3_600_000;
/** One day tells enough of a line that comes due each minute. */
const GAPS_MAX = 1_500;

/** The shortest and the longest time between two runs that follow each other, in the week after `from`. */
export function gapsOf(schedule: Schedule, from: Date): { readonly shortestMs: number; readonly longestMs: number } {
  if (schedule.kind === 'interval') return { shortestMs: schedule.intervalMs, longestMs: schedule.intervalMs };
  let [shortestMs, longestMs] = [Number.POSITIVE_INFINITY, 0];
  let lastMs = nextRun(schedule, from, from).getTime();
  const untilMs = lastMs + GAPS_LOOK_MS;
  let gaps = 0;
  for (const ms of plannedTimes(schedule, { anchorMs: lastMs, fromMs: lastMs + 1, toMs: Number.POSITIVE_INFINITY })) {
    shortestMs = Math.min(shortestMs, ms - lastMs);
    longestMs = Math.max(longestMs, ms - lastMs);
    lastMs = ms;
    gaps += 1;
    if (gaps >= GAPS_MAX || ms >= untilMs) break;
  }
  return { shortestMs, longestMs };
}

/** No timer sleeps longer: `setInterval` over 35,791 minutes fires every millisecond, and clocks jump. */
export const SLEEP_MAX_MS = 30_000;

/**
 * Has the planned time come? A planned time further away than the schedule allows means that the clock went back.
 */
export function isDue(planned: Date, now: Date): boolean {
  return now.getTime() >= planned.getTime();
}

/** Null when it is a cron line of five fields that comes due, else what is wrong with it. */
export function checkCron(line: string): string | null {
  try {
    if (line.trim().split(/\s+/).length !== 5 && !line.startsWith('@')) return 'five fields are needed';
    return new Cron(line, { paused: true }).nextRun() ? null : 'it never comes due';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
