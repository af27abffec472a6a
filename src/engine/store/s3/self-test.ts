/**
 * The checks of a self-test that concern a bucket alone: the clock, the condition of a create-only write, uploads in parts,
 * versions. What strangers may do there, and what this key must not do, is asked by the files beside this one.
 */
import { BackupError } from '../../../words/errors.ts';
import { type Check, failed, ok, warning } from '../self-test-checks.ts';
import { remoteKey, type S3Connection } from './connection.ts';
import { factsOf } from './errors.ts';

const skewWarnMs = 60_000;
/** S3 refuses a request whose signature is older or newer than this. */
const skewFailMs = 15 * 60_000;
/** Stores round an object's time to a second. */
const roundingMs = 1_000;

/** The SDK signs with the server's time once it was refused for ours, but names and retention go by ours. */
export const keepsTime: Check = {
  name: 'clock',
  cannot: 'the clocks cannot be compared',
  needsObject: true,
  async run({ store, object, written, signal }) {
    const head = await store.head(object, { signal });
    if (head === null || written === null)
      throw new BackupError('GONE', 'the test object is gone', { hint: 'Try again.' });
    const storedMs = head.modifiedAt.getTime();
    const skewMs = Math.max(0, written.fromMs - roundingMs - storedMs, storedMs - written.toMs);
    const apart = `${skewMs < 2 * skewWarnMs ? `${Math.round(skewMs / 1_000)} s` : `${Math.round(skewMs / 60_000)} minutes`}`;
    const message = `the clocks of this machine and of the server are ${apart} apart`;
    const hint = 'Set the clock of this machine, ideally with NTP (`timedatectl set-ntp true`).';
    if (skewMs > skewFailMs) return failed(message, `${hint} S3 refuses requests that are 15 minutes off.`);
    if (skewMs > skewWarnMs) return warning(message, `${hint} From 15 minutes on S3 refuses every request.`);
    return ok(skewMs === 0 ? 'the clocks agree' : message);
  },
};

export const createsOnly: Check = {
  name: 'create-only',
  cannot: 'no object can be written on condition that it does not exist yet',
  needsObject: true,
  async run({ store, key, signal }) {
    const once = key('once');
    const hint =
      'Two machines that begin within the same second may both write to one place until their next upload. They could also mix their streams of commits (continuous backup). Give every machine a prefix of its own (BACKUP_S3_PATH); then this does not matter.';
    try {
      const first = await store.putIfAbsent(once, Buffer.from('first'), { signal });
      const second = await store.putIfAbsent(once, Buffer.from('second'), { signal });
      if (first && !second)
        return ok('a create-only write does not replace what is there, so a place has one writer at a time');
      return warning('the server ignores the condition of a create-only write (If-None-Match)', hint);
    } catch (thrown) {
      const error = BackupError.from(thrown);
      if (error.code !== 'UNSUPPORTED') throw error;
      return warning('the server has no create-only write (If-None-Match)', hint);
    }
  },
};

/** One part may be as small as it likes when it is the last, so the whole exchange costs a few bytes. */
export function uploadsParts(connection: S3Connection): Check {
  return {
    name: 'multipart',
    cannot: 'large backups cannot be uploaded in parts',
    needsObject: true,
    async run({ store, key, content, signal }) {
      const name = key('parts');
      const kept = await Upload.begin(connection, name, signal);
      try {
        await kept.complete(content);
      } catch (error) {
        await kept.abort().catch(() => {});
        throw error;
      }
      const head = await store.head(name, { signal });
      if (head?.sizeBytes !== content.length) {
        return failed(
          `an upload in parts left ${head?.sizeBytes ?? 'no'} bytes although ${content.length} were sent`,
          'This server cannot take backups of more than one part.',
        );
      }
      try {
        await (await Upload.begin(connection, name, signal)).abort();
      } catch (thrown) {
        const error = BackupError.from(thrown);
        if (error.code === 'ABORTED') throw error;
        return warning(
          `an aborted upload cannot be removed: ${error.message}`,
          'Allow the key AbortMultipartUpload, or have the bucket expire incomplete uploads; their parts cost money.',
        );
      }
      return ok('an upload in parts was completed, and another one aborted');
    },
  };
}

