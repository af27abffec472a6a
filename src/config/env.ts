/**
 * The only reader of `process.env`, and on Node of `.env`: one schema with every setting and its default. A wrong value
 * stops the start with one line per fault, and so does a `BACKUP_` variable that we do not know (`unknown-names.ts`).
 */
import { z } from 'zod';
import { parseRecipients } from '../engine/age.ts';
import type { Sealing } from '../engine/artifact.ts';
import { BackupError } from '../engine/errors.ts';
import { KEEP_BY_DEFAULT, type KeepNumbers } from '../engine/retention.ts';
import { checkCron } from '../engine/schedule.ts';
import { isKey } from '../engine/targets/object-key.ts';
import { isArchiveClass } from '../engine/targets/archive-classes.ts';
import type { StoredAs } from '../engine/targets/s3-stored-as.ts';
import { readDatabaseUrl } from './database-url.ts';
import { readDotenv } from './dotenv.ts';
import { faultOfBucket, faultOfEndpoint, faultOfPrefix, faultsOfS3 } from './s3-faults.ts';
import { fileVariable, readSecretFiles } from './secret-files.ts';
import { faultsOfNames } from './unknown-names.ts';

const words = { truthy: ['true', '1', 'yes', 'on'], falsy: ['false', '0', 'no', 'off'] };
const flag = (start: 'true' | 'false') => z.stringbool(words).default(start === 'true');
const whole = (from: number, to: number) => z.coerce.number().int().min(from).max(to);
/** Of hours, days, weeks, months or years. */
const keep = whole(0, 10_000);
const path = z.string().min(1);
const secret = z.string().min(1);
const token = z
  .string()
  .regex(/^[\x21-\x7e]{16,1024}$/, {
    error: 'at least 16 characters without spaces, such as openssl rand -hex 32 makes',
    abort: true,
  })
  .superRefine(refused(inQuotes));
const receiver = z.url({ protocol: /^https?$/, error: 'a URL that begins with https:// or http://' });

