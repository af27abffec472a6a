/** What is there: one object, and all below a prefix. */
import { BackupError } from '../../../words/errors.ts';
import { isKey } from '../object-key.ts';
import { type ListedObject, type ObjectHead, type OperationOptions, throwIfAborted } from '../store.ts';
import { hoursOf } from './archive-classes.ts';
import { describePlace, factsOf, NAMELESS, noBucket, notS3, type S3Place, s3Error } from './errors.ts';
import type { Prefix } from './prefix.ts';
import { TIME_METADATA } from './upload.ts';

/** No listing of ours has more: 100,000 backups of two objects each. */
const LISTED_KEYS_MAX = 500_000;
/** Some servers give fewer than 1,000 keys a page, or none if much was deleted. */
const LISTED_PAGES_MAX = 2_000;

export async function headOnS3(below: Prefix, key: string, { signal }: OperationOptions): Promise<ObjectHead | null> {
  const object = below.object(key);
  try {
    const found = await below.send((client, sdk, http) => client.send(new sdk.HeadObjectCommand(object), http), {
      ...{ signal, rawErrors: true },
    });
    if (!found.ETag) throw notS3(below.place);
    below.isBucketKnown = true;
    // What was brought back can be read for some days; the server says so here, and in no listing.
    const isBack = /ongoing-request="false"/.test(found.Restore ?? '');
    return headOf(
      {
        ...{ ...found, Size: found.ContentLength, StorageClass: isBack ? undefined : found.StorageClass },
        LastModified: timeIn(found.Metadata) ?? found.LastModified,
      },
      below,
    );
  } catch (error) {
    if (factsOf(error).status !== 404) throw s3Error(await reasonOf(below, error, object, signal), below.place, key);
    await requireBucket(below, signal);
    return null;
  }
}

export async function* listOnS3(
  below: Prefix,
  prefix: string,
  { signal }: OperationOptions,
): AsyncIterable<ListedObject> {
  const { Bucket, keyBefore, place } = below;
  const Prefix = keyBefore + prefix;
  const tokens = new Set<string>();
  let keys = 0;
  let ContinuationToken: string | undefined;
  for (let pages = 1; ; pages += 1) {
    throwIfAborted(signal);
    const input = { Bucket, Prefix, ContinuationToken };
    const page = await below.send((client, sdk, http) => client.send(new sdk.ListObjectsV2Command(input), http), {
      signal,
    });
    // An XHTML page would pass for an empty bucket, and an empty bucket for backups that are gone.
    if (page.IsTruncated === undefined) throw notS3(place);
    below.isBucketKnown = true;
    for (const { Key, ...object } of page.Contents ?? []) {
      // Not asked for, or none of ours: consoles mark "folders" by empty objects whose name ends in a slash.
      if (Key === undefined || !Key.startsWith(Prefix) || !isKey(Key.slice(keyBefore.length))) continue;
      throwIfAborted(signal);
      if (++keys > LISTED_KEYS_MAX) throw endlessListing(place, `more than ${LISTED_KEYS_MAX} objects`);
      yield { key: Key.slice(keyBefore.length), ...headOf(object, below) };
    }
    if (!page.IsTruncated) return;
    ContinuationToken = page.NextContinuationToken;
    if (!ContinuationToken || tokens.has(ContinuationToken))
      throw endlessListing(place, 'the listing does not advance');
    if (pages >= LISTED_PAGES_MAX) throw endlessListing(place, `more than ${LISTED_PAGES_MAX} pages`);
    tokens.add(ContinuationToken);
  }
}

function timeIn(metadata: Readonly<Record<string, string>> = {}): Date | null {
  const at = new Date(metadata[TIME_METADATA] ?? '');
  return Number.isNaN(at.getTime()) ? null : at;
}

interface Told {
  readonly Size?: number;
  readonly ETag?: string;
  readonly LastModified?: Date;
  readonly StorageClass?: string;
}

function headOf(
  { Size = 0, ETag = '', LastModified = new Date(0), StorageClass }: Told,
  { place }: Prefix,
): ObjectHead {
  const head = { sizeBytes: Size, etag: ETag, modifiedAt: LastModified };
  return StorageClass && hoursOf(StorageClass, place.host) !== null ? { ...head, archive: StorageClass } : head;
}

async function requireBucket(below: Prefix, signal: AbortSignal | undefined): Promise<void> {
  if (below.isBucketKnown) return;
  const { Bucket, place } = below;
  try {
    await below.send((client, sdk, http) => client.send(new sdk.HeadBucketCommand({ Bucket }), http), {
      ...{ signal, rawErrors: true },
    });
  } catch (error) {
    const { status } = factsOf(error);
    if (status === 404) throw noBucket(place, error);
    // A key may lack the right to look at the bucket and still have those on its objects.
    if (status !== 403) throw s3Error(error, place);
  }
  below.isBucketKnown = true;
}

/** The answer to a HEAD has no body, so a refusal gives no reason: one byte is asked for, to be refused with it. */
async function reasonOf(
  below: Prefix,
  error: unknown,
  object: { readonly Bucket: string; readonly Key: string },
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const { name, status } = factsOf(error);
  if (name !== NAMELESS || (status !== 400 && status !== 403)) return error;
  try {
    const input = { ...object, Range: 'bytes=0-0' };
    await below.send((client, sdk, http) => client.send(new sdk.GetObjectCommand(input), http), {
      ...{ signal, rawErrors: true },
    });
    return error;
  } catch (told) {
    return factsOf(told).status === status ? told : error;
  }
}

/** What was listed before it is no whole listing: what is missing there may be there all the same. */
function endlessListing(place: S3Place, what: string): BackupError {
  return new BackupError('S3_FAILED', `${describePlace(place)} can't be listed to its end: ${what}`, {
    hint: 'Give the backups a prefix that nothing else writes to; if they have one, this server is broken.',
  });
}
