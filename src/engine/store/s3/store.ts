/**
 * An object store in an S3 bucket, at any server that speaks S3. Keys lie below a prefix that callers do not see.
 *
 * What is sent is private (no ACL, ever) and signed with the digest of its bytes. What the servers differ in is met
 * here: no condition but `If-None-Match: *` is relied on, and only for small objects; a bulk delete that a server does
 * not know becomes single ones. A server that silently ignores the condition cannot be told here; the target's
 * self-test does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../../words/errors.ts';
import { checkKey, encodeKey, isKey } from '../object-key.ts';
import {
  aborted,
  type DeleteFailure,
  getBytes,
  isNotThere,
  type ObjectHead,
  type ObjectStore,
  throwIfAborted,
} from '../store.ts';
import type { TargetStore } from '../kind.ts';
import { connectS3, type S3Connection, type S3Options } from './connection.ts';
import { downloadFromS3 } from './download.ts';
import { hoursOf } from './archive-classes.ts';
import { describePlace, factsOf, NAMELESS, noBucket, notS3, s3Error } from './errors.ts';
import { faultOf, isToBeSeen, leftToBucket, lockFor, notStoredAs, requestFor } from './stored-as.ts';
import { sweepUploads } from './sweep.ts';
import { uploadToS3 } from './upload.ts';

export type { S3Options } from './connection.ts';

/** Nothing is locked through `root`, because what is renewed again and again would pile up. */
export interface S3Store extends TargetStore {
  /** An address that lets whoever has it GET or PUT this one object for a while, up to 7 days. */
  presign(key: string, options: PresignOptions): Promise<string>;
  /** The plain address of the object; it answers only where bucket or CDN are public. */
  urlOf(key: string): string;
}

export interface PresignOptions {
  readonly method: 'GET' | 'PUT';
  readonly expiresInSeconds: number;
}

/** The limit of DeleteObjects. */
const bulkDeleteLimit = 1000;
const singleDeletesAtOnce = 8;
/** How often a create-only PUT that met another one (409) is tried. */
const mostConflicts = 5;
const conflictWaitMs = 100;
/** No listing of ours has more: 100,000 backups of two objects each. */
const LISTED_KEYS_MAX = 500_000;
/** Some servers give fewer than 1,000 keys a page, or none where much was deleted. */
const LISTED_PAGES_MAX = 2_000;
/** Answers to a bulk delete after which single ones may still work. */
const withoutBulkDelete: ReadonlySet<number> = new Set([400, 403, 405, 411, 501]);

export function createS3Store(options: S3Options): S3Store {
  const connection = connectS3(options);
  return storeOver(connection, connection.place.prefix);
}