export const settingsSchema = z.object({
  NODE_ENV: z.string().default('development'),
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: whole(0, 65_535).default(3000),
  DATABASE_URL: z
    .string()
    .default('./db/dev.sqlite')
    .transform((url, context) => {
      const place = readDatabaseUrl(url);
      if ('path' in place) return place.path;
      context.addIssue({ code: 'custom', message: place.fault });
      return url;
    }),
  LOG_FORMAT: z.enum(['text', 'json']).default('text'),

  BACKUP_ENABLED: flag('true'),
  BACKUP_INTERVAL_MINUTES: whole(1, 525_600).default(10),
  BACKUP_SCHEDULE: z
    .string()
    .min(1)
    .refine((line) => checkCron(line) === null, { error: 'a cron line of five fields, for instance 0 3 * * *' })
    .optional(),
  BACKUP_RETENTION_COUNT: whole(1, 10_000).default(10),
  /** Where one is set, those that are not are 0; where none is, `KEEP_BY_DEFAULT` holds. */
  BACKUP_KEEP_HOURLY: keep.optional(),
  BACKUP_KEEP_DAILY: keep.optional(),
  BACKUP_KEEP_WEEKLY: keep.optional(),
  BACKUP_KEEP_MONTHLY: keep.optional(),
  BACKUP_KEEP_YEARLY: keep.optional(),
  BACKUP_LOCAL_PATH: path.default('./storage/backups'),
  BACKUP_STATE_PATH: path.default('./storage/velist-backup.sqlite'),
  BACKUP_VERIFY: z.enum(['quick', 'full']).default('quick'),
  BACKUP_SKIP_UNCHANGED: flag('true'),
  BACKUP_MAX_AGE_MINUTES: whole(1, 5_256_000).optional(),
  BACKUP_LOSS_ALARM: flag('true'),
  BACKUP_LOSS_PERCENT: whole(1, 100).default(50),
  BACKUP_LOSS_ROWS: whole(1, 1_000_000_000).default(1_000),
  BACKUP_LOSS_IGNORE: z.string().transform(names).default([]),
  BACKUP_ADMIN_PASSWORD: z.string().max(1_024).superRefine(refused(inQuotes)).optional(),
  BACKUP_API_TOKEN: token.optional(),
  /** Once a day. */
  BACKUP_DRILL_ENABLED: flag('true'),
  BACKUP_DRILL_SQL: z.string().min(1).optional(),
  BACKUP_METRICS_TOKEN: token.optional(),
  /** `-` is standard output. */
  BACKUP_AUDIT_LOG: path.optional(),
  BACKUP_WEBHOOK_URL: receiver.optional(),
  BACKUP_HEARTBEAT_URL: receiver.optional(),
  BACKUP_S3_ENABLED: flag('false'),
  BACKUP_S3_PATH: z
    .string()
    .min(1)
    .max(512)
    .default('backups/database')
    .superRefine(refused(faultOfPrefix))
    .transform(trimSlashes)
    .refine(isKey, { error: 'a path such as backups/database, without empty parts, . or ..' }),
  BACKUP_S3_RETENTION_COUNT: whole(1, 100_000).optional(),
  BACKUP_S3_KEEP_HOURLY: keep.optional(),
  BACKUP_S3_KEEP_DAILY: keep.optional(),
  BACKUP_S3_KEEP_WEEKLY: keep.optional(),
  BACKUP_S3_KEEP_MONTHLY: keep.optional(),
  BACKUP_S3_KEEP_YEARLY: keep.optional(),
  /** Who removes copies there: we, by the numbers above, or the bucket's own lifecycle rules. */
  BACKUP_S3_RETENTION: z.enum(['ours', 'bucket']).optional(),
  /** Those of the rule; an object is not removed before. */
  BACKUP_S3_LIFECYCLE_DAYS: whole(2, 36_500).optional(),
  BACKUP_S3_STORAGE_CLASS: z
    .string()
    .regex(/^[\w-]{1,64}$/, { error: 'the name of a storage class, such as STANDARD_IA' })
    .refine((name) => !isArchiveClass(name), {
      error: 'that class takes hours to give an object back, and each upload is read back; GLACIER_IR does not',
    })
    .optional(),
  BACKUP_S3_SSE: z.enum(['AES256', 'aws:kms']).optional(),
  BACKUP_S3_SSE_KMS_KEY: z.string().min(1).max(2048).optional(),
  BACKUP_S3_OBJECT_LOCK_DAYS: whole(1, 36_500).optional(),
  BACKUP_S3_OBJECT_LOCK_MODE: z.enum(['governance', 'compliance']).optional(),
  BACKUP_COMPRESSION: z.enum(['none', 'zstd']).default('none'),
  BACKUP_ENCRYPTION_RECIPIENT: z.string().transform(recipients).default([]),
  DEMO_ORDERS: flag('true'),

  STORAGE_DRIVER: z.enum(['local', 's3']).default('local'),
  LOCAL_STORAGE_PATH: path.default('./storage/uploads'),
  LOCAL_STORAGE_URL: z.string().default('/storage'),
  CDN_URL: z.string().optional(),
  S3_BUCKET: z.string().min(1).superRefine(refused(faultOfBucket)).optional(),
  S3_REGION: z.string().min(1).optional(),
  S3_ENDPOINT: z
    .url({ protocol: /^https?$/, error: 'a URL such as https://s3.wasabisys.com', abort: true })
    .refine((url) => !url.includes('@'), {
      error: 'a URL without a name and a password, which belong into S3_ACCESS_KEY and S3_SECRET_KEY',
      abort: true,
    })
    .superRefine(refused(faultOfEndpoint))
    .optional(),
  /** Empty: `host/bucket/key`, except at Amazon's. */
  S3_FORCE_PATH_STYLE: z.stringbool(words).optional(),
  S3_ACCESS_KEY: secret.optional(),
  S3_SECRET_KEY: secret.optional(),
  /** The third part of temporary credentials. */
  S3_SESSION_TOKEN: secret.optional(),
});

