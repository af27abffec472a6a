/** The backup routes as a plugin for an Elysia app: `velist-backup/elysia`. Elysia is the app's own. */
import { Elysia } from 'elysia';
import type { GuardPort } from '../service/guard-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { type BackupRoutesOptions, createAnswer, type HostServer } from './api.ts';

export type { BackupRoutesOptions } from './api.ts';
export { type Action, type Authorize, authorizeBy, type Verdict } from './auth.ts';

/**
 * `app.use(backupRoutes(backupService, { authorize }))`, or what `createBackups` answers.
 *
 * @throws BackupError BAD_CONFIG when nobody said who may act.
 */
export function backupRoutes<const Prefix extends string = '/backup'>(
  service: BackupServicePort | GuardPort,
  options: BackupRoutesOptions<Prefix>,
) {
  const prefix = options.prefix ?? ('/backup' as Prefix);
  const answer = createAnswer(service, options);
  const handle = ({ request, route, server }: Asked) => answer(request, pathBelow(route, request), server);
  // Elysia would read bodies by its own rules and answer in place of ours.
  const untouched = { parse: 'none' } as const;
  return new Elysia<Prefix>({ prefix })
    .all('/', ({ request, route, server }) => handle({ request, route, server }), untouched)
    .all('/*', ({ request, route, server }) => handle({ request, route, server }), untouched);
}

interface Asked {
  readonly request: Request;
  readonly route: string;
  readonly server: HostServer | null;
}

/** What the request's path has behind the words of our place, which an app may have moved below a prefix of its own. */
function pathBelow(route: string, request: Request): string {
  const place = route.replace(/\/\*?$/, '');
  const words = new URL(request.url).pathname.split('/').slice(place.split('/').length);
  return `/${words.join('/')}`;
}
