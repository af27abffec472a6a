/**
 * Uploads a stream of any length in bounded memory: one PUT if it fits into one part, else a multipart upload of our
 * own, with a few part buffers that are used again and again. The SDK's own uploader needs about twice the memory on
 * Bun.
 *
 * Bodies are always whole buffers, never streams: a buffer can be sent again after a fault, its SHA-256 is signed so
 * that the server refuses changed bytes, and several servers answer a streamed body with 411 or 501, or store it wrong.
 * No request names an ACL: what is stored is as private as its bucket.
 *
 * On any failure (the source throws, the caller aborts, the server gives up) the parts already sent are removed again.
 * Only a killed process, or a server that is gone, leaves parts behind; buckets should have a rule that expires them.
 */
import { createHash } from 'node:crypto';
import { BackupError } from '../../../words/errors.ts';
import { aborted, alreadyThere, type PutOptions, throwIfAborted } from '../store.ts';
import type { S3Connection } from './connection.ts';
import { describePlace, factsOf, notS3, s3Error } from './errors.ts';
import { refusedWish, requestFor } from './stored-as.ts';

/**
 * The least that S3 takes, enough for 48 GiB in one object. With 8 MiB an upload is no faster and its process 20 to 40 MB
 * larger on Bun.
 */
export const smallestPartBytes = 5 * 1024 * 1024;
/** The limit of S3. */
const mostParts = 10_000;
/** Parts on the way at once. Two keep the line busy while the next fills; four of 8 MiB cost 54 MB more on Bun for the same speed. */
const concurrency = 2;
/** How long the removal of parts may take after a failure. */
const cleanupTimeoutMs = 15_000;

interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string | undefined;
  readonly ChecksumCRC32: string | undefined;
}

/** The part size for an object of at most that size: it grows so that 5 TiB fit into 10,000 parts, in whole MiB. */
export function partBytesFor(sizeBytes: number | undefined): number {
  const needed = Math.ceil((sizeBytes ?? 0) / mostParts / 1024 ** 2) * 1024 ** 2;
  return Math.max(smallestPartBytes, needed);
}

