/**
 * The checks of a self-test that concern a bucket alone: what strangers may do there, the clock, the condition of a
 * create-only write, uploads in parts, versions.
 *
 * A stranger's requests are plain ones without a signature. One that a public bucket answers is the worst that a
 * self-test can find, so it is asked for reading, listing and writing.
 */
import type { LifecycleRule, LifecycleRuleFilter } from '@aws-sdk/client-s3';
import { BackupError } from '../../../words/errors.ts';
import { type Check, failed, type Judgement, ok, once, type Trial, warning } from '../self-test-checks.ts';
import type { S3Connection } from './connection.ts';
import { factsOf, s3Error } from './errors.ts';
import type { S3Store } from './store.ts';

const strangerTimeoutMs = 15_000;
const strangerReadsBytes = 64 * 1024;
const skewWarnMs = 60_000;
/** S3 refuses a request whose signature is older or newer than this. */
const skewFailMs = 15 * 60_000;
/** Stores round an object's time to a second. */
const roundingMs = 1_000;

export function isPrivateBucket(store: S3Store, { place }: S3Connection): Check {
  return {
    name: 'private',
    cannot: 'what strangers may do cannot be told',
    needsObject: true,
    async run(trial) {
      // The address that the SDK uses, without the signature.
      const object = new URL(await store.presign(trial.object, { method: 'GET', expiresInSeconds: 60 }));
      object.search = '';
      const depth = `${place.prefix}/${trial.object}`.split('/').filter((part) => part !== '').length;
      const bucket = new URL(object);
      bucket.pathname = object.pathname.split('/').slice(0, -depth).join('/') || '/';
      bucket.searchParams.set('list-type', '2');
      bucket.searchParams.set('prefix', place.prefix === '' ? trial.object : `${place.prefix}/${trial.object}`);
      const gift = trial.key('stranger');
      const written = new URL(object);
      written.pathname = object.pathname.replace(/[^/]+$/, gift);

      const answers = [
        await askAsStranger(object, trial),
        await askAsStranger(bucket, trial),
        await askAsStranger(written, trial, { method: 'PUT', body: 'written by a stranger' }),
      ] as const;
      const [read, listed, put] = answers;
      const rights = [
        read.text.includes(trial.content.toString()) && 'read',
        listed.text.includes(trial.object) && 'list',
        put.status < 400 && (await trial.store.head(gift, { signal: trial.signal })) !== null && 'write',
      ].filter((right) => right !== false);
      if (rights.length > 0) return isPublic(rights);
      const unclear = answers.find(({ status }) => status < 400 || status >= 500);
      return unclear === undefined
        ? ok('strangers may neither read, list nor write')
        : warning(
            `a request without a key was not refused but ${unclear.how}`,
            'Look in the settings of the bucket that it is not public.',
          );
    },
  };
}

function isPublic(rights: readonly string[]): Judgement {
  return failed(
    `the bucket is public: anyone can ${rights.join(' and ')} backups without a key`,
    'Close it now (at Amazon: Block Public Access) and find out who was there; what is in the backups must count as known.',
  );
}

interface StrangersAnswer {
  readonly status: number;
  /** For a person, when the answer is neither yes nor no. */
  readonly how: string;
  readonly text: string;
}

async function askAsStranger(url: URL, { signal }: Trial, init: RequestInit = {}): Promise<StrangersAnswer> {
  const timeout = AbortSignal.timeout(strangerTimeoutMs);
  const limit = signal ? AbortSignal.any([signal, timeout]) : timeout;
  try {
    const answer = await fetch(url, { ...init, redirect: 'manual', signal: limit });
    return { status: answer.status, how: `answered ${answer.status}`, text: await beginningOf(answer) };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { status: 0, how: 'got no answer', text: '' };
  }
}

async function beginningOf(answer: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  const reader = answer.body?.getReader();
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    text += decoder.decode(chunk.value, { stream: true });
    if (text.length > strangerReadsBytes) await reader?.cancel();
  }
  return text;
}

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
    const hint = 'Set the clock of this machine, best by NTP (`timedatectl set-ntp true`).';
    if (skewMs > skewFailMs) return failed(message, `${hint} S3 refuses requests that are 15 minutes off.`);
    if (skewMs > skewWarnMs) return warning(message, `${hint} From 15 minutes on S3 refuses every request.`);
    return ok(skewMs === 0 ? 'the clocks agree' : message);
  },
};

