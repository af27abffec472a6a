/**
 * The doors of the standalone server: a password for people, who get a session, and a token for programs.
 *
 * The password is compared by scrypt with a salt of this start, the token by its digest, both in constant time; neither
 * is kept in a form that an answer could show. A session is in a cookie that no script can read and no other site can
 * send. It bears no `Path`: browsers then take the folder of the sign-in page, which is right behind a proxy that adds
 * or cuts a prefix too, and which no server behind one can know.
 *
 * A second cookie outlives the session and the server: it opens nothing, but proves that this browser knew the password
 * once, and so whoever guesses elsewhere does not slow it down. It is signed by a key made of the password and the
 * token, so it needs no file of its own and ends when either is changed. Who steals it can try passwords against that
 * signature at home, each at the cost of one scrypt, and none where a token is set too.
 */
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { BackupError } from '../engine/errors.ts';
import type { Authorize } from './auth.ts';
import { Sessions } from './sessions.ts';
import { SignInThrottle } from './sign-in-throttle.ts';

export interface SignInOptions {
  /** Of the one administrator; null: only the token opens. */
  readonly password: string | null;
  /** Of programs, at least 16 characters; null: only the password opens. */
  readonly token: string | null;
  readonly nowMs?: () => number;
}

export type SignInAttempt =
  | { readonly status: 'signed-in'; readonly cookies: readonly string[] }
  | { readonly status: 'refused' }
  | { readonly status: 'wait'; readonly ms: number };

export interface SignIn {
  /** Without a password nobody can sign in; the token alone opens. */
  readonly hasPassword: boolean;
  readonly authorize: Authorize;
  /** `address` undefined: the host does not tell; all such clients are slowed down together. */
  attempt(request: Request, password: string, address: string | undefined): Promise<SignInAttempt>;
  /** Whether the request bears the cookie of a session, not a token. */
  hasSession(request: Request): boolean;
  /** Ends the request's session, if it has one; answers the cookie that takes the browser's away. */
  signOut(request: Request): string;
}

const COOKIE = 'velist-backup';
const BROWSER_COOKIE = 'velist-backup-browser';
/** Browsers keep no cookie for longer. */
const BROWSER_KNOWN_MS = 400 * 24 * 60 * 60_000;
/** The usual cost of an interactive sign-in: about 50 ms and 16 MB. */
const scryptCost = { N: 16_384, r: 8, p: 1 };

/**
 * One of them for all requests: it holds the sessions.
 *
 * @throws BackupError BAD_CONFIG without either, or with one that anybody guesses.
 */
export function createSignIn({ password, token, nowMs = Date.now }: SignInOptions): SignIn {
  assertSecrets(password, token);
  const salt = randomBytes(16);
  const wanted = password === null ? null : stretch(password, salt);
  const tokenDigest = token === null ? null : digest(token);
  const browserKey = password === null ? null : stretch(`${password}\0${token ?? ''}`, 'velist-backup browser');
  const throttle = new SignInThrottle();
  const sessions = new Sessions();
  const isSignedIn = (request: Request) => sessions.use(cookieOf(request, COOKIE), nowMs());

  /** Which of those that signed in before it is, by their cookie. */
  async function browserOf(request: Request): Promise<string | undefined> {
    const given = cookieOf(request, BROWSER_COOKIE);
    const [, browser, until] = /^([\w-]{22})\.(\d{13})\.[\w-]{43}$/.exec(given ?? '') ?? [];
    if (given === undefined || browser === undefined || browserKey === null || Number(until) < nowMs())
      return undefined;
    const right = browserValue(await browserKey, browser, Number(until));
    return timingSafeEqual(digest(given), digest(right)) ? browser : undefined;
  }

  return {
    hasPassword: password !== null,
    authorize(request) {
      const given = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '')?.[1];
      if (given !== undefined && tokenDigest && timingSafeEqual(digest(given), tokenDigest)) return { user: 'token' };
      return isSignedIn(request) ? { user: 'admin' } : false;
    },
    async attempt(request, given, address = '') {
      if (wanted === null || browserKey === null) return { status: 'refused' };
      const guesser = { address, browser: await browserOf(request) };
      const ms = throttle.begin(guesser, nowMs());
      if (ms > 0) return { status: 'wait', ms };
      if (!timingSafeEqual(await stretch(given, salt), await wanted)) return { status: 'refused' };
      throttle.succeeded(guesser);
      const id = sessions.begin(nowMs());
      const browser = guesser.browser ?? randomBytes(16).toString('base64url');
      const known = browserValue(await browserKey, browser, nowMs() + BROWSER_KNOWN_MS);
      return {
        status: 'signed-in',
        cookies: [
          cookie(request, { name: COOKIE, value: id, forMs: Sessions.MOST_MS }),
          cookie(request, { name: BROWSER_COOKIE, value: known, forMs: BROWSER_KNOWN_MS }),
        ],
      };
    },
    hasSession: isSignedIn,
    signOut(request) {
      sessions.end(cookieOf(request, COOKIE));
      return cookie(request, { name: COOKIE, value: '', forMs: 0 });
    },
  };
}

/** The values may come from an app in plain JavaScript. */
function assertSecrets(password: unknown, token: unknown): void {
  const isPassword = password === null || (typeof password === 'string' && password !== '');
  const isToken = token === null || (typeof token === 'string' && /^[\x21-\x7e]{16,1024}$/.test(token));
  if (isPassword && isToken && (password !== null || token !== null)) return;
  throw new BackupError(
    'BAD_CONFIG',
    'there is no password and no token to sign in with, or one of them is too short',
    {
      hint: 'Pass createSignIn a password, and as the token null or at least 16 characters without spaces, such as openssl rand -hex 32 makes.',
    },
  );
}

/** @throws BackupError UNAUTHORIZED */
export function notSignedIn(): BackupError {
  return new BackupError('UNAUTHORIZED', 'you are not signed in', {
    hint: 'Sign in on the page, or send the header Authorization: Bearer with the value of BACKUP_API_TOKEN.',
  });
}

function cookie(request: Request, { name, value, forMs }: { name: string; value: string; forMs: number }): string {
  const secure =
    new URL(request.url).protocol === 'https:' || request.headers.get('x-forwarded-proto')?.split(',')[0] === 'https';
  return `${name}=${value}; Max-Age=${forMs / 1_000}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

function cookieOf(request: Request, wanted: string): string | undefined {
  const cookies = (request.headers.get('cookie') ?? '').split(';').map((part) => part.trim().split('='));
  return cookies.find(([name, value]) => name === wanted && value)?.[1];
}

function browserValue(key: Buffer, browser: string, untilMs: number): string {
  const signed = `${browser}.${untilMs}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function stretch(password: string, salt: Buffer | string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, 32, scryptCost, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
