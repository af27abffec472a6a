/**
 * The only reader of `process.env`, and on Node of `.env`. A wrong value stops the start with one line per fault, and so does
 * a `BACKUP_` variable that we do not know (`unknown-names.ts`). What the settings are stands in `settings.ts`.
 */
import type { Sealing } from '../engine/format/seal.ts';
import { BackupError } from '../words/errors.ts';
import { KEEP_BY_DEFAULT, type KeepNumbers } from '../engine/catalog/retention.ts';
import type { StoredAs } from '../engine/store/s3/stored-as.ts';
import { readDotenv } from './dotenv.ts';
import { faultsTogether } from './faults-together.ts';
import { bareVariables, knownVariables, readValues, secretVariables, type Values } from './read-settings.ts';
import { fileVariable, readSecretFiles } from './secret-files.ts';
import type { Variables } from './setting.ts';
import { faultsOfNames } from './unknown-names.ts';

export type { Variables };

/** Settings of a database that are handed on as they are; the others are put together in a form of their own. */
type Plain = Omit<Values['database'], (typeof together)[number]>;
const together = [
  ...(['schedule', 'keepHourly', 'keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const),
  ...(['lossAlarm', 'lossPercent', 'lossRows', 'compression', 'encryptionRecipient'] as const),
  ...(['continuous', 'continuousIntervalSeconds', 'continuousKeep'] as const),
  ...(['continuousLocalMax', 'continuousMaxLagSeconds', 'continuousStopSeconds'] as const),
];

export interface Environment {
  readonly production: boolean;
  readonly host: string;
  readonly port: number;
  readonly logFormat: 'text' | 'json';
  readonly demoOrders: boolean;
  readonly databasePath: string;
  /** With neither, the server answers this machine alone. */
  readonly signIn: {
    readonly password: string | null;
    readonly token: string | null;
    /** For the metrics alone. */
    readonly metricsToken: string | null;
  };
  readonly backup: Plain & {
    readonly cron: string | null;
    /** Backups of each calendar period, beside the newest. */
    readonly keep: KeepNumbers;
    /** None of these numbers was set. */
    readonly keepIsDefault: boolean;
    readonly localPath: string;
    readonly statePath: string;
    /** Whether a backup that lost much raises an alarm, and what much is. */
    readonly loss: { readonly isOn: boolean; readonly percent: number; readonly rows: number };
    /** How every commit is captured; null if none is. */
    readonly continuous: {
      readonly intervalMs: number;
      readonly windowsMs: readonly number[];
      readonly bytesMax: number | null;
      readonly maxLagSeconds: number;
      readonly stopMs: number;
    } | null;
    /** Beside the record in the state: a file of JSON lines, or `-` for standard output. */
    readonly auditLog: string | null;
    readonly s3Enabled: boolean;
    readonly s3Path: string;
    readonly s3RetentionCount: number | null;
    /** What is not given is as on this disk. */
    readonly s3Keep: Partial<KeepNumbers>;
    /** How copies at targets are sealed; those on this disk are plain database files. */
    readonly sealing: Sealing;
    readonly s3StoredAs: StoredAs;
    /** A second folder, on another disk. */
    readonly folder: {
      readonly path: string;
      /** The folder in it that is this database's; empty for the folder itself. */
      readonly prefix: string;
      readonly retentionCount: number | null;
      readonly keep: Partial<KeepNumbers>;
    } | null;
  };
  /** Beside S3, each with what is its own; only a configuration file names them. */
  readonly targets?: readonly { readonly name: string; readonly environment: Environment }[];
  readonly storage: {
    readonly driver: 'local' | 's3';
    readonly localPath: string;
    readonly localUrl: string;
    readonly cdnUrl: string | null;
  };
  readonly s3: {
    readonly bucket: string | null;
    readonly region: string | null;
    readonly endpoint: string | null;
    readonly forcePathStyle: boolean | null;
    readonly accessKeyId: string | null;
    readonly secretAccessKey: string | null;
    readonly sessionToken: string | null;
  };
  /** What a job's process inherits: programs, temporary files, language, certificates, the AWS default chain. */
  readonly jobEnvironment: Readonly<Record<string, string>>;
  /** Files that secrets were read from. */
  readonly secretFiles: readonly string[];
}

/**
 * Reads and checks all settings. An empty variable counts as absent.
 *
 * @param source of variables that do not all stand in the environment: what a fault calls each, and where to correct it.
 * @throws BackupError BAD_CONFIG whose message has one line per fault: name, value (never a secret's), what is allowed.
 */
export function loadEnvironment(
  variables: Variables = processVariables(),
  source: Source = inEnvironment,
): Environment {
  if (variables[JOB_MARK]) throw startedAsJob();
  const { variables: given, files, faults: ofFiles } = readSecretFiles(bareVariables(variables), secretVariables);
  const read = readValues(given);
  const values = 'values' in read ? read.values : null;
  const faults = [
    ...('faults' in read ? read.faults : []),
    ...ofFiles,
    ...faultsOfNames(given, knownVariables),
    ...(values ? faultsTogether(values, given) : []),
  ];
  const placeOf = (name: string) => (files.has(name) ? fileVariable(name) : name);
  if (values === null || faults.length > 0) {
    throw wrongSettings(
      faults.map((line) => named(line, { ...source, nameOf: (name) => source.nameOf(placeOf(name)) })),
      source.hint,
    );
  }
  return { ...shape(values, given), secretFiles: [...files.values()] };
}

export interface Source {
  readonly nameOf: (variable: string) => string;
  readonly hint: string;
}

const inEnvironment: Source = {
  nameOf: (variable) => variable,
  hint: 'Correct these variables in the environment or in .env, then start again.',
};

/** All variables of this process, also for what reads some of them from elsewhere. The environment wins over `.env`. */
export function processVariables(): Variables {
  return { ...readDotenv(), ...process.env };
}

/** For a program of our own: what a configuration file asks `process.env` for is there on Node too. */
export function takeDotenv(): void {
  Object.assign(process.env, processVariables());
}

/** The one form of a wrong configuration: a line for each fault. */
export function wrongSettings(faults: readonly string[], hint: string): BackupError {
  return new BackupError('BAD_CONFIG', `the settings are wrong:\n${faults.map((line) => `  ${line}`).join('\n')}`, {
    hint,
  });
}

/** `S3_ACCESS_KEY, S3_SECRET_KEY: one is missing…`, each called as its source calls it. */
function named(line: string, { nameOf }: Source): string {
  return line.replace(/^\w+(, \w+)*(?=: )/, (names) => names.split(', ').map(nameOf).join(', '));
}

/** Set by `run-job` for the job's process. */
const JOB_MARK = 'VELIST_BACKUP_JOB';

/** Where `process.execPath` is the app and not its runtime. Going on would start a job again, and that the app. */
function startedAsJob(): BackupError {
  return new BackupError('UNSUPPORTED', 'the app was started instead of a backup job', {
    hint: 'Run the app with node or bun, compile it with bun build --compile, or run `velist-backup serve` beside it.',
  });
}

function continuousOf(database: Values['database']): Environment['backup']['continuous'] {
  if (!database.continuous) return null;
  return {
    intervalMs: 1_000 * database.continuousIntervalSeconds,
    windowsMs: database.continuousKeep.map(millisecondsOf),
    bytesMax: database.continuousLocalMax === null ? null : 1_000_000 * database.continuousLocalMax,
    maxLagSeconds: database.continuousMaxLagSeconds,
    stopMs: 1_000 * database.continuousStopSeconds,
  };
}

/** `30m`, `12h`, `7d`. */
function millisecondsOf(text: string): number {
  const minutes = { m: 1, h: 60, d: 24 * 60 }[text.slice(-1)] ?? 0;
  return 60_000 * minutes * Number.parseInt(text, 10);
}

function shape(
  { place, s3, folder, database, server, app }: Values,
  given: Variables,
): Omit<Environment, 'secretFiles'> {
  const keepSet = keepNumbers(database);
  return {
    production: app.nodeEnv === 'production',
    host: server.host,
    port: server.port,
    logFormat: server.logFormat,
    demoOrders: app.demoOrders,
    databasePath: place.path,
    signIn: { password: server.adminPassword, token: server.apiToken, metricsToken: server.metricsToken },
    backup: {
      ...plain(database),
      cron: database.schedule,
      keep: keepSet ?? KEEP_BY_DEFAULT,
      keepIsDefault: keepSet === null,
      localPath: place.localPath,
      statePath: place.statePath,
      loss: { isOn: database.lossAlarm, percent: database.lossPercent, rows: database.lossRows },
      continuous: continuousOf(database),
      auditLog: server.auditLog,
      s3Enabled: s3.enabled,
      s3Path: s3.path,
      s3RetentionCount: s3.retentionCount,
      s3Keep: keepThere(s3),
      sealing: { compression: database.compression, recipients: database.encryptionRecipient },
      s3StoredAs: storedAs(s3),
      folder:
        folder.path === null
          ? null
          : { path: folder.path, prefix: '', retentionCount: folder.retentionCount, keep: keepThere(folder) },
    },
    storage: { driver: app.driver, localPath: app.localPath, localUrl: app.localUrl, cdnUrl: app.cdnUrl },
    s3: {
      bucket: s3.bucket,
      region: s3.region,
      endpoint: s3.endpoint,
      forcePathStyle: s3.forcePathStyle,
      accessKeyId: s3.accessKey,
      secretAccessKey: s3.secretKey,
      sessionToken: s3.sessionToken,
    },
    jobEnvironment: Object.fromEntries(
      Object.entries(given).filter(
        (entry): entry is [string, string] => entry[1] !== undefined && isInherited(entry[0]),
      ),
    ),
  };
}

function plain(values: Values['database']): Plain {
  const names: readonly string[] = together;
  return Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name))) as unknown as Plain; // the rest
}

