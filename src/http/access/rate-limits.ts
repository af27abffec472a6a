/**
 * How often costly work may be asked for: each kind has a bucket of tokens that fills again with time. The buckets are
 * the database's and not the asker's, because what they guard is one database, its folder and one bill. A person who
 * clicks never meets them; a script in a loop, or a thousand open pages, does. What takes another right has another
 * bucket: who may only read must not use up the administrator's restores. So has another database: its users are others.
 */
import { BackupError } from '../../words/errors.ts';

/** `burst` at once, then one every `everyMs`. "Verify all" on the page asks for each backup in turn. */
const limits = {
  backup: { burst: 30, everyMs: 1_000 },
  verify: { burst: 500, everyMs: 250 },
  plan: { burst: 30, everyMs: 2_000 },
  restore: { burst: 30, everyMs: 2_000 },
  test: { burst: 10, everyMs: 6_000 },
  drill: { burst: 10, everyMs: 6_000 },
  doctor: { burst: 30, everyMs: 1_000 },
  watch: { burst: 120, everyMs: 500 },
  arrival: { burst: 30, everyMs: 2_000 },
  download: { burst: 120, everyMs: 500 },
} as const;

export type Costly = keyof typeof limits;

/** 429 with `Retry-After`. */
export class TooMany extends BackupError {
  readonly retryAfterSeconds: number;

  constructor(waitMs: number, { message = 'this was asked for too often', firstly = '' } = {}) {
    const seconds = Math.max(1, Math.ceil(waitMs / 1_000));
    super('TOO_MANY', message, {
      hint: `${firstly}Try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}.`,
    });
    this.retryAfterSeconds = seconds;
  }
}

export class RateLimits {
  readonly #nowMs: () => number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /**
   * @param database one of those that are guarded, so that there are no more buckets than databases.
   * @throws TooMany
   */
  take(kind: Costly, database: string | null): void {
    const { burst, everyMs } = limits[kind];
    const nowMs = this.#nowMs();
    const bucket = `${kind} ${database ?? ''}`;
    const { tokens, atMs } = this.#buckets.get(bucket) ?? { tokens: burst, atMs: nowMs };
    // A clock that was set back fills nothing.
    const filled = Math.min(burst, tokens + Math.max(0, nowMs - atMs) / everyMs);
    if (filled < 1) throw new TooMany((1 - filled) * everyMs);
    this.#buckets.set(bucket, { tokens: filled - 1, atMs: nowMs });
  }
}
