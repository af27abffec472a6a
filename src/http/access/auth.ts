/**
 * Decides who may do what over HTTP.
 *
 * An app hands in `authorize`; the standalone server hands in `signIn`, a password and a token of its own. With neither
 * only this machine may ask, and three rules hold that up: the server binds a
 * loopback address (`assertBindable`); the client's address is loopback where the host tells it, and nothing forwarded
 * the request; the `Host` header names this machine, so that a hostile web page cannot reach us by a DNS name of its
 * own that points to 127.0.0.1.
 *
 * In each case a browser may change something only from our own pages: a request that bears `Origin` or
 * `Sec-Fetch-Site` must be same-origin, in scheme, host and port. One that bears neither comes from a program and is judged by authorization
 * alone, so `curl -X POST http://localhost:3000/backup/now` works.
 */
import type { Action, Authorize, On } from './authorize.ts';
import { notSignedIn, passwordAgain, type SignIn } from './sign-in.ts';
import { BackupError } from '../../words/errors.ts';
import { clientAddressOf, isForwarded, isHttps, schemeTold } from '../client.ts';

export interface AccessOptions {
  /** Says who may act; a user's name is written into runs and backups. */
  readonly authorize?: Authorize;
  /** Instead of `authorize`, where no app knows the users: of `createSignIn`; then the routes have a sign-in page. */
  readonly signIn?: SignIn;
  /** Instead of both: nobody but who sits at this machine, as far as the host tells the client's address. */
  readonly thisMachineOnly?: boolean;
  /** Further values of the `Host` header (`host` or `host:port`) that name this machine. */
  readonly allowedHosts?: readonly string[];
}

export interface Access {
  readonly user: string | undefined;
}

/** Answers who asks, or throws FORBIDDEN, or UNAUTHORIZED where one can sign in. */
export async function authorize(
  request: Request,
  action: Action,
  options: AccessOptions,
  database: string | null = null,
): Promise<Access> {
  const { signIn, authorize: judge = signIn?.authorize } = options;
  if (!judge && action !== 'open') requireThisMachine(request, options.allowedHosts ?? []);
  requireOwnPage(request, action);
  if (!judge || action === 'open') return { user: undefined };

  // An app in plain JavaScript may answer anything: only a plain yes, or a name, lets in.
  const verdict: unknown = await judge(request, action, { database });
  const user = typeof verdict === 'object' && verdict !== null && 'user' in verdict ? verdict.user : undefined;
  if (verdict !== true && typeof user !== 'string') {
    if (signIn && !options.authorize) throw notSignedIn();
    throw forbidden(
      'this is not allowed for you',
      'Sign in to the application with an account that may manage backups.',
    );
  }
  if (signIn && !options.authorize && ofWeight.has(action) && !signIn.isFresh(request)) throw passwordAgain();
  // A line of the log is one line.
  return { user: typeof user === 'string' ? user.replace(/\p{Cc}+/gu, ' ') : undefined };
}

/** What can't be taken back: a session that somebody left open an hour ago must not be enough. */
const ofWeight: ReadonlySet<Action> = new Set(['delete', 'restore']);

/**
 * An `authorize` for apps that have sessions: `session` finds who is signed in, `mayDo` decides, `nameOf` says what is
 * written into runs and backups.
 */
export function authorizeBy<User>(options: {
  readonly session: (request: Request) => User | null | undefined | Promise<User | null | undefined>;
  readonly mayDo: (user: User, action: Action, on: On) => boolean | Promise<boolean>;
  readonly nameOf: (user: User) => string;
}): Authorize {
  return async (request, action, on) => {
    const user = await options.session(request);
    if (user === null || user === undefined || !(await options.mayDo(user, action, on))) return false;
    return { user: options.nameOf(user) };
  };
}

