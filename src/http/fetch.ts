/** The backup routes as one function from a request to its answer, for any server that speaks `fetch`. */
import { BackupError } from '../engine/errors.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { dress, notFound } from './answers.ts';
import { type BackupRoutesOptions, createAnswer, type HostServer } from './api.ts';
import type { Authorize } from './auth.ts';

export { type Action, type Authorize, authorizeBy } from './auth.ts';

export interface BackupHandlerOptions extends Pick<BackupRoutesOptions<string>, 'prefix' | 'onError'> {
  /** Says who may act. There is no default: such a host tells nobody's address, and everybody would be let in. */
  readonly authorize: Authorize;
}

/** @param host Bun's server, where there is one: it is asked not to cut slow answers. */
export type BackupHandler = (request: Request, host?: HostServer | null) => Promise<Response>;

/**
 * Answers what is asked at `/backup` and below, and 404 elsewhere:
 *
 * ```ts
 * const backup = backupHandler(backupService, { authorize: (request, action) => isAdmin(request) });
 * app.all('/backup', (c) => backup(c.req.raw)); // Hono
 * app.all('/backup/*', (c) => backup(c.req.raw));
 * ```
 *
 * @throws BackupError BAD_CONFIG without `authorize`.
 */
export function backupHandler(service: BackupServicePort, options: BackupHandlerOptions): BackupHandler {
  requireAuthorize(options);
  return handlerAt(service, options);
}

/** The same for our own server, which has rules where there is no `authorize`. */
export function handlerAt(service: BackupServicePort, options: BackupRoutesOptions<string>): BackupHandler {
  const { prefix = '/backup' } = options;
  const answer = createAnswer(service, options);
  return async (request, host) => {
    const { pathname } = new URL(request.url);
    if (pathname === prefix) return answer(request, '/', host);
    if (pathname.startsWith(`${prefix}/`)) return answer(request, pathname.slice(prefix.length), host);
    return dress(request, notFound());
  };
}

function requireAuthorize({ authorize }: { readonly authorize?: unknown }): void {
  if (typeof authorize === 'function') return;
  throw new BackupError('BAD_CONFIG', 'the backup routes need authorize()', {
    hint: 'Pass { authorize: (request, action) => … } that says who may act, for instance made by authorizeBy().',
  });
}