export const createsOnly: Check = {
  name: 'create-only',
  cannot: 'no object can be written under the condition that there is none',
  needsObject: true,
  async run({ store, key, signal }) {
    const once = key('once');
    const hint =
      'Two machines that begin within the same second may both write to one place until their next upload. Give every machine a prefix of its own (BACKUP_S3_PATH); then nothing depends on it.';
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
          `an upload in parts left ${head?.sizeBytes ?? 'no'} bytes where ${content.length} were sent`,
          'This server cannot take backups of more than one part.',
        );
      }
      try {
        await (await Upload.begin(connection, name, signal)).abort();
      } catch (thrown) {
        const error = BackupError.from(thrown);
        if (error.code === 'ABORTED') throw error;
        return warning(
          `an upload that was given up cannot be removed: ${error.message}`,
          'Allow the key AbortMultipartUpload, or have the bucket expire incomplete uploads; their parts cost money.',
        );
      }
      return ok('an upload in parts was completed, another one given up');
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
        'Allow the key ListBucketMultipartUploads; else have the bucket expire incomplete uploads, those of killed jobs.';
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
    cannot: 'whether the bucket keeps versions cannot be told',
    needsObject: true,
    async run({ object, signal }) {
      const target = { Bucket: connection.place.bucket, Key: remote(connection, object) };
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

/**
 * Where removal is left to the bucket, whoever steals this key must not be able to remove or to spoil what is there. It is
 * tried: a policy on paper proves nothing.
 */
export function overwritesNothing(connection: S3Connection): Check {
  return {
    name: 'overwrite',
    cannot: 'whether this key can overwrite what is there cannot be told',
    needsObject: true,
    async run({ store, object, signal }) {
      const before = await versionOf(connection, object, { signal });
      const bytes = Buffer.from('written over by a self-test\n');
      const refused = await store.put(object, once(bytes), { sizeBytes: bytes.length, signal }).then(
        () => null,
        (error: unknown) => BackupError.from(error),
      );
      if (refused) {
        const { status = 0 } = factsOf(refused.cause);
        if (!REFUSALS.has(status)) throw refused;
        return ok('this key can not overwrite what is there');
      }
      const after = await versionOf(connection, object, { signal });
      if (before.id !== null && after.id !== before.id)
        return ok('an overwrite makes a new version, and the one before stays');
      return failed(
        'this key can overwrite what is there, and the bucket keeps no versions of it',
        'Turn on versioning for the bucket, best with object lock; or allow the key PutObject only under the condition that there is no such object (at Amazon: s3:if-none-match).',
      );
    },
  };
}

export function deletesNothing(connection: S3Connection): Check {
  return {
    name: 'delete',
    cannot: 'whether this key can delete what is there cannot be told',
    needsObject: true,
    async run({ object, signal }) {
      const { id } = await versionOf(connection, object, { signal });
      const hint =
        'Take s3:DeleteObject and s3:DeleteObjectVersion from it, as in the policy below; else whoever steals it removes the backups. Where keys have roles, choose one that reads and writes only.';
      // The version first: behind a delete marker its number would have to be looked up.
      if (id !== null && (await deletes(connection, object, { signal, VersionId: id })))
        return failed('this key can delete versions for good', hint);
      if (!(await deletes(connection, object, { signal }))) return ok('this key can not delete what is there');
      return id === null
        ? failed('this key can delete what is there', hint)
        : failed('this key can hide what is there behind a delete marker; its versions stay', hint);
    },
  };
}

interface VersionOptions {
  readonly signal: AbortSignal | undefined;
  readonly VersionId?: string;
}

/** Null where the bucket keeps no versions. */
async function versionOf(
  connection: S3Connection,
  key: string,
  { signal }: VersionOptions,
): Promise<{ readonly id: string | null }> {
  const target = { Bucket: connection.place.bucket, Key: remote(connection, key) };
  const { VersionId } = await connection.send(
    (client, sdk, http) => client.send(new sdk.HeadObjectCommand(target), http),
    { key, signal },
  );
  return { id: VersionId === undefined || VersionId === 'null' ? null : VersionId };
}

/** False where it is refused, and where a server says yes and does nothing. */
async function deletes(connection: S3Connection, key: string, { signal, VersionId }: VersionOptions): Promise<boolean> {
  const target = { Bucket: connection.place.bucket, Key: remote(connection, key), VersionId };
  try {
    await connection.send((client, sdk, http) => client.send(new sdk.DeleteObjectCommand(target), http), {
      ...{ key, signal, rawErrors: true },
    });
  } catch (error) {
    const { status = 0 } = factsOf(error);
    if (status === 403 || status === 405) return false;
    throw s3Error(error, connection.place, key);
  }
  try {
    await connection.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(target), http), {
      ...{ key, signal, rawErrors: true },
    });
    return false;
  } catch (error) {
    if (factsOf(error).status === 404) return true;
    throw s3Error(error, connection.place, key);
  }
}

