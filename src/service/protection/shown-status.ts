/** How things stand, as the page and `status` show it; `status.ts` composes it. */
import type { Loss } from '../backups/shown-backup.ts';
import type { ContinuousStatus } from '../continuous/continuous-status.ts';
import type { FailedCheck } from './failed-checks.ts';
import type { Freshness } from './freshness.ts';
import type { RetentionForecast } from './retention-forecast.ts';
import type { Verdict } from './verdict.ts';
import type { PlaceStatus } from '../targets/shown-place.ts';
import type { ErrorBody } from '../../words/errors.ts';
import type { Run, RunProgress } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';

export interface Status {
  readonly serverTime: Date;
  readonly version: string;
  readonly verdict: Verdict;
  readonly freshness: Freshness;
  readonly database: {
    readonly name: string;
    /** As configured, never resolved: no absolute server path leaves the server unless it was configured as one. */
    readonly path: string;
    readonly exists: boolean;
    /** Main file and write-ahead log together. */
    readonly sizeBytes: number;
    /** The write-ahead log alone. */
    readonly logBytes: number;
    readonly changedAt: Date | null;
    /** From the oldest backup of the last 24 hours to the newest; null if there is none. */
    readonly growthBytes: number | null;
  };
  readonly schedule: {
    readonly enabled: boolean;
    readonly running: boolean;
    readonly intervalMinutes: number;
    readonly cron: string | null;
    readonly nextRunAt: Date | null;
    /** Since when it does not advance: a planned run has not begun, or the one that goes says nothing any more. */
    readonly stalledSince: Date | null;
  };
  readonly local: {
    readonly path: string;
    readonly count: number;
    readonly keep: number;
    readonly sizeBytes: number;
    readonly freeBytes: number;
    /** What retention will hold there. */
    readonly forecast: RetentionForecast;
  };
  readonly s3: {
    readonly enabled: boolean;
    readonly configured: boolean;
    readonly bucket: string | null;
    readonly path: string;
    readonly stored: number;
    readonly waiting: number;
    readonly nextTryAt: Date | null;
    readonly error: ErrorBody | null;
    /** When what S3 holds was looked at last; null when never. */
    readonly listedAt: Date | null;
  };
  /** Each that is configured beside the folder; `s3` first, if it is. */
  readonly targets: readonly TargetStatus[];
  /** Newest verified backup, and when its content was last known to be the whole truth. */
  readonly lastGood: {
    readonly filename: string;
    readonly createdAt: Date;
    readonly verifiedAt: Date;
    readonly holdsAt: Date;
  } | null;
  /** The failed check that counts most, and how many more there are. */
  readonly failedCheck: (FailedCheck & { readonly more: number }) | null;
  readonly maxAgeMinutes: number;
  readonly run: RunProgress | null;
  /** The newest that is not an upload. */
  readonly lastRun: Run | null;
  readonly lastBackupRun: Run | null;
  /** The folder, and each target beside it that is on. */
  readonly places: readonly PlaceStatus[];
  /** The open alarm: the backup that shows the loss, the one before it, and what was lost. */
  readonly loss: (Loss & { readonly filename: string; readonly at: Date; readonly beforeAt: Date }) | null;
  /** How commits are captured; absent while continuous backup is off. */
  readonly continuous?: ContinuousStatus;
  /** What "Undo restore" would bring back. */
  readonly undo: { readonly filename: string; readonly restored: string; readonly at: Date } | null;
}

/** A target beside the folder, as `Status.s3` has it. */
export interface TargetStatus extends Omit<Status['s3'], 'configured' | 'bucket'> {
  readonly target: TargetName;
  /** Null for a kind that has none. */
  readonly bucket: string | null;
  /** Such as `s3://bucket/path`, or a folder. */
  readonly where: string;
  /** After so many days a rule of the bucket removes a copy, and nothing else does; else our retention does. */
  readonly lifecycleDays?: number | null;
}
