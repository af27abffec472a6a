/**
 * How a bucket keeps what we store: its class of storage, its encryption by the server, its lock against deletion. All
 * three are asked of the server with each object, and servers that do not know them ignore them without a word. So what
 * was stored is looked at: nobody must believe in an encryption or a lock that is not there.
 *
 * Amazon counts an object of the cheaper classes as 128 KiB at least, and a manifest is read again and again: small
 * objects stay in the usual class.
 */
import type * as Sdk from '@aws-sdk/client-s3';
import { BackupError } from '../../../words/errors.ts';
import { factsOf, type S3Place, describePlace } from './errors.ts';

export interface StoredAs {
  /** Such as `STANDARD_IA`; left out, the bucket's own. Not one whose objects must be brought back before a read. */
  readonly storageClass?: string | null;
  /** Left out, what the bucket does by itself. */
  readonly serverEncryption?: ServerEncryption | null;
  /** The bucket must have been made with object lock. */
  readonly objectLock?: ObjectLock | null;
  /**
   * Days after which a rule of the bucket removes an object. Where it is set, removal is left to that rule: nothing is ever
   * deleted there, and no backup is written anew under its name.
   */
  readonly lifecycleDays?: number | null;
}

type ServerEncryption =
  | { readonly algorithm: 'AES256' }
  /** Without a key the service's own for this bucket. */
  | { readonly algorithm: 'aws:kms'; readonly key: string | null };

interface ObjectLock {
  /** Counted from the moment of the upload. */
  readonly days: number;
  /** `governance` may be lifted by who has the right to; `compliance` by nobody, not even the owner of the account. */
  readonly mode: 'governance' | 'compliance';
}

const smallestInAnotherClassBytes = 128 * 1024;
const DAY_MS = 24 * 3600 * 1000;
/** The server counts in seconds, and its clock is its own. */
const lockToleranceMs = 3600 * 1000;

/** What a PUT, or the beginning of a multipart upload, asks for. `sizeBytes` left out: more than one part. */
export function requestFor(
  storedAs: StoredAs,
  { now, sizeBytes = smallestInAnotherClassBytes }: { readonly now: Date; readonly sizeBytes?: number },
): Partial<Sdk.PutObjectCommandInput & Sdk.CreateMultipartUploadCommandInput> {
  const { storageClass, serverEncryption } = storedAs;
  const lock = lockFor(storedAs, now);
  return {
    // The SDK names the classes of Amazon; other servers have others.
    StorageClass:
      sizeBytes < smallestInAnotherClassBytes ? undefined : ((storageClass ?? undefined) as Sdk.StorageClass),
    ServerSideEncryption: serverEncryption?.algorithm,
    SSEKMSKeyId: serverEncryption?.algorithm === 'aws:kms' ? (serverEncryption.key ?? undefined) : undefined,
    ObjectLockMode: lock?.Mode,
    ObjectLockRetainUntilDate: lock?.RetainUntilDate,
  };
}

export function lockFor({ objectLock }: StoredAs, now: Date): Sdk.ObjectLockRetention | undefined {
  if (!objectLock) return undefined;
  return {
    Mode: objectLock.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
    RetainUntilDate: new Date(now.getTime() + objectLock.days * DAY_MS),
  };
}

/** True when what was stored must be looked at. */
export function isToBeSeen({ serverEncryption, objectLock }: StoredAs): boolean {
  return Boolean(serverEncryption ?? objectLock);
}

/** Null when the object is kept as it was asked for; else what is not. */
export function faultOf(
  storedAs: StoredAs,
  found: Pick<Sdk.HeadObjectOutput, 'ServerSideEncryption' | 'ObjectLockMode' | 'ObjectLockRetainUntilDate'>,
  now: Date,
): 'not encrypted' | 'not locked' | null {
  const { serverEncryption } = storedAs;
  if (serverEncryption && !found.ServerSideEncryption?.startsWith(serverEncryption.algorithm)) return 'not encrypted';
  const lock = lockFor(storedAs, now);
  if (!lock?.RetainUntilDate) return null;
  const heldMs = found.ObjectLockRetainUntilDate?.getTime() ?? 0;
  const isHeld = heldMs >= lock.RetainUntilDate.getTime() - lockToleranceMs && found.ObjectLockMode === lock.Mode;
  return isHeld ? null : 'not locked';
}

export function notStoredAs(fault: 'not encrypted' | 'not locked', key: string, place: S3Place): BackupError {
  return fault === 'not encrypted'
    ? new BackupError('UNSUPPORTED', `${describePlace(place)} stored "${key}" without the encryption asked for`, {
        hint: 'This server does not know BACKUP_S3_SSE: leave it out, or seal the copies yourself with BACKUP_ENCRYPTION_RECIPIENT.',
      })
    : new BackupError('UNSUPPORTED', `${describePlace(place)} stored "${key}" without the lock asked for`, {
        hint: 'BACKUP_S3_OBJECT_LOCK_DAYS needs a server that supports object lock, a bucket created with it, and a key with PutObjectRetention and GetObjectRetention.',
      });
}

/** Answers whoever wants to remove something that a rule of the bucket is to remove. */
export function leftToBucket(place: string): BackupError {
  return new BackupError('UNSUPPORTED', `removal from ${place} is left to the bucket`, {
    hint: 'BACKUP_S3_RETENTION=bucket: its lifecycle rules remove what is old, and nothing was removed. To remove something before its time, do it there with a key that may.',
  });
}

/** The refusal of a server that knows these wishes and cannot fulfil them here; null when the error is another one. */
export function refusedWish(error: unknown, storedAs: StoredAs, place: S3Place): BackupError | null {
  const { name, status } = factsOf(error);
  if (status === undefined || status < 400 || status >= 500) return null;
  const refuse = (what: string, hint: string) =>
    new BackupError('UNSUPPORTED', `${describePlace(place)} refused ${what} (${status} ${name})`, {
      hint,
      cause: error,
    });
  if (storedAs.objectLock && lockNames.has(name)) {
    return refuse(
      'to lock an object',
      'BACKUP_S3_OBJECT_LOCK_DAYS needs a bucket that was created with object lock; create a new one, or leave it out.',
    );
  }
  // Ceph takes the name of an unknown key for an access key; only its message tells.
  const isOfKey = /^KMS\.|^InvalidEncryption/.test(name) || (error instanceof Error && /kms/i.test(error.message));
  if (storedAs.serverEncryption && isOfKey)
    return refuse('the encryption', 'Check BACKUP_S3_SSE, BACKUP_S3_SSE_KMS_KEY and the rights on that key.');
  if (storedAs.storageClass && classNames.has(name))
    return refuse(`the storage class ${storedAs.storageClass}`, 'Set BACKUP_S3_STORAGE_CLASS to one that it has.');
  return null;
}

const lockNames: ReadonlySet<string> = new Set(['InvalidRequest', 'ObjectLockConfigurationNotFoundError']);
/** Ceph says only that an argument is wrong. */
const classNames: ReadonlySet<string> = new Set(['InvalidStorageClass', 'InvalidArgument']);
