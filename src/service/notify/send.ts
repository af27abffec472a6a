/**
 * One request to an address that is itself a secret. Why it was not taken is told without a word of that address: a
 * webhook's path is its password, and an error of `fetch` may quote it.
 */
import { requireDescriptors } from '../../engine/disk/descriptors.ts';
import { errnoCode } from '../../words/errors.ts';
import { VERSION } from '../../version.ts';

interface SendOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** JSON for a POST; a GET without. */
  readonly body?: string;
}

/** Null when it was taken, else why not. Never rejects. */
export async function send(address: URL, options: SendOptions): Promise<string | null> {
  const { isTaken, answer } = await ask(address, options);
  return isTaken ? null : answer;
}

/** Whether it was taken, and what was answered: the end of a sentence. Never rejects. */
export async function ask(
  address: URL,
  { timeoutMs, signal, body }: SendOptions,
): Promise<{ readonly isTaken: boolean; readonly answer: string }> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    // Bun ends the app when the thread of its first request finds none.
    requireDescriptors();
    const response = await fetch(withoutCredentials(address), {
      method: body === undefined ? 'GET' : 'POST',
      body,
      headers: {
        'user-agent': `velist-backup/${VERSION}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...authorization(address),
      },
      // A POST that is redirected may become a GET that says nothing.
      redirect: 'manual',
      signal: AbortSignal.any([timeout, signal]),
    });
    // Nobody reads it, and one that never ends must not be waited for.
    await response.body?.cancel();
    return { isTaken: response.ok, answer: `it answered ${response.status}` };
  } catch (error) {
    const failed = (answer: string) => ({ isTaken: false, answer });
    if (timeout.aborted) return failed(`it did not answer within ${timeoutMs / 1_000} s`);
    const code = errnoCode(error) ?? errnoCode(error instanceof Error ? error.cause : undefined);
    return failed(`it cannot be reached${code ? ` (${code})` : ''}`);
  }
}

/** `fetch` refuses an address with a name and a password. */
function withoutCredentials(address: URL): URL {
  const bare = new URL(address);
  bare.username = '';
  bare.password = '';
  return bare;
}

function authorization({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}
