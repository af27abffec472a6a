/**
 * An object store in an S3 bucket, at any server that speaks S3. Keys lie below a prefix that callers do not see.
 *
 * What is sent is private (no ACL, ever) and signed with the digest of its bytes. What the servers differ in is met
 * here: no condition but `If-None-Match: *` is relied on, and only for small objects; a bulk delete that a server does
 * not know becomes single ones. A server that silently ignores the condition cannot be told here; the target's
 * self-test does.
 */
import { encodeKey } from '../object-key.ts';
import type { TargetStore } from '../kind.ts';
import { connectS3, type S3Connection, type S3Options } from './connection.ts';
import { createOnS3 } from './create.ts';
import { downloadFromS3 } from './download.ts';
import { describePlace } from './errors.ts';
import { headOnS3, listOnS3 } from './look.ts';
import { Prefix } from './prefix.ts';
import { type PresignOptions, presignOnS3 } from './presign.ts';
import { deleteManyOnS3, deleteOnS3 } from './remove.ts';
import { faultOf, isToBeSeen, lockFor, notStoredAs } from './stored-as.ts';
import { sweepUploads } from './sweep.ts';
import { uploadToS3 } from './upload.ts';
import { s3Words } from './words.ts';

export type { S3Options } from './connection.ts';

/** Nothing is locked through `root`, because what is renewed again and again would pile up. */
export interface S3Store extends TargetStore {
  /** An address that lets whoever has it GET or PUT this one object for a while, up to 7 days. */
  presign(key: string, options: PresignOptions): Promise<string>;
  /** The plain address of the object; it answers only where bucket or CDN are public. */
  urlOf(key: string): string;
}

export function createS3Store(options: S3Options): S3Store {
  const connection = connectS3(options);
  return storeOver(connection, connection.place.prefix);
}

function storeOver(connection: S3Connection, prefix: string): S3Store {
  const below = new Prefix(connection, prefix);
  return {
    place: describePlace(connection.place),
    words: s3Words,
    get: (key, options = {}) => downloadFromS3(connection, key, below.remote(key), options),
    async put(key, source, options = {}) {
      const stored = await uploadToS3(connection, key, below.remote(key), source, options);
      if (isToBeSeen(connection.storedAs)) await confirmStoredAs(below, key, options.signal);
      return stored;
    },
    putIfAbsent: (key, bytes, options = {}) => createOnS3(below, key, bytes, options),
    head: (key, options = {}) => headOnS3(below, key, options),
    list: (within, options = {}) => listOnS3(below, within, options),
    delete: (key, options = {}) => deleteOnS3(below, key, options),
    deleteMany: (keys, options = {}) => deleteManyOnS3(below, keys, options),
    presign: (key, options) => presignOnS3(below, key, options),
    sweepUploads: (options) => sweepUploads(connection, below.keyBefore, options),
    urlOf: (key) => `${connection.baseUrl}/${encodeKey(below.remote(key))}`,
    get root() {
      return storeOver({ ...connection, storedAs: { ...connection.storedAs, objectLock: null } }, '');
    },
    close: () => connection.close(),
  };
}

/**
 * An object that is not kept as it was asked for is not taken for stored. It is left to the caller: it may have taken
 * the place of another one.
 */
async function confirmStoredAs(below: Prefix, key: string, signal: AbortSignal | undefined): Promise<void> {
  const { storedAs } = below.connection;
  const object = below.object(key);
  const look = () =>
    below.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(object), http), { key, signal });
  const now = new Date();
  let fault = faultOf(storedAs, await look(), now);
  if (fault === 'not locked') {
    // Ceph before 18 forgets the lock of an upload in parts.
    const Retention = lockFor(storedAs, now);
    await below.send(
      (client, sdk, http) => client.send(new sdk.PutObjectRetentionCommand({ ...object, Retention }), http),
      { key, signal, asksForStoredAs: true },
    );
    fault = faultOf(storedAs, await look(), now);
  }
  if (fault !== null) throw notStoredAs(fault, key, below.place);
}
