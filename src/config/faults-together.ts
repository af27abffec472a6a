/**
 * Settings that are right one by one and wrong together: what would do nothing, or not what somebody believes. A line for
 * each, as `loadEnvironment` tells faults.
 */
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoCode } from '../words/errors.ts';
import { CREDENTIALS_ENDING } from './page-settings.ts';
import type { Values } from './read-settings.ts';
import type { Setting, Variables } from './setting.ts';
import { folderSettings, s3Settings } from './target-settings.ts';

export function faultsTogether(values: Values, given: Variables): readonly string[] {
  return [
    ...faultsOfS3(values.s3, given),
    ...faultsOfMetricsToken(values.server),
    ...inertSealing(values),
    ...inertStoredAs(values.s3),
    ...inertFolder(values.folder),
  ];
}

const namesElsewhere = {
  S3_BUCKET: ['AWS_BUCKET', 'AWS_S3_BUCKET', 'AWS_BUCKET_NAME', 'AWS_S3_BUCKET_NAME', 'S3_BUCKET_NAME'],
  S3_ENDPOINT: ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL', 'AWS_S3_ENDPOINT', 'AWS_ENDPOINT'],
  S3_ACCESS_KEY: ['AWS_ACCESS_KEY_ID', 'S3_ACCESS_KEY_ID'],
  S3_SECRET_KEY: ['AWS_SECRET_ACCESS_KEY', 'S3_SECRET_ACCESS_KEY'],
} as const;

/**
 * Other tools call the same things by other names (`AWS_BUCKET`, `S3_ACCESS_KEY_ID`); if ours are missing and theirs are there,
 * the line says which one is not read.
 */
function faultsOfS3(values: Values['s3'], given: Variables): readonly string[] {
  const { enabled, bucket, endpoint, accessKey, secretKey, sessionToken } = values;
  const faults: string[] = [];
  const elsewhere = (name: keyof typeof namesElsewhere) => namesElsewhere[name].find((other) => given[other]);
  const notRead = (name: keyof typeof namesElsewhere) => {
    const other = elsewhere(name);
    return other === undefined ? '' : ` (${other} is not read)`;
  };

  if (enabled && !bucket)
    faults.push(`S3_BUCKET: is missing; BACKUP_S3_ENABLED=true needs the name of a bucket${notRead('S3_BUCKET')}`);
  const server = elsewhere('S3_ENDPOINT');
  // The library of Amazon would follow it, and send the backups to a server that no message names.
  if (enabled && bucket && !endpoint && server)
    faults.push(
      `S3_ENDPOINT: is missing, and ${server} names a server; set S3_ENDPOINT to the server that has the bucket (Amazon's is https://s3.<region>.amazonaws.com)`,
    );
  const missing = [accessKey, secretKey].filter((key) => !key).length;
  const keys = 'S3_ACCESS_KEY, S3_SECRET_KEY';
  if (missing === 1) {
    const other = notRead(accessKey ? 'S3_SECRET_KEY' : 'S3_ACCESS_KEY').replace('read', 'read beside the other');
    faults.push(`${keys}: one is missing; set both, or neither to use the AWS default credentials${other}`);
  }
  const halfElsewhere = ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'].filter((name) => given[name]);
  // The default chain reads AWS_… alone.
  if (enabled && missing === 2 && halfElsewhere.length > 0 && !given['AWS_ACCESS_KEY_ID'])
    faults.push(
      `${keys}: are missing; ${halfElsewhere.join(' and ')} ${halfElsewhere.length > 1 ? 'are' : 'is'} not read`,
    );
  if (sessionToken && missing > 0)
    faults.push('S3_SESSION_TOKEN: has no effect without S3_ACCESS_KEY and S3_SECRET_KEY');
  return faults;
}

/** Without a login this machine reads the metrics anyway, and nobody else does; the same token twice would open all. */
function faultsOfMetricsToken(values: Values['server']): readonly string[] {
  const { metricsToken: own, apiToken: all, adminPassword: password } = values;
  if (own === null) return [];
  if (all === null && password === null)
    return ['BACKUP_METRICS_TOKEN: has no effect without BACKUP_ADMIN_PASSWORD or BACKUP_API_TOKEN'];
  return own === all ? ['BACKUP_METRICS_TOKEN: is the same as BACKUP_API_TOKEN, which opens everything'] : [];
}