/** Denied, not known there, or against the condition or the lock; another answer, as "slow down", says nothing. */
const REFUSALS: ReadonlySet<number> = new Set([403, 405, 409, 412]);

/** The days that were set must be those of the rule, or an idle database is stored anew too late. */
export function rulesAreAsSet(connection: S3Connection, days: number): Check {
  return {
    name: 'lifecycle',
    cannot: 'the rules of the bucket cannot be told',
    async run({ signal }) {
      const rules = await rulesOf(connection, signal);
      if (rules === null) {
        return ok(
          `this key may not read the rules of the bucket; BACKUP_S3_LIFECYCLE_DAYS says ${days} days`,
          'See that its lifecycle rule says the same.',
        );
      }
      const backups = `${connection.place.prefix === '' ? '' : `${connection.place.prefix}/`}backup-`;
      const found = rules.flatMap(({ Status, Expiration, Filter, Prefix }) => {
        const below = Filter?.Prefix ?? Filter?.And?.Prefix ?? Prefix ?? '';
        const isOfAll = !isOfSome(Filter) && backups.startsWith(below);
        return Status === 'Enabled' && isOfAll && Expiration?.Days ? [Expiration.Days] : [];
      });
      if (found.length === 0) {
        return warning(
          'no rule of the bucket removes old backups',
          `They pile up, and so does what they cost. Add a lifecycle rule for ${backups} with an expiration of ${days} days; docs/s3.md has one.`,
        );
      }
      const shortest = Math.min(...found);
      if (shortest < days) {
        return failed(
          `a rule of the bucket removes backups after ${shortest} days, and BACKUP_S3_LIFECYCLE_DAYS says ${days}`,
          `The copy of an idle database would be gone before it is stored anew. Set BACKUP_S3_LIFECYCLE_DAYS=${shortest}, or give the rule ${days} days.`,
        );
      }
      const more = shortest === days ? '' : `; BACKUP_S3_LIFECYCLE_DAYS says ${days}, which is on the safe side`;
      return ok(`a rule of the bucket removes backups after ${shortest} days${more}`);
    },
  };
}

/** Ours bear no tags, and are of any size. */
function isOfSome(filter: LifecycleRuleFilter = {}): boolean {
  const { Tag, And, ObjectSizeGreaterThan, ObjectSizeLessThan } = filter;
  const sizes = [ObjectSizeGreaterThan, ObjectSizeLessThan, And?.ObjectSizeGreaterThan, And?.ObjectSizeLessThan];
  return Tag !== undefined || (And?.Tags ?? []).length > 0 || sizes.some((size) => size !== undefined);
}

/** Null where the key may not read them, or the server has none. */
async function rulesOf(
  connection: S3Connection,
  signal: AbortSignal | undefined,
): Promise<readonly LifecycleRule[] | null> {
  const { bucket: Bucket } = connection.place;
  try {
    const { Rules = [] } = await connection.send(
      (client, sdk, http) => client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket }), http),
      { signal, rawErrors: true },
    );
    return Rules;
  } catch (error) {
    const { name, status = 0 } = factsOf(error);
    if (name === 'NoSuchLifecycleConfiguration') return [];
    if (status === 403 || status === 405 || status === 501) return null;
    throw s3Error(error, connection.place);
  }
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
    const object = { Bucket: connection.place.bucket, Key: remote(connection, key) };
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

function remote({ place }: S3Connection, key: string): string {
  return place.prefix === '' ? key : `${place.prefix}/${key}`;
}

/** The server does not know this key: it will not know it at the next request. */
export function isHopelessAnswer({ cause }: BackupError): boolean {
  return hopelessNames.has(factsOf(cause).name);
}

const hopelessNames: ReadonlySet<string> = new Set(['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken']);