export async function uploadToS3(
  connection: S3Connection,
  key: string,
  remoteKey: string,
  source: AsyncIterable<Uint8Array>,
  { sizeBytes: expectedBytes, contentType, signal, ifAbsent }: PutOptions,
): Promise<{ readonly sizeBytes: number }> {
  throwIfAborted(signal);
  const object = { Bucket: connection.place.bucket, Key: remoteKey };
  const partBytes = partBytesFor(expectedBytes);
  const stopped = new AbortController();
  const anySignal = signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal;
  const buffers = new PartBuffers(partBytes, concurrency + 1);
  const running = new Set<Promise<void>>();
  const parts: (SentPart | undefined)[] = [];
  let uploadId: string | undefined;
  let failure: { readonly error: unknown } | undefined;
  let sizeBytes = 0;

  const freeBuffer = async (): Promise<Buffer> => {
    for (;;) {
      if (failure) throw failure.error;
      const buffer = buffers.take();
      if (buffer) return buffer;
      await Promise.race(running);
    }
  };

  const begin = async (): Promise<string> => {
    // Before gigabytes are sent in vain; and Ceph 16 ignores the condition of a completion.
    if (ifAbsent && (await isThere(connection, object, signal)))
      throw alreadyThere(key, describePlace(connection.place));
    const begun = await connection.send(
      (client, sdk, http) =>
        client.send(
          new sdk.CreateMultipartUploadCommand({
            ...object,
            ContentType: contentType,
            ...requestFor(connection.storedAs, { now: new Date() }),
          }),
          http,
        ),
      { key, signal, asksForStoredAs: true },
    );
    if (!begun.UploadId) throw notS3(connection.place);
    return begun.UploadId;
  };

  const sendPart = (id: string, buffer: Buffer, length: number): void => {
    const number = parts.push(undefined);
    if (number > mostParts) throw tooLarge(key, partBytes);
    const part = { ...object, UploadId: id, PartNumber: number, Body: buffer.subarray(0, length) };
    const sending = connection
      .send((client, sdk, http) => client.send(new sdk.UploadPartCommand(part), http), {
        signal: anySignal,
        uploadBytes: length,
      })
      .then((sent) => {
        if (!sent.ETag) throw notS3(connection.place);
        parts[number - 1] = { PartNumber: number, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 };
        buffers.giveBack(buffer);
      })
      .catch((error: unknown) => {
        failure ??= { error };
        stopped.abort();
      })
      .finally(() => running.delete(sending));
    running.add(sending);
  };

  try {
    let buffer = await freeBuffer();
    let filled = 0;
    for await (const chunk of source) {
      throwIfAborted(signal);
      if (failure) throw failure.error;
      for (let taken = 0; taken < chunk.length;) {
        // A full buffer is sent only when more follows, so the last part is never empty and one part is a plain PUT.
        if (filled === partBytes) {
          uploadId ??= await begin();
          sendPart(uploadId, buffer, filled);
          buffer = await freeBuffer();
          filled = 0;
        }
        const piece = chunk.subarray(taken, taken + partBytes - filled);
        buffer.set(piece, filled);
        filled += piece.length;
        taken += piece.length;
      }
      sizeBytes += chunk.length;
    }
    throwIfAborted(signal);

    if (uploadId === undefined) {
      const asked = requestFor(connection.storedAs, { now: new Date(), sizeBytes });
      const body = { ...object, Body: buffer.subarray(0, filled), ContentType: contentType, ...asked };
      const put = (condition: Condition) =>
        connection.send((client, sdk, http) => client.send(new sdk.PutObjectCommand({ ...body, ...condition }), http), {
          ...{ key, signal, uploadBytes: filled, asksForStoredAs: true },
          rawErrors: condition.IfNoneMatch !== undefined,
        });
      // A digest that the server does not give where it encrypts by a key of its own.
      const etag = () => `"${createHash('md5').update(buffer.subarray(0, filled)).digest('hex')}"`;
      const stored = await ifAskedFor(ifAbsent, put, { connection, key, object, etag, signal });
      if (stored !== 'ours' && !stored.ETag) throw notS3(connection.place);
      return { sizeBytes };
    }
    sendPart(uploadId, buffer, filled);
    await Promise.all(running);
    if (failure) throw failure.error;
    await complete(connection, key, { ...object, UploadId: uploadId }, parts, { signal, ifAbsent });
    return { sizeBytes };
  } catch (error) {
    const first = signal?.aborted ? aborted(signal.reason) : (failure?.error ?? error);
    stopped.abort();
    await Promise.all(running);
    if (uploadId !== undefined) await removeParts(connection, { ...object, UploadId: uploadId });
    throw first;
  }
}

/**
 * Makes the object out of its parts. When the answer of the first try is lost, some servers say to the second that
 * there is no such upload; then the object's ETag, a digest over those of our parts, tells whether it is ours.
 */
async function complete(
  connection: S3Connection,
  key: string,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string },
  parts: readonly (SentPart | undefined)[],
  { signal, ifAbsent }: Pick<PutOptions, 'signal' | 'ifAbsent'>,
): Promise<void> {
  const Parts = parts.filter((part) => part !== undefined);
  const { Bucket, Key } = upload;
  const stored = { connection, key, object: { Bucket, Key }, etag: () => etagOf(Parts), signal };
  const send = (condition: Condition) =>
    connection.send(
      (client, sdk, http) =>
        client.send(
          new sdk.CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts }, ...condition }),
          http,
        ),
      { signal, rawErrors: true },
    );
  try {
    await ifAskedFor(ifAbsent, send, stored);
  } catch (error) {
    const { name, attempts } = factsOf(error);
    if (name === 'NoSuchUpload' && attempts > 1 && (await isOurs(stored))) return;
    throw s3Error(error, connection.place);
  }
}

