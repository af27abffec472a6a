/** Deletes objects: in bulk where the server can, else one by one. */
import { BackupError } from '../../../words/errors.ts';
import { checkKey } from '../object-key.ts';
import { type DeleteFailure, isNotThere, type OperationOptions, throwIfAborted } from '../store.ts';
import { describePlace, factsOf, s3Error } from './errors.ts';
import { headOnS3 } from './look.ts';
import type { Prefix } from './prefix.ts';
import { leftToBucket } from './stored-as.ts';

/** The limit of DeleteObjects. */
const BULK_MAX = 1000;
const SINGLY_AT_ONCE_MAX = 8;
/** Answers to a bulk delete after which single ones may still work. */
const withoutBulkDelete: ReadonlySet<number> = new Set([400, 403, 405, 411, 501]);

export async function deleteOnS3(below: Prefix, key: string, { signal }: OperationOptions): Promise<void> {
  throwIfAborted(signal);
  if (isLeftToBucket(below)) throw leftToBucket(describePlace(below.place));
  await deleteOne(below, key, signal);
}

export async function deleteManyOnS3(
  below: Prefix,
  keys: readonly string[],
  { signal }: OperationOptions,
): Promise<readonly DeleteFailure[]> {
  for (const key of keys) checkKey(key);
  if (isLeftToBucket(below)) return failAll(keys, leftToBucket(describePlace(below.place)));
  const failures: DeleteFailure[] = [];
  for (let first = 0; first < keys.length; first += BULK_MAX) {
    throwIfAborted(signal);
    const lot = keys.slice(first, first + BULK_MAX);
    const inBulk = below.hasBulkDelete
      ? await deleteInBulk(below, lot, signal).catch((error: unknown) => failAll(lot, error))
      : null;
    throwIfAborted(signal);
    if (inBulk === null) {
      below.hasBulkDelete = false;
      failures.push(...(await deleteSingly(below, lot, signal)));
      throwIfAborted(signal);
    } else {
      failures.push(...inBulk);
    }
  }
  return failures;
}

const isLeftToBucket = ({ connection }: Prefix): boolean => Boolean(connection.storedAs.lifecycleDays);

async function deleteOne(below: Prefix, key: string, signal: AbortSignal | undefined): Promise<void> {
  const object = below.object(key);
  try {
    const { $metadata } = await below.send(
      (client, sdk, http) => client.send(new sdk.DeleteObjectCommand(object), http),
      { key, signal },
    );
    // S3 answers 204. A web page says 200 to everything; a server that does so too must show that it is gone.
    if ($metadata.httpStatusCode !== 204 && (await headOnS3(below, key, { signal })) !== null)
      throw stillThere(below, key);
  } catch (error) {
    if (!isNotThere(error)) throw error;
  }
}

/** Null when this server has no bulk delete. */
async function deleteInBulk(
  below: Prefix,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly DeleteFailure[] | null> {
  const { Bucket, place } = below;
  const Objects = keys.map((key) => ({ Key: below.remote(key) }));
  try {
    const { Deleted = [], Errors = [] } = await below.send(
      (client, sdk, http) => client.send(new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects } }), http),
      { signal, rawErrors: true },
    );
    // What is not named as deleted is not taken for it: some answers are no answers.
    const deleted = new Set(Deleted.map(({ Key }) => Key));
    const refused = new Map(Errors.map(({ Key, Code }) => [Key, Code]));
    return keys.flatMap((key) => {
      const Key = below.remote(key);
      const code = refused.get(Key);
      if (code === 'NoSuchKey' || (code === undefined && deleted.has(Key))) return [];
      return [{ key, error: refused.has(Key) ? refusedDelete(below, key, code) : stillThere(below, key) }];
    });
  } catch (error) {
    const { name, status } = factsOf(error);
    // Ceph 16 asks for rights on the whole bucket here, so a key that may only delete below its prefix gets a 403.
    if (name !== 'NoSuchBucket' && status !== undefined && withoutBulkDelete.has(status)) return null;
    throw s3Error(error, place);
  }
}

async function deleteSingly(
  below: Prefix,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly DeleteFailure[]> {
  const failures: DeleteFailure[] = [];
  const waiting = keys.values();
  const work = async () => {
    for (const key of waiting) {
      await deleteOne(below, key, signal).catch((error: unknown) =>
        failures.push({ key, error: BackupError.from(error) }),
      );
    }
  };
  await Promise.all(Array.from({ length: SINGLY_AT_ONCE_MAX }, work));
  return failures;
}

function refusedDelete({ place }: Prefix, key: string, code = 'without a reason'): BackupError {
  const status = code === 'AccessDenied' ? 403 : 500;
  return s3Error({ name: code, $metadata: { httpStatusCode: status } }, place, key);
}

function stillThere({ place }: Prefix, key: string): BackupError {
  return new BackupError('S3_FAILED', `${place.host} did not confirm that it deleted "${key}"`, {
    hint: 'It may still be there; it is retried.',
  });
}

function failAll(keys: readonly string[], error: unknown): readonly DeleteFailure[] {
  return keys.map((key) => ({ key, error: BackupError.from(error) }));
}
