/**
 * How well the database is protected, in one word, and how fresh what protects it is at each place. Pure. The verdict is
 * a sentence for people who look and changes while a run is going; the state is for programs and does not.
 */
import type { BackupItem } from '../backups/shown-backup.ts';
import { ofList } from '../of-list.ts';
import type { FailedCheck } from './failed-checks.ts';
import type { VerdictCode } from './verdict.ts';
import type { Run } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';

/**
 * `protected`: a good backup is young enough and nothing is wrong. `at-risk`: it is young enough, but the cause says what
 * may end that. `late`: there is a good backup, older than allowed. `unprotected`: there is none.
 */
type ProtectionState = 'protected' | 'late' | 'at-risk' | 'unprotected';
export const protectionStates = ['protected', 'late', 'at-risk', 'unprotected'] as const;

export interface Freshness {
  readonly state: ProtectionState;
  /** The verdict as it were if nothing was going. */
  readonly cause: VerdictCode;
  /** When the database was seen to change last. */
  readonly changedAt: Date | null;
  /** The folder, and each other target that is on. */
  readonly targets: readonly TargetFreshness[];
}

export interface TargetFreshness {
  readonly target: TargetName;
  /** When the newest good backup there was last known to be the whole truth: an unchanged database renews it. */
  readonly goodAt: Date | null;
  /** When one that is there passed a check last. */
  readonly verifiedAt: Date | null;
  /** When one was stored there last. */
  readonly storedAt: Date | null;
  /** The last restore that a drill proved there, and how long it took. */
  readonly proven: { readonly at: Date; readonly ms: number; readonly backup: string } | null;
  /**
   * How the last drill there ended; `sealed`: all but the content, for want of a key. `failed` as long as no drill has proven
   * the same backup or a newer one.
   */
  readonly drill: { readonly at: Date; readonly result: 'proven' | 'sealed' | 'failed' } | null;
  /** Backups there that did not pass their last check. */
  readonly damaged: number;
}

export interface FreshnessFacts {
  readonly now: Date;
  /** With no run going and none of the near past shown. */
  readonly verdict: VerdictCode;
  /** Moment of the newest good backup anywhere. */
  readonly goodAt: Date | null;
  readonly maxAgeMs: number;
  readonly changedAt: Date | null;
  /** Newest first. */
  readonly items: readonly BackupItem[];
  readonly lastUnchangedRun: Run | null;
  /** Names of the targets beside the folder that are on. */
  readonly remotes: readonly TargetName[];
  readonly drills: DrillsOf;
  readonly failedChecks: readonly FailedCheck[];
}

/** The drill runs that matter at one target. */
export type DrillsOf = (target: TargetName) => { readonly last: Run | null; readonly proven: Run | null };

export function assessFreshness(facts: FreshnessFacts): Freshness {
  const targets = ['local', ...facts.remotes];
  return {
    state: protectionState(facts.verdict, ageOf(facts)),
    cause: facts.verdict,
    changedAt: facts.changedAt,
    targets: targets.map((target) => freshnessAt(target, facts)),
  };
}

const calm: ReadonlySet<VerdictCode> = new Set(['protected', 'running', 'restoring', 'restored']);

export function protectionState(verdict: VerdictCode, good: 'young' | 'old' | 'none'): ProtectionState {
  if (good === 'none') return 'unprotected';
  if (good === 'old') return 'late';
  return calm.has(verdict) ? 'protected' : 'at-risk';
}

const alarms: ReadonlySet<VerdictCode> = new Set(['damaged', 'missing', 'stalled']);

/** Nobody should rely on it: also when a good backup is young, but the newest one is damaged, the database is gone or no backup follows. */
export function isFailing({ state, cause }: Pick<Freshness, 'state' | 'cause'>): boolean {
  return state === 'late' || state === 'unprotected' || alarms.has(cause);
}

function ageOf({ now, goodAt, maxAgeMs }: FreshnessFacts): 'young' | 'old' | 'none' {
  if (goodAt === null) return 'none';
  // A backup from far in the future, made before the clock went back, proves no more than an old one.
  return Math.abs(now.getTime() - goodAt.getTime()) > maxAgeMs ? 'old' : 'young';
}

function freshnessAt(
  target: TargetName,
  { items, lastUnchangedRun, drills, failedChecks }: FreshnessFacts,
): TargetFreshness {
  const failed = failedChecks.filter((check) => check.target === target);
  const { good, verifiedAt, storedAt } = storedAtEach(items)(target);
  const isRenewed = good && lastUnchangedRun?.backup === good.filename && lastUnchangedRun.endedAt > good.createdAt;
  return {
    target,
    goodAt: isRenewed ? lastUnchangedRun.endedAt : (good?.createdAt ?? null),
    ...{ verifiedAt, storedAt },
    ...drilled(drills(target), failed.find(({ kind }) => kind === 'drill') ?? null),
    damaged: failed.filter(({ kind }) => kind === 'verify').length,
  };
}

interface StoredThere extends Pick<TargetFreshness, 'verifiedAt' | 'storedAt'> {
  readonly good: BackupItem | null;
}

const storedAtEach = ofList((items: FreshnessFacts['items']) => {
  const targets = new Map<TargetName, StoredThere>();
  return (target: TargetName) => {
    const known = targets.get(target) ?? storedThere(items, target);
    targets.set(target, known);
    return known;
  };
});

function storedThere(items: FreshnessFacts['items'], target: TargetName): StoredThere {
  const stored = items.flatMap((item) => {
    const placement = item.placements.find((place) => place.target === target && place.status === 'stored');
    // A foreign file, or one from elsewhere, holds what nobody knows, a safety backup what a restore replaced.
    return placement && !item.foreign && !item.safety && !item.arrived
      ? [{ item, at: placement.at ?? item.createdAt }]
      : [];
  });
  const checks = stored.flatMap(({ item: { verification } }) =>
    verification.state === 'verified' ? [verification.at] : [],
  );
  return {
    good: stored.find(({ item }) => item.verified)?.item ?? null,
    verifiedAt: latest(checks),
    storedAt: latest(stored.map(({ at }) => at)),
  };
}

function drilled(
  { last, proven }: ReturnType<DrillsOf>,
  failed: FailedCheck | null,
): Pick<TargetFreshness, 'proven' | 'drill'> {
  const result = last?.drill?.proof === 'restored' ? 'proven' : (last?.drill?.proof ?? 'failed');
  // The clock may have gone back meanwhile.
  const ms = proven ? Math.max(0, proven.endedAt.getTime() - proven.startedAt.getTime()) : 0;
  return {
    proven: proven && { at: proven.endedAt, ms, backup: proven.backup ?? '' },
    drill: failed ? { at: failed.at, result: 'failed' } : last && { at: last.endedAt, result },
  };
}

function latest(moments: readonly Date[]): Date | null {
  return moments.length === 0 ? null : new Date(Math.max(...moments.map((moment) => moment.getTime())));
}
