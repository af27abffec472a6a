/**
 * Slows down who guesses at the password. Attempts come by lanes: a browser that signed in before has one of its own, all
 * others share that of their address. After three failures a lane waits, twice as long after each further one; after
 * twenty from anywhere all wait a little. Only a browser's own failures hold up that browser: a stranger can't lock the
 * owner out, but can keep a new browser of his waiting. An attempt counts when it begins, so that a hundred at once are
 * not one.
 */
import { isIPv6 } from 'node:net';

/** A typing error or two cost nothing. */
const FREE_FAILURES = 3;
const FREE_FAILURES_IN_ALL = 20;
const MOST_WAIT_MS = 15 * 60_000;
/** Small: it holds up the owner's new browser too. */
const MOST_WAIT_IN_ALL_MS = 10_000;
/** Failures are forgotten when nobody tried for so long. */
const FORGET_MS = 60 * 60_000;
const MOST_LANES = 10_000;

interface Failures {
  readonly count: number;
  readonly at: number;
}

export interface Lane {
  readonly name: string;
  /** Of a browser that signed in before. */
  readonly isOwn: boolean;
}

/** @param address of the client; '' where the host tells none. The owner of an IPv6 address has 2^64 of them. */
export function laneOf(address: string): Lane {
  if (!isIPv6(address) || address.includes('.')) return { name: address, isOwn: false };
  const [head = '', tail = ''] = address.replace(/%.*$/, '').split('::');
  const words = [head, tail].map((half) => (half === '' ? [] : half.split(':')));
  const zeros = Array.from({ length: 8 - words.flat().length }, () => '0');
  const network = [...(words[0] ?? []), ...zeros, ...(words[1] ?? [])].slice(0, 4);
  return { name: `${network.map((word) => Number.parseInt(word, 16).toString(16)).join(':')}::/64`, isOwn: false };
}

export class SignInThrottle {
  readonly #byLane = new Map<string, Failures>();
  #inAll: Failures = { count: 0, at: 0 };

  /** How long the next attempt there has to wait; 0 lets it begin, and counts it as failed until it `succeeded`. */
  begin({ name, isOwn }: Lane, nowMs: number): number {
    const own = remembered(this.#byLane.get(name), nowMs);
    const all = remembered(this.#inAll, nowMs);
    const waitMs = Math.max(
      waitLeft(own, nowMs, { free: FREE_FAILURES, mostMs: MOST_WAIT_MS }),
      isOwn ? 0 : waitLeft(all, nowMs, { free: FREE_FAILURES_IN_ALL, mostMs: MOST_WAIT_IN_ALL_MS }),
    );
    if (waitMs > 0) return waitMs;
    this.#byLane.delete(name);
    this.#byLane.set(name, { count: own.count + 1, at: nowMs });
    if (!isOwn) this.#inAll = { count: all.count + 1, at: nowMs };
    forgetOldest(this.#byLane);
    return 0;
  }

  succeeded({ name, isOwn }: Lane): void {
    this.#byLane.delete(name);
    if (!isOwn) this.#inAll = { ...this.#inAll, count: Math.max(0, this.#inAll.count - 1) };
  }
}

function remembered(failures: Failures | undefined, nowMs: number): Failures {
  return failures === undefined || nowMs - failures.at > FORGET_MS ? { count: 0, at: nowMs } : failures;
}

function waitLeft({ count, at }: Failures, nowMs: number, { free, mostMs }: { free: number; mostMs: number }): number {
  if (count < free) return 0;
  return Math.max(0, at + Math.min(mostMs, 1_000 * 2 ** (count - free)) - nowMs);
}

/** Maps keep the order in which they were filled. */
function forgetOldest(lanes: Map<string, Failures>): void {
  for (const oldest of lanes.keys()) {
    if (lanes.size <= MOST_LANES) return;
    lanes.delete(oldest);
  }
}
