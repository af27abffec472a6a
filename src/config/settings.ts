/**
 * The settings: one row each, and the only place where one is described; the rows of targets stand in `target-settings.ts`.
 * The environment (`env.ts`), the configuration file and its types (`config-file.ts`, `define-config.ts`), the files of
 * secrets and docs/configuration.md are made of this table; `page-settings.ts` names the rows that the page may change. A row
 * is called as its key in the configuration file.
 */
import { z } from 'zod';
import { parseRecipients } from '../engine/format/age.ts';
import { BackupError } from '../words/errors.ts';
import { checkCron } from '../words/schedule.ts';
import { readDatabaseUrl } from './database-url.ts';
import { inQuotes, refused, settingsOf, whole } from './setting.ts';

const { setting } = settingsOf('What is backed up, when, and where to');
const proof = settingsOf('Proof');
const kept = settingsOf('What is kept');
const continuous = settingsOf('Continuous backup');
const sealed = settingsOf('How copies are sealed, on S3 and in a second folder');
const server = settingsOf('The server');
const app = settingsOf("The app's own files (Velist's layout)");

const path = z.string().min(1);
const keep = whole(0, 10_000, 'backup');
const webAddress = z.url({ protocol: /^https?$/, error: 'a URL that begins with https:// or http://' });
const token = z
  .string()
  .regex(/^[\x21-\x7e]{16,1024}$/, {
    error: 'at least 16 characters without spaces, such as the output of openssl rand -hex 32',
    abort: true,
  })
  .superRefine(refused(inQuotes));

/** Where backups and run history lie. */
export const placeSettings = {
  /** The one database, if there is no list; then nothing is called by a name. */
  path: setting({
    variable: 'DATABASE_URL',
    value: z.string().transform((url, context) => {
      const place = readDatabaseUrl(url);
      if ('path' in place) return place.path;
      context.addIssue({ code: 'custom', message: place.fault });
      return url;
    }),
    start: './db/dev.sqlite',
    says: 'the database: a path, also as `file:./app.sqlite` or `sqlite:///srv/app.sqlite`; more forms below',
    // One that we refuse may be another server's, with its password.
    isHidden: true,
  }),
  /** At the top and beside a glob the folder in which each database has its own; beside a path its very own. */
  localPath: setting({
    variable: 'BACKUP_LOCAL_PATH',
    value: path,
    start: './storage/backups',
    says: 'the folder for the backups; created with mode 0700, its files with 0600',
  }),
  /** As `localPath`: `storage/velist-backup.sqlite` becomes `storage/<name>.velist-backup.sqlite`. */
  statePath: setting({
    variable: 'BACKUP_STATE_PATH',
    value: path,
    start: './storage/velist-backup.sqlite',
    says: 'the run history, shared by the app and the command line; nothing else is lost if it is',
  }),
};

