/**
 * The app's file storage, a folder or an S3 bucket by the same few calls:
 *
 * ```ts
 * const storage = createStorage()
 * const { url } = await storage.upload('avatars/42.png', file)
 * ```
 *
 * Files are private: on S3 nothing is given an ACL, in a folder only the app's user may read. Who shall see one gets it
 * through the app, a signed address, or a CDN in front. Backups and their state are out of reach whatever key is
 * asked for: the folder must lie apart from them, and keys below the backup prefix of the bucket are refused.
 *
 * Importing this has no effects; the environment is read by the first `createStorage()`, the folder made by the first
 * upload.
 */
import type { LocalStorageOptions, S3StorageOptions, StorageOptions } from './options.ts';
import { storageOptionsFromEnvironment } from './environment.ts';
import { requireApart, requireOutside } from './keep-apart.ts';
import { createLocalStore } from '../../../../engine/store/folder/store.ts';
import { checkKey, encodeKey } from '../../../../engine/store/object-key.ts';
import { BackupError } from '../../../../words/errors.ts';
import { createS3Store } from '../../../../engine/store/s3/store.ts';
import { getBytes, isNotThere, type ObjectStore } from '../../../../engine/store/store.ts';

export { storageOptionsFrom, type StorageEnvironment } from './environment.ts';
export type { LocalStorageOptions, S3StorageOptions, StorageOptions } from './options.ts';

export interface Storage {
  /** Stores the file, in place of one with that key, as a whole or not at all. */
  upload(
    key: string,
    body: StorageBody,
    options?: UploadOptions,
  ): Promise<{ readonly key: string; readonly url: string }>;
  /** The whole file in memory, or null when there is none. */
  get(key: string): Promise<Uint8Array | null>;
  exists(key: string): Promise<boolean>;
  /** Deleting what is not there is fine. */
  delete(key: string): Promise<void>;
  /** Where the file is to be found by those who may: at the CDN, the bucket, or the app's own route. Asks nobody. */
  getPublicUrl(key: string): string;
  /**
   * An address good for one GET or PUT of this file by whoever has it. S3 only: a folder has no server of its own that
   * would check a signature, so there it throws UNSUPPORTED.
   */
  getSignedUrl(key: string, options?: SignedUrlOptions): Promise<string>;
  /** Lets go of connections. */
  close(): void;
}

export type StorageBody = Uint8Array | Blob | ReadableStream<Uint8Array> | string;

export interface UploadOptions {
  /** What S3 answers with; a Blob's own type when left out. A folder does not keep it. */
  readonly contentType?: string;
}

export interface SignedUrlOptions {
  /** 15 minutes when left out, at most 7 days. */
  readonly expiresInSeconds?: number;
  readonly method?: 'GET' | 'PUT';
}

const usualExpirySeconds = 15 * 60;

/** @throws BackupError BAD_CONFIG when the settings are incomplete or would mix files with backups. */
export function createStorage(options: StorageOptions = storageOptionsFromEnvironment()): Storage {
  return options.driver === 'local' ? createLocalStorage(options) : createS3Storage(options);
}

function createLocalStorage({ root, publicUrl, privatePaths }: LocalStorageOptions): Storage {
  for (const path of privatePaths) requireApart(root, path);
  return storageOver(createLocalStore({ root }), {
    check: checkKey,
    urlOf: (key) => joinUrl(publicUrl, key),
    sign: async () => {
      throw new BackupError('UNSUPPORTED', 'files in a local folder have no signed addresses', {
        hint: 'Serve the file through a route of the app that checks who asks, or set STORAGE_DRIVER=s3.',
      });
    },
  });
}

function createS3Storage({ bucket, cdnUrl, backupPrefixes }: S3StorageOptions): Storage {
  if (backupPrefixes().some((prefix) => prefix.replaceAll('/', '') === '')) {
    throw new BackupError('BAD_CONFIG', 'the backups take the whole bucket, so it cannot hold the files of the app', {
      hint: 'Set BACKUP_S3_PATH to a prefix such as backups/database.',
    });
  }
  const store = createS3Store({ ...bucket, prefix: '' });
  return storageOver(store, {
    check(key) {
      checkKey(key);
      requireOutside(key, backupPrefixes());
    },
    urlOf: (key) => (cdnUrl === null ? store.urlOf(key) : joinUrl(cdnUrl, key)),
    sign: (key, { method = 'GET', expiresInSeconds = usualExpirySeconds }) =>
      store.presign(key, { method, expiresInSeconds }),
  });
}

/** What the drivers differ in, beside the store itself. */
interface Driver {
  check(key: string): void;
  urlOf(key: string): string;
  sign(key: string, options: SignedUrlOptions): Promise<string>;
}

function storageOver(store: ObjectStore, { check, urlOf, sign }: Driver): Storage {
  return {
    async upload(key, body, { contentType = typeOf(body) } = {}) {
      check(key);
      await store.put(key, bytesOf(body), { sizeBytes: sizeOf(body), contentType });
      return { key, url: urlOf(key) };
    },

    async get(key) {
      check(key);
      try {
        return await getBytes(store, key, { limitBytes: Number.POSITIVE_INFINITY });
      } catch (error) {
        if (isNotThere(error)) return null;
        throw error;
      }
    },

    async exists(key) {
      check(key);
      return (await store.head(key)) !== null;
    },

    async delete(key) {
      check(key);
      await store.delete(key);
    },

    getPublicUrl(key) {
      check(key);
      return urlOf(key);
    },

    async getSignedUrl(key, options = {}) {
      check(key);
      return await sign(key, options);
    },

    close: () => store.close(),
  };
}

async function* bytesOf(body: StorageBody): AsyncIterable<Uint8Array> {
  if (typeof body === 'string') return yield Buffer.from(body);
  if (body instanceof Uint8Array) return yield body;
  const reader = (body instanceof Blob ? body.stream() : body).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Tells the producer of a body nobody wants any more; of one that has ended or failed this changes nothing.
    await reader.cancel().catch(() => {});
  }
}

function sizeOf(body: StorageBody): number | undefined {
  if (typeof body === 'string') return Buffer.byteLength(body);
  if (body instanceof Uint8Array) return body.byteLength;
  return body instanceof Blob ? body.size : undefined;
}

function typeOf(body: StorageBody): string | undefined {
  return body instanceof Blob && body.type !== '' ? body.type : undefined;
}

function joinUrl(base: string, key: string): string {
  return `${base.replace(/\/+$/, '')}/${encodeKey(key)}`;
}
