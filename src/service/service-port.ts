/** What the routes and the command line ask of the service. `backup-service.ts` is the one implementation. */
import type { Marked, Moments } from '../engine/stories/moments.ts';
import type { Remarks } from '../engine/sqlite/rules.ts';
import type { ErrorBody } from '../words/errors.ts';
import type { RestorePointGiven } from '../words/restore-point.ts';
import type { Act, AuditEntry, AuditFilter } from './audit/audit.ts';
import type { TargetReport } from '../engine/store/self-test.ts';
import type { ArrivalsPort } from './backups/shown-arrival.ts';
import type { BackupDiff, BackupItem, OtherDatabase } from './backups/shown-backup.ts';
import type { DoctorReport } from './doctor/finding.ts';
import type { Status } from './protection/shown-status.ts';
import type { Rescue, RescueAsked, RescueOptions, RescuePlan, UndoneRescue } from './inside/shown-rescue.ts';
import type { DrillReport } from './restores/drill-report.ts';
import type {
  FoundRestorePoint,
  PlannedMode,
  ReplacingMode,
  RestorePlan,
  RestoreResult,
} from './restores/restore-result.ts';
import type { Activity, ActivityRange } from './runs/activity.ts';
import type { ServiceEvent } from './service-event.ts';
import type { SetUpPort } from './set-up/shown-set-up.ts';
import type { BackupConfig, Settings } from './state/backup-config.ts';
import type { Run, RunKind, RunProgress, RunResult, RunTotal } from '../words/run.ts';
import type { TargetName } from '../words/target-word.ts';

export interface BackupResult {
  readonly success: boolean;
  readonly filename?: string;
  readonly size?: number;
  /** Present only when S3 is enabled. */
  readonly s3Uploaded?: boolean;
  /** By the names of the targets beside the folder that are on; not there when none is. */
  readonly uploaded?: Readonly<Record<TargetName, boolean>>;
  /** What the check says beside that the backup is good: rows that break a rule, what could not be checked. */
  readonly remarks?: readonly string[];
  readonly error?: ErrorBody;
  readonly report: Run;
}

/** What became of a claim. */
export interface ClaimResult {
  readonly target: TargetName;
  /** As configured: a path or an address. */
  readonly place: string;
  /** False if the place was ours already, or is of nobody yet: the first backup makes it ours. */
  readonly changed: boolean;
  /** Whose it was; null if it was of several, or of nobody. */
  readonly before: OtherDatabase | null;
  readonly databaseId: string | null;
  /** Backups there that count as ours by now, and those that stay as other databases'. */
  readonly ours: number;
  readonly others: number;
  /** Until then nothing is removed there that was made before the claim. */
  readonly sparesUntil: Date | null;
}

export interface PruneResult {
  readonly target: TargetName;
  readonly kept: readonly { readonly filename: string; readonly reasons: readonly string[] }[];
  readonly removed: readonly { readonly filename: string; readonly reason: string }[];
  readonly dryRun: boolean;
}

/** One open file: whoever opened it streams it, once, or closes it. */
export interface OpenedBackup {
  readonly sizeBytes: number;
  readonly etag: string;
  readonly modifiedAt: Date;
  /** Bytes `from` to `to`, both inclusive. The stream closes the file at its end, also when it is cancelled. */
  stream(from: number, to: number): ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Also while it is streamed; then the stream fails. */
  close(): Promise<void>;
}

export type RestoreMode = RestoreResult['mode'];

/** For a backup that is at S3, and of which copy is meant when it is here too. */
export interface FromTarget {
  /** Left out: the local one if there is one. */
  readonly from?: TargetName;
  /** The text of an identity file of age, with the private key that opens an encrypted copy. */
  readonly identity?: string;
  /**
   * Takes a copy that is not encrypted also where recipients are set for its target. Such a one is from before they were
   * set, or somebody else's: else PLAIN_COPY. Backups in the folder are plain files, and never meant.
   */
  readonly allowPlain?: boolean;
  readonly onProgress?: (run: RunProgress) => void;
}

export interface FindOptions extends Pick<FromTarget, 'from' | 'identity' | 'allowPlain'> {
  /** If there is none of ours, and there are those of one other database, the newest of those. */
  readonly fromOther?: boolean | undefined;
}

export interface DrillAsked {
  /** Left out: each that is on, and where commits are captured a random moment. */
  readonly target?: TargetName;
  /** Drills this captured moment alone: a time, a bookmark or a mark. */
  readonly at?: Date | string;
  /** The text of an identity file of age, with the private key that opens an encrypted copy. */
  readonly identity?: string;
  /** Proves a copy that is not encrypted also where copies are to be. Else it is passed over, or PLAIN_COPY. */
  readonly allowPlain?: boolean;
  /** Names of backups to pass over, as one whose drill failed. */
  readonly without?: readonly string[];
  readonly user?: string;
  readonly trigger?: 'manual' | 'cli' | 'schedule';
  readonly onProgress?: (run: RunProgress) => void;
}

