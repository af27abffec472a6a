/**
 * The backup routes for a host that is not Elysia: as a `fetch` function (Bun's server, Hono, any framework of web
 * standards) and as a listener of `node:http` (Express, Fastify, plain Node).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GuardPort } from '../service/guard-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { type BackupRoutesOptions, backupRoutes } from './api.ts';
import { rememberClientAddress } from './auth.ts';
import { type Fetch, nodeListener } from './node-listener.ts';

export { type Action, type Authorize, authorizeBy, type Verdict } from './auth.ts';
export { createSignIn, type SignIn, type SignInOptions } from './sign-in.ts';

/**
 * An app's server may be reached from anywhere: it has to say who may do what, or, where it has no users of its own,
 * by which password one signs in.
 */
export type MountOptions = BackupRoutesOptions<string> &
  (Required<Pick<BackupRoutesOptions, 'authorize'>> | Required<Pick<BackupRoutesOptions, 'signIn'>>);

/**
 * Answers every request at or below `prefix` (`/backup` unless told); another path is answered 404. The prefix is part
 * of the path that it is given.
 *
 * @throws BackupError BAD_CONFIG without `authorize` or `signIn`.
 */
export function backupFetch(service: BackupServicePort | GuardPort, options: MountOptions): Fetch {
  return fetchOf(backupRoutes(service, options));
}

/**
 * `app.use(backupListener(…))` in Express: paths outside `prefix` go on to `next`, or are answered 404 where there is
 * none. It must stand before whatever reads bodies.
 *
 * @throws BackupError BAD_CONFIG without `authorize` or `signIn`.
 */
export function backupListener(
  service: BackupServicePort | GuardPort,
  options: MountOptions,
): (incoming: IncomingMessage, outgoing: ServerResponse, next?: () => void) => void {
  const listen = nodeListener(backupFetch(service, options));
  const prefix = options.prefix ?? '/backup';
  return (incoming, outgoing, next) => {
    const path = incoming.url?.split('?')[0] ?? '';
    if (next && path !== prefix && !path.startsWith(`${prefix}/`)) next();
    else listen(incoming, outgoing);
  };
}

/**
 * What stands between a host and Elysia, which would read a download to its end to answer HEAD, and which finds no path
 * behind a host name of less than four characters.
 */
export function fetchOf(app: { handle(request: Request): Promise<Response> }): Fetch {
  return async (request, client) => {
    const isHead = request.method === 'HEAD';
    const asked = routable(isHead ? new Request(request, { method: 'GET' }) : request);
    rememberClientAddress(asked, client?.address);
    const response = await app.handle(asked);
    if (!isHead) return response;
    await response.body?.cancel();
    return new Response(null, { status: response.status, headers: response.headers });
  };
}

/** The same request under a host name that Elysia's router can skip; the `Host` header keeps the real one. */
function routable(request: Request): Request {
  const url = new URL(request.url);
  if (url.host.length >= 4) return request;
  const headers = new Headers(request.headers);
  if (!headers.has('host')) headers.set('host', url.host);
  return new Request(new Request(`${url.protocol}//localhost${url.pathname}${url.search}`, request), { headers });
}
