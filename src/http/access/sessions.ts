/**
 * Sessions of whoever is signed in. A session is 32 random bytes that its browser alone keeps; here is their digest, in memory, so a
 * restart signs everybody out.
 */
import { createHash, randomBytes } from 'node:crypto';
import { networkOf } from '../client.ts';

const IDLE_MS = 12 * 60 * 60_000;
const MOST_SESSIONS = 1_000;
/** Signing in again and again from one place ends sessions of that place alone. */
const MOST_OF_ADDRESS = 100;
/** A password is fresh for so long. */
const FRESH_MS = 60 * 60_000;

export class Sessions {
  static readonly MOST_MS = 7 * 24 * 60 * 60_000;
  readonly #byDigest = new Map<string, { readonly startedMs: number; readonly network: string; usedMs: number }>();

  /** Answers its secret. Beyond the thousandth the oldest ends, beyond the hundredth of an address its oldest. */
  begin(nowMs: number, address = ''): string {
    const secret = randomBytes(32).toString('base64url');
    const network = networkOf(address);
    this.#byDigest.set(digest(secret), { startedMs: nowMs, usedMs: nowMs, network });
    const beside = [...this.#byDigest].filter(([, session]) => session.network === network);
    const [oldest] =
      beside.length > MOST_OF_ADDRESS ? beside : this.#byDigest.size > MOST_SESSIONS ? this.#byDigest : [];
    if (oldest) this.#byDigest.delete(oldest[0]);
    return secret;
  }

  /** Whether the password was given within the hour. */
  isFresh(secret: string, nowMs: number): boolean {
    const session = this.#byDigest.get(digest(secret));
    // After a clock that was set back it is not.
    return session !== undefined && nowMs >= session.startedMs && nowMs - session.startedMs <= FRESH_MS;
  }

  /** False if there is none, or none any more. */
  use(secret: string, nowMs: number): boolean {
    const session = this.#byDigest.get(digest(secret));
    if (!session) return false;
    if (nowMs - session.usedMs > IDLE_MS || nowMs - session.startedMs > Sessions.MOST_MS) {
      this.end(secret);
      return false;
    }
    session.usedMs = nowMs;
    return true;
  }

  end(secret: string): void {
    this.#byDigest.delete(digest(secret));
  }
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
