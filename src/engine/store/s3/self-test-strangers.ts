/**
 * What strangers may do at a bucket: their requests are plain ones without a signature. One that a public bucket answers is
 * the worst that a self-test can find, so it is asked for reading, listing and writing.
 */
import type { Judgement } from '../../../words/story.ts';
import { type Check, failed, ok, type Trial, warning } from '../self-test-checks.ts';
import type { S3Connection } from './connection.ts';
import type { S3Store } from './store.ts';

const strangerTimeoutMs = 15_000;
const strangerReadsBytes = 64 * 1024;

export function isPrivateBucket(store: S3Store, { place }: S3Connection): Check {
  return {
    name: 'private',
    cannot: 'what strangers may do cannot be determined',
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
            'Check in the settings of the bucket that it is not public.',
          );
    },
  };
}

function isPublic(rights: readonly string[]): Judgement {
  return failed(
    `the bucket is public: anyone can ${rights.join(' and ')} backups without a key`,
    'Close it now (at Amazon: Block Public Access) and find out who had access; treat everything in the backups as disclosed.',
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
