/**
 * What the service tells the outside: plain read-only records with `Date`s, the same for the page, the command line and
 * code. `http/contract.ts` describes their JSON form, in which every `Date` is an ISO 8601 string in UTC.
 */
import type { AuditAct } from './audit/acts.ts';
import type { ContinuousStatus } from './continuous/continuous-status.ts';
import type { PageSettings } from '../config/page-settings.ts';
import type { SealName } from '../engine/format/seal.ts';
import type { ErrorBody, ErrorCode } from '../words/errors.ts';
import type { Remarks } from '../engine/sqlite/rules.ts';
import type { Actor } from './audit/actor.ts';
import type { Freshness } from './protection/freshness.ts';
import type { RetentionForecast } from './protection/retention-forecast.ts';

export type { TargetReport } from '../engine/store/self-test.ts';

export type Trigger = 'start' | 'schedule' | 'manual' | 'cli' | 'safety';
export type RunKind = 'backup' | 'verify' | 'restore' | 'undo' | 'upload' | 'drill';
export type RunResult = 'success' | 'failed' | 'unchanged' | 'stopped';
export type StepName =
  'checkpoint' | 'copy' | 'verify' | 'publish' | 'upload' | 'prune' | 'fetch' | 'check' | 'safety' | 'place' | 'prove';

export interface Step {
  readonly name: StepName;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  readonly ms?: number;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
}

/** A run that is going. `percent` only rises. */
export interface RunProgress {
  readonly id: string;
  readonly kind: RunKind;
  readonly trigger: Trigger;
  readonly user: string | null;
  readonly startedAt: Date;
  readonly backup: string | null;
  readonly steps: readonly Step[];
  readonly percent: number;
}

/** A run that ended, as kept in the run history. Sizes in bytes. */
export interface Run {
  readonly id: string;
  readonly kind: RunKind;
  readonly trigger: Trigger;
  readonly user: string | null;
  readonly plannedAt: Date | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly result: RunResult;
  readonly backup: string | null;
  readonly sizeBytes: number | null;
  readonly steps: readonly Step[];
  readonly error: ErrorBody | null;
  /** Only for a drill. */
  readonly drill?: Drill;
  /** Only for an upload: where to; left out for `s3`. */
  readonly target?: TargetName;
}

export interface Drill {
  readonly target: TargetName;
  /** `sealed`: the digest is right, and there was no key to open the content. Null when the drill failed. */
  readonly proof: 'restored' | 'sealed' | null;
  /** How many statements of the owner held. */
  readonly assertions: number;
  /** What is said of the content beside that it is sound: rows that break a rule, what could not be checked. */
  readonly remarks?: readonly string[];
}

/** How many runs of one kind there ever were; numbers never fall. */
export interface RunTotal extends Pick<Run, 'kind' | 'trigger' | 'result'> {
  readonly count: number;
  readonly sizeBytes: number;
}

export type Verification =
  | ({
      readonly state: 'verified';
      readonly method: 'quick' | 'full';
      readonly at: Date;
      /** Both of the following in words. */
      readonly remarks: readonly string[];
    } & Remarks)
  | { readonly state: 'damaged'; readonly method: 'quick' | 'full'; readonly at: Date; readonly detail: string }
  /** `changedAt`: it passed a check, and its file was written to since. */
  | { readonly state: 'unchecked'; readonly changedAt?: Date };

/** `local`, `s3` (the one of the environment), or the name of a further one. */
export type TargetName = string;

/** One copy of a backup, or the place where one is to be. A state has only what it has; the JSON form has null for the rest. */
export type Placement = { readonly target: TargetName } & (
  | {
      readonly status: 'stored';
      readonly at: Date;
      readonly error: null;
      /** As configured: a path or an address; null if it is not known how the copy is sealed. */
      readonly where: string | null;
      /** Size of the file there, which may be compressed; null if it is not known. */
      readonly sizeBytes: number | null;
      /** How the copy there is compressed and encrypted, if that is known. */
      readonly sealing?: SealName;
      /** It must be brought back by the provider before it can be read, which takes that long: `3 to 12 hours`. */
      readonly archive?: { readonly storageClass: string; readonly takes: string };
    }
  | {
      readonly status: 'waiting';
      readonly at: null;
      readonly error: null;
      readonly where: null;
      readonly sizeBytes: null;
    }
  | {
      readonly status: 'failed';
      /** When it was tried; null for a copy that is there and is not whole, which has a place and a size. */
      readonly at: Date | null;
      readonly error: ErrorBody;
      readonly where: string | null;
      readonly sizeBytes: number | null;
    }
);

