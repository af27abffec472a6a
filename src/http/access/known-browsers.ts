/**
 * Browsers that knew the password once. Their cookie outlives the session and the server: it opens nothing, but whoever
 * guesses elsewhere does not slow such a browser down. It is signed by a key made of the password and the token, so it needs
 * no file of its own and ends when either is changed. A thief of it can try passwords against that signature at home, each
 * at the cost of one scrypt, and none if a token is set too.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { cookie, cookieOf } from './cookies.ts';
import { digest, isSame, stretch } from './secrets.ts';

const COOKIE = 'velist-backup-browser';
/** Browsers keep no cookie for longer. */
const KNOWN_MS = 400 * 24 * 60 * 60_000;

export class KnownBrowsers {
  readonly #key: Promise<Buffer>;
  readonly #nowMs: () => number;

  constructor(password: string, token: string | null, nowMs: () => number) {
    this.#key = stretch(`${password}\0${token ?? ''}`, 'velist-backup browser');
    this.#nowMs = nowMs;
  }

  /** Which of them it is, by its cookie. */
  async of(request: Request): Promise<string | undefined> {
    const given = cookieOf(request, COOKIE);
    const [, browser, until] = /^([\w-]{22})\.(\d{13})\.[\w-]{43}$/.exec(given ?? '') ?? [];
    if (given === undefined || browser === undefined || Number(until) < this.#nowMs()) return undefined;
    return isSame(given, digest(signed(await this.#key, browser, Number(until)))) ? browser : undefined;
  }

  /** The cookie for one that knew the password now; a new one gets a name. */
  async remember(request: Request, browser = randomBytes(16).toString('base64url')): Promise<string> {
    const value = signed(await this.#key, browser, this.#nowMs() + KNOWN_MS);
    return cookie(request, { name: COOKIE, value, forMs: KNOWN_MS });
  }
}

function signed(key: Buffer, browser: string, untilMs: number): string {
  const text = `${browser}.${untilMs}`;
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}
