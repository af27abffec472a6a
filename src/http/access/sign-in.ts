/**
 * The doors of the standalone server: a password for people, who get a session, and a token for programs.
 *
 * The password is compared by scrypt with a salt of this start, the token by its digest, both in constant time; neither
 * is kept in a form that an answer could show. A session is in a cookie (`cookies.ts`); several servers below one host share
 * it, each with a session of its own in it.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { BackupError } from '../../words/errors.ts';
import { PASSWORD_LEAST, passwordLength } from '../../service/password.ts';
import type { Authorize } from './authorize.ts';
import { cookie, cookieOf } from './cookies.ts';
import { KnownBrowsers } from './known-browsers.ts';
import { digest, isSame, stretch } from './secrets.ts';
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
/** Sessions of other servers on the same host that their cookie keeps beside ours. */
const OTHERS_KEPT = 3;

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
  const browsers = password === null ? null : new KnownBrowsers(password, token, nowMs);
  const throttle = new SignInThrottle();
  const sessions = new Sessions();
  const sessionOf = (request: Request) => secretsOf(request).find((secret) => sessions.use(secret, nowMs()));
  /** Sessions of other servers, which stay in the cookie. */
  const othersOf = (request: Request) =>
    secretsOf(request)
      .filter((secret) => !sessions.use(secret, nowMs()))
      .slice(0, OTHERS_KEPT);

  return {
    hasPassword: password !== null,
    isPasswordShort,
    authorize(request, action) {
      if (bears(request, tokenDigest)) return { user: 'token' };
      if (bears(request, metricsDigest)) return action === 'metrics' ? { user: 'metrics' } : false;
      return sessionOf(request) !== undefined ? { user: 'admin' } : false;
    },
    async attempt(request, given, address = '') {
      if (wanted === null || browsers === null) return { status: 'refused' };
      const guesser = { address, browser: await browsers.of(request) };
      const ms = throttle.begin(guesser, nowMs());
      if (ms > 0) return { status: 'wait', ms };
      if (!timingSafeEqual(await stretch(given, salt), await wanted)) return { status: 'refused' };
      throttle.succeeded(guesser);
      // A session is never gone on with under a new sign-in.
      const others = othersOf(request);
      const before = sessionOf(request);
      if (before !== undefined) sessions.end(before);
      const value = [sessions.begin(nowMs(), address), ...others].join(BETWEEN);
      return {
        status: 'signed-in',
        cookies: [
          cookie(request, { name: COOKIE, value, forMs: Sessions.MOST_MS }),
          await browsers.remember(request, guesser.browser),
        ],
      };
    },
    hasSession: (request) => sessionOf(request) !== undefined,
    isFresh(request) {
      const secret = sessionOf(request);
      return bears(request, tokenDigest) || (secret !== undefined && sessions.isFresh(secret, nowMs()));
    },
    signOut(request) {
      const value = othersOf(request).join(BETWEEN);
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

function bears(request: Request, wantedDigest: Buffer | null): boolean {
  const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '')?.[1];
  return bearer !== undefined && wantedDigest !== null && isSame(bearer, wantedDigest);
}

const BETWEEN = '~';

/** Ours, if there is one, and those of other servers on this host. */
function secretsOf(request: Request): readonly string[] {
  const secrets = cookieOf(request, COOKIE)?.split(BETWEEN) ?? [];
  return secrets.filter((secret) => /^[\w-]{43}$/.test(secret)).slice(0, 1 + OTHERS_KEPT);
}
