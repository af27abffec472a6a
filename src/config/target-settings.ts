/** The rows of the table in `settings.ts` that say where copies go beside this disk: one group for each kind of target. */
import { z } from 'zod';
import { isArchiveClass } from '../engine/store/s3/archive-classes.ts';
import { PREFIX_BY_DEFAULT, prefix } from './prefix.ts';
import { faultOfBucket, faultOfEndpoint } from './s3-faults.ts';
import { refused, settingsOf, whole } from './setting.ts';

const onS3 = settingsOf('S3');
const inFolder = settingsOf('A second folder');

/** A place on S3-compatible storage, and what is kept there. */
export const s3Settings = {
  enabled: onS3.setting({
    variable: 'BACKUP_S3_ENABLED',
    value: z.boolean(),
    start: false,
    says: 'upload each backup',
  }),
  /** At the top and beside a glob the prefix under which each database has its own; beside a path its very own. */
  path: onS3.setting({
    variable: 'BACKUP_S3_PATH',
    value: prefix,
    start: PREFIX_BY_DEFAULT,
    says: 'the prefix in the bucket; each database needs one of its own',
  }),
  bucket: onS3.setting({
    variable: 'S3_BUCKET',
    value: z.string().min(1).superRefine(refused(faultOfBucket)),
    says: 'the name of the bucket',
  }),
  region: onS3.setting({ variable: 'S3_REGION', value: z.string().min(1), says: 'its region; by default `us-east-1`' }),
  endpoint: onS3.setting({
    variable: 'S3_ENDPOINT',
    value: z
      .url({ protocol: /^https?$/, error: 'a URL such as https://s3.wasabisys.com', abort: true })
      .refine((url) => !url.includes('@'), {
        error: 'a URL without a name and a password, which belong in S3_ACCESS_KEY and S3_SECRET_KEY',
        abort: true,
      })
      .superRefine(refused(faultOfEndpoint)),
    says: 'the server, if it is not Amazon',
  }),
  forcePathStyle: onS3.setting({
    variable: 'S3_FORCE_PATH_STYLE',
    value: z.boolean(),
    says: '`true`: `host/bucket/key`, `false`: `bucket.host/key`; by default, what suits the server',
  }),
  accessKey: onS3.secret({
    variable: 'S3_ACCESS_KEY',
    value: z.string().min(1),
    says: 'the access key; without both keys, the AWS default chain is used',
  }),
  secretKey: onS3.secret({
    variable: 'S3_SECRET_KEY',
    value: z.string().min(1),
    says: 'the secret key that belongs to it',
  }),
  /** The third part of temporary credentials. */
  sessionToken: onS3.secret({
    variable: 'S3_SESSION_TOKEN',
    value: z.string().min(1),
    says: 'for temporary credentials, in addition to both keys',
  }),
  ...keptAt(onS3, 'BACKUP_S3', 'on S3'),
  /** `bucket`: its own lifecycle rules remove what is old, after `lifecycleDays`. */
  retention: onS3.setting({
    variable: 'BACKUP_S3_RETENTION',
    value: z.enum(['ours', 'bucket']),
    says: 'who removes copies there: `ours`, by the numbers above, or the rules of the `bucket`',
  }),
  lifecycleDays: onS3.setting({
    variable: 'BACKUP_S3_LIFECYCLE_DAYS',
    value: whole(2, 36_500, 'day'),
    says: 'with `bucket`: after how many days its rule removes an object',
  }),
  storageClass: onS3.setting({
    variable: 'BACKUP_S3_STORAGE_CLASS',
    value: z
      .string()
      .regex(/^[\w-]{1,64}$/, { error: 'the name of a storage class, such as STANDARD_IA' })
      .refine((name) => !isArchiveClass(name), {
        error:
          'a class that can be read at once, because each upload is read back; that one takes hours to give an object back (GLACIER_IR does not)',
      }),
    says: 'the storage class, such as `STANDARD_IA`',
  }),
  sse: onS3.setting({
    variable: 'BACKUP_S3_SSE',
    value: z.enum(['AES256', 'aws:kms']),
    says: 'encryption by the server',
  }),
  sseKmsKey: onS3.setting({
    variable: 'BACKUP_S3_SSE_KMS_KEY',
    value: z.string().min(1).max(2048),
    says: 'the KMS key that the server encrypts with',
  }),
  objectLockDays: onS3.setting({
    variable: 'BACKUP_S3_OBJECT_LOCK_DAYS',
    value: whole(1, 36_500, 'day'),
    says: 'for how many days nobody may delete a copy, in a bucket created with object lock',
  }),
  objectLockMode: onS3.setting({
    variable: 'BACKUP_S3_OBJECT_LOCK_MODE',
    value: z.enum(['governance', 'compliance']),
    says: 'whether an account with special rights may still delete it (`governance`, the default) or nobody',
  }),
};

/** A folder on another disk or a mounted server, and what is kept there. */
export const folderSettings = {
  /** At the top and beside a glob the folder in which each database has its own; beside a path its very own. */
  path: inFolder.setting({
    variable: 'BACKUP_FOLDER_PATH',
    value: z.string().min(1),
    says: 'a folder on another disk or a mounted server, with the mark `.velist-target` in it: [A second folder](folder.md)',
  }),
  ...keptAt(inFolder, 'BACKUP_FOLDER', 'there'),
};

/** How many backups a target keeps. */
function keptAt({ setting }: ReturnType<typeof settingsOf>, target: string, there: string) {
  const keep = (period: string, says: string) =>
    setting({ variable: `${target}_KEEP_${period}`, value: whole(0, 10_000, 'backup'), says });
  return {
    retentionCount: setting({
      variable: `${target}_RETENTION_COUNT`,
      value: whole(1, 100_000, 'backup'),
      says: 'how many of the newest backups to keep there; by default as on this disk',
    }),
    keepHourly: keep('HOURLY', `like \`BACKUP_KEEP_HOURLY\`, ${there}; by default as set for this disk`),
    keepDaily: keep('DAILY', 'the same for days'),
    keepWeekly: keep('WEEKLY', 'the same for weeks'),
    keepMonthly: keep('MONTHLY', 'the same for months'),
    keepYearly: keep('YEARLY', 'the same for years'),
  };
}
