/**
 * Slows down who guesses at the password. After three failures an address waits, twice as long after each further one;
 * after twenty from anywhere all wait a little, save addresses from which somebody signed in before: a stranger must
 * not be able to lock the owner out. An attempt counts when it begins, so that a hundred at once are not one.
 */

/** A typing error or two cost nothing. */
const FREE_FAILURES = 3;
const FREE_FAILURES_IN_ALL = 20;
const MOST_WAIT_MS = 15 * 60_000;
/** Small: it holds up the owner at a new address too. */
const MOST_WAIT_IN_ALL_MS = 10_000;
/** Failures are forgotten when nobody tried for so long. */
const FORGET_MS = 60 * 60_000;
const MOST_ADDRESSES = 10_000;

interface Failures {
  readonly count: number;
  readonly at: number;
}

export class SignInThrottle {
  readonly #byAddress = new Map<string, Failures>();
  readonly #known = new Set<string>();
  #inAll: Failures = { count: 0, at: 0 };

  /** How long the next attempt from there has to wait; 0 lets it begin, and counts it as failed until it `succeeded`. */
  begin(address: string, nowMs: number): number {
    const own = remembered(this.#byAddress.get(address), nowMs);
    const all = remembered(this.#inAll, nowMs);
    const waitMs = Math.max(
      waitLeft(own, nowMs, { free: FREE_FAILURES, mostMs: MOST_WAIT_MS }),
      this.#known.has(address) ? 0 : waitLeft(all, nowMs, { free: FREE_FAILURES_IN_ALL, mostMs: MOST_WAIT_IN_ALL_MS }),
    );
    if (waitMs > 0) return waitMs;
    this.#byAddress.delete(address);
    this.#byAddress.set(address, { count: own.count + 1, at: nowMs });
    this.#inAll = { count: all.count + 1, at: nowMs };
    forgetOldest(this.#byAddress);
    return 0;
  }

  succeeded(address: string): void {
    this.#byAddress.delete(address);
    this.#inAll = { ...this.#inAll, count: Math.max(0, this.#inAll.count - 1) };
    this.#known.delete(address);
    this.#known.add(address);
    forgetOldest(this.#known);
  }
}

function remembered(failures: Failures | undefined, nowMs: number): Failures {
  return failures === undefined || nowMs - failures.at > FORGET_MS ? { count: 0, at: nowMs } : failures;
}

function waitLeft({ count, at }: Failures, nowMs: number, { free, mostMs }: { free: number; mostMs: number }): number {
  if (count < free) return 0;
  return Math.max(0, at + Math.min(mostMs, 1_000 * 2 ** (count - free)) - nowMs);
}

/** Sets and maps keep the order in which they were filled. */
function forgetOldest(addresses: Set<string> | Map<string, Failures>): void {
  if (addresses.size <= MOST_ADDRESSES) return;
  for (const oldest of addresses.keys()) {
    addresses.delete(oldest);
    return;
  }
}
