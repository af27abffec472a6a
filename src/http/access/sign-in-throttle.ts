/**
 * Slows down who guesses at the password. After three failures an address waits, twice as long after each further one;
 * after twenty from anywhere all wait a little, save addresses from which somebody signed in before. An attempt counts
 * when it begins, so that a hundred at once are not one.
 *
 * A stranger must not lock the owner out: a browser that signed in before has a lane of its own, in which nothing but
 * its own failures counts. What remains: while strangers guess without a pause, a browser that never signed in, at an
 * address from which nobody did, or at theirs, may find no moment of its own. A proxy gives everybody one address, and
 * a network that gives out addresses gives its guessers many, of which IPv6 counts a whole /64 as one.
 */
import { networkOf } from '../client.ts';

/** A typing error or two cost nothing. */
const FREE_FAILURES = 3;
const FREE_FAILURES_IN_ALL = 20;
const MOST_WAIT_MS = 15 * 60_000;
/** Small: it holds up the owner's new browser at a new address too. */
const MOST_WAIT_IN_ALL_MS = 10_000;
/** Failures are forgotten when nobody tried for so long. */
const FORGET_MS = 60 * 60_000;
const MOST_REMEMBERED = 10_000;

/** Somebody who tries to sign in. */
interface Guesser {
  readonly address: string;
  /** The browser, if it signed in before and proves it. */
  readonly browser?: string;
}

interface Failures {
  readonly count: number;
  readonly at: number;
}

export class SignInThrottle {
  readonly #byAddress = new Map<string, Failures>();
  readonly #byBrowser = new Map<string, Failures>();
  readonly #known = new Set<string>();
  #inAll: Failures = { count: 0, at: 0 };

  /** How long the next attempt of theirs has to wait; 0 lets it begin, and counts it as failed until it `succeeded`. */
  begin({ address, browser }: Guesser, nowMs: number): number {
    if (browser !== undefined) return beginIn(this.#byBrowser, browser, nowMs);
    const network = networkOf(address);
    const all = remembered(this.#inAll, nowMs);
    const waitInAllMs = waitLeft(all, nowMs, { free: FREE_FAILURES_IN_ALL, mostMs: MOST_WAIT_IN_ALL_MS });
    const waitMs = beginIn(this.#byAddress, network, nowMs, this.#known.has(network) ? 0 : waitInAllMs);
    if (waitMs === 0) this.#inAll = { count: all.count + 1, at: nowMs };
    return waitMs;
  }

  succeeded({ address, browser }: Guesser): void {
    if (browser !== undefined) {
      this.#byBrowser.delete(browser);
      return;
    }
    const network = networkOf(address);
    this.#byAddress.delete(network);
    this.#inAll = { ...this.#inAll, count: Math.max(0, this.#inAll.count - 1) };
    this.#known.delete(network);
    this.#known.add(network);
    forgetOldest(this.#known);
  }
}

/** @param leastMs that it has to wait for another reason. */
function beginIn(lanes: Map<string, Failures>, lane: string, nowMs: number, leastMs = 0): number {
  const own = remembered(lanes.get(lane), nowMs);
  const waitMs = Math.max(leastMs, waitLeft(own, nowMs, { free: FREE_FAILURES, mostMs: MOST_WAIT_MS }));
  if (waitMs > 0) return waitMs;
  lanes.delete(lane);
  lanes.set(lane, { count: own.count + 1, at: nowMs });
  forgetOldest(lanes);
  return 0;
}

function remembered(failures: Failures | undefined, nowMs: number): Failures {
  return failures === undefined || nowMs - failures.at > FORGET_MS ? { count: 0, at: nowMs } : failures;
}

function waitLeft({ count, at }: Failures, nowMs: number, { free, mostMs }: { free: number; mostMs: number }): number {
  if (count < free) return 0;
  const waitMs = Math.min(mostMs, 1_000 * 2 ** (count - free));
  // After a clock that was set back too.
  return Math.max(0, Math.min(waitMs, at + waitMs - nowMs));
}

/** Sets and maps keep the order in which they were filled. */
function forgetOldest(lanes: Set<string> | Map<string, Failures>): void {
  if (lanes.size <= MOST_REMEMBERED) return;
  for (const oldest of lanes.keys()) {
    lanes.delete(oldest);
    return;
  }
}
