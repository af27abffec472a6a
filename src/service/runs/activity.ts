/**
 * The bars of the activity chart: what became of each planned run, from the run history, the backups that are left, and
 * the schedule as it stood. Pure.
 *
 * Where the rhythm is short, a bar stands for several planned runs and shows the worst of them. A planned run counts as
 * missed only where a schedule was in force (spans of `schedule-history.ts`; before the first of them, from the first
 * planned run on) and no run covers it: one that was still going when its time came does.
 */
import type { ErrorBody } from '../../words/errors.ts';
import { plannedTimes, type Schedule } from '../../words/schedule.ts';
import type { BackupItem } from '../backups/shown-backup.ts';
import type { Run, RunOutcome } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';

export type ActivityRange = '24h' | '7d' | '30d';

/** A planned run, or several: then the worst of them. */
interface ActivityBar {
  readonly from: Date;
  readonly to: Date;
  /** From the worst to the best; `none`: nothing was planned, or it has not come yet. */
  readonly state: 'failed' | 'missed' | 'no-s3' | 'kept' | 'pruned' | 'unchanged' | 'none';
  /** Runs that this bar stands for, by hand too. */
  readonly runs: number;
  /** The run that decides; null for `missed` and `none`. */
  readonly run: string | null;
  readonly sizeBytes: number | null;
  /** One sentence where it is known. */
  readonly reason: string | null;
}

export interface Activity {
  readonly range: ActivityRange;
  readonly from: Date;
  readonly to: Date;
  /** As the backups saw it, oldest first. */
  readonly sizes: readonly { readonly at: Date; readonly sizeBytes: number }[];
  /** Without gaps, oldest first. */
  readonly bars: readonly ActivityBar[];
  readonly counts: { readonly good: number; readonly failed: number; readonly missed: number };
}

/** What a bar needs of a backup run. */
export type RunMark = Pick<Run, 'id' | 'plannedAt' | 'startedAt' | 'endedAt' | 'backup'> & RunOutcome;

/** A time in which one schedule was in force in one process, or was known to be off. It ends where the next begins. */
export interface ScheduleSpan {
  readonly beganAt: Date;
  /** Null: switched off. */
  readonly schedule: Schedule | null;
  /** Its first planned run. */
  readonly plannedAt: Date;
  /** When its process was last known to run. */
  readonly seenAt: Date;
}