export interface BackupItem {
  readonly filename: string;
  readonly size: number;
  readonly createdAt: Date;
  readonly trigger: Trigger | null;
  readonly user: string | null;
  readonly verified: boolean;
  readonly verification: Verification;
  /** A file without a manifest (made by Velist or by hand): can be adopted, is never pruned. */
  readonly foreign: boolean;
  readonly pinned: boolean;
  readonly note: string | null;
  /** Made before a restore; not counted by retention, kept 30 days. */
  readonly safety: boolean;
  readonly sha256: string | null;
  readonly pages: number | null;
  readonly pageSize: number | null;
  /** Where it is, and where it is to go. Without `local` it is fetched when it is needed. */
  readonly placements: readonly Placement[];
  /** The other database that it is a backup of; null for a backup of this one. */
  readonly other: OtherDatabase | null;
  /** Rows in all its tables; null where verification did not count them. */
  readonly rows: number | null;
  /** Against the backup of this database before it; null where one of them was not counted. */
  readonly changes: RowChanges | null;
  /** That it lost much against the one before; null when it did not. */
  readonly loss: Loss | null;
}

/** A database that a place or a backup belongs to. */
export interface OtherDatabase {
  /** Null where only manifests of an older version tell of it. */
  readonly id: string | null;
  /** Its file's name. */
  readonly name: string;
}

export interface RowChanges {
  /** The backup compared with. */
  readonly since: string;
  /** How many tables differ in rows. */
  readonly count: number;
  /** The biggest differences first, three at most; null where the table was not there. */
  readonly tables: readonly { readonly name: string; readonly before: number | null; readonly after: number | null }[];
}

export interface Loss {
  /** Last backup before it, and the newest that was a day older than that one. */
  readonly before: string;
  readonly dayBefore: string | null;
  /** The worst first; `after` null: the table is gone. */
  readonly tables: readonly { readonly name: string; readonly before: number; readonly after: number | null }[];
  readonly usedPages: { readonly before: number; readonly after: number };
  /** The user who said that it was meant; null while nobody did. */
  readonly accepted: { readonly at: Date; readonly user: string | null } | null;
}

/** `GET /api/diff`: two backups by what verification counted, at no cost. */
export interface BackupDiff {
  readonly a: string;
  readonly b: string;
  /** The biggest difference first, then by name; null where the table was not there, or its rows can't be counted. */
  readonly tables: readonly {
    readonly name: string;
    readonly change: 'same' | 'rows' | 'schema' | 'added' | 'removed';
    readonly before: { readonly rows: number | null; readonly bytes: number } | null;
    readonly after: { readonly rows: number | null; readonly bytes: number } | null;
  }[];
  readonly isSameSchema: boolean;
  readonly usedBytes: { readonly before: number; readonly after: number };
}

/** Whose a place is, and who writes there. */
export interface PlaceStatus {
  readonly target: TargetName;
  /**
   * `ours`: of this database. `new`: of nobody yet. `mixed`: an old place with backups of several databases, told apart by
   * their manifests. `foreign`: of another database; nothing is written or removed there. `unknown`: not looked at yet.
   */
  readonly owner: 'ours' | 'new' | 'mixed' | 'foreign' | 'unknown';
  /** The database it belongs to, where that is another one, and what helps to tell whether it is the same. */
  readonly other: (OtherDatabase & PlaceFacts) | null;
  /** Beside the folder alone: who else writes there; null when nobody does. */
  readonly writer: PlaceWriter | null;
  /** Until then nothing that others made is removed there; null when that does not hold. */
  readonly sparesOthersUntil: Date | null;
}

export interface PlaceFacts {
  readonly createdAt: Date | null;
  /** Each answer null where nobody knows. */
  readonly isSameName: boolean | null;
  readonly isSamePath: boolean | null;
  readonly isSameMachine: boolean | null;
  /** How many tables of its newest backup this database has, too. */
  readonly tablesInCommon: { readonly common: number; readonly theirs: number } | null;
  readonly newestBackup: { readonly filename: string; readonly createdAt: Date } | null;
}