function storeOver(connection: S3Connection, prefix: string): S3Store {
  const { place } = connection;
  const { bucket: Bucket } = place;
  const keyBefore = prefix === '' ? '' : `${prefix}/`;
  let bucketIsKnown = false;
  let bulkDeleteWorks = true;
  const isLeftToBucket = Boolean(connection.storedAs.lifecycleDays);

  const remote = (key: string): string => {
    checkKey(key);
    return keyBefore + key;
  };

  /** A HEAD answers 404 without a reason, so a missing bucket looks like a missing object until it was seen once. */
  async function requireBucket(signal: AbortSignal | undefined): Promise<void> {
    if (bucketIsKnown) return;
    try {
      await connection.send((client, sdk, http) => client.send(new sdk.HeadBucketCommand({ Bucket }), http), {
        signal,
        rawErrors: true,
      });
    } catch (error) {
      const { status } = factsOf(error);
      if (status === 404) throw noBucket(place, error);
      // A key may lack the right to look at the bucket and still have those on its objects.
      if (status !== 403) throw s3Error(error, place);
    }
    bucketIsKnown = true;
  }

  /**
   * An object that is not kept as it was asked for is not taken for stored. It is left to the caller: it may have taken
   * the place of another one.
   */
  async function confirmStoredAs(key: string, signal: AbortSignal | undefined): Promise<void> {
    const { storedAs } = connection;
    const object = { Bucket, Key: remote(key) };
    const look = () =>
      connection.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(object), http), { key, signal });
    const now = new Date();
    let fault = faultOf(storedAs, await look(), now);
    if (fault === 'not locked') {
      // Ceph before 18 forgets the lock of an upload in parts.
      const Retention = lockFor(storedAs, now);
      await connection.send(
        (client, sdk, http) => client.send(new sdk.PutObjectRetentionCommand({ ...object, Retention }), http),
        { key, signal, asksForStoredAs: true },
      );
      fault = faultOf(storedAs, await look(), now);
    }
    if (fault !== null) throw notStoredAs(fault, key, place);
  }

  async function deleteOne(key: string, signal: AbortSignal | undefined): Promise<void> {
    const Key = remote(key);
    try {
      const { $metadata } = await connection.send(
        (client, sdk, http) => client.send(new sdk.DeleteObjectCommand({ Bucket, Key }), http),
        { key, signal },
      );
      // S3 answers 204. A web page says 200 to everything; a server that does so too must show that it is gone.
      if ($metadata.httpStatusCode !== 204 && (await store.head(key, { signal })) !== null) throw stillThere(key);
    } catch (error) {
      if (!isNotThere(error)) throw error;
    }
  }

  /** Null when this server has no bulk delete. */
  async function deleteInBulk(
    keys: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<readonly DeleteFailure[] | null> {
    const Objects = keys.map((key) => ({ Key: remote(key) }));
    try {
      const { Deleted = [], Errors = [] } = await connection.send(
        (client, sdk, http) => client.send(new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects } }), http),
        { signal, rawErrors: true },
      );
      // What is not named as deleted is not taken for it: some answers are no answers.
      const deleted = new Set(Deleted.map(({ Key }) => Key));
      const refused = new Map(Errors.map(({ Key, Code }) => [Key, Code]));
      return keys.flatMap((key) => {
        const code = refused.get(remote(key));
        if (code === 'NoSuchKey' || (code === undefined && deleted.has(remote(key)))) return [];
        return [{ key, error: refused.has(remote(key)) ? refusedDelete(key, code) : stillThere(key) }];
      });
    } catch (error) {
      const { name, status } = factsOf(error);
      // Ceph 16 asks for rights on the whole bucket here, so a key that may only delete below its prefix gets a 403.
      if (name !== 'NoSuchBucket' && status !== undefined && withoutBulkDelete.has(status)) return null;
      throw s3Error(error, place);
    }
  }

  function headOf(
    sizeBytes: number | undefined,
    etag: string | undefined,
    modifiedAt: Date | undefined,
    storageClass: string | undefined,
  ): ObjectHead {
    const head = { sizeBytes: sizeBytes ?? 0, etag: etag ?? '', modifiedAt: modifiedAt ?? new Date(0) };
    return storageClass && hoursOf(storageClass, place.host) !== null ? { ...head, archive: storageClass } : head;
  }

  /** The answer to a HEAD has no body, so a refusal gives no reason: one byte is asked for, to be refused with it. */
  async function reasonOf(error: unknown, Key: string, signal: AbortSignal | undefined): Promise<unknown> {
    const { name, status } = factsOf(error);
    if (name !== NAMELESS || (status !== 400 && status !== 403)) return error;
    try {
      const input = { Bucket, Key, Range: 'bytes=0-0' };
      await connection.send((client, sdk, http) => client.send(new sdk.GetObjectCommand(input), http), {
        ...{ signal, rawErrors: true },
      });
      return error;
    } catch (told) {
      return factsOf(told).status === status ? told : error;
    }
  }

  /** What was listed before it is no whole listing: what is missing there may be there all the same. */
  function endlessListing(what: string): BackupError {
    return new BackupError('S3_FAILED', `${describePlace(place)} can't be listed to its end: ${what}`, {
      hint: 'Give the backups a prefix that nothing else writes to; if they have one, this server is broken.',
    });
  }

  function refusedDelete(key: string, code = 'without a reason'): BackupError {
    const status = code === 'AccessDenied' ? 403 : 500;
    return s3Error({ name: code, $metadata: { httpStatusCode: status } }, place, key);
  }

  function stillThere(key: string): BackupError {
    return new BackupError('S3_FAILED', `${place.host} did not confirm that it deleted "${key}"`, {
      hint: 'It may still be there; it is tried again.',
    });
  }

  async function deleteSingly(
    keys: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<readonly DeleteFailure[]> {
    const failures: DeleteFailure[] = [];
    const waiting = keys.values();
    const work = async () => {
      for (const key of waiting) {
        await deleteOne(key, signal).catch((error: unknown) => failures.push({ key, error: BackupError.from(error) }));
      }
    };
    await Promise.all(Array.from({ length: singleDeletesAtOnce }, work));
    return failures;
  }

  const get: ObjectStore['get'] = (key, getOptions = {}) => downloadFromS3(connection, key, remote(key), getOptions);

  async function holds(key: string, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    // One byte more than ours, so that a longer object is not taken for it.
    const stored = await getBytes({ get }, key, { from: 0, to: bytes.length, limitBytes: bytes.length + 1, signal });
    return Buffer.compare(stored, bytes) === 0;
  }

  const store: S3Store = {
    place: describePlace(place),

    get,

    async put(key, source, putOptions = {}) {
      const stored = await uploadToS3(connection, key, remote(key), source, putOptions);
      if (isToBeSeen(connection.storedAs)) await confirmStoredAs(key, putOptions.signal);
      return stored;
    },

    async putIfAbsent(key, bytes, { contentType, signal } = {}) {
      // A lock would outlive what the object is for.
      const { ServerSideEncryption, SSEKMSKeyId } = requestFor(connection.storedAs, { now: new Date() });
      const object = {
        ...{ Bucket, Key: remote(key), Body: Buffer.from(bytes), ContentType: contentType, IfNoneMatch: '*' },
        ...{ ServerSideEncryption, SSEKMSKeyId },
      };
      for (let conflicts = 1; ; conflicts += 1) {
        throwIfAborted(signal);
        try {
          const stored = await connection.send(
            (client, sdk, http) => client.send(new sdk.PutObjectCommand(object), http),
            {
              signal,
              uploadBytes: bytes.length,
              rawErrors: true,
            },
          );
          if (!stored.ETag) throw notS3(place);
          return true;
        } catch (error) {
          const { status, attempts } = factsOf(error);
          // A repeated try meets what the first one stored when only its answer was lost.
          if (status === 412) return attempts > 1 || conflicts > 1 ? await holds(key, bytes, signal) : false;
          if (status !== 409 || conflicts === mostConflicts) throw s3Error(error, place);
          await sleep(conflictWaitMs * conflicts * (0.5 + Math.random() / 2), undefined, { signal }).catch(
            (reason: unknown) => {
              throw aborted(reason);
            },
          );
        }
      }
    },

    async head(key, { signal } = {}) {
      const Key = remote(key);
      try {
        const found = await connection.send(
          (client, sdk, http) => client.send(new sdk.HeadObjectCommand({ Bucket, Key }), http),
          {
            signal,
            rawErrors: true,
          },
        );
        if (!found.ETag) throw notS3(place);
        bucketIsKnown = true;
        // What was brought back can be read for some days; the server says so here, and in no listing.
        const isBack = /ongoing-request="false"/.test(found.Restore ?? '');
        return headOf(found.ContentLength, found.ETag, found.LastModified, isBack ? undefined : found.StorageClass);
      } catch (error) {
        if (factsOf(error).status !== 404) throw s3Error(await reasonOf(error, Key, signal), place, key);
        await requireBucket(signal);
        return null;
      }
    },

    async *list(prefix, { signal } = {}) {
      const Prefix = keyBefore + prefix;
      const tokens = new Set<string>();
      let keys = 0;
      let ContinuationToken: string | undefined;
      for (let pages = 1; ; pages += 1) {
        throwIfAborted(signal);
        const input = { Bucket, Prefix, ContinuationToken };
        const page = await connection.send(
          (client, sdk, http) => client.send(new sdk.ListObjectsV2Command(input), http),
          { signal },
        );
        // An XHTML page would pass for an empty bucket, and an empty bucket for backups that are gone.
        if (page.IsTruncated === undefined) throw notS3(place);
        bucketIsKnown = true;
        for (const { Key, Size, ETag, LastModified, StorageClass } of page.Contents ?? []) {
          // Not asked for, or none of ours: consoles mark "folders" by empty objects whose name ends in a slash.
          if (Key === undefined || !Key.startsWith(Prefix) || !isKey(Key.slice(keyBefore.length))) continue;
          throwIfAborted(signal);
          if (++keys > LISTED_KEYS_MAX) throw endlessListing(`more than ${LISTED_KEYS_MAX} objects`);
          yield { key: Key.slice(keyBefore.length), ...headOf(Size, ETag, LastModified, StorageClass) };
        }
        if (!page.IsTruncated) return;
        ContinuationToken = page.NextContinuationToken;
        if (!ContinuationToken || tokens.has(ContinuationToken)) throw endlessListing('the listing does not advance');
        if (pages >= LISTED_PAGES_MAX) throw endlessListing(`more than ${LISTED_PAGES_MAX} pages`);
        tokens.add(ContinuationToken);
      }
    },

    async delete(key, { signal } = {}) {
      throwIfAborted(signal);
      if (isLeftToBucket) throw leftToBucket(describePlace(place));
      await deleteOne(key, signal);
    },

    async deleteMany(keys, { signal } = {}) {
      for (const key of keys) checkKey(key);
      if (isLeftToBucket) return failAll(keys, leftToBucket(describePlace(place)));
      const failures: DeleteFailure[] = [];
      for (let first = 0; first < keys.length; first += bulkDeleteLimit) {
        throwIfAborted(signal);
        const lot = keys.slice(first, first + bulkDeleteLimit);
        const inBulk = bulkDeleteWorks
          ? await deleteInBulk(lot, signal).catch((error: unknown) => failAll(lot, error))
          : null;
        throwIfAborted(signal);
        if (inBulk === null) {
          bulkDeleteWorks = false;
          failures.push(...(await deleteSingly(lot, signal)));
          throwIfAborted(signal);
        } else {
          failures.push(...inBulk);
        }
      }
      return failures;
    },

    async presign(key, { method, expiresInSeconds }) {
      const Key = remote(key);
      if (!Number.isInteger(expiresInSeconds) || expiresInSeconds < 1 || expiresInSeconds > longestPresignSeconds) {
        throw new BackupError('BAD_REQUEST', 'a signed address is good for 1 second to 7 days', {
          hint: 'Pass expiresInSeconds from 1 to 604800.',
        });
      }
      const [sdk, { getSignedUrl }] = await Promise.all([connection.sdk(), import('@aws-sdk/s3-request-presigner')]);
      // With the default the address would carry the checksum of an empty body, and every upload to it would be refused.
      const client = new sdk.S3Client({ ...connection.config, requestChecksumCalculation: 'WHEN_REQUIRED' });
      try {
        const command =
          method === 'GET' ? new sdk.GetObjectCommand({ Bucket, Key }) : new sdk.PutObjectCommand({ Bucket, Key });
        return await getSignedUrl(client, command, { expiresIn: expiresInSeconds });
      } catch (error) {
        throw s3Error(error, place, key);
      } finally {
        client.destroy();
      }
    },

    async sweepUploads(options) {
      return await sweepUploads(connection, keyBefore, options);
    },

    urlOf(key) {
      return `${connection.baseUrl}/${encodeKey(remote(key))}`;
    },

    get root() {
      return storeOver({ ...connection, storedAs: { ...connection.storedAs, objectLock: null } }, '');
    },

    close() {
      connection.close();
    },
  };
  return store;
}

const longestPresignSeconds = 7 * 24 * 3600;

function failAll(keys: readonly string[], error: unknown): readonly DeleteFailure[] {
  return keys.map((key) => ({ key, error: BackupError.from(error) }));
}
