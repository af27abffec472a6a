/**
 * Which backups to keep, and why: a pure function of backups, policy and time. Nothing here touches a file.
 *
 * Kept are the newest so many, and beside them the newest good one of each of the last so many hours, days, ISO weeks,
 * months and years that have one; while there are fewer such periods than asked for, the oldest good one too, as restic
 * has it. Calendar periods are those of UTC, as in the backups' names: what is kept can be read
 * off a listing, no day has 23 or 25 hours, and machines in several time zones plan the same for one bucket.
 *
 * Never removed: pinned and foreign ones, those whose file was changed and that nobody verified since, the newest verified one, and safety backups younger than 30 days (which are
 * not counted). Of several start backups within one interval only the oldest and the newest are kept and counted, so
 * that a crash loop flushes no history; the intervals are those of the clock, so that carrying a plan out shifts none.
 */
import type { Backup } from './catalog/catalog.ts';
import type { Manifest } from './catalog/manifest.ts';
import { PERIODS, type Period, periodOf, unitOf } from './periods.ts';

/** Of how many of the last hours, days, … that have a backup the newest is kept. */
export type KeepNumbers = Readonly<Record<Period, number>>;

export const KEEP_NONE: KeepNumbers = { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

export interface RetentionPolicy {
  /** The newest so many. */
  readonly count: number;
  /** Start backups within one such interval are one burst of restarts. */
  readonly startBurstMs: number;
  /** Beside the newest; none if not given. */
  readonly keep?: KeepNumbers;
}

/** A backup in the folder or at another target, as far as retention looks at it. */
export type Retainable = Pick<Backup, 'name' | 'createdAt' | 'fault' | 'changedAt'> & {
  readonly manifest: Pick<Manifest, 'trigger' | 'pinned' | 'verification'> | null;
};

export interface RetentionPlan<Kind extends Retainable = Backup> {
  readonly kept: readonly { readonly backup: Kind; readonly reasons: readonly string[] }[];
  readonly removed: readonly { readonly backup: Kind; readonly reason: string }[];
}

export const SAFETY_DAYS = 30;
const DAY_MS = 86_400_000;

/**
 * @param backups newest first, as the catalog lists them.
 * @param options.hold why nothing may be removed at present, in words for the plan.
 */
export function planRetention<Kind extends Retainable>(
  backups: readonly Kind[],
  policy: RetentionPolicy,
  options: { now: Date; hold?: string | null },
): RetentionPlan<Kind> {
  const keep = policy.keep ?? KEEP_NONE;
  const newestVerified = backups.find(isVerified);
  const burst = middleOfStartBursts(backups, policy.startBurstMs);
  const calendar = calendarReasons(backups, keep);
  const kept: { backup: Kind; reasons: string[] }[] = [];
  const removed: { backup: Kind; reason: string }[] = [];
  let counted = 0;
  for (const backup of backups) {
    const periods = calendar.get(backup) ?? [];
    // One of a burst that stays anyway is as good as any other.
    const isMiddle = burst.has(backup) && periods.length === 0;
    const reasons = [...holdReasons(backup, options.now)];
    if (backup === newestVerified) reasons.push('newest verified backup');
    if (isCounted(backup) && !isMiddle && counted < policy.count)
      reasons.push(`one of the newest ${policy.count} (${++counted})`);
    reasons.push(...periods);
    if (reasons.length === 0 && options.hold) reasons.push(options.hold);
    if (reasons.length > 0) kept.push({ backup, reasons });
    else removed.push({ backup, reason: removalReason(backup, { ...policy, keep }, isMiddle) });
  }
  return { kept, removed };
}

/** A pinned, a foreign and a safety backup take nobody's place. */
function isCounted({ manifest }: Retainable): boolean {
  return manifest !== null && manifest.trigger !== 'safety' && !manifest.pinned;
}

function* holdReasons(backup: Retainable, now: Date): Generator<string> {
  if (backup.manifest === null) {
    yield backup.fault ? 'its manifest is unreadable' : 'foreign: not made by this program';
    return;
  }
  if (backup.manifest.pinned) yield 'pinned';
  if (isUnsure(backup)) yield 'its file was changed after it was published: verify it';
  const ageMs = now.getTime() - backup.createdAt.getTime();
  if (backup.manifest.trigger === 'safety' && ageMs < SAFETY_DAYS * DAY_MS)
    yield `safety backup younger than ${SAFETY_DAYS} days`;
}

/**
 * The newest of each period, by the catalog's order: a clock that went back gives no period two. A damaged backup stands
 * for no period, or it would push out the good ones of its day.
 */
function calendarReasons(backups: readonly Retainable[], keep: KeepNumbers): ReadonlyMap<Retainable, string[]> {
  const reasons = new Map<Retainable, string[]>();
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
      reasons.set(backup, [...(reasons.get(backup) ?? []), reason]);
    }
  }
  return reasons;
}

function removalReason(backup: Retainable, { count, keep }: Required<RetentionPolicy>, isMiddle: boolean): string {
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