/** What became of a claim. */
export interface ClaimResult {
  readonly target: TargetName;
  /** As configured: a path or an address. */
  readonly place: string;
  /** False where the place was ours already, or is of nobody yet: the first backup makes it ours. */
  readonly changed: boolean;
  /** Whose it was; null where it was of several, or of nobody. */
  readonly before: OtherDatabase | null;
  readonly databaseId: string | null;
  /** Backups there that count as ours by now, and those that stay as other databases'. */
  readonly ours: number;
  readonly others: number;
  /** Until then nothing is removed there that was made before the claim. */
  readonly sparesUntil: Date | null;
}

export interface PlaceWriter {
  /** `clone`: it has the id of this installation. */
  readonly kind: 'other' | 'clone';
  readonly host: string;
  readonly since: Date;
  readonly seenAt: Date | null;
}

export interface TableRows {
  readonly name: string;
  readonly now: number | null;
  readonly after: number | null;
}

export interface RestorePlan {
  readonly backup: string;
  readonly confirm: string;
  readonly expected: string;
  readonly now: { readonly sizeBytes: number; readonly changedAt: Date; readonly pageSize: number } | null;
  readonly after: {
    readonly sizeBytes: number;
    readonly createdAt: Date;
    readonly verified: boolean;
    readonly pageSize: number;
  };
  /** Rows by table, biggest difference first; null when counting took longer than two seconds. */
  readonly tables: readonly TableRows[] | null;
  /** The best first; `missing` where there is no file to replace. */
  readonly modes: readonly PlannedMode[];
  /** What the warnings speak of: `missing` where there is no file; else what was asked for, or the first that is possible. */
  readonly mode: PlannedMode;
  /** Processes that have the database open, as far as they can be seen; an offline restore is refused meanwhile. */
  readonly openIn: readonly { readonly pid: number; readonly name: string }[];
  /** A safety backup is made first, and `undo` brings it back; offline, what turns out to be damaged is set aside instead. */
  readonly undo: boolean;
  readonly warnings: readonly string[];
  /** If a moment was asked for. */
  readonly moment?: AskedMoment;
}

/** What a moment that somebody asked for was taken for; `said` names its zone, and the same in UTC. */
export interface AskedMoment {
  readonly at: Date;
  readonly said: string;
}

/** The backup that a wish means. */
export type { AuditAct, ContinuousStatus };
export type { Marked, MomentRange, Moments } from '../engine/stories/moments.ts';

export interface FoundRestorePoint {
  readonly filename: string;
  readonly createdAt: Date;
  /** Where the copy to take lies. */
  readonly target: TargetName;
  readonly other: OtherDatabase | null;
  /** Null unless a moment was asked for. */
  readonly moment: AskedMoment | null;
  /** Whole sentences: what did not answer, what is newer and was passed over. */
  readonly warnings: readonly string[];
  /** Newer ones that were passed over, newest first. */
  readonly skipped: readonly { readonly filename: string; readonly target: TargetName; readonly why: string }[];
}

/** Over the database: while programs use it, or while none does. */
export type ReplacingMode = 'online' | 'offline';

/** `missing`: to the place of a database whose file is gone. */
export type PlannedMode = ReplacingMode | 'missing';

export type VerdictCode =
  | 'restoring'
  | 'running'
  | 'restored'
  | 'missing'
  | 'loss'
  | 'foreign-place'
  | 'stalled'
  | 'not-captured'
  | 'other-writer'
  | 'cloned'
  | 'none'
  | 'too-old'
  | 'damaged'
  | 'changed'
  | 'last-failed'
  | 's3-waiting'
  | 'off'
  | 'disk-low'
  | 'protected';

export interface Verdict {
  readonly code: VerdictCode;
  readonly tone: 'green' | 'amber' | 'red' | 'blue' | 'grey';
  /** One sentence, where code and status alone do not say what is wrong. */
  readonly detail?: string;
}

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
    readonly changedAt: Date | null;
    /** From the oldest backup of the last 24 hours to the newest; null where there is none. */
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
  readonly maxAgeMinutes: number;
  readonly run: RunProgress | null;
  /** The newest that is not an upload. */
  readonly lastRun: Run | null;
  readonly lastBackupRun: Run | null;
  /** The folder, and each target beside it that is on. */
  readonly places: readonly PlaceStatus[];
  /** The open alarm: the backup that shows the loss, the one before it, and what was lost. */
  readonly loss: (Loss & { readonly filename: string; readonly at: Date; readonly beforeAt: Date }) | null;
  /** Where every commit is to be captured; left out where continuous backup is off. */
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

export type ActivityRange = '24h' | '7d' | '30d';

