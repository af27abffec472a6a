/**
 * Which backups to keep, and why: a pure function of backups, policy and time. Nothing here touches a file.
 *
 * Never removed: pinned and foreign ones, the newest verified one, and safety backups younger than 30 days (which are
 * not counted). Of several start backups within one interval only the oldest and the newest are kept and counted, so
 * that a crash loop flushes no history.
 */
import type { Backup } from './catalog/catalog.ts';
import type { Manifest } from './catalog/manifest.ts';

export interface RetentionPolicy {
  /** The newest so many. */
  readonly count: number;
  /** Start backups closer together than this are one burst of restarts. */
  readonly startBurstMs: number;
}

/** A backup in the folder or at another target, as far as retention looks at it. */
export type Retainable = Pick<Backup, 'name' | 'createdAt' | 'fault'> & {
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
  const newestVerified = backups.find(isVerified);
  const burst = middleOfStartBursts(backups, policy.startBurstMs);
  const kept: { backup: Kind; reasons: string[] }[] = [];
  const removed: { backup: Kind; reason: string }[] = [];
  let counted = 0;
  for (const backup of backups) {
    const reasons = [...holdReasons(backup, options.now)];
    if (backup === newestVerified) reasons.push('newest verified backup');
    const counts = backup.manifest !== null && backup.manifest.trigger !== 'safety' && !backup.manifest.pinned;
    let dropReason =
      backup.manifest?.trigger === 'safety'
        ? `safety backup older than ${SAFETY_DAYS} days`
        : `older than the newest ${policy.count}`;
    if (counts && burst.has(backup))
      dropReason = 'between the oldest and the newest of several starts within one interval';
    else if (counts && counted < policy.count) reasons.push(`one of the newest ${policy.count} (${++counted})`);
    if (reasons.length === 0 && options.hold) reasons.push(options.hold);
    if (reasons.length > 0) kept.push({ backup, reasons });
    else removed.push({ backup, reason: dropReason });
  }
  return { kept, removed };
}

function* holdReasons(backup: Retainable, now: Date): Generator<string> {
  if (backup.manifest === null) {
    yield backup.fault ? 'its manifest is unreadable' : 'foreign: not made by this program';
    return;
  }
  if (backup.manifest.pinned) yield 'pinned';
  const ageMs = now.getTime() - backup.createdAt.getTime();
  if (backup.manifest.trigger === 'safety' && ageMs < SAFETY_DAYS * DAY_MS)
    yield `safety backup younger than ${SAFETY_DAYS} days`;
}

export function isVerified(backup: Retainable): boolean {
  return backup.manifest !== null && backup.fault === null && backup.manifest.verification.complaint === null;
}

function middleOfStartBursts(backups: readonly Retainable[], burstMs: number): ReadonlySet<Retainable> {
  const middle = new Set<Retainable>();
  let burst: Retainable[] = [];
  const close = () => {
    for (const backup of burst.slice(1, -1)) middle.add(backup);
    burst = [];
  };
  for (const backup of backups.toReversed()) {
    if (backup.manifest?.trigger !== 'start' || backup.manifest.pinned) continue;
    const oldest = burst[0];
    if (oldest && Math.abs(backup.createdAt.getTime() - oldest.createdAt.getTime()) >= burstMs) close();
    burst.push(backup);
  }
  close();
  return middle;
}
