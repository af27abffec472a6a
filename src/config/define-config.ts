/**
 * The configuration file, `velist-backup.config.ts`, as its author sees it: what the environment can say, in camelCase,
 * for one database or many. What the file does not say is taken from the environment; `null` takes a value back to its
 * default. Paths are those of the working folder, as in the environment.
 */

/** The settings of one database; at the top they hold for all. */
export interface DatabaseSettings {
  readonly enabled?: boolean | null;
  readonly intervalMinutes?: number | null;
  /** A cron line, instead of the interval. */
  readonly schedule?: string | null;
  readonly retentionCount?: number | null;
  /** Without any of the five: 24 hours, 7 days and 4 weeks, within a fifth of the disk. Beside one that is said: 0. */
  readonly keepHourly?: number | null;
  readonly keepDaily?: number | null;
  readonly keepWeekly?: number | null;
  readonly keepMonthly?: number | null;
  readonly keepYearly?: number | null;
  readonly verify?: 'quick' | 'full' | null;
  readonly skipUnchanged?: boolean | null;
  readonly maxAgeMinutes?: number | null;
  /** Whether a backup that lost much against the one before raises an alarm. */
  readonly lossAlarm?: boolean | null;
  /** More than this part of a table's rows is much. */
  readonly lossPercent?: number | null;
  /** Only in tables with so many rows is a part judged. */
  readonly lossRows?: number | null;
  /** Tables that the app empties regularly. */
  readonly lossIgnore?: string | readonly string[] | null;
  readonly drillEnabled?: boolean | null;
  readonly drillSql?: string | null;
  readonly webhookUrl?: string | null;
  /** Instead, a file that holds it; so with the others that end so. */
  readonly webhookUrlFile?: string | null;
  readonly heartbeatUrl?: string | null;
  readonly heartbeatUrlFile?: string | null;
  /** Of copies on S3. */
  readonly compression?: 'none' | 'zstd' | null;
  /** Public keys of age: copies on S3 are encrypted to them. */
  readonly encryptionRecipient?: string | readonly string[] | null;
  readonly s3?: S3Settings;
  /**
   * Beside `s3`, by their names (small letters, digits, hyphens): each is a bucket of its own with its own retention and
   * sealing, and nothing of `s3` holds for it. Those of the top are for all databases.
   */
  readonly targets?: Readonly<Record<string, TargetSettings>>;
}

export type TargetSettings = Omit<S3Settings, 'enabled'> &
  Pick<DatabaseSettings, 'compression' | 'encryptionRecipient'>;

/** A place on S3-compatible storage, and what is kept there. */
export interface S3Settings {
  readonly enabled?: boolean | null;
  /** At the top and beside a glob the prefix under which each database has its own; beside a path its very own. */
  readonly path?: string | null;
  readonly bucket?: string | null;
  readonly region?: string | null;
  readonly endpoint?: string | null;
  readonly forcePathStyle?: boolean | null;
  readonly accessKey?: string | null;
  readonly accessKeyFile?: string | null;
  readonly secretKey?: string | null;
  readonly secretKeyFile?: string | null;
  /** The third part of temporary credentials. */
  readonly sessionToken?: string | null;
  readonly sessionTokenFile?: string | null;
  readonly retentionCount?: number | null;
  readonly keepHourly?: number | null;
  readonly keepDaily?: number | null;
  readonly keepWeekly?: number | null;
  readonly keepMonthly?: number | null;
  readonly keepYearly?: number | null;
  /** `bucket`: its own lifecycle rules remove what is old, after `lifecycleDays`. */
  readonly retention?: 'ours' | 'bucket' | null;
  readonly lifecycleDays?: number | null;
  readonly storageClass?: string | null;
  readonly sse?: 'AES256' | 'aws:kms' | null;
  readonly sseKmsKey?: string | null;
  readonly objectLockDays?: number | null;
  readonly objectLockMode?: 'governance' | 'compliance' | null;
}

/** Where backups and run history lie. */
interface Places {
  /** At the top and beside a glob the folder in which each database has its own; beside a path its very own. */
  readonly localPath?: string | null;
  /** As `localPath`: `storage/velist-backup.sqlite` becomes `storage/<name>.velist-backup.sqlite`. */
  readonly statePath?: string | null;
}

interface Named {
  /**
   * `[a-z0-9][a-z0-9._-]*`; names folder, state, prefix and address. Left out: the name of the file, for a glob that of
   * the folder. The databases of a glob are called `<name>.<file>`.
   */
  readonly name?: string;
}

export type DatabaseEntry = DatabaseSettings &
  Places &
  Named &
  (
    | { readonly path: string; readonly glob?: never }
    | {
        /** Files that are there and files to come: `./tenants/*.sqlite`. */
        readonly glob: string;
        readonly path?: never;
      }
  );

export interface BackupsConfig extends DatabaseSettings, Places {
  readonly host?: string | null;
  readonly port?: number | null;
  readonly adminPassword?: string | null;
  readonly adminPasswordFile?: string | null;
  readonly apiToken?: string | null;
  readonly apiTokenFile?: string | null;
  /** Opens the metrics alone. */
  readonly metricsToken?: string | null;
  readonly metricsTokenFile?: string | null;
  /** JSON lines of the audit record: a file, or `-` for standard output. */
  readonly auditLog?: string | null;
  readonly logFormat?: 'text' | 'json' | null;
  /** The one database, where there is no list; then nothing is called by a name. */
  readonly path?: string | null;
  readonly databases?: readonly DatabaseEntry[];
}

/** Answers what it is given; for the types in `velist-backup.config.ts`. */
export function defineConfig(config: BackupsConfig): BackupsConfig {
  return config;
}