/** The settings of one database; at the top they hold for all. */
export const databaseSettings = {
  enabled: setting({
    variable: 'BACKUP_ENABLED',
    value: z.boolean(),
    start: true,
    says: '`false`: no scheduled backups, only those that somebody starts',
  }),
  intervalMinutes: setting({
    variable: 'BACKUP_INTERVAL_MINUTES',
    value: whole(1, 525_600, 'minute'),
    start: 10,
    says: 'minutes between two backups',
  }),
  /** A cron line, instead of the interval. */
  schedule: setting({
    variable: 'BACKUP_SCHEDULE',
    value: z
      .string()
      .min(1)
      .refine((line) => checkCron(line) === null, { error: 'a cron line with five fields, for example 0 3 * * *' }),
    says: 'a cron line with five fields instead of the interval: `0 3 * * *`',
  }),
  retentionCount: kept.setting({
    variable: 'BACKUP_RETENTION_COUNT',
    value: whole(1, 10_000, 'backup'),
    start: 10,
    says: 'how many of the newest backups to keep on this disk',
  }),
  /** Without any of the five: 24 hours, 7 days and 4 weeks, within a fifth of the disk. Beside one that is said: 0. */
  keepHourly: kept.setting({
    variable: 'BACKUP_KEEP_HOURLY',
    value: keep,
    says: 'also keep the newest good one of each hour, for this many hours that have one; `24` by default',
  }),
  keepDaily: kept.setting({
    variable: 'BACKUP_KEEP_DAILY',
    value: keep,
    says: 'the same for days, in UTC; `7` by default',
  }),
  keepWeekly: kept.setting({
    variable: 'BACKUP_KEEP_WEEKLY',
    value: keep,
    says: 'the same for ISO weeks; `4` by default',
  }),
  keepMonthly: kept.setting({ variable: 'BACKUP_KEEP_MONTHLY', value: keep, says: 'the same for months' }),
  keepYearly: kept.setting({ variable: 'BACKUP_KEEP_YEARLY', value: keep, says: 'the same for years' }),
  verify: proof.setting({
    variable: 'BACKUP_VERIFY',
    value: z.enum(['quick', 'full']),
    start: 'quick',
    says: 'run `quick_check` or `integrity_check` on every backup',
  }),
  skipUnchanged: setting({
    variable: 'BACKUP_SKIP_UNCHANGED',
    value: z.boolean(),
    start: true,
    says: 'a scheduled run on an unchanged database makes no backup and is only recorded',
  }),
  maxAgeMinutes: proof.setting({
    variable: 'BACKUP_MAX_AGE_MINUTES',
    value: whole(1, 5_256_000, 'minute'),
    says: 'the age at which the newest good backup is too old; by default three intervals, at least 15',
  }),
  /** Whether a backup that lost much against the one before raises an alarm. */
  lossAlarm: proof.setting({
    variable: 'BACKUP_LOSS_ALARM',
    value: z.boolean(),
    start: true,
    says: 'a backup that lost much since the one before raises an alarm, and the earlier backups are kept',
  }),
  /** More than this part of a table's rows is much. */
  lossPercent: proof.setting({
    variable: 'BACKUP_LOSS_PERCENT',
    value: z.int('a whole number').min(1, 'at least 1').max(100, 'at most 100'),
    start: 50,
    says: 'losing more than this percentage of the rows of a table, or of the whole content, raises the alarm',
  }),
  /** A part is judged only in tables with at least this many rows. */
  lossRows: proof.setting({
    variable: 'BACKUP_LOSS_ROWS',
    value: whole(1, 1_000_000_000, 'row'),
    start: 1_000,
    says: 'the percentage applies only to tables with at least this many rows',
  }),
  /** Tables that the app empties regularly. */
  lossIgnore: proof.setting({
    variable: 'BACKUP_LOSS_IGNORE',
    value: z
      .array(z.string().min(1, 'the name of a table').max(512, 'at most 512 characters'))
      .max(1_000, 'at most 1,000 tables'),
    start: [],
    says: 'tables that the app empties regularly, separated by commas',
  }),
  drillEnabled: proof.setting({
    variable: 'BACKUP_DRILL_ENABLED',
    value: z.boolean(),
    start: true,
    says: 'rehearse a restore once a day',
  }),
  drillSql: proof.setting({
    variable: 'BACKUP_DRILL_SQL',
    value: z.string().min(1),
    says: 'SQL that must hold on a restored backup: a statement, or the path of a file with several',
  }),
  // The path of a webhook is its password.
  webhookUrl: proof.secret({
    variable: 'BACKUP_WEBHOOK_URL',
    value: webAddress,
    says: 'is called when something changes, with JSON that Slack, Discord and Mattermost accept',
  }),
  heartbeatUrl: proof.secret({
    variable: 'BACKUP_HEARTBEAT_URL',
    value: webAddress,
    says: 'is pinged with each backup, in the format of healthchecks.io',
  }),
  /** Every commit is captured beside the backups, which stay as they are. */
  continuous: continuous.setting({
    variable: 'BACKUP_CONTINUOUS',
    value: z.boolean(),
    start: false,
    says: '`true`: every commit is captured, and any captured moment can be restored',
  }),
  continuousIntervalSeconds: continuous.setting({
    variable: 'BACKUP_CONTINUOUS_INTERVAL_SECONDS',
    value: whole(1, 3_600, 'second'),
    start: 1,
    says: 'commits of this long are one moment',
  }),
  /** For how long moments of a second, of half a minute, of five minutes, of an hour are kept. */
  continuousKeep: continuous.setting({
    variable: 'BACKUP_CONTINUOUS_KEEP',
    value: z
      .array(z.string().regex(/^[1-9][0-9]{0,4}[mhd]$/, 'a number with m, h or d, such as 12h'))
      .length(4, 'four of them, such as 1h,1d,7d,30d'),
    start: ['1h', '1d', '7d', '30d'],
    says: 'how long every captured moment is kept, then one of each half minute, of five minutes, of an hour',
  }),
  continuousLocalMax: continuous.setting({
    variable: 'BACKUP_CONTINUOUS_LOCAL_MAX',
    value: whole(1, 1_000_000_000, 'megabyte'),
    says: 'megabytes that the stream may take on this disk; else a quarter of what is free',
  }),
  continuousMaxLagSeconds: continuous.setting({
    variable: 'BACKUP_CONTINUOUS_MAX_LAG_SECONDS',
    value: whole(1, 86_400, 'second'),
    start: 60,
    says: 'a target that misses captured commits for longer turns the verdict',
  }),
  continuousStopSeconds: continuous.setting({
    variable: 'BACKUP_CONTINUOUS_STOP_SECONDS',
    value: whole(1, 600, 'second'),
    start: 8,
    says: 'how long a stop waits for the last commits to be captured and shipped',
  }),
  /** How copies at targets are sealed. */
  compression: sealed.setting({
    variable: 'BACKUP_COMPRESSION',
    value: z.enum(['none', 'zstd']),
    start: 'none',
    says: 'compress copies there; backups on this disk stay plain files',
  }),
  /** Age public keys: copies at targets are encrypted to them. */
  encryptionRecipient: sealed.setting({
    variable: 'BACKUP_ENCRYPTION_RECIPIENT',
    value: z.string().transform(recipients),
    start: [],
    says: 'public age keys, separated by commas; copies there are encrypted to them',
    saysFault: true,
  }),
};

