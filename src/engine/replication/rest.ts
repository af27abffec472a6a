/**
 * Long work in a process that must also give signs of life and capture: it is cut into steps, and between them the others
 * have their turn.
 */
import { setImmediate } from 'node:timers/promises';

const TURN_MS = 20;

/** @throws the reason of the signal. */
export async function inTurns<Result>(steps: Generator<void, Result>, signal?: AbortSignal): Promise<Result> {
  for (;;) {
    const until = performance.now() + TURN_MS;
    while (performance.now() < until) {
      const { done, value } = steps.next();
      if (done) return value;
    }
    await setImmediate();
    if (!signal?.aborted) continue;
    // What it opened is closed.
    steps.return(undefined as never); // it has no result then
    signal.throwIfAborted();
  }
}