/** Null while none is set. */
function keepNumbers(values: Values['database']): KeepNumbers | null {
  const { keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = values;
  if ([keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly].every((number) => number === null)) return null;
  return {
    hourly: keepHourly ?? 0,
    daily: keepDaily ?? 0,
    weekly: keepWeekly ?? 0,
    monthly: keepMonthly ?? 0,
    yearly: keepYearly ?? 0,
  };
}

/** What is not given is as on this disk. */
function keepThere(values: Values['s3' | 'folder']): Partial<KeepNumbers> {
  return {
    hourly: values.keepHourly ?? undefined,
    daily: values.keepDaily ?? undefined,
    weekly: values.keepWeekly ?? undefined,
    monthly: values.keepMonthly ?? undefined,
    yearly: values.keepYearly ?? undefined,
  };
}

const inherited: ReadonlySet<string> = new Set([
  ...['PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_ALL', 'TZ'],
  ...['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'],
]);

function isInherited(name: string): boolean {
  // Another server than the one that our messages name is never followed.
  return inherited.has(name) || (name.startsWith('AWS_') && !name.startsWith('AWS_ENDPOINT_URL'));
}

function storedAs(values: Values['s3']): StoredAs {
  const { sse, sseKmsKey: key, objectLockDays: days, objectLockMode: mode } = values;
  return {
    storageClass: values.storageClass,
    serverEncryption: sse === null ? null : sse === 'aws:kms' ? { algorithm: sse, key } : { algorithm: sse },
    objectLock: days === null ? null : { days, mode: mode ?? 'governance' },
    lifecycleDays: values.lifecycleDays,
  };
}
