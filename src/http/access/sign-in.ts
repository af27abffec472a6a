/**
 * The doors of the standalone server: a password for people, who get a session, and a token for programs.
 *
 * The password is compared by scrypt with a salt of this start, the token by its digest, both in constant time; neither
 * is kept in a form that an answer could show. A session is in a cookie that no script can read and no other site can
 * send. Over https it is called `__Host-…` (RFC 6265bis, 4.1.3.2), which no other host and no page over plain http can
 * set, and which holds for the whole host; several servers below one host share it, each with a session of its own in
 * it. Over plain http it bears no `Path`: browsers then take the folder of the sign-in page, which is right behind a
 * proxy that adds or cuts a prefix too, and which no server behind one can know.
 *
 * A second cookie outlives the session and the server: it opens nothing, but proves that this browser knew the password
 * once, and so whoever guesses elsewhere does not slow it down. It is signed by a key made of the password and the
 * token, so it needs no file of its own and ends when either is changed. Who steals it can try passwords against that
 * signature at home, each at the cost of one scrypt, and none where a token is set too.
 */
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { BackupError } from '../../words/errors.ts';
import { PASSWORD_LEAST, passwordLength } from '../../service/password.ts';
import type { Authorize } from './authorize.ts';
import { isHttps } from '../client.ts';
import { Sessions } from './sessions.ts';
import { SignInThrottle } from './sign-in-throttle.ts';

export interface SignInOptions {
  /** The one administrator's; null: only the token opens. */
  readonly password: string | null;
  /** For programs, at least 16 characters; null: only the password opens. */
  readonly token: string | null;
  /** Opens the metrics and nothing else; at least 16 characters. */
  readonly metricsToken?: string | null;
  readonly nowMs?: () => number;
}

export type SignInAttempt =
  | { readonly status: 'signed-in'; readonly cookies: readonly string[] }
  | { readonly status: 'refused' }
  | { readonly status: 'wait'; readonly ms: number };

export interface SignIn {
  /** Without a password nobody can sign in, nor with one that is too short; the token alone opens. */
  readonly hasPassword: boolean;
  readonly isPasswordShort: boolean;
  readonly authorize: Authorize;
  /** `address` undefined: the host does not tell; all such clients are slowed down together. */
  attempt(request: Request, password: string, address: string | undefined): Promise<SignInAttempt>;
  /** Whether the request bears the cookie of a session, not a token. */
  hasSession(request: Request): boolean;
  /** Whether the password was given within the hour, or a token now. */
  isFresh(request: Request): boolean;
  /** Ends the request's session, if it has one; answers the cookie that takes the browser's away. */
  signOut(request: Request): string;
}

const COOKIE = 'velist-backup';
const BROWSER_COOKIE = 'velist-backup-browser';
/** Sessions of other servers on the same host that their cookie keeps beside ours. */
const OTHERS_KEPT = 3;
/** Browsers keep no cookie for longer. */
const BROWSER_KNOWN_MS = 400 * 24 * 60 * 60_000;
/** The usual cost of an interactive sign-in: about 50 ms and 16 MB. */
const scryptCost = { N: 16_384, r: 8, p: 1 };

/**
 * One of them for all requests: it holds the sessions. A password that is too short opens nothing, and the page says so:
 * a server that refused to start would make no backups either.
 *
 * @throws BackupError BAD_CONFIG without either, or with one that anybody guesses.
 */
