/** How continuous backup stands, as the page and `status` show it. */
import type { StreamStatus } from '../../engine/replication/status.ts';
import type { BackupError, ErrorBody } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';

/** What a target beside the folder holds of what was captured. */
interface ShippedStatus {
  readonly name: TargetName;
  /** The newest moment that can be restored from there; null before the first. */
  readonly bookmark: string | null;
  readonly at: Date | null;
  readonly oldestAt: Date | null;
  /** When the oldest commit was captured that is not there; null when all are. */
  readonly behindSince: Date | null;
  readonly waitingBytes: number;
  /** Null until it was listed. */
  readonly sizeBytes: number | null;
  /** Why it does not go on. */
  readonly error: ErrorBody | null;
}

export interface ContinuousStatus {
  /** `off`: not in this process. */
  readonly phase: 'off' | 'starting' | 'capturing' | 'paused' | 'waiting';
  /** The newest captured moment. */
  readonly bookmark: string | null;
  readonly at: Date | null;
  readonly oldestAt: Date | null;
  /** All that was committed then is captured. */
  readonly caughtUpAt: Date | null;
  readonly sizeBytes: number;
  /** How long the app's own log is. */
  readonly logBytes: number;
  readonly pause: { readonly reason: 'asked' | 'restore' | 'replaced'; readonly since: Date } | null;
  readonly error: ErrorBody | null;
  /** The live file, or the stream, is not what was committed. */
  readonly untrue: { readonly at: 'file' | 'stream'; readonly since: Date; readonly error: ErrorBody } | null;
  /** How the last drill of a captured moment ended; `failed` as long as none has proven the same moment or a newer one. */
  readonly drill: {
    readonly at: Date;
    readonly result: 'proven' | 'failed';
    /** Which one; null where none could be reached. */
    readonly bookmark: string | null;
    readonly moment: Date | null;
  } | null;
  /** Each target that is on; none before the process that ships was told of them. */
  readonly targets: readonly ShippedStatus[];
  /** A target that is behind for longer turns the verdict. */
  readonly maxLagSeconds: number;
  readonly warnings: readonly string[];
  /** One sentence on why commits are not captured; null when they are. */
  readonly concern: string | null;
}

/** What the process that captures tells of itself. */
export type Shown = Omit<ContinuousStatus, 'concern' | 'drill' | 'maxLagSeconds'>;

/** @param down why there is no such process just now. */
export function shown(status: StreamStatus, down: BackupError | null): Shown {
  const { phase, bookmark, at, oldestAt, caughtUpAt, sizeBytes, logBytes, pause, error, untrue, warnings } = status;
  const toDate = (text: string | null) => (text === null ? null : new Date(text));
  return {
    ...{ phase, bookmark, sizeBytes, logBytes, warnings, error: down?.toJSON() ?? error },
    ...{ at: toDate(at), oldestAt: toDate(oldestAt), caughtUpAt: toDate(caughtUpAt) },
    pause: pause && { reason: pause.reason, since: new Date(pause.since) },
    untrue: untrue && { ...untrue, since: new Date(untrue.since) },
    targets: status.targets.map((target) => ({
      ...target,
      ...{ at: toDate(target.at), oldestAt: toDate(target.oldestAt), behindSince: toDate(target.behindSince) },
    })),
  };
}

/** Targets that have been behind for too long. */
export function behindTooLong(
  { targets, maxLagSeconds }: Pick<ContinuousStatus, 'targets' | 'maxLagSeconds'>,
  now: Date,
): readonly ShippedStatus[] {
  return targets.filter((target) => lagSeconds(target, now) > maxLagSeconds);
}

/** Age of the oldest commit that is not there; 0 when all are. */
export function lagSeconds({ behindSince }: Pick<ShippedStatus, 'behindSince'>, now: Date): number {
  // The clock may have gone back since.
  return behindSince === null ? 0 : Math.max(0, now.getTime() - behindSince.getTime()) / 1_000;
}