interface Condition {
  readonly IfNoneMatch?: '*';
}

interface StoredObject {
  readonly connection: S3Connection;
  readonly key: string;
  readonly object: { readonly Bucket: string; readonly Key: string };
  /** What the server gives an object of our bytes; null where that is not known. */
  readonly etag: () => string | null;
  readonly signal: AbortSignal | undefined;
}

/**
 * Sends the request under the condition that there is no such object yet, and answers `ours` where one that was tried again
 * met what the first try had stored. A server that does not know the condition is asked without.
 *
 * @throws BackupError TARGET_EXISTS
 */
async function ifAskedFor<Answer>(
  ifAbsent: boolean | undefined,
  send: (condition: Condition) => Promise<Answer>,
  stored: StoredObject,
): Promise<Answer | 'ours'> {
  if (!ifAbsent) return await send({});
  try {
    return await send({ IfNoneMatch: '*' });
  } catch (error) {
    const { status, attempts } = factsOf(error);
    const { connection, key } = stored;
    if (status === 501) return await send({});
    if (status !== 412) {
      throw refusedWish(error, connection.storedAs, connection.place) ?? s3Error(error, connection.place, key);
    }
    if (attempts > 1 && (await isOurs(stored))) return 'ours';
    throw alreadyThere(key, describePlace(connection.place), error);
  }
}

/** False as well where the key may not know. */
async function isThere(
  connection: S3Connection,
  object: StoredObject['object'],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await connection.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(object), http), {
      ...{ signal, rawErrors: true },
    });
    return true;
  } catch (error) {
    const { status } = factsOf(error);
    if (status === 404 || status === 403) return false;
    throw s3Error(error, connection.place);
  }
}

async function isOurs({ connection, key, object, etag, signal }: StoredObject): Promise<boolean> {
  const wanted = etag();
  if (wanted === null) return false;
  const found = await connection.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(object), http), {
    ...{ key, signal },
  });
  return found.ETag === wanted;
}

/** The ETag S3 gives a multipart object: the MD5 of the MD5s of its parts, and their number. Null if those are no MD5s. */
function etagOf(parts: readonly SentPart[]): string | null {
  const digest = createHash('md5');
  for (const { ETag } of parts) {
    const hex = /^"?([0-9a-f]{32})"?$/.exec(ETag ?? '')?.[1];
    if (hex === undefined) return null;
    digest.update(hex, 'hex');
  }
  return `"${digest.digest('hex')}-${parts.length}"`;
}

async function removeParts(
  connection: S3Connection,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string },
): Promise<void> {
  try {
    // Not the caller's signal: it may be what brought us here.
    await connection.send((client, sdk, http) => client.send(new sdk.AbortMultipartUploadCommand(upload), http), {
      signal: AbortSignal.timeout(cleanupTimeoutMs),
    });
  } catch {
    // The failure that led here is what the caller must see; a server that is gone keeps its parts until they expire.
  }
}

/** At most `limit` buffers of one size, made when first needed. */
class PartBuffers {
  readonly #free: Buffer[] = [];
  readonly #sizeBytes: number;
  #left: number;

  constructor(sizeBytes: number, limit: number) {
    this.#sizeBytes = sizeBytes;
    this.#left = limit;
  }

  take(): Buffer | null {
    const free = this.#free.pop();
    if (free) return free;
    if (this.#left === 0) return null;
    this.#left -= 1;
    return Buffer.allocUnsafeSlow(this.#sizeBytes);
  }

  giveBack(buffer: Buffer): void {
    this.#free.push(buffer);
  }
}

function tooLarge(key: string, partBytes: number): BackupError {
  const limitGiB = Math.floor((partBytes * mostParts) / 1024 ** 3);
  return new BackupError('BAD_REQUEST', `"${key}" is larger than the ${limitGiB} GiB its upload was planned for`, {
    hint: 'Pass the size, or a bound for it, so that larger parts are chosen.',
  });
}
