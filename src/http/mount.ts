/**
 * The backup routes for a host that is not Elysia: as a `fetch` function (Bun's server, Hono, any framework of web
 * standards) and as a listener of `node:http` (Express, Fastify, plain Node).
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FleetPort } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { withSecurityHeaders, notFound } from './answers.ts';
import { type BackupRoutesOptions, createAnswer } from './create-answer.ts';
import { type Fetch, nodeListener, pathAsked } from './node-listener.ts';

export type { Action, Authorize, Verdict } from './access/authorize.ts';
export { authorizeBy } from './access/auth.ts';
export type { Fetch } from './node-listener.ts';
export { createSignIn, type SignIn, type SignInOptions } from './access/sign-in.ts';

/**
 * An app's server may be reached from anywhere: it has to say who may do what, or, where it has no users of its own,
 * by which password one signs in.
 */
export type MountOptions = BackupRoutesOptions<string> &
  (
    | Required<Pick<BackupRoutesOptions, 'authorize'>>
    | Required<Pick<BackupRoutesOptions, 'signIn'>>
    | { readonly thisMachineOnly: true }
  );

/**
 * Answers every request at or below `prefix` (`/backup` unless told); another path is answered 404. The prefix is part
 * of the path that it is given.
 *
 * ```ts
 * const backup = backupFetch(backupService, { authorize: (request, action) => isAdmin(request) });
 * app.all('/backup', (c) => backup(c.req.raw, c.env)).all('/backup/*', (c) => backup(c.req.raw, c.env)); // Hono
 * ```
 *
 * @throws BackupError BAD_CONFIG without `authorize` or `signIn`.
 */
export function backupFetch(service: BackupServicePort | FleetPort, options: MountOptions): Fetch {
  return fetchAt(service, options);
}

/**
 * `app.use('/backup', backupListener(…))` or `app.use(backupListener(…))` in Express: paths outside `prefix` go on to
 * `next`, or are answered 404 where there is none.
 *
 * @throws BackupError BAD_CONFIG without `authorize` or `signIn`.
 */
export function backupListener(
  service: BackupServicePort | FleetPort,
  options: MountOptions,
): (incoming: IncomingMessage, outgoing: ServerResponse, next?: () => void) => void {
  const prefix = placeOf(options);
  const listen = nodeListener(fetchAt(service, options));
  return (incoming, outgoing, next) => {
    const [path = ''] = pathAsked(incoming).split('?');
    if (next && below(prefix, path) === null) next();
    else listen(incoming, outgoing);
  };
}

/** The same for our own server, which has rules where there is no `authorize`. */
export function fetchAt(service: BackupServicePort | FleetPort, options: BackupRoutesOptions<string>): Fetch {
  const prefix = placeOf(options);
  const answer = createAnswer(service, options);
  return async (request, host) => {
    const path = below(prefix, new URL(request.url).pathname);
    return path === null ? withSecurityHeaders(request, notFound()) : answer(request, path, host);
  };
}

const DEFAULT_PREFIX = '/backup';

/** With one slash before and none behind; empty at the root. */
function placeOf({ prefix = DEFAULT_PREFIX }: { readonly prefix?: string }): string {
  return prefix
    .split('/')
    .filter((word) => word !== '')
    .map((word) => `/${word}`)
    .join('');
}

function below(prefix: string, path: string): string | null {
  if (path === prefix) return '/';
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : null;
}