export interface DurableAsked {
  /** `local` and those that are configured; all that are on, if not given. */
  readonly targets?: readonly TargetName[];
  /** Half a minute, if not given. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Only what lies between these is listed. */
export interface MomentsAsked extends Pick<FromTarget, 'identity' | 'allowPlain'> {
  /** Left out: the stream here. */
  readonly target?: TargetName | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

export interface ListOptions {
  readonly target?: TargetName;
  /** Asks targets that are on and were not looked at for a quarter of an hour first, each for ten seconds at most. */
  readonly recent?: boolean;
  /** Hears of each that did not answer then; what it held when it was looked at last is listed. */
  readonly onSilent?: (target: TargetName, error: ErrorBody) => void;
}

export interface BackupServicePort {
  start(): void;
  stop(): Promise<void>;
  /** Makes a backup now; never rejects for a failed run, the result says so. */
  performBackup(
    userId?: string,
    options?: { onProgress?: (run: RunProgress) => void; trigger?: 'manual' | 'cli' },
  ): Promise<BackupResult>;
  /** Starts a run as `performBackup` and answers its id at once. */
  requestBackup(userId?: string): Promise<{ readonly runId: string }>;
  /**
   * Newest first. What is at S3 alone is as of the last listing there (`status.s3.listedAt`). With a target only what
   * is there; S3 is then asked anew. Those of other databases say so (`other`).
   */
  getBackups(options?: ListOptions): Promise<readonly BackupItem[]>;
  /** Throws GONE (404) when there is no such backup. */
  getBackup(filename: string): Promise<BackupItem>;
  /** As a plain database file; one that is at S3 alone is fetched and checked first. */
  openBackup(filename: string, options?: Pick<FromTarget, 'allowPlain'>): Promise<OpenedBackup>;
  getConfig(): BackupConfig;
  /** Throws BAD_CONFIG. */
  updateConfig(change: Partial<Settings> & { readonly revert?: readonly (keyof Settings)[] }): BackupConfig;
  getStatus(): Promise<Status>;
  /** What became of each planned run, and the size of the database meanwhile. */
  getActivity(range: ActivityRange): Promise<Activity>;
  /** Newest first. */
  /** `telling`: only those that say something of the backups, neither stopped by hand nor refused. */
  getRuns(options?: {
    readonly limit?: number;
    readonly kind?: RunKind;
    readonly result?: RunResult;
    readonly telling?: boolean;
  }): readonly Run[];
  getRunTotals(): readonly RunTotal[];
  /** The audit record, newest first. Backups, checks and drills are among the runs. */
  getAudit(filter: AuditFilter): readonly AuditEntry[];
  /** Records what was refused, or let in, before the service was asked. */
  recordAct(act: Act): void;
  deleteBackup(filename: string, options?: { readonly target?: TargetName; readonly user?: string }): Promise<void>;
  /** Damage is an answer (`verification.state` is `damaged`), not an error. */
  verifyBackup(
    filename: string,
    options?: FromTarget & { readonly full?: boolean; readonly user?: string },
  ): Promise<BackupItem>;
  /** Any SQLite file that nobody writes to, a backup or not. */
  verifyFile(
    path: string,
    options?: { readonly full?: boolean },
  ): Promise<{ readonly ok: boolean; readonly detail: string | null } & Remarks>;
  adoptBackup(filename: string): Promise<BackupItem>;
  /** Files from elsewhere, which become backups only by a second step. */
  readonly arrivals: ArrivalsPort;
  updateBackup(
    filename: string,
    change: { readonly pinned?: boolean; readonly note?: string | null },
  ): Promise<BackupItem>;
  /** A loss was meant: its alarm ends, and retention goes its way. BAD_REQUEST where there is none. */
  acceptLoss(options?: {
    /** The backup that shows it; left out: the one that the status shows. */
    readonly filename?: string;
    /** Its tables are emptied regularly: nobody is told of them again. */
    readonly ignore?: boolean;
    readonly user?: string;
  }): Promise<BackupItem>;
  /** Takes such an answer back. */
  reopenLoss(filename: string): Promise<BackupItem>;
  /** Two backups by what verification counted, names or `latest`. BAD_REQUEST for one that was not counted. */
  diff(a: string, b: string): Promise<BackupDiff>;
  /**
   * Which backup that is, and from where: `latest` is the newest verified one of this database, `at` the newest that is not
   * later and not damaged. Targets that are on and were not looked at lately are asked first. NO_BACKUP if none will do.
   */
  findRestorePoint(wanted: RestorePointGiven, options?: FindOptions): Promise<FoundRestorePoint>;
  /** Changes nothing. @param wanted a backup's name, the path of any SQLite file, `{ latest: true }` or `{ at }`. */
  planRestore(
    wanted: string | RestorePointGiven,
    options?: FromTarget & { readonly user?: string; readonly mode?: ReplacingMode },
  ): Promise<RestorePlan>;
  /** Rejects with a BackupError when nothing could be restored; then nothing was changed or the error says what was. */
  restore(
    wanted: string | RestorePointGiven,
    options?: FromTarget & {
      /** `missing`: where the database's file is gone; TARGET_EXISTS where there is one, and nothing to undo. */
      readonly mode?: RestoreMode;
      /** For mode `file`: a new file; must not exist. */
      readonly to?: string;
      /** The plan's `expected` stamp: DB_CHANGED when the database changed since. */
      readonly expected?: string;
      readonly user?: string;
      /** The data of another database shall take the place of this one; else FOREIGN_PLACE. To a new file it always may. */
      readonly fromOther?: boolean;
    },
  ): Promise<RestoreResult>;
  undoRestore(options?: {
    /** `online` if not given. */
    readonly mode?: PlannedMode;
    /** The plan's `expected` stamp. */
    readonly expected?: string;
    readonly user?: string;
    readonly onProgress?: (run: RunProgress) => void;
  }): Promise<RestoreResult>;
  /** What it would do to bring these rows back while the app goes on. Changes nothing. */
  planRescue(asked: RescueAsked): Promise<RescuePlan>;
  /**
   * Brings them back in one transaction, behind a mark or a safety backup. Live rows with other content stay unless their
   * table's rule says otherwise. DB_CHANGED where the rows are not as they were planned; then nothing was written.
   */
  rescue(asked: RescueAsked, options?: RescueOptions): Promise<Rescue>;
  /** Takes a rescue back; rows that others changed in the meantime are left alone. NOTHING_TO_UNDO the second time. */
  undoRescue(id: string, options?: Pick<RescueOptions, 'user' | 'onProgress'>): Promise<UndoneRescue>;
  /** Those of the last 30 days, newest first. */
  rescues(): Promise<readonly Rescue[]>;
  /** What continuous backup can restore. NO_MOMENT where no commits were captured. */
  moments(options?: MomentsAsked): Promise<Moments>;
  /** Names all that is committed now. BAD_REQUEST for a name that is taken, NOT_DURABLE when it was not captured in time. */
  mark(name: string): Promise<Marked>;
  /**
   * Resolves when all that was committed before the call is at every target that is on, or at these; captured here, where there
   * is no other. NOT_DURABLE with the reason of each target that does not hold it in time; what was committed is captured and
   * shipped all the same. BAD_REQUEST for a target that there is not, ABORTED by the signal.
   */
  durable(options?: DurableAsked): Promise<{ readonly bookmark: string; readonly at: Date }>;
  /** The database is let go until `resumeContinuous`: an app can leave WAL mode then. NO_MOMENT where there is no stream. */
  pauseContinuous(options?: { readonly user?: string }): void;
  /** False when it was not paused. */
  resumeContinuous(): boolean;
  /** Puts the verdict of the last restore away, for all who look. False when there is none; undo stays possible. */
  dismissRestore(): boolean;
  /**
   * Says that the backups in the folder, or at a target, are of this database: after a move, a rename, a lost state. For a
   * week nothing is removed there that was made before. What bears the name of a third database stays as that one's.
   */
  claim(options?: { readonly target?: TargetName; readonly user?: string }): Promise<ClaimResult>;
  /** In the folder, unless told. BAD_REQUEST for S3 where none is configured; it is asked anew. */
  prune(options?: { readonly dryRun?: boolean; readonly target?: TargetName }): Promise<PruneResult>;
  /** Restores the newest backup of each target to a hidden place, judges and removes it. BAD_REQUEST for S3 without one. */
  drill(options?: DrillAsked): Promise<DrillReport>;
  /** What is wrong, or may go wrong, with the way all is set up. `s3`: asks the targets too, as `testTarget` does. */
  diagnose(options?: { readonly s3?: boolean }): Promise<DoctorReport>;
  /** Tries at a target what backups will ask of it. What fails is in the report; BAD_REQUEST when it is not configured. */
  testTarget(name: TargetName, options?: { readonly signal?: AbortSignal }): Promise<TargetReport>;
  /** What the page may set up where the environment does not say it. */
  readonly setUp: SetUpPort;
  /** Asks the running job to end; resolves when it has. */
  stopRun(): Promise<boolean>;
  /** Returns the function that ends the subscription. */
  on(listener: (event: ServiceEvent) => void): () => void;
}
