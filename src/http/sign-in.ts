/**
 * The doors of the standalone server: a password for people, who get a session, and a token for programs.
 *
 * The password is compared by scrypt with a salt of this start, the token by its digest, both in constant time; neither
 * is kept in a form that an answer could show. A session is 32 random bytes in a cookie that no script can read and no
 * other site can send; the server keeps its digest alone, in memory, so a restart signs everybody out. The cookie
 * bears no `Path`: browsers then take the folder of the sign-in page, which is right behind a proxy that adds or cuts a
 * prefix too, and which no server behind one can know.
 *
 * A second cookie opens nothing. It says that somebody signed in with this browser, so that no stranger's guesses hold it
 * up; it holds over restarts, because its key comes of the password.
 */
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { BackupError } from '../engine/errors.ts';
import type { Authorize } from './auth.ts';
import { type Lane, laneOf, SignInThrottle } from './sign-in-throttle.ts';

export interface SignInOptions {
  readonly password: string | null;
  /** At least 16 characters. */
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

const SESSION_IDLE_MS = 12 * 60 * 60_000;
const SESSION_MOST_MS = 7 * 24 * 60 * 60_000;
const MOST_SESSIONS = 100;
const COOKIE = 'velist-backup';
const BROWSER_COOKIE = 'velist-backup-browser';
/** As long as browsers keep one. */
const BROWSER_MOST_MS = 400 * 24 * 60 * 60_000;
/** The usual cost of an interactive sign-in: about 50 ms and 16 MB. */
const scryptCost = { N: 16_384, r: 8, p: 1 };

export function createSignIn({ password, token, nowMs = Date.now }: SignInOptions): SignIn {
  const salt = randomBytes(16);
  const wanted = password === null ? null : stretch(password, salt);
  const browserKey = password === null ? null : stretch(password, Buffer.from(BROWSER_COOKIE));
  const tokenDigest = token === null ? null : digest(token);
  const throttle = new SignInThrottle();
  const sessions = new Map<string, { readonly startedMs: number; usedMs: number }>();

  function sessionOf(request: Request): string | undefined {
    const id = cookieOf(request, COOKIE);
    if (id === undefined) return undefined;
    const key = digest(id).toString('hex');
    const session = sessions.get(key);
    if (!session) return undefined;
    const now = nowMs();
    if (now - session.usedMs > SESSION_IDLE_MS || now - session.startedMs > SESSION_MOST_MS) {
      sessions.delete(key);
      return undefined;
    }
    session.usedMs = now;
    return key;
  }

  /** Of a browser that signed in with this password: its own. */
  function findLane(request: Request, address: string, key: Buffer): Lane {
    const [id = '', seal = ''] = (cookieOf(request, BROWSER_COOKIE) ?? '').split('.');
    const isOwn = id !== '' && timingSafeEqual(digest(seal), digest(sealOf(id, key)));
    return isOwn ? { name: `browser ${id}`, isOwn } : laneOf(address);
  }

  return {
    hasPassword: password !== null,
    authorize(request) {
      const given = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '')?.[1];
      if (given !== undefined && tokenDigest && timingSafeEqual(digest(given), tokenDigest)) return { user: 'token' };
      return sessionOf(request) === undefined ? false : { user: 'admin' };
    },
    async attempt(request, given, address = '') {
      if (wanted === null || browserKey === null) return { status: 'refused' };
      const key = await browserKey;
      const lane = findLane(request, address, key);
      const ms = throttle.begin(lane, nowMs());
      if (ms > 0) return { status: 'wait', ms };
      if (!timingSafeEqual(await stretch(given, salt), await wanted)) return { status: 'refused' };
      throttle.succeeded(lane);
      const id = randomBytes(32).toString('base64url');
      sessions.set(digest(id).toString('hex'), { startedMs: nowMs(), usedMs: nowMs() });
      for (const oldest of sessions.keys()) {
        if (sessions.size <= MOST_SESSIONS) break;
        sessions.delete(oldest);
      }
      const browser = randomBytes(16).toString('base64url');
      const remembered = cookie(request, BROWSER_COOKIE, `${browser}.${sealOf(browser, key)}`, BROWSER_MOST_MS);
      return { status: 'signed-in', cookies: [cookie(request, COOKIE, id, SESSION_MOST_MS), remembered] };
    },
    hasSession: (request) => sessionOf(request) !== undefined,
    signOut(request) {
      const session = sessionOf(request);
      if (session !== undefined) sessions.delete(session);
      return cookie(request, COOKIE, '', 0);
    },
  };
}

/** @throws BackupError UNAUTHORIZED */
export function notSignedIn(): BackupError {
  return new BackupError('UNAUTHORIZED', 'you are not signed in', {
    hint: 'Sign in on the page, or send the header Authorization: Bearer with the value of BACKUP_API_TOKEN.',
  });
}

function sealOf(browser: string, key: Buffer): string {
  return createHmac('sha256', key).update(browser).digest('base64url');
}

function cookie(request: Request, name: string, value: string, mostMs: number): string {
  const secure =
    new URL(request.url).protocol === 'https:' || request.headers.get('x-forwarded-proto')?.split(',')[0] === 'https';
  return `${name}=${value}; Max-Age=${mostMs / 1_000}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

function cookieOf(request: Request, name: string): string | undefined {
  const cookies = (request.headers.get('cookie') ?? '').split(';').map((part) => part.trim().split('='));
  return cookies.find(([key, value]) => key === name && value)?.[1];
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function stretch(password: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, 32, scryptCost, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
