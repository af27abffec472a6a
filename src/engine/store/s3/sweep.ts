/**
 * Finds and removes unfinished multipart uploads that a killed process left behind. They cost money, no listing of
 * objects shows them, and only buckets with a rule for it expire them by themselves.
 *
 * Only those below our prefix whose key the caller knows as its own, and only old ones: a young one may be another
 * process at work. What cannot be listed or removed is left for another time; nothing depends on it.
 */
import type { SweepUnfinished } from '../kind.ts';
import type { S3Connection } from './connection.ts';
import { aborted, throwIfAborted } from '../store.ts';

/** Each page holds up to 1,000 uploads; what lies behind has its turn next time. */
const mostPages = 10;

export async function sweepUploads(
  connection: S3Connection,
  keyBefore: string,
  { olderThan, isOurs, signal }: SweepUnfinished,
): Promise<number | null> {
  const { bucket: Bucket } = connection.place;
  let removed = 0;
  let marker: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } = {};
  try {
    for (let pages = 0; pages < mostPages; pages += 1) {
      throwIfAborted(signal);
      const input = { Bucket, Prefix: keyBefore, ...marker };
      const page = await connection.send(
        (client, sdk, http) => client.send(new sdk.ListMultipartUploadsCommand(input), http),
        { signal, rawErrors: true },
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (!Key?.startsWith(keyBefore) || !UploadId || !Initiated || Initiated >= olderThan) continue;
        if (!isOurs(Key.slice(keyBefore.length))) continue;
        const upload = { Bucket, Key, UploadId };
        await connection.send((client, sdk, http) => client.send(new sdk.AbortMultipartUploadCommand(upload), http), {
          signal,
          rawErrors: true,
        });
        removed += 1;
      }
      if (!page.IsTruncated || !page.NextKeyMarker) break;
      marker = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
    }
    return removed;
  } catch {
    if (signal?.aborted) throw aborted(signal.reason);
    return removed === 0 ? null : removed;
  }
}
