/**
 * Two requests that create one object at the same moment: Amazon answers 409 ConditionalRequestConflict to one of them, and
 * says to try again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { aborted, throwIfAborted } from '../store.ts';
import { factsOf } from './errors.ts';

/** How often a request that met another one is tried. */
const TRIES_MAX = 5;
const WAIT_MS = 100;

/** @param send is told whether it was tried before: then what it meets may be its own. */
export async function throughConflicts<Answer>(
  send: (isAgain: boolean) => Promise<Answer>,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    throwIfAborted(signal);
    try {
      return await send(tries > 1);
    } catch (error) {
      if (factsOf(error).status !== 409 || tries === TRIES_MAX) throw error;
      await sleep(WAIT_MS * tries * (0.5 + Math.random() / 2), undefined, { signal }).catch((reason: unknown) => {
        throw aborted(reason);
      });
    }
  }
}
