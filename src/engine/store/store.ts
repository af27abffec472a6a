/**
 * The port through which backups and files reach a place that keeps bytes by key: a folder, an S3 bucket, memory in
 * tests. It speaks bytes and keys only; what a backup is, the catalog knows.
 *
 * Every implementation promises, and `tests/contracts/object-store.test.ts` holds each of them to it:
 *
 * - **Durable**: when `put` or `putIfAbsent` resolves, the object survives a power cut of this machine.
 * - **Read after write**: whoever asks after that sees the object, in `get`, `head` and `list` alike.
 * - **Atomic**: under a key there is a whole object or none, the old one or the new one. A source that throws, a caller
 *   that aborts and a connection that breaks leave no short object and no parts that somebody pays for.
 * - **Deleting twice is fine**: a key that is not there counts as deleted.
 * - **Errors answer two questions**: is it simply not there (`isNotThere`), and is trying again without a change
 *   pointless (`isPermanent`)? An error that the caller's own source throws passes through unchanged.
 * - **Bounded**: no operation holds a whole object in memory; every retry and wait has a limit.
 */
import { BackupError, type ErrorCode, traitsOf } from '../../words/errors.ts';

export interface ObjectStore {
  /** How messages and reports name the place, such as `bucket "my-backups" at s3.wasabisys.com`. Never a secret. */
  readonly place: string;

  readonly words: StoreWords;

  /**
   * Stores everything the source yields, in place of what was there, or with `ifAbsent` only where nothing is: else it
   * throws TARGET_EXISTS. The source may reuse its chunks.
   */
  put(key: string, source: ByteSource, options?: PutOptions): Promise<{ readonly sizeBytes: number }>;

  /**
   * Stores the bytes only if there is no such object yet, and answers whether it did. Of several callers at once one
   * wins. Bytes used as a lock must hold something of the caller's own (a nonce): after a lost answer the store tells
   * its own success from another's by reading them back.
   */
  putIfAbsent(key: string, bytes: Uint8Array, options?: PutIfAbsentOptions): Promise<boolean>;

  /**
   * The bytes of one version of the object, also when it is replaced meanwhile. A range that begins behind the end
   * yields nothing. Throws GONE when there is no such object.
   */
  get(key: string, options?: GetOptions): AsyncIterable<Uint8Array>;

  head(key: string, options?: OperationOptions): Promise<ObjectHead | null>;

  /** All objects whose key starts with the prefix (any text, not only a folder), ordered by the bytes of the key. */
  list(prefix: string, options?: OperationOptions): AsyncIterable<ListedObject>;

  delete(key: string, options?: OperationOptions): Promise<void>;

  /** Deletes what it can and answers the keys that may still be there, each with its reason. Empty: all are gone. */
  deleteMany(keys: readonly string[], options?: OperationOptions): Promise<readonly DeleteFailure[]>;

  /** Lets go of connections. The store is not used afterwards. */
  close(): void;
}

/** How messages and hints speak of places of one kind. */
export interface StoreWords {
  /** `bucket`, `folder` */
  readonly noun: string;
  /** What a machine or a database gets there for itself: `a prefix of its own (BACKUP_S3_PATH)`. */
  readonly own: string;
  /** The setting that says where it is. */
  readonly setting: string;
  /** Why something may still be there after it was deleted: a whole sentence. */
  readonly undeleted: string;
  /** What to look at when it does not answer: a whole sentence. */
  readonly silent: string;
  /** The codes of a place that does not keep what was written, and of one that does not answer. */
  readonly codes: { readonly mismatch: ErrorCode; readonly silent: ErrorCode };
}

type ByteSource = AsyncIterable<Uint8Array>;

export interface OperationOptions {
  /** Ends the operation with the error ABORTED. */
  readonly signal?: AbortSignal;
}

export interface PutOptions extends OperationOptions {
  /** The size, or a bound it will not exceed; a store that uploads in parts chooses their size by it. */
  readonly sizeBytes?: number;
  readonly contentType?: string;
  /** A server that ignores the condition replaces what is there, and one that does not know it is asked without: the target's self-test says so. */
  readonly ifAbsent?: boolean;
  /** The time that the object speaks of, in place of now: `head` answers it as `modifiedAt`, a listing may answer either. */
  readonly modifiedAt?: Date;
}

export interface PutIfAbsentOptions extends OperationOptions {
  readonly contentType?: string;
}

export interface GetOptions extends OperationOptions {
  /** First and last byte, both inclusive and counted from 0. A `to` behind the end means the end. */
  readonly from?: number;
  readonly to?: number;
}

export interface ObjectHead {
  readonly sizeBytes: number;
  /** Changes whenever the content does. Opaque: no digest, and not comparable between stores. */
  readonly etag: string;
  /** A store may round it to a second. */
  readonly modifiedAt: Date;
  /** The server's name for how it keeps the object, when that is one from which it must be brought back before a read. */
  readonly archive?: string;
}

export interface ListedObject extends ObjectHead {
  readonly key: string;
}

export interface DeleteFailure {
  readonly key: string;
  readonly error: BackupError;
}

/** True for the error that says the object does not exist. */
export function isNotThere(error: unknown): boolean {
  return error instanceof BackupError && error.code === 'GONE';
}

/** True when the same operation cannot succeed before a person, or other data, has changed something. */
export function isPermanent(error: unknown): boolean {
  return error instanceof BackupError && !traitsOf(error.code).retry;
}

/**
 * All bytes of a small object. `limitBytes` guards against an object that is not small: such a one is refused with
 * BAD_REQUEST instead of filling the memory.
 */
export async function getBytes(
  store: Pick<ObjectStore, 'get'>,
  key: string,
  { limitBytes, ...options }: GetOptions & { readonly limitBytes: number },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of store.get(key, options)) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) {
      throw new BackupError('BAD_REQUEST', `the object "${key}" is larger than ${limitBytes} bytes`, {
        hint: 'Read it as a stream.',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}

/** The error every store throws for a missing object. */
export function notThere(key: string, place: string, cause?: unknown): BackupError {
  return new BackupError('GONE', `there is no "${key}" in ${place}`, {
    hint: 'It was removed meanwhile, or never stored there.',
    cause,
  });
}

/** The error every store throws for an object that was to be new and is not. */
export function alreadyThere(key: string, place: string, cause?: unknown): BackupError {
  return new BackupError('TARGET_EXISTS', `there is already a "${key}" in ${place}`, {
    hint: 'It was left as it is.',
    cause,
  });
}

/** The error every store throws when the caller's signal fires. */
export function aborted(cause?: unknown): BackupError {
  return cause instanceof BackupError
    ? cause
    : new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again whenever you like.', cause });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal.reason);
}

/** A source for `put`. */
export async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