/**
 * A database's URL too: one that we refuse may be another server's, with its password. The path of a webhook is its
 * password.
 */
const secrets: ReadonlySet<string> = new Set([
  ...['S3_ACCESS_KEY', 'S3_SECRET_KEY', 'S3_SESSION_TOKEN'],
  ...['DATABASE_URL', 'BACKUP_WEBHOOK_URL', 'BACKUP_HEARTBEAT_URL'],
  ...['BACKUP_ADMIN_PASSWORD', 'BACKUP_API_TOKEN', 'BACKUP_METRICS_TOKEN'],
]);
/** Each may stand in a file instead, which `<name>_FILE` names. The URL of a database here is a path. */
export const secretVariables: readonly string[] = [...secrets].filter((name) => name !== 'DATABASE_URL');
const fileVariables: ReadonlySet<string> = new Set(secretVariables.map(fileVariable));
/** Their message shows what of them may be seen: a private key may stand where a public one belongs. */
const saidByMessage: ReadonlySet<string> = new Set(['BACKUP_ENCRYPTION_RECIPIENT']);

export type Variables = Readonly<Record<string, string | undefined>>;

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
  readonly backup: {
    readonly enabled: boolean;
    readonly intervalMinutes: number;
    readonly cron: string | null;
    readonly retentionCount: number;
    /** Of each calendar period, beside the newest. */
    readonly keep: KeepNumbers;
    /** None of these numbers was set. */
    readonly keepIsDefault: boolean;
    readonly localPath: string;
    readonly statePath: string;
    readonly verify: 'quick' | 'full';
    readonly skipUnchanged: boolean;
    readonly maxAgeMinutes: number | null;
    /** Whether a backup that lost much raises an alarm, and what much is. */
    readonly loss: { readonly isOn: boolean; readonly percent: number; readonly rows: number };
    /** Tables that the app empties regularly. */
    readonly lossIgnore: readonly string[];
    readonly drillEnabled: boolean;
    /** One statement, or the path of a file with several. */
    readonly drillSql: string | null;
    /** Beside the record in the state: a file of JSON lines, or `-` for standard output. */
    readonly auditLog: string | null;
    readonly webhookUrl: string | null;
    readonly heartbeatUrl: string | null;
    readonly s3Enabled: boolean;
    readonly s3Path: string;
    readonly s3RetentionCount: number | null;
    /** What is not given is as on this disk. */
    readonly s3Keep: Partial<KeepNumbers>;
    /** Of copies on S3; those on this disk are plain database files. */
    readonly sealing: Sealing;
    readonly s3StoredAs: StoredAs;
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
  const said = Object.fromEntries(
    Object.entries(variables)
      .map(([name, value]) => [name, value === undefined ? undefined : bare(name, value)] as const)
      .filter(([, value]) => value !== undefined && value.trim() !== ''),
  );
  const { variables: given, files, faults: ofFiles } = readSecretFiles(said, secretVariables);
  const parsed = settingsSchema.safeParse(given);
  const faults = parsed.success ? [] : parsed.error.issues.map((issue) => fault(issue, given));
  faults.push(...ofFiles, ...faultsOfNames(given, new Set([...variableNames, ...fileVariables])));
  if (parsed.success) faults.push(...faultsOfS3(parsed.data, given));
  if (parsed.success) faults.push(...faultsOfMetricsToken(parsed.data));
  if (parsed.success) faults.push(...inertSealing(parsed.data), ...inertStoredAs(parsed.data));
  const placeOf = (name: string) => (files.has(name) ? fileVariable(name) : name);
  if (!parsed.success || faults.length > 0) {
    throw wrongSettings(
      faults.map((line) => named(line, { ...source, nameOf: (name) => source.nameOf(placeOf(name)) })),
      source.hint,
    );
  }
  return { ...shape(parsed.data, given), secretFiles: [...files.values()] };
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

/** The names of all settings. */
export const variableNames: readonly string[] = Object.keys(settingsSchema.shape);

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
  return new BackupError('UNSUPPORTED', 'the app was started in the place of a backup job', {
    hint: 'Run the app by node or bun, compile it by bun build --compile, or let `velist-backup serve` back up beside it.',
  });
}