/** Throws BAD_CONFIG when a server that lets everybody in would be reachable from other machines. */
export function assertBindable(host: string, options: AccessOptions = {}): void {
  if (options.authorize || options.signIn || isLoopback(host)) return;
  throw new BackupError('BAD_CONFIG', `HOST=${host}: without a login only a loopback address can be served`, {
    hint:
      'Set BACKUP_ADMIN_PASSWORD to sign in on the page, or BACKUP_API_TOKEN for programs. Or set HOST=127.0.0.1 and ' +
      'reach it through an SSH tunnel, or mount the routes in an app and pass authorize().',
  });
}

/** Throws BAD_CONFIG when nobody said who may act. */
export function assertGuarded(options: AccessOptions): void {
  if (typeof options.authorize === 'function' || options.signIn || options.thisMachineOnly === true) return;
  throw new BackupError('BAD_CONFIG', 'the backup routes are mounted without `authorize`', {
    hint:
      'Pass authorize: (request, action, { database }) => …, which says whether this user may do that; authorizeBy() makes one. ' +
      'Or signIn: createSignIn({ password, token }), a page to sign in; or thisMachineOnly: true, where nobody else may ask.',
  });
}

function requireThisMachine(request: Request, allowedHosts: readonly string[]): void {
  const address = clientAddressOf(request);
  // A host that does not tell who asks may be reached by anybody, who may send any `Host` header.
  if (isForwarded(request) || address === undefined || !isLoopback(address)) {
    throw forbidden(
      'without a login the backups answer this machine only',
      'Set BACKUP_ADMIN_PASSWORD or BACKUP_API_TOKEN, or pass authorize() to the routes, to let others in.',
    );
  }
  const host = hostOf(request);
  if (
    isLoopback(withoutPort(host)) ||
    allowedHosts.some((allowed) => allowed.toLowerCase() === host || allowed.toLowerCase() === withoutPort(host))
  )
    return;
  throw forbidden(
    'the Host header does not name this machine',
    'Open the page as http://localhost, with the port that the server printed.',
  );
}

function requireOwnPage(request: Request, action: Action): void {
  const changes = request.method !== 'GET' && request.method !== 'HEAD';
  const fromElsewhere = isFromElsewhere(request);
  if (!changes) {
    if (action === 'page' || action === 'open' || !fromElsewhere) return;
    throw forbidden('another web site may not read backups', 'Open the backup page itself.');
  }
  const origin = request.headers.get('origin');
  if (!fromElsewhere && (origin === null || isOwnOrigin(origin, request))) return;
  throw forbidden(
    'another web site may not change backups',
    // The browser names no other site: then it is rather a proxy that names another host than the browser did.
    fromElsewhere
      ? 'Use the backup page itself, or a program that sends no Origin header.'
      : 'If this is the backup page itself, a proxy in front changes the Host header or hides that it was https: let it ' +
          'pass both on (in nginx: proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;).',
  );
}

/** Whether a browser says that a page of another site made the request. */
export function isFromElsewhere(request: Request): boolean {
  const site = request.headers.get('sec-fetch-site');
  return site !== null && site !== 'same-origin' && site !== 'none';
}

function hostOf(request: Request): string {
  return (request.headers.get('host') ?? new URL(request.url).host).toLowerCase();
}

/**
 * A page over plain http must not act for one over https of the same host. A browser that calls it the same origin has
 * compared the scheme; for one that does not say, the scheme must be ours, as far as a proxy tells it.
 */
function isOwnOrigin(origin: string, request: Request): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host } = new URL(origin);
  const isSameScheme = protocol === (isHttps(request) ? 'https:' : 'http:');
  const isCompared = request.headers.get('sec-fetch-site') === 'same-origin' && schemeTold(request) === null;
  return host.toLowerCase() === hostOf(request) && (isSameScheme || isCompared);
}

function withoutPort(host: string): string {
  return host.replace(/:\d{1,5}$/, '');
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|(::ffff:)?127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
}

function forbidden(message: string, hint: string): BackupError {
  return new BackupError('FORBIDDEN', message, { hint });
}
