/** A commit that its owner waits for: captured, and then at every target. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Captured } from './capture.ts';
import type { Shipping } from './shipping.ts';

const AGAIN_MS = 50;

interface Wanted {
  readonly names: readonly string[] | null;
  readonly timeoutMs: number;
  /** The stream is about to begin: it is waited for. */
  readonly isBeginning: () => boolean;
}

/**
 * What is captured just while the stream begins anew above a target's moments is captured once more, so that the bookmark
 * names the same moment everywhere.
 *
 * @throws BackupError NOT_DURABLE
 */
export async function untilDurable(
  flush: () => Promise<Captured>,
  shipping: Pick<Shipping, 'durable'>,
  { names, timeoutMs, isBeginning }: Wanted,
): Promise<Captured> {
  const untilMs = performance.now() + timeoutMs;
  for (let isAgain = false; ;) {
    const leftMs = untilMs - performance.now();
    try {
      const captured = await flush();
      if (await shipping.durable(BigInt(`0x${captured.bookmark}`), names, Math.max(0, leftMs))) return captured;
      isAgain = true;
    } catch (error) {
      if (leftMs <= 0 || !(isAgain || isBeginning())) throw error;
    }
    await sleep(AGAIN_MS);
  }
}
