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
import { throughConflicts } from './conflicts.ts';
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
  options: PutOptions,
): Promise<{ readonly sizeBytes: number }> {
  const { signal } = options;
  throwIfAborted(signal);
  const upload = new Upload(connection, { key, remoteKey }, options);
  try {
    for await (const chunk of source) {
      throwIfAborted(signal);
      await upload.take(chunk);
    }
    throwIfAborted(signal);
    await upload.finish();
    return { sizeBytes: upload.sizeBytes };
  } catch (error) {
    throw await upload.giveUp(error);
  }
}

/** The name that Litestream gives it. */
export const TIME_METADATA = 'litestream-timestamp';

function metadataOf({ modifiedAt }: PutOptions): Record<string, string> | undefined {
  return modifiedAt && { [TIME_METADATA]: modifiedAt.toISOString() };
}

/** One object on its way: a buffer that fills, parts that are being sent, and what went wrong with one of them. */
class Upload {
  sizeBytes = 0;
  readonly #connection: S3Connection;
  readonly #key: string;
  readonly #object: StoredObject['object'];
  readonly #options: PutOptions;
  readonly #partBytes: number;
  readonly #buffers: PartBuffers;
  readonly #stopped = new AbortController();
  readonly #anySignal: AbortSignal;
  readonly #running = new Set<Promise<void>>();
  readonly #parts: (SentPart | undefined)[] = [];
  #buffer: Buffer | null = null;
  #filled = 0;
  #uploadId: string | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(
    connection: S3Connection,
    { key, remoteKey }: { readonly key: string; readonly remoteKey: string },
    options: PutOptions,
  ) {
    this.#connection = connection;
    this.#key = key;
    this.#object = { Bucket: connection.place.bucket, Key: remoteKey };
    this.#options = options;
    this.#partBytes = partBytesFor(options.sizeBytes);
    this.#buffers = new PartBuffers(this.#partBytes, concurrency + 1);
    const { signal } = options;
    this.#anySignal = signal ? AbortSignal.any([signal, this.#stopped.signal]) : this.#stopped.signal;
  }

  async take(chunk: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    for (let taken = 0; taken < chunk.length;) {
      // A full buffer is sent only when more follows, so the last part is never empty and one part is a plain PUT.
      if (this.#buffer && this.#filled === this.#partBytes) {
        this.#uploadId ??= await this.#begin();
        this.#sendPart(this.#uploadId, this.#buffer, this.#filled);
        this.#buffer = null;
      }
      if (this.#buffer === null) {
        this.#buffer = await this.#freeBuffer();
        this.#filled = 0;
      }
      const piece = chunk.subarray(taken, taken + this.#partBytes - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.length;
      taken += piece.length;
    }
    this.sizeBytes += chunk.length;
  }

  async finish(): Promise<void> {
    const rest = this.#buffer ?? Buffer.alloc(0);
    if (this.#uploadId === undefined) return await this.#putWhole(rest.subarray(0, this.#filled));
    this.#sendPart(this.#uploadId, rest, this.#filled);
    await Promise.all(this.#running);
    if (this.#failure) throw this.#failure.error;
    const upload = { ...this.#object, UploadId: this.#uploadId };
    await complete(this.#connection, this.#key, upload, this.#parts, this.#options);
  }

  /** Removes what was sent, and answers the error that came first. */
  async giveUp(error: unknown): Promise<unknown> {
    const { signal } = this.#options;
    const first = signal?.aborted ? aborted(signal.reason) : (this.#failure?.error ?? error);
    this.#stopped.abort();
    await Promise.all(this.#running);
    if (this.#uploadId !== undefined)
      await removeParts(this.#connection, { ...this.#object, UploadId: this.#uploadId });
    return first;
  }

  async #freeBuffer(): Promise<Buffer> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      const buffer = this.#buffers.take();
      if (buffer) return buffer;
      await Promise.race(this.#running);
    }
  }

  async #begin(): Promise<string> {
    const { signal, ifAbsent, contentType: ContentType } = this.#options;
    const Metadata = metadataOf(this.#options);
    const { place, storedAs } = this.#connection;
    // Before gigabytes are sent in vain; and Ceph 16 ignores the condition of a completion.
    if (ifAbsent && (await isThere(this.#connection, this.#object, signal)))
      throw alreadyThere(this.#key, describePlace(place));
    const asked = { ...this.#object, ContentType, Metadata, ...requestFor(storedAs, { now: new Date() }) };
    const begun = await this.#connection.send(
      (client, sdk, http) => client.send(new sdk.CreateMultipartUploadCommand(asked), http),
      { key: this.#key, signal, asksForStoredAs: true },
    );
    if (!begun.UploadId) throw notS3(place);
    return begun.UploadId;
  }

  #sendPart(id: string, buffer: Buffer, length: number): void {
    const number = this.#parts.push(undefined);
    if (number > mostParts) throw tooLarge(this.#key, this.#partBytes);
    const part = { ...this.#object, UploadId: id, PartNumber: number, Body: buffer.subarray(0, length) };
    const sending = this.#connection
      .send((client, sdk, http) => client.send(new sdk.UploadPartCommand(part), http), {
        signal: this.#anySignal,
        uploadBytes: length,
      })
      .then((sent) => {
        if (!sent.ETag) throw notS3(this.#connection.place);
        this.#parts[number - 1] = { PartNumber: number, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 };
        this.#buffers.giveBack(buffer);
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
        this.#stopped.abort();
      })
      .finally(() => this.#running.delete(sending));
    this.#running.add(sending);
  }

  async #putWhole(bytes: Buffer): Promise<void> {
    const { signal, ifAbsent, contentType: ContentType } = this.#options;
    const [connection, key, object] = [this.#connection, this.#key, this.#object];
    const asked = requestFor(connection.storedAs, { now: new Date(), sizeBytes: this.sizeBytes });
    const body = { ...object, Body: bytes, ContentType, Metadata: metadataOf(this.#options), ...asked };
    const put = (condition: Condition) =>
      connection.send((client, sdk, http) => client.send(new sdk.PutObjectCommand({ ...body, ...condition }), http), {
        ...{ key, signal, uploadBytes: bytes.length, asksForStoredAs: true },
        rawErrors: condition.IfNoneMatch !== undefined,
      });
    // A digest that the server does not give where it encrypts by a key of its own.
    const etag = () => `"${createHash('md5').update(bytes).digest('hex')}"`;
    const stored = await ifAskedFor(ifAbsent, put, { connection, key, object, etag, signal, isPut: true });
    if (stored !== 'ours' && !stored.ETag) throw notS3(connection.place);
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
  const object = { Bucket, Key };
  const stored = { connection, key, object, etag: () => etagOf(Parts), signal, isPut: false };
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
  /** What the server gives an object of our bytes; null if that is not known. */
  readonly etag: () => string | null;
  readonly signal: AbortSignal | undefined;
  /** Sent whole by one request. After a conflict that can be sent again; parts have to be sent anew, as the queue does. */
  readonly isPut: boolean;
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
  let wasTried = false;
  const sendNew = async (isAgain: boolean) => {
    wasTried = isAgain;
    return await send({ IfNoneMatch: '*' });
  };
  try {
    return await (stored.isPut ? throughConflicts(sendNew, stored.signal) : sendNew(false));
  } catch (error) {
    const { status, attempts } = factsOf(error);
    const { connection, key } = stored;
    if (status === 501) return await send({});
    if (status !== 412) {
      throw refusedWish(error, connection.storedAs, connection.place) ?? s3Error(error, connection.place, key);
    }
    if ((attempts > 1 || wasTried) && (await isOurs(stored))) return 'ours';
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