/**
 * Both seal the copies at targets alone. Without a bucket or a second folder there can be none, and nobody must believe
 * that something is encrypted; with a bucket S3 may be off for now, because the page can switch it on. Or it was set up
 * there, by then, for one of the databases with a state in that folder.
 */
function inertSealing({ database, s3, folder, place }: Values): readonly string[] {
  if (s3.bucket !== null || s3.enabled || folder.path !== null || mayHaveSetUp(place.statePath)) return [];
  const set = [
    ...(database.compression === 'none' ? [] : ['BACKUP_COMPRESSION']),
    ...(database.encryptionRecipient.length === 0 ? [] : ['BACKUP_ENCRYPTION_RECIPIENT']),
  ];
  return set.map(
    (name) =>
      `${name}: has no effect without S3_BUCKET or BACKUP_FOLDER_PATH; it seals the copies there; backups in BACKUP_LOCAL_PATH stay plain database files`,
  );
}

/** Also true if that cannot be told: an app that was sealing its copies must not stay down for that. */
function mayHaveSetUp(statePath: string): boolean {
  const folder = dirname(statePath);
  return unlessMissing(() =>
    readdirSync(folder).some(
      (name) => name.endsWith(CREDENTIALS_ENDING) && unlessMissing(() => namesPlace(join(folder, name))),
    ),
  );
}

function namesPlace(path: string): boolean {
  // A pipe would hold us up.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const entries: readonly object[] = Object.values(JSON.parse(readFileSync(file, 'utf8')));
    return entries.some((entry) => 's3' in entry || 'folder' in entry);
  } finally {
    closeSync(file);
  }
}

function unlessMissing(look: () => boolean): boolean {
  try {
    return look();
  } catch (error) {
    return errnoCode(error) !== 'ENOENT';
  }
}

/** What is asked of the server, or left to it. */
const asked = [
  'retention',
  'lifecycleDays',
  'storageClass',
  'sse',
  'sseKmsKey',
  'objectLockDays',
  'objectLockMode',
] as const;
const ours = ['retentionCount', 'keepHourly', 'keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const;

/** The variables of those that are set. */
function setOf<Key extends string>(
  rows: Readonly<Record<Key, Setting>>,
  values: Readonly<Record<Key, unknown>>,
  keys: readonly Key[],
): readonly string[] {
  return keys.filter((key) => values[key] !== null).map((key) => rows[key].variable);
}

/** As above: what nobody asks a server for must not look as if it were there. */
function inertStoredAs(values: Values['s3']): readonly string[] {
  if (values.bucket === null && !values.enabled)
    return setOf(s3Settings, values, asked).map((name) => `${name}: has no effect without S3_BUCKET`);
  return [
    ...(values.sseKmsKey !== null && values.sse !== 'aws:kms'
      ? ['BACKUP_S3_SSE_KMS_KEY: has no effect without BACKUP_S3_SSE=aws:kms']
      : []),
    ...(values.objectLockMode !== null && values.objectLockDays === null
      ? ['BACKUP_S3_OBJECT_LOCK_MODE: has no effect without BACKUP_S3_OBJECT_LOCK_DAYS']
      : []),
    ...faultsOfRemoval(values),
  ];
}

/** Nobody must believe that something is kept without a folder. */
function inertFolder(values: Values['folder']): readonly string[] {
  if (values.path !== null) return [];
  return setOf(folderSettings, values, ours).map((name) => `${name}: has no effect without BACKUP_FOLDER_PATH`);
}

/** Nobody must believe that we keep or remove what a rule of the bucket removes. */
function faultsOfRemoval(values: Values['s3']): readonly string[] {
  const { retention: by, lifecycleDays: days } = values;
  if (by !== 'bucket') {
    return days === null ? [] : ['BACKUP_S3_LIFECYCLE_DAYS: has no effect without BACKUP_S3_RETENTION=bucket'];
  }
  return [
    ...(days === null
      ? [
          'BACKUP_S3_LIFECYCLE_DAYS: is missing; with BACKUP_S3_RETENTION=bucket, set it to the number of days after which the rule of the bucket removes an object, as shown by its console under Lifecycle or by `aws s3api get-bucket-lifecycle-configuration`',
        ]
      : []),
    ...setOf(s3Settings, values, ours).map(
      (name) => `${name}: has no effect with BACKUP_S3_RETENTION=bucket; the rule of the bucket decides`,
    ),
  ];
}