function shape(
  values: z.infer<typeof settingsSchema>,
  given: Readonly<Record<string, string | undefined>>,
): Omit<Environment, 'secretFiles'> {
  const keepSet = keepNumbers(values);
  return {
    production: values.NODE_ENV === 'production',
    host: values.HOST,
    port: values.PORT,
    logFormat: values.LOG_FORMAT,
    demoOrders: values.DEMO_ORDERS,
    databasePath: values.DATABASE_URL,
    signIn: {
      password: values.BACKUP_ADMIN_PASSWORD ?? null,
      token: values.BACKUP_API_TOKEN ?? null,
      metricsToken: values.BACKUP_METRICS_TOKEN ?? null,
    },
    backup: {
      enabled: values.BACKUP_ENABLED,
      intervalMinutes: values.BACKUP_INTERVAL_MINUTES,
      cron: values.BACKUP_SCHEDULE ?? null,
      retentionCount: values.BACKUP_RETENTION_COUNT,
      keep: keepSet ?? KEEP_BY_DEFAULT,
      keepIsDefault: keepSet === null,
      localPath: values.BACKUP_LOCAL_PATH,
      statePath: values.BACKUP_STATE_PATH,
      verify: values.BACKUP_VERIFY,
      skipUnchanged: values.BACKUP_SKIP_UNCHANGED,
      maxAgeMinutes: values.BACKUP_MAX_AGE_MINUTES ?? null,
      loss: {
        isOn: values.BACKUP_LOSS_ALARM,
        percent: values.BACKUP_LOSS_PERCENT,
        rows: values.BACKUP_LOSS_ROWS,
      },
      lossIgnore: values.BACKUP_LOSS_IGNORE,
      drillEnabled: values.BACKUP_DRILL_ENABLED,
      drillSql: values.BACKUP_DRILL_SQL ?? null,
      auditLog: values.BACKUP_AUDIT_LOG ?? null,
      webhookUrl: values.BACKUP_WEBHOOK_URL ?? null,
      heartbeatUrl: values.BACKUP_HEARTBEAT_URL ?? null,
      s3Enabled: values.BACKUP_S3_ENABLED,
      s3Path: values.BACKUP_S3_PATH,
      s3RetentionCount: values.BACKUP_S3_RETENTION_COUNT ?? null,
      s3Keep: {
        hourly: values.BACKUP_S3_KEEP_HOURLY,
        daily: values.BACKUP_S3_KEEP_DAILY,
        weekly: values.BACKUP_S3_KEEP_WEEKLY,
        monthly: values.BACKUP_S3_KEEP_MONTHLY,
        yearly: values.BACKUP_S3_KEEP_YEARLY,
      },
      sealing: { compression: values.BACKUP_COMPRESSION, recipients: values.BACKUP_ENCRYPTION_RECIPIENT },
      s3StoredAs: storedAs(values),
    },
    storage: {
      driver: values.STORAGE_DRIVER,
      localPath: values.LOCAL_STORAGE_PATH,
      localUrl: values.LOCAL_STORAGE_URL,
      cdnUrl: values.CDN_URL ?? null,
    },
    s3: {
      bucket: values.S3_BUCKET ?? null,
      region: values.S3_REGION ?? null,
      endpoint: values.S3_ENDPOINT ?? null,
      forcePathStyle: values.S3_FORCE_PATH_STYLE ?? null,
      accessKeyId: values.S3_ACCESS_KEY ?? null,
      secretAccessKey: values.S3_SECRET_KEY ?? null,
      sessionToken: values.S3_SESSION_TOKEN ?? null,
    },
    jobEnvironment: Object.fromEntries(
      Object.entries(given).filter(
        (entry): entry is [string, string] => entry[1] !== undefined && isInherited(entry[0]),
      ),
    ),
  };
}