/** Only so are uploads of killed jobs found and removed. */
export function listsUploads(connection: S3Connection): Check {
  return {
    name: 'unfinished-uploads',
    cannot: 'unfinished uploads cannot be listed',
    needsObject: true,
    async run({ key, signal }) {
      const { place } = connection;
      const upload = await Upload.begin(connection, key('unfinished'), signal);
      const hint =
        'Allow the key ListBucketMultipartUploads, or have the bucket expire incomplete uploads, which killed jobs leave behind.';
      try {
        const page = await connection.send(
          (client, sdk, http) =>
            client.send(new sdk.ListMultipartUploadsCommand({ Bucket: place.bucket, Prefix: upload.target.Key }), http),
          { signal },
        );
        return page.Uploads?.some(({ UploadId }) => UploadId === upload.target.UploadId)
          ? ok('unfinished uploads are listed')
          : warning('the server does not list unfinished uploads', hint);
      } catch (thrown) {
        const error = BackupError.from(thrown);
        if (error.code === 'ABORTED') throw error;
        return warning(`unfinished uploads cannot be listed: ${error.message}`, hint);
      } finally {
        // Whether that is allowed, the check before this one has told.
        await upload.abort().catch(() => {});
      }
    },
  };
}

export function keepsVersions(connection: S3Connection): Check {
  return {
    name: 'versions',
    cannot: 'whether the bucket keeps versions cannot be determined',
    needsObject: true,
    async run({ object, signal }) {
      const target = { Bucket: connection.place.bucket, Key: remoteKey(connection, object) };
      const { VersionId } = await connection.send(
        (client, sdk, http) => client.send(new sdk.HeadObjectCommand(target), http),
        { signal, key: object },
      );
      if (VersionId === undefined || VersionId === 'null') return ok('the bucket keeps no versions');
      return ok(
        'the bucket keeps versions: what is deleted can be brought back, and takes space until it expires',
        'Let a rule of the bucket expire noncurrent versions after some weeks, if there is none yet.',
      );
    },
  };
}

/** One upload in parts, request by request. */
class Upload {
  readonly target: { readonly Bucket: string; readonly Key: string; readonly UploadId: string | undefined };
  readonly #connection: S3Connection;
  readonly #signal: AbortSignal | undefined;

  private constructor(connection: S3Connection, target: Upload['target'], signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.target = target;
    this.#signal = signal;
  }

  static async begin(connection: S3Connection, key: string, signal: AbortSignal | undefined): Promise<Upload> {
    const object = { Bucket: connection.place.bucket, Key: remoteKey(connection, key) };
    const { UploadId } = await connection.send(
      (client, sdk, http) => client.send(new sdk.CreateMultipartUploadCommand(object), http),
      { signal },
    );
    return new Upload(connection, { ...object, UploadId }, signal);
  }

  async complete(bytes: Buffer): Promise<void> {
    const options = { signal: this.#signal };
    const part = { ...this.target, PartNumber: 1, Body: bytes };
    const { ETag, ChecksumCRC32 } = await this.#connection.send(
      (client, sdk, http) => client.send(new sdk.UploadPartCommand(part), http),
      options,
    );
    const whole = { ...this.target, MultipartUpload: { Parts: [{ PartNumber: 1, ETag, ChecksumCRC32 }] } };
    const complete = (condition: { readonly IfNoneMatch?: '*' }) =>
      this.#connection.send(
        (client, sdk, http) => client.send(new sdk.CompleteMultipartUploadCommand({ ...whole, ...condition }), http),
        options,
      );
    await complete({ IfNoneMatch: '*' }).catch(async (thrown: unknown) => {
      const error = BackupError.from(thrown);
      if (error.code !== 'UNSUPPORTED') throw error;
      await complete({});
    });
  }

  /** Not under the caller's signal: an upload that was begun is ended. */
  async abort(): Promise<void> {
    await this.#connection.send(
      (client, sdk, http) => client.send(new sdk.AbortMultipartUploadCommand(this.target), http),
      { signal: AbortSignal.timeout(abortTimeoutMs) },
    );
  }
}

const abortTimeoutMs = 15_000;

/** The server does not know this key: it will not know it at the next request. */
export function isHopelessAnswer({ cause }: BackupError): boolean {
  return hopelessNames.has(factsOf(cause).name);
}

const hopelessNames: ReadonlySet<string> = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken']);