export function createSignIn({ password: given, token, metricsToken = null, nowMs = Date.now }: SignInOptions): SignIn {
  assertSecrets(given, [token, metricsToken]);
  const isPasswordShort = given !== null && passwordLength(given) < PASSWORD_LEAST;
  const password = isPasswordShort ? null : given;
  const salt = randomBytes(16);
  const wanted = password === null ? null : stretch(password, salt);
  const tokenDigest = token === null ? null : digest(token);
  const metricsDigest = metricsToken === null ? null : digest(metricsToken);
  const browserKey = password === null ? null : stretch(`${password}\0${token ?? ''}`, 'velist-backup browser');
  const throttle = new SignInThrottle();
  const sessions = new Sessions();
  const sessionOf = (request: Request) => secretsOf(request).find((secret) => sessions.use(secret, nowMs()));
  const bears = (request: Request, wanted: Buffer | null) => {
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '')?.[1];
    return bearer !== undefined && wanted !== null && timingSafeEqual(digest(bearer), wanted);
  };
  /** The cookie's value with that session in place of ours, if there was one; those of other servers stay. */
  const withSession = (request: Request, secret: string | null) => {
    const others = secretsOf(request).filter((other) => !sessions.use(other, nowMs()));
    return [...(secret === null ? [] : [secret]), ...others.slice(0, OTHERS_KEPT)].join(BETWEEN);
  };

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
    isPasswordShort,
    authorize(request, action) {
      if (bears(request, tokenDigest)) return { user: 'token' };
      if (bears(request, metricsDigest)) return action === 'metrics' ? { user: 'metrics' } : false;
      return sessionOf(request) !== undefined ? { user: 'admin' } : false;
    },
    async attempt(request, given, address = '') {
      if (wanted === null || browserKey === null) return { status: 'refused' };
      const guesser = { address, browser: await browserOf(request) };
      const ms = throttle.begin(guesser, nowMs());
      if (ms > 0) return { status: 'wait', ms };
      if (!timingSafeEqual(await stretch(given, salt), await wanted)) return { status: 'refused' };
      throttle.succeeded(guesser);
      // A session is never gone on with under a new sign-in.
      const others = withSession(request, null);
      const before = sessionOf(request);
      if (before !== undefined) sessions.end(before);
      const id = [sessions.begin(nowMs(), address), ...(others === '' ? [] : [others])].join(BETWEEN);
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
    hasSession: (request) => sessionOf(request) !== undefined,
    isFresh(request) {
      const secret = sessionOf(request);
      return bears(request, tokenDigest) || (secret !== undefined && sessions.isFresh(secret, nowMs()));
    },
    signOut(request) {
      const value = withSession(request, null);
      for (const secret of secretsOf(request)) sessions.end(secret);
      return cookie(request, { name: COOKIE, value, forMs: value === '' ? 0 : Sessions.MOST_MS });
    },
  };
}

/** The values may come from an app in plain JavaScript. */
function assertSecrets(password: unknown, tokens: readonly [token: unknown, metricsToken: unknown]): void {
  const isPassword = password === null || (typeof password === 'string' && password !== '');
  const isToken = (token: unknown) =>
    token === null || (typeof token === 'string' && /^[\x21-\x7e]{16,1024}$/.test(token));
  const isApart = tokens[0] === null || tokens[0] !== tokens[1];
  if (isPassword && tokens.every(isToken) && isApart && (password !== null || tokens[0] !== null)) return;
  throw new BackupError(
    'BAD_CONFIG',
    'there is no password and no token to sign in with, or a token is too short or stands for both',
    {
      hint: 'Pass createSignIn a password, and as each token null or at least 16 characters without spaces, such as openssl rand -hex 32 makes.',
    },
  );
}

/** @throws BackupError UNAUTHORIZED */
export function notSignedIn(): BackupError {
  return new BackupError('UNAUTHORIZED', 'you are not signed in', {
    hint: 'Sign in on the page, or send the header Authorization: Bearer with the value of BACKUP_API_TOKEN.',
  });
}

/** @throws BackupError PASSWORD_AGAIN */
export function passwordAgain(
  message = 'you signed in more than an hour ago, and this can’t be taken back',
): BackupError {
  return new BackupError('PASSWORD_AGAIN', message, {
    hint: 'Send the password once more: the page asks for it, a program posts it to /confirm as {"password": "…"}.',
  });
}

function cookie(request: Request, { name, value, forMs }: { name: string; value: string; forMs: number }): string {
  const bound = isHttps(request) ? '; Path=/; Secure' : '';
  return `${cookieName(request, name)}=${value}; Max-Age=${forMs / 1_000}; HttpOnly; SameSite=Strict${bound}`;
}

/** Browsers take one of that name over https alone, for this host alone, with `Path=/`. */
function cookieName(request: Request, name: string): string {
  return isHttps(request) ? `__Host-${name}` : name;
}

function cookieOf(request: Request, name: string): string | undefined {
  const wanted = cookieName(request, name);
  const cookies = (request.headers.get('cookie') ?? '').split(';').map((part) => part.trim().split('='));
  return cookies.find(([given, value]) => given === wanted && value)?.[1];
}

const BETWEEN = '~';

/** Ours, if there is one, and those of other servers on this host. */
function secretsOf(request: Request): readonly string[] {
  const secrets = cookieOf(request, COOKIE)?.split(BETWEEN) ?? [];
  return secrets.filter((secret) => /^[\w-]{43}$/.test(secret)).slice(0, 1 + OTHERS_KEPT);
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