/** A planned run, or several: then the worst of them. */
export interface ActivityBar {
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

/** Settings that can be changed while running. */
export type Settings = PageSettings;

export interface BackupConfig extends Settings {
  /** Start values of settings that were changed on the page or by `updateConfig`. */
  readonly changed: Partial<Settings>;
  /** Nobody said the keep numbers: they hold as long as all copies together stay below a fifth of the disk. */
  readonly keepIsDefault: boolean;
  readonly localPath: string;
  readonly databasePath: string;
  readonly cron: string | null;
  readonly s3: {
    readonly configured: boolean;
    readonly bucket: string | null;
    readonly region: string | null;
    readonly endpoint: string | null;
  };
}

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

export interface RestoreResult {
  readonly success: boolean;
  readonly backup: string;
  readonly mode: 'file' | 'online' | 'offline' | 'missing';
  /** Where the database now is. */
  readonly path: string;
  /** The safety backup that was made first; null where nothing was replaced. */
  readonly safetyBackup: string | null;
  readonly report: Run;
  /** If a moment was asked for. */
  readonly moment?: AskedMoment;
}

/** What became of `restoreIfMissing`. Paths and places are as configured. */
export type FirstBoot =
  /** Nothing was done. */
  | { readonly outcome: 'present'; readonly path: string }
  | {
      readonly outcome: 'restored';
      readonly path: string;
      readonly backup: string;
      readonly from: TargetName;
      /** Newer copies that could not be used, newest first. */
      readonly skipped: readonly FirstBootSkipped[];
    }
  /** There is no backup in any of these places, and never was as far as is known: a new database may begin. */
  | { readonly outcome: 'first-boot'; readonly path: string; readonly looked: readonly string[] };

export interface FirstBootSkipped {
  readonly filename: string;
  readonly from: TargetName;
  readonly reason: string;
}

/** What the doctor found: what it is, why it matters, and what to do; the last two are null where all is well. */
export interface Finding {
  readonly code: string;
  readonly severity: 'ok' | 'info' | 'warning' | 'problem';
  readonly what: string;
  readonly why: string | null;
  readonly fix: string | null;
}

export interface DoctorReport {
  /** True when nobody has to act: there is no warning and no problem. */
  readonly ok: boolean;
  /** The worst first. */
  readonly findings: readonly Finding[];
}

/** What became of the drills that were asked for; one that fails is an answer, not an error. */
export interface DrillReport {
  /** True when none failed. A sealed copy that could not be opened for want of a key is no failure. */
  readonly ok: boolean;
  readonly drills: readonly TargetDrill[];
}

export interface TargetDrill {
  readonly target: TargetName;
  readonly result: 'proven' | 'sealed' | 'failed' | 'stopped';
  /** Null where there was none. */
  readonly backup: string | null;
  readonly sizeBytes: number | null;
  readonly ms: number;
  readonly assertions: number;
  readonly remarks?: readonly string[];
  readonly error: ErrorBody | null;
}

export interface PruneResult {
  readonly target: TargetName;
  readonly kept: readonly { readonly filename: string; readonly reasons: readonly string[] }[];
  readonly removed: readonly { readonly filename: string; readonly reason: string }[];
  readonly dryRun: boolean;
}

export type ServiceEvent =
  /** `elsewhere`: another process makes it, over the same backup folder. */
  | { readonly type: 'progress'; readonly run: RunProgress; readonly elsewhere?: true }
  | { readonly type: 'run'; readonly run: Run; readonly elsewhere?: true }
  /** What is at S3, or known of it, changed. */
  | { readonly type: 'backups' }
  /** This installation became the writer of a target where another one wrote until now. */
  | { readonly type: 'takeover'; readonly target: TargetName; readonly from: TakenFrom }
  | { readonly type: 'status' };

export interface TakenFrom {
  readonly host: string;
  readonly since: Date;
  /** Its last sign of life; null where it gave the place back. */
  readonly seenAt: Date | null;
  readonly wasReleased: boolean;
}

/** One row of the audit record. */
export interface AuditEntry extends Actor {
  readonly at: Date;
  /** Its name among several; null where there is one, and for what is done to all, such as signing in. */
  readonly database: string | null;
  readonly act: AuditAct;
  /** What it was done to: a backup, a file, the route that was refused. */
  readonly subject: string | null;
  readonly target: TargetName | null;
  readonly result: 'done' | 'failed' | 'stopped' | 'refused';
  readonly code: ErrorCode | null;
  readonly detail: string | null;
}

export interface AuditFilter {
  readonly limit: number;
  readonly since?: Date;
}
