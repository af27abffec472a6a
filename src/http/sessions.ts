/**
 * Who is signed in. A session is 32 random bytes that its browser alone keeps; here is their digest, in memory, so a
 * restart signs everybody out.
 */
import { createHash, randomBytes } from 'node:crypto';

const IDLE_MS = 12 * 60 * 60_000;
const MOST_SESSIONS = 1_000;

export class Sessions {
  static readonly MOST_MS = 7 * 24 * 60 * 60_000;
  readonly #byDigest = new Map<string, { readonly startedMs: number; usedMs: number }>();

  /** Answers its secret. Beyond the thousandth the oldest ends. */
  begin(nowMs: number): string {
    const secret = randomBytes(32).toString('base64url');
    this.#byDigest.set(digest(secret), { startedMs: nowMs, usedMs: nowMs });
    for (const oldest of this.#byDigest.keys()) {
      if (this.#byDigest.size <= MOST_SESSIONS) break;
      this.#byDigest.delete(oldest);
    }
    return secret;
  }

  /** False where there is none, or none any more. */
  use(secret: string | undefined, nowMs: number): boolean {
    if (secret === undefined) return false;
    const session = this.#byDigest.get(digest(secret));
    if (!session) return false;
    if (nowMs - session.usedMs > IDLE_MS || nowMs - session.startedMs > Sessions.MOST_MS) {
      this.end(secret);
      return false;
    }
    session.usedMs = nowMs;
    return true;
  }

  end(secret: string | undefined): void {
    if (secret !== undefined) this.#byDigest.delete(digest(secret));
  }
}

function digest(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