export interface ActivityFacts {
  readonly range: ActivityRange;
  readonly now: Date;
  /** In force now, or as it would be. */
  readonly schedule: Schedule;
  readonly isEnabled: boolean;
  /** Oldest first. */
  readonly spans: readonly ScheduleSpan[];
  /** Ended backup runs, from the beginning of the range on, and the last one before. */
  readonly runs: readonly RunMark[];
  /** Moment of the first planned run that is known. */
  readonly firstPlannedAt: Date | null;
  /** Since when a backup run is going. */
  readonly runningSince: Date | null;
  readonly backups: readonly BackupItem[];
  /** Why a backup is no longer there, as a sentence; null if that is not known. */
  readonly removal: (backup: string) => string | null;
  /** Its upload is going now. */
  readonly isUploading: (backup: string, target: TargetName) => boolean;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Length; the most bars; and the width of a bar where there would be more. The widths divide a day. */
const ranges = {
  '24h': { lengthMs: DAY_MS, barsMax: 288, bucketMs: 5 * MINUTE_MS },
  '7d': { lengthMs: 7 * DAY_MS, barsMax: 168, bucketMs: HOUR_MS },
  '30d': { lengthMs: 30 * DAY_MS, barsMax: 168, bucketMs: 6 * HOUR_MS },
} as const;

/** A planned run that has not begun by then is missed. The scheduler sleeps half a minute at most. */
const GRACE_MS = MINUTE_MS;
/** A run that began so much later stands where it began, because that is the moment it holds. */
const LATE_MS = 2 * MINUTE_MS;

/** From the worst to the best. */
const states = ['failed', 'missed', 'no-s3', 'kept', 'pruned', 'unchanged', 'none'] as const;

export function composeActivity(facts: ActivityFacts): Activity {
  const { range, now } = facts;
  const { lengthMs, barsMax, bucketMs } = ranges[range];
  const toMs = now.getTime();
  const planned = plannedRuns(facts, toMs - lengthMs, toMs);
  let fromMs = toMs - lengthMs;
  let bounds = [...new Set([fromMs, ...planned.map(({ atMs }) => atMs)])].sort((a, b) => a - b);
  if (bounds.length > barsMax) {
    fromMs = Math.ceil(fromMs / bucketMs) * bucketMs;
    bounds = Array.from({ length: Math.ceil((toMs - fromMs) / bucketMs) }, (_, index) => fromMs + index * bucketMs);
  }
  const events = [...runEvents(facts), ...missedEvents(facts, planned)]
    .filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
    .sort((a, b) => a.atMs - b.atMs);
  const bars = toBars(bounds, toMs, events);
  return {
    range,
    from: new Date(fromMs),
    to: now,
    sizes: toSizes(bounds, events),
    bars,
    counts: {
      good: events.filter(({ isGood }) => isGood).length,
      failed: events.filter(({ state }) => state === 'failed').length,
      missed: events.filter(({ state }) => state === 'missed').length,
    },
  };
}

// ── what was planned ──

interface PlannedRun {
  readonly atMs: number;
  /** When the next one was due, or another schedule began. */
  readonly nextMs: number;
  /** False if no schedule was in force: it only goes on with the rhythm. */
  readonly counts: boolean;
  readonly wasRunning: boolean | null;
}

/** One schedule in force, or known to be off; `seenMs` is null if nobody noted that its process ran. */
interface Regime {
  readonly fromMs: number;
  readonly toMs: number;
  readonly schedule: Schedule | null;
  readonly firstMs: number;
  readonly seenMs: number | null;
}

function plannedRuns(facts: ActivityFacts, fromMs: number, toMs: number): readonly PlannedRun[] {
  return regimes(facts, fromMs, toMs).flatMap((regime) => {
    const schedule = regime.schedule ?? facts.schedule;
    // Its first one is a time of its own: a run that was tried again has moved the rhythm of those that follow.
    const first = regime.schedule !== null && regime.firstMs >= fromMs && regime.firstMs < regime.toMs;
    const times = [
      ...(first ? [regime.firstMs] : []),
      ...plannedTimes(schedule, {
        anchorMs: lastPlanned(facts.runs, regime) ?? regime.firstMs,
        fromMs: Math.max(fromMs, first ? regime.firstMs + GRACE_MS : regime.fromMs),
        toMs: Math.min(toMs, regime.toMs),
      }),
    ];
    return times.map((atMs, index) => ({
      atMs,
      nextMs: times[index + 1] ?? Math.min(toMs, regime.toMs),
      counts: regime.schedule !== null && atMs >= regime.firstMs,
      wasRunning: regime.seenMs === null ? null : atMs <= regime.seenMs + GRACE_MS,
    }));
  });
}

/** Without gaps, oldest first. */
function regimes(
  { spans, firstPlannedAt, isEnabled, schedule }: ActivityFacts,
  fromMs: number,
  toMs: number,
): Regime[] {
  const known = spans.map((span, index) => ({
    fromMs: span.beganAt.getTime(),
    toMs: spans[index + 1]?.beganAt.getTime() ?? toMs,
    schedule: span.schedule,
    firstMs: span.plannedAt.getTime(),
    seenMs: span.seenAt.getTime(),
  }));
  const knownMs = known[0]?.fromMs ?? toMs;
  const firstMs = Math.min(firstPlannedAt?.getTime() ?? knownMs, knownMs);
  // Runs that are older than the notes of when the schedule was in force.
  const inForce = spans[0] ? spans[0].schedule : isEnabled ? schedule : null;
  const before = { fromMs: firstMs, toMs: knownMs, schedule: inForce, firstMs, seenMs: null };
  const nothing = { fromMs, toMs: firstMs, schedule: null, firstMs, seenMs: null };
  return [nothing, before, ...known].filter((regime) => regime.fromMs < regime.toMs && regime.toMs > fromMs);
}

/** Where the rhythm of a regime stands at last: a run that is tried again moves it. */
function lastPlanned(runs: readonly RunMark[], { fromMs, toMs }: Regime): number | undefined {
  const isOfRegime = (ms: number | undefined) => ms !== undefined && ms >= fromMs && ms < toMs;
  return runs.findLast(({ plannedAt }) => isOfRegime(plannedAt?.getTime()))?.plannedAt?.getTime();
}

// ── what became of it ──

interface ActivityEvent {
  readonly atMs: number;
  readonly state: ActivityBar['state'];
  readonly isGood: boolean;
  /** Null for a planned run that never began. */
  readonly run: string | null;
  readonly sizeBytes: number | null;
  readonly reason: string | null;
}

function* runEvents(facts: ActivityFacts): Generator<ActivityEvent> {
  const items = new Map(facts.backups.map((item) => [item.filename, item]));
  const sizes = new Map(facts.backups.map(({ filename, size }) => [filename, size]));
  for (const run of facts.runs) if (run.backup && run.sizeBytes !== null) sizes.set(run.backup, run.sizeBytes);
  for (const run of facts.runs) {
    const base = { atMs: momentOf(run).getTime(), run: run.id };
    const sizeBytes = run.backup === null ? null : (sizes.get(run.backup) ?? null);
    if (run.result === 'failed') {
      yield { ...base, state: 'failed', isGood: false, sizeBytes: null, reason: sentenceOf(run.error) };
    } else if (run.result === 'unchanged') {
      yield { ...base, state: 'unchanged', isGood: true, sizeBytes, reason: null };
    } else if (run.result === 'success') {
      yield { ...base, ...becameOf(run, items, facts), isGood: true, sizeBytes };
    } else if (run.plannedAt) {
      yield { ...base, run: null, state: 'missed', isGood: false, sizeBytes: null, reason: 'The run was stopped.' };
    }
  }
}

function becameOf({ backup }: RunMark, items: ReadonlyMap<string, BackupItem>, facts: ActivityFacts) {
  const item = backup === null ? undefined : items.get(backup);
  if (!item) return { state: 'pruned', reason: backup && facts.removal(backup) } as const;
  // Without a placement it was removed there on purpose, or the target is off.
  const missing = item.placements.find(
    ({ target, status }) => status !== 'stored' && !facts.isUploading(item.filename, target),
  );
  if (!missing) return { state: 'kept', reason: null } as const;
  return { state: 'no-s3', reason: missing.error && sentenceOf(missing.error) } as const;
}

function* missedEvents(facts: ActivityFacts, planned: readonly PlannedRun[]): Generator<ActivityEvent> {
  const begun = facts.runs
    .map((run) => ({ fromMs: momentOf(run).getTime(), toMs: run.endedAt.getTime(), foundFile: !foundNoFile(run) }))
    .concat(
      facts.runningSince ? { fromMs: facts.runningSince.getTime(), toMs: facts.now.getTime(), foundFile: true } : [],
    )
    .sort((a, b) => a.fromMs - b.fromMs);
  let index = 0;
  let coveredUntilMs = Number.NEGATIVE_INFINITY;
  let isThere = true;
  for (const { atMs, nextMs, counts, wasRunning } of planned) {
    for (; (begun[index]?.fromMs ?? Number.POSITIVE_INFINITY) < nextMs; index++) {
      coveredUntilMs = Math.max(coveredUntilMs, begun[index]?.toMs ?? 0, begun[index]?.fromMs ?? 0);
      isThere = begun[index]?.foundFile ?? isThere;
    }
    if (!counts || coveredUntilMs >= atMs || nextMs - atMs < GRACE_MS) continue;
    // There is nothing to back up: that was said once, when it began.
    if (!isThere && wasRunning !== false) continue;
    const reason = wasRunning === false ? 'The app was not running.' : null;
    yield { atMs, state: 'missed', isGood: false, run: null, sizeBytes: null, reason };
  }
}

function foundNoFile({ result, error }: RunMark): boolean {
  return result === 'failed' && error?.code === 'DB_MISSING';
}

/** The planned time, unless the run came much later. */
function momentOf({ plannedAt, startedAt }: RunMark): Date {
  return plannedAt && startedAt.getTime() - plannedAt.getTime() < LATE_MS ? plannedAt : startedAt;
}

// ── the chart ──

function toBars(bounds: readonly number[], toMs: number, events: readonly ActivityEvent[]): ActivityBar[] {
  return split(bounds, events).map((inside, index) => {
    const worst = inside.reduce<ActivityEvent | null>((a, b) => (a && rank(a) < rank(b) ? a : b), null);
    return {
      from: new Date(bounds[index] ?? 0),
      to: new Date(bounds[index + 1] ?? toMs),
      state: worst?.state ?? 'none',
      runs: inside.filter(({ run }) => run !== null).length,
      run: worst?.run ?? null,
      sizeBytes: worst?.sizeBytes ?? null,
      reason: worst?.reason ?? null,
    };
  });
}

/** One point a bar, so that a month of runs every minute is no longer a line than a month of daily ones. */
function toSizes(bounds: readonly number[], events: readonly ActivityEvent[]): Activity['sizes'] {
  return split(bounds, events).flatMap((inside) => {
    const last = inside.findLast(({ sizeBytes }) => sizeBytes !== null);
    return last && last.sizeBytes !== null ? { at: new Date(last.atMs), sizeBytes: last.sizeBytes } : [];
  });
}

/** The events of each bar; both sides are in order. */
function split(bounds: readonly number[], events: readonly ActivityEvent[]): ActivityEvent[][] {
  let next = 0;
  return bounds.map((_, index) => {
    const first = next;
    const endMs = bounds[index + 1] ?? Number.POSITIVE_INFINITY;
    while ((events[next]?.atMs ?? Number.POSITIVE_INFINITY) < endMs) next++;
    return events.slice(first, next);
  });
}

function rank({ state }: ActivityEvent): number {
  return states.indexOf(state);
}

/** `there is no file at db/dev.sqlite` becomes a sentence; a first word that is a name stays as it is. */
function sentenceOf({ code, message }: ErrorBody): string {
  if (code === 'INTERNAL') return 'The run failed; the log of the server says why.';
  const begun = /^[a-z]+[\s,]/.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
  return `${begun}.`;
}
