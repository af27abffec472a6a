/**
 * Which backups to keep, and why: a pure function of backups, policy and time. Nothing here touches a file.
 *
 * Kept are the newest so many, and beside them the newest good one of each of the last so many hours, days, ISO weeks,
 * months and years that have one; while there are fewer such periods than asked for, the oldest good one too, as restic
 * has it. Calendar periods are those of UTC, as in the backups' names: what is kept can be read
 * off a listing, no day has 23 or 25 hours, and machines in several time zones plan the same for one bucket.
 *
 * Never removed: pinned and foreign ones, those whose file was changed and that nobody verified since, the newest verified
 * one, safety backups younger than 30 days (which are not counted), and for as long what is held because of a loss
 * (`loss.ts`). Of several start backups within one interval only the oldest and the newest are kept and counted, so
 * that a crash loop flushes no history; the intervals are those of the clock, so that carrying a plan out shifts none.
 *
 * With a budget the calendar is kept only as far as all copies together stay below it: first the days, then the weeks,
 * then the hours, each from the newest on. What stays for another reason is never removed for want of room.
 */
import type { Backup } from './folder-catalog.ts';
import { isAside, type Manifest } from '../format/manifest.ts';
import { lossHolds } from './loss.ts';
import { PERIODS, type Period, periodOf, unitOf } from './periods.ts';

/** The newest backup is kept of each of so many of the last hours, days, … that have one. */
export type KeepNumbers = Readonly<Record<Period, number>>;

export const KEEP_NONE: KeepNumbers = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
/** In a folder where nobody said a number, within a budget: a day by hours, a week by days, a month by weeks. */
export const KEEP_BY_DEFAULT: KeepNumbers = { hourly: 24, daily: 7, weekly: 4, monthly: 0, yearly: 0 };

export interface RetentionPolicy {
  /** The newest so many. */
  readonly count: number;
  /** Start backups within one such interval are one burst of restarts. */
  readonly startBurstMs: number;
  /** Beside the newest; none if not given. */
  readonly keep?: KeepNumbers;
  /** What all copies together may take for the sake of `keep`; no limit if not given. */
  readonly budgetBytes?: number;
}

/** For the folder, whose disk is asked when the plan is made. */
export interface FolderRetention extends Omit<RetentionPolicy, 'budgetBytes'> {
  /** Nobody said what to keep beside the newest: `keep` holds within a budget, which so many databases share. */
  readonly byDefault?: { readonly databases: number } | null;
}

/** A backup in the folder or at another target, as far as retention looks at it. */
export type Retainable = Pick<Backup, 'name' | 'createdAt' | 'fault' | 'changedAt'> & {
  readonly manifest: Pick<Manifest, 'trigger' | 'pinned' | 'verification' | 'loss' | 'madeAfter' | 'arrived'> | null;
  /** Needed where there is a budget. */
  readonly sizeBytes?: number;
};

export interface RetentionPlan<Kind extends Retainable = Backup> {
  readonly kept: readonly { readonly backup: Kind; readonly reasons: readonly string[] }[];
  readonly removed: readonly { readonly backup: Kind; readonly reason: string }[];
}

export interface PlanOptions {
  readonly now: Date;
  /** Why nothing may be removed at present, in words for the plan. */
  readonly hold?: string | null;
  /** Why some are held because of a loss, where it can't be seen by these backups alone. */
  readonly losses?: ReadonlyMap<Retainable, readonly string[]>;
}

const SAFETY_DAYS = 30;
const NO_ROOM = 'and the default share of the disk for backups is used up';
const DAY_MS = 86_400_000;

/** @param backups newest first, as the catalog lists them. */
export function planRetention<Kind extends Retainable>(
  backups: readonly Kind[],
  policy: RetentionPolicy,
  options: PlanOptions,
): RetentionPlan<Kind> {
  const keep = policy.keep ?? KEEP_NONE;
  const newestVerified = backups.find((backup) => isVerified(backup) && !backup.manifest?.arrived);
  const burst = middleOfStartBursts(backups, policy.startBurstMs);
  const calendar = calendarReasons(backups, keep);
  const losses = options.losses ?? lossHolds(backups, options.now);
  const fitting = withinBudget(backups, calendar, policy, { now: options.now, losses });
  const kept: { backup: Kind; reasons: string[] }[] = [];
  const removed: { backup: Kind; reason: string }[] = [];
  let counted = 0;
  for (const backup of backups) {
    const periods = fitting.has(backup) ? (calendar.get(backup) ?? []) : [];
    // One of a burst that stays anyway is as good as any other.
    const isMiddle = burst.has(backup) && periods.length === 0;
    const reasons = [...holdReasons(backup, options.now), ...(losses.get(backup) ?? [])];
    if (backup === newestVerified) reasons.push('newest verified backup');
    if (isCounted(backup) && !isMiddle && counted < policy.count)
      reasons.push(`one of the newest ${policy.count} (${++counted})`);
    reasons.push(...periods.map(({ reason }) => reason));
    if (reasons.length === 0 && options.hold) reasons.push(options.hold);
    if (reasons.length > 0) kept.push({ backup, reasons });
    else if (calendar.has(backup))
      removed.push({ backup, reason: `older than the newest ${policy.count}, ${NO_ROOM}` });
    else removed.push({ backup, reason: removalReason(backup, { ...policy, keep }, isMiddle) });
  }
  return { kept, removed };
}

