/**
 * Limits for what a server sends. It may be broken, or in the wrong hands: without them a body that never ends would fill
 * the memory, and one that drips would hold its job for ever. Neither Node's nor the SDK's own timeouts see a drip, because
 * each byte begins them anew.
 */
import { BackupError } from '../../../words/errors.ts';

/** A page of a listing is the largest answer that is read as a whole: 1,000 keys of up to 1,024 bytes, escaped. */
export const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** The least that must arrive in each window of a transfer; half a kilobyte a second with the usual window. */
export const WINDOW_BYTES_MIN = 32 * 1024;

/** The bytes of the body; throws ETIMEDOUT where they come more slowly than `WINDOW_BYTES_MIN` in each window of waiting. */
export async function* paced(body: AsyncIterable<Uint8Array>, windowMs: number): AsyncGenerator<Uint8Array> {
  // Only the waiting counts: a consumer may be slow.
  let waitedMs = 0;
  let windowBytes = 0;
  const chunks = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const askedAt = performance.now();
      const { done, value } = await chunks.next();
      if (done) return;
      waitedMs += performance.now() - askedAt;
      windowBytes += value.length;
      if (waitedMs >= windowMs) {
        if (windowBytes < WINDOW_BYTES_MIN) throw drips();
        waitedMs = 0;
        windowBytes = 0;
      }
      yield value;
    }
  } finally {
    await chunks.return?.();
  }
}

/**
 * Reads an answer as a whole, for the SDK. The parser of the SDK takes the square of the time for a document with many
 * declarations of its type; S3 sends none, and a web page, which is told as such, has one.
 */
export async function readAnswer(
  body: AsyncIterable<Uint8Array>,
  { windowMs, host }: { readonly windowMs: number; readonly host: string },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of paced(body, windowMs)) {
    sizeBytes += chunk.length;
    if (sizeBytes > ANSWER_BYTES_MAX) throw unlikeS3(host, `sent more than ${ANSWER_BYTES_MAX / 1024 ** 2} MB`);
    chunks.push(chunk);
  }
  const answer = Buffer.concat(chunks, sizeBytes);
  if (answer.toString('latin1').split(/<!doctype/i, 3).length > 2)
    throw unlikeS3(host, 'sent a document of several types');
  return answer;
}

function drips(): Error {
  return Object.assign(new Error('the body arrives too slowly'), { code: 'ETIMEDOUT' });
}

/** The SDK adds words of its own to the message of what is thrown while it reads. */
export class AnswerRefused extends Error {
  readonly told: BackupError;

  constructor(told: BackupError) {
    super(told.message);
    this.told = told;
  }
}

function unlikeS3(host: string, what: string): AnswerRefused {
  const told = new BackupError('S3_FAILED', `${host} ${what} although S3 answers with a short text`, {
    hint: 'Check S3_ENDPOINT: something other than an S3 server, or a broken one, seems to answer there.',
  });
  return new AnswerRefused(told);
}