/** What is common to all databases. */
export const serverSettings = {
  host: server.setting({
    variable: 'HOST',
    value: z.string().min(1),
    start: '127.0.0.1',
    says: 'the address to listen on; anything but a loopback address needs a password or a token',
  }),
  port: server.setting({
    variable: 'PORT',
    value: z.int('a whole number').min(0, 'at least 0').max(65_535, 'at most 65,535'),
    start: 3000,
    says: 'the port to listen on; `0` takes any free one',
  }),
  adminPassword: server.secret({
    variable: 'BACKUP_ADMIN_PASSWORD',
    value: z.string().max(1_024).superRefine(refused(inQuotes)),
    says: 'the password for the page',
    isVerbatim: true,
  }),
  apiToken: server.secret({
    variable: 'BACKUP_API_TOKEN',
    value: token,
    says: 'programs send it as `Authorization: Bearer`; at least 16 characters: `openssl rand -hex 32`',
    isVerbatim: true,
  }),
  /** Opens the metrics alone. */
  metricsToken: server.secret({
    variable: 'BACKUP_METRICS_TOKEN',
    value: token,
    says: 'opens `/backup/metrics` for Prometheus, and nothing else',
    isVerbatim: true,
  }),
  /** JSON lines of the audit record: a file, or `-` for standard output. */
  auditLog: server.setting({
    variable: 'BACKUP_AUDIT_LOG',
    value: path,
    says: 'where to write who did what, as lines of JSON for a collector: a file, or `-` for standard output',
  }),
  logFormat: server.setting({
    variable: 'LOG_FORMAT',
    value: z.enum(['text', 'json']),
    start: 'text',
    says: 'the format of the log',
  }),
};

/** Settings of the app and not of backups: they stay in the environment. */
export const appSettings = {
  driver: app.setting({
    variable: 'STORAGE_DRIVER',
    value: z.enum(['local', 's3']),
    start: 'local',
    says: 'where `createStorage()` keeps them; backups do not depend on it',
  }),
  localPath: app.setting({
    variable: 'LOCAL_STORAGE_PATH',
    value: path,
    start: './storage/uploads',
    says: 'the folder for the `local` driver',
  }),
  localUrl: app.setting({
    variable: 'LOCAL_STORAGE_URL',
    value: z.string(),
    start: '/storage',
    says: 'the address at which that folder is served',
  }),
  cdnUrl: app.setting({
    variable: 'CDN_URL',
    value: z.string(),
    says: 'the address at which the files of the `s3` driver are served',
  }),
  demoOrders: app.setting({
    variable: 'DEMO_ORDERS',
    value: z.boolean(),
    start: true,
    says: 'whether the demo shop of this repository receives orders',
  }),
  nodeEnv: app.setting({
    variable: 'NODE_ENV',
    value: z.string(),
    start: 'development',
    says: '`production`: no demo database is created',
  }),
};

function recipients(text: string, context: z.core.$RefinementCtx<string>): readonly string[] {
  try {
    return parseRecipients(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: BackupError.from(error).message });
    return [];
  }
}