/** A pinned, a foreign and a safety backup, and one from elsewhere, take nobody's place. */
function isCounted({ manifest }: Retainable): boolean {
  return manifest !== null && !isAside(manifest) && !manifest.pinned;
}

function* holdReasons(backup: Retainable, now: Date): Generator<string> {
  if (backup.manifest === null) {
    yield backup.fault ? 'its manifest is unreadable' : 'foreign: not made by this program';
    return;
  }
  if (backup.manifest.pinned) yield 'pinned';
  if (backup.manifest.arrived) yield 'came from elsewhere: only a person removes it';
  if (isUnsure(backup)) yield 'its file was changed after it was published: verify it';
  if (backup.manifest.trigger === 'safety' && ageMs(backup, now) < SAFETY_DAYS * DAY_MS)
    yield `safety backup younger than ${SAFETY_DAYS} days`;
}

/** A moment that is yet to come, of a clock that was ahead, says nothing. */
function ageMs({ createdAt, manifest }: Retainable, now: Date): number {
  const after = Date.parse(manifest?.madeAfter ?? '');
  return now.getTime() - (after <= now.getTime() ? Math.max(after, createdAt.getTime()) : createdAt.getTime());
}

/**
 * The newest of each period, by the catalog's order: a clock that went back gives no period two. A damaged backup stands
 * for no period, or it would push out the good ones of its day.
 */
function calendarReasons(backups: readonly Retainable[], keep: KeepNumbers): Calendar {
  const reasons = new Map<Retainable, { period: Period; reason: string }[]>();
  const oldest = backups.findLast((backup) => isCounted(backup) && isVerified(backup));
  for (const period of PERIODS) {
    const seen = new Set<string>();
    for (const backup of backups) {
      if (seen.size >= keep[period]) break;
      const name = periodOf(backup.createdAt, period);
      if (!isCounted(backup) || !isVerified(backup)) continue;
      const isNewest = !seen.has(name);
      if (!isNewest && backup !== oldest) continue;
      // The oldest takes the place of a period that is yet to come.
      seen.add(isNewest ? name : 'oldest');
      const why = isNewest ? `newest of ${unitOf[period]} ${name}` : 'oldest';
      const reason = `${why} (${period} ${seen.size} of ${keep[period]})`;
      reasons.set(backup, [...(reasons.get(backup) ?? []), { period, reason }]);
    }
  }
  return reasons;
}

type Calendar = ReadonlyMap<Retainable, readonly { readonly period: Period; readonly reason: string }[]>;

/** "Give me yesterday back" comes before "give me ten o'clock back". */
const ADMISSION = ['daily', 'weekly', 'hourly', 'monthly', 'yearly'] as const satisfies readonly Period[];

/** Those that may stay for the calendar's sake, among them all that stay anyway. */
function withinBudget(
  backups: readonly Retainable[],
  calendar: Calendar,
  policy: RetentionPolicy,
  options: Pick<PlanOptions, 'now' | 'losses'>,
): ReadonlySet<Retainable> {
  const { budgetBytes, count, startBurstMs } = policy;
  if (budgetBytes === undefined) return new Set(calendar.keys());
  const anyway = planRetention(backups, { count, startBurstMs }, options).kept.map(({ backup }) => backup);
  const fitting = new Set(anyway);
  let bytes = anyway.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
  for (const period of ADMISSION) {
    for (const backup of backups) {
      if (fitting.has(backup) || !calendar.get(backup)?.some((reason) => reason.period === period)) continue;
      bytes += backup.sizeBytes ?? 0;
      // An older one that would still fit is no substitute for the one before it.
      if (bytes > budgetBytes) return fitting;
      fitting.add(backup);
    }
  }
  return fitting;
}

function removalReason(
  backup: Retainable,
  { count, keep }: Pick<Required<RetentionPolicy>, 'count' | 'keep'>,
  isMiddle: boolean,
): string {
  if (backup.manifest?.trigger === 'safety') return `safety backup older than ${SAFETY_DAYS} days`;
  if (isMiddle && isCounted(backup)) return 'between the oldest and the newest of several starts within one interval';
  const units = PERIODS.filter((period) => keep[period] > 0).map((period) => unitOf[period]);
  if (units.length === 0) return `older than the newest ${count}`;
  if (!isVerified(backup)) return `older than the newest ${count}, and damaged`;
  return `older than the newest ${count}, and not the newest of a kept ${units.join(', ')}`;
}

export function isVerified(backup: Retainable): boolean {
  return passedItsCheck(backup) && !backup.changedAt;
}

/** It passed its check, and its file was written to since: a whole folder may have been copied, or one file spoiled. */
export function isUnsure(backup: Retainable): boolean {
  return passedItsCheck(backup) && Boolean(backup.changedAt);
}

function passedItsCheck({ manifest, fault }: Retainable): boolean {
  return manifest !== null && fault === null && manifest.verification.complaint === null;
}

function middleOfStartBursts(backups: readonly Retainable[], burstMs: number): ReadonlySet<Retainable> {
  const bursts = new Map<number, Retainable[]>();
  for (const backup of backups) {
    if (backup.manifest?.trigger !== 'start' || backup.manifest.pinned) continue;
    const interval = Math.floor(backup.createdAt.getTime() / Math.max(1, burstMs));
    bursts.set(interval, [...(bursts.get(interval) ?? []), backup]);
  }
  return new Set([...bursts.values()].flatMap((burst) => burst.slice(1, -1)));
}
