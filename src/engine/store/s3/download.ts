/**
 * Downloads one version of an object. When the connection is cut, stands still or drips, the rest is asked for with a
 * range and the ETag of the first answer, so the bytes are those of one object also when it was replaced meanwhile. A body
 * that ends early without an error counts as cut: the caller never sees a short object, nor a byte more than was announced.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type * as Sdk from '@aws-sdk/client-s3';
import { BackupError } from '../../../words/errors.ts';
import { aborted, type GetOptions, throwIfAborted } from '../store.ts';
import { paced, WINDOW_BYTES_MIN } from './body.ts';
import type { S3Connection } from './connection.ts';
import { factsOf, isBrokenConnection, notS3, s3Error } from './errors.ts';

/** Cuts in a row that bring next to nothing before the download gives up; any progress counts anew. */
const mostFruitlessCuts = 5;
const firstWaitMs = 200;
const longestWaitMs = 5_000;

export async function* downloadFromS3(
  connection: S3Connection,
  key: string,
  remoteKey: string,
  { from = 0, to, signal }: GetOptions,
): AsyncIterable<Uint8Array> {
  throwIfAborted(signal);
  if (to !== undefined && to < from) return;
  const { place } = connection;
  let position = from;
  let end = to === undefined ? undefined : to + 1;
  let etag: string | undefined;
  let fruitlessCuts = 0;

  for (;;) {
    const range =
      position === 0 && end === undefined ? undefined : `bytes=${position}-${end === undefined ? '' : end - 1}`;
    const input = { Bucket: place.bucket, Key: remoteKey, Range: range, IfMatch: etag };
    const startedAt = position;
    let answer: Sdk.GetObjectCommandOutput;
    try {
      answer = await connection.send((client, sdk, http) => client.send(new sdk.GetObjectCommand(input), http), {
        signal,
        rawErrors: true,
      });
    } catch (error) {
      if (signal?.aborted) throw aborted(signal.reason);
      if (factsOf(error).status === 416 && etag === undefined) return;
      // The tries and the waits of the SDK are behind it.
      throw s3Error(error, place, key);
    }
    if (!answer.ETag) throw notS3(place);
    const served = servedRange(answer.ContentRange, answer.ContentLength);
    if (served === null || served.from !== position || served.end > (end ?? Number.MAX_SAFE_INTEGER))
      throw ignoredRange(key, place.host);
    etag ??= answer.ETag;
    end = served.end;
    let brokenBy: unknown;
    try {
      // On a server the SDK's body is a Node stream; its type also names what browsers get.
      for await (const chunk of paced(answer.Body as AsyncIterable<Uint8Array>, connection.requestTimeoutMs)) {
        // Without a length of its own (chunked) nothing else would end it.
        if (position + chunk.length > end) throw ignoredRange(key, place.host);
        position += chunk.length;
        yield chunk;
        throwIfAborted(signal);
      }
    } catch (error) {
      if (signal?.aborted) throw aborted(signal.reason);
      if (!isBrokenConnection(error)) throw s3Error(error, place, key);
      brokenBy = error;
    }
    if (position === end) return;
    fruitlessCuts = position - startedAt >= WINDOW_BYTES_MIN ? 0 : fruitlessCuts + 1;
    if (fruitlessCuts >= mostFruitlessCuts) throw s3Error(brokenBy ?? cutShort(), place, key);
    const waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** fruitlessCuts) * (0.5 + Math.random() / 2);
    await sleep(waitMs, undefined, { signal }).catch((error: unknown) => {
      throw aborted(error);
    });
  }
}

/** Which bytes an answer brings; `end` is exclusive. Null when the server does not say. */
function servedRange(
  contentRange: string | undefined,
  contentLength: number | undefined,
): { readonly from: number; readonly end: number } | null {
  if (contentRange === undefined) return contentLength === undefined ? null : { from: 0, end: contentLength };
  const match = /^bytes (\d+)-(\d+)\//.exec(contentRange);
  return match === null ? null : { from: Number(match[1]), end: Number(match[2]) + 1 };
}

function cutShort(): Error {
  return Object.assign(new Error('the body ended early'), { code: 'ECONNRESET' });
}

function ignoredRange(key: string, host: string): BackupError {
  return new BackupError('UNSUPPORTED', `${host} did not send the requested range of "${key}"`, {
    hint: 'This server, or a proxy in front of it, does not support ranges.',
  });
}