/** Null where none is set. */
function keepNumbers(values: z.infer<typeof settingsSchema>): KeepNumbers | null {
  const { BACKUP_KEEP_HOURLY: hourly, BACKUP_KEEP_DAILY: daily, BACKUP_KEEP_WEEKLY: weekly } = values;
  const { BACKUP_KEEP_MONTHLY: monthly, BACKUP_KEEP_YEARLY: yearly } = values;
  if ([hourly, daily, weekly, monthly, yearly].every((number) => number === undefined)) return null;
  return {
    hourly: hourly ?? 0,
    daily: daily ?? 0,
    weekly: weekly ?? 0,
    monthly: monthly ?? 0,
    yearly: yearly ?? 0,
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

/**
 * `docker --env-file` keeps the quotes around a value, and what an editor of Windows leaves at the end of a line. A
 * password may have both; one in quotes is refused below, because nobody could sign in by what they believe it is.
 */
function bare(name: string, value: string): string {
  if (!(name in settingsSchema.shape || fileVariables.has(name)) || chosenByPeople.has(name))
    return value.replace(/\r$/, '');
  const text = value.trim();
  return /^(["']).*\1$/s.test(text) && text.length > 1 ? text.slice(1, -1) : text;
}

const chosenByPeople: ReadonlySet<string> = new Set([
  ...['BACKUP_ADMIN_PASSWORD', 'BACKUP_API_TOKEN', 'BACKUP_METRICS_TOKEN'],
]);

function inQuotes(text: string): string | null {
  return /^(["']).*\1$/s.test(text) && text.length > 1
    ? 'it stands in quotes, which docker --env-file takes for a part of it; leave them out'
    : null;
}

function refused(faultOf: (value: string) => string | null) {
  return (value: string, context: z.core.$RefinementCtx<string>) => {
    const message = faultOf(value);
    if (message !== null) context.addIssue({ code: 'custom', message });
  };
}

function names(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

function recipients(text: string, context: z.core.$RefinementCtx<string>): readonly string[] {
  try {
    return parseRecipients(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: BackupError.from(error).message });
    return [];
  }
}

/** Without a login this machine reads the metrics anyway, and nobody else does; the same token twice would open all. */
function faultsOfMetricsToken(values: z.infer<typeof settingsSchema>): readonly string[] {
  const { BACKUP_METRICS_TOKEN: own, BACKUP_API_TOKEN: all, BACKUP_ADMIN_PASSWORD: password } = values;
  if (own === undefined) return [];
  if (all === undefined && password === undefined)
    return ['BACKUP_METRICS_TOKEN: does nothing without BACKUP_ADMIN_PASSWORD or BACKUP_API_TOKEN'];
  return own === all ? ['BACKUP_METRICS_TOKEN: is the same as BACKUP_API_TOKEN, which opens everything'] : [];
}

/**
 * Both seal the copies on S3 alone. Without a bucket there can be none, and nobody must believe that something is
 * encrypted; with a bucket S3 may be off for now, because the page can switch it on.
 */
function inertSealing(values: z.infer<typeof settingsSchema>): readonly string[] {
  if (values.S3_BUCKET !== undefined || values.BACKUP_S3_ENABLED) return [];
  const set = [
    ...(values.BACKUP_COMPRESSION === 'none' ? [] : ['BACKUP_COMPRESSION']),
    ...(values.BACKUP_ENCRYPTION_RECIPIENT.length === 0 ? [] : ['BACKUP_ENCRYPTION_RECIPIENT']),
  ];
  return set.map(
    (name) =>
      `${name}: does nothing without S3_BUCKET; it seals the copies on S3, those on this disk stay plain database files`,
  );
}

/** As above: what nobody asks a server for must not look as if it were there. */
function inertStoredAs(values: z.infer<typeof settingsSchema>): readonly string[] {
  const { S3_BUCKET, BACKUP_S3_ENABLED, BACKUP_S3_SSE, BACKUP_S3_SSE_KMS_KEY, BACKUP_S3_OBJECT_LOCK_DAYS } = values;
  const set = (Object.keys(values) as (keyof typeof values)[]).filter(
    (name) =>
      /^BACKUP_S3_(STORAGE_CLASS|SSE|OBJECT_LOCK|RETENTION$|LIFECYCLE)/.test(name) && values[name] !== undefined,
  );
  if (S3_BUCKET === undefined && !BACKUP_S3_ENABLED)
    return set.map((name) => `${name}: does nothing without S3_BUCKET`);
  return [
    ...(BACKUP_S3_SSE_KMS_KEY !== undefined && BACKUP_S3_SSE !== 'aws:kms'
      ? ['BACKUP_S3_SSE_KMS_KEY: does nothing without BACKUP_S3_SSE=aws:kms']
      : []),
    ...(values.BACKUP_S3_OBJECT_LOCK_MODE !== undefined && BACKUP_S3_OBJECT_LOCK_DAYS === undefined
      ? ['BACKUP_S3_OBJECT_LOCK_MODE: does nothing without BACKUP_S3_OBJECT_LOCK_DAYS']
      : []),
    ...faultsOfRemoval(values),
  ];
}

/** Nobody must believe that we keep or remove what a rule of the bucket removes. */
function faultsOfRemoval(values: z.infer<typeof settingsSchema>): readonly string[] {
  const { BACKUP_S3_RETENTION: by, BACKUP_S3_LIFECYCLE_DAYS: days } = values;
  if (by !== 'bucket') {
    return days === undefined ? [] : ['BACKUP_S3_LIFECYCLE_DAYS: does nothing without BACKUP_S3_RETENTION=bucket'];
  }
  const ours = (Object.keys(values) as (keyof typeof values)[]).filter(
    (name) => /^BACKUP_S3_(RETENTION_COUNT|KEEP_)/.test(name) && values[name] !== undefined,
  );
  return [
    ...(days === undefined
      ? [
          'BACKUP_S3_LIFECYCLE_DAYS: is missing; with BACKUP_S3_RETENTION=bucket say after how many days the rule of the bucket removes an object, as its console shows under Lifecycle, or `aws s3api get-bucket-lifecycle-configuration`',
        ]
      : []),
    ...ours.map((name) => `${name}: does nothing with BACKUP_S3_RETENTION=bucket; the rule of the bucket decides`),
  ];
}

function storedAs(values: z.infer<typeof settingsSchema>): StoredAs {
  const { BACKUP_S3_SSE: sse, BACKUP_S3_SSE_KMS_KEY: key = null, BACKUP_S3_OBJECT_LOCK_DAYS: days } = values;
  return {
    storageClass: values.BACKUP_S3_STORAGE_CLASS ?? null,
    serverEncryption: sse === undefined ? null : sse === 'aws:kms' ? { algorithm: sse, key } : { algorithm: sse },
    objectLock: days === undefined ? null : { days, mode: values.BACKUP_S3_OBJECT_LOCK_MODE ?? 'governance' },
    lifecycleDays: values.BACKUP_S3_LIFECYCLE_DAYS ?? null,
  };
}

function trimSlashes(prefix: string): string {
  return prefix.replaceAll(/^\/+|\/+$/g, '');
}

function fault(issue: z.core.$ZodIssue, given: Readonly<Record<string, string | undefined>>): string {
  const name = String(issue.path[0] ?? '');
  if (saidByMessage.has(name)) return `${name}: ${issue.message}`;
  const text = given[name] ?? '';
  // A password may stand in an address of any form.
  const value = secrets.has(name) || (name === 'S3_ENDPOINT' && text.includes('@')) ? '(secret)' : JSON.stringify(text);
  return `${name}: ${value} is not allowed; ${issue.message}`;
}
