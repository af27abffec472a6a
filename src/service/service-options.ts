/** What one service is made of; the front door exports it. */
import type { Sealing } from '../engine/format/seal.ts';
import type { runJob } from '../engine/process/run-job.ts';
import type { TargetAccess } from '../engine/store/kinds.ts';
import type { AuditSink } from './audit/audit.ts';
import type { DoorFacts } from './doctor/facts.ts';
import type { Log } from './log.ts';
import type { ContinuousOptions, Replication } from './continuous/replication.ts';
import type { Settings } from './state/backup-config.ts';
import type { NotifyWaits } from './notify/retry.ts';
import type { JobSlots } from './runs/job-slots.ts';
import type { Heartbeats } from './targets/heartbeats.ts';
import type { OwnRetention } from './targets/retention-policies.ts';
import type { TargetOptions } from './targets/targets.ts';

export interface BackupServiceOptions extends TargetOptions {
  /** Path of the database to protect. Never opened in this process. */
  readonly databasePath: string;
  /** Folder of the backups; made (0700) where it is missing. */
  readonly backupsPath: string;
  /** Our own small database for run history and upload state. */
  readonly statePath: string;
  /** Start values; what was changed while running is kept in the backup folder and wins. */
  readonly settings: Settings;
  /** The keep numbers among them were said by nobody: they hold as long as all copies stay below a fifth of the disk. */
  readonly keepIsDefault?: boolean;
  /** How many databases share that fifth; one, if not given. */
  readonly databasesOnDisk?: () => number;
  /** A cron line of five fields, instead of the interval. */
  readonly cron?: string | null;
  readonly skipUnchanged?: boolean;
  /** Rehearsals of a restore: by hand alone and without assertions, if not given. */
  readonly drills?: {
    readonly scheduled: boolean;
    /** One SQL statement, or the path of a file with several. */
    readonly sql: string | null;
  };
  /** Captures every commit; off, if not given. */
  readonly continuous?: ContinuousOptions | null;
  /** Shared by those of one process: one replicator for all databases. */
  readonly replication?: Replication;
  /** What the app serves to the public, as far as we are told: for the doctor alone. */
  readonly served?: { readonly folders: readonly string[]; readonly buckets: readonly string[] };
  /** How the program's server is reached: for the doctor alone. */
  readonly door?: DoorFacts;
  /** Whether a backup that lost much raises an alarm, and what much is; on, if not given. */
  readonly loss?: LossOptions;
  /** The receivers of messages when something changes; none, if not given. */
  readonly voices?: NotifyOptions;
  /** Its name among several, and where the lines of its audit record go beside its own database. */
  readonly audit?: { readonly name?: string | undefined; readonly sink?: AuditSink | null };
  /** Where many are guarded by one process: its jobs take turns with those of the others. */
  readonly turns?: JobSlots;
  /** Shared by those of one process: then one heartbeat in a bucket is enough for all of them. */
  readonly heartbeats?: Heartbeats;
  /** Which other database has backups at that place. */
  readonly ownerOfPlace?: (access: TargetAccess, prefix: string) => string | null;
  /** How copies are kept at targets that are set up on the page; as in the folder, and plain, if not given. */
  readonly keptByPage?: { readonly sealing?: Sealing; readonly s3?: OwnRetention };
  readonly log: Log;
  /** All that a job's process inherits. */
  readonly jobEnvironment: Readonly<Record<string, string>>;
  /** Files that secrets were read from; the doctor looks whether others may read them. */
  readonly secretFiles?: readonly string[];
  readonly now?: () => Date;
  /** Carries a job out: in a process of its own, if not given. Tests give jobs the clock of their machine. */
  readonly runJob?: typeof runJob;
  /** Half a minute each, if not given. */
  readonly waits?: {
    /** For another process that uses the backup folder. */
    readonly lockMs: number;
    /** For a connection that holds the database exclusively. */
    readonly pinMs: number;
    /** For the statements of a drill; ten minutes, if not given. */
    readonly proveMs?: number;
    /** Between two signs of life of a writer; by the schedule, if not given. */
    readonly tickMs?: number;
  };
}

/** What counts as a loss, and whether one raises an alarm. */
export interface LossOptions {
  readonly isOn: boolean;
  /** See `LossRules`. */
  readonly percent: number;
  readonly rows: number;
}

export interface NotifyOptions {
  /** Takes JSON with a text, as Slack, Discord and Mattermost do. */
  readonly webhookUrl?: string | null;
  readonly heartbeatUrl?: string | null;
  readonly waits?: Partial<NotifyWaits>;
}
