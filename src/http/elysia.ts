/** The backup routes as a plugin for an Elysia app: `velist-backup/elysia`. Elysia is the app's own. */
import { Elysia } from 'elysia';
import type { FleetPort } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { type BackupRoutesOptions, createAnswer, type HostServer } from './create-answer.ts';

export type { BackupRoutesOptions } from './create-answer.ts';
export type { Action, Authorize, Verdict } from './access/authorize.ts';
export { authorizeBy } from './access/auth.ts';

/**
 * `app.use(backupRoutes(backupService, { authorize }))`, or what `createBackups` answers.
 *
 * @throws BackupError BAD_CONFIG when nobody said who may act.
 */
export function backupRoutes<const Prefix extends string = '/backup'>(
  service: BackupServicePort | FleetPort,
  options: BackupRoutesOptions<Prefix>,
) {
  const prefix = options.prefix ?? ('/backup' as Prefix);
  const answer = createAnswer(service, options);
  const app = new Elysia<Prefix>({ prefix });
  // At the root of the app such routes would be in the way of its own.
  for (const path of prefix.replaceAll('/', '') === '' ? paths.slice(0, 2) : paths) {
    const handle = ({ request, route, server }: Asked) =>
      answer(request, pathBelow(route.slice(0, route.length - path.length), request), server);
    for (const method of methods)
      app.route(method, path, ({ request, route, server }) => handle({ request, route, server }), untouched);
    app.all(path, ({ request, route, server }) => handle({ request, route, server }), untouched);
  }
  return app;
}

/** Elysia would read bodies by its own rules and answer in place of ours. */
const untouched = { parse: 'none' } as const;

/**
 * By name, because Elysia looks for a route of all methods last: the `.get('*')` that ends an app with a page of its own
 * would answer in place of ours.
 */
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** Words below our place in the longest address, `/db/<name>/api/backups/<filename>/restore`, and one to spare. */
const WORDS_MAX = 7;

/**
 * By the number of words, because under Bun Elysia asks Bun's router first, which knows no `*`: an app's `/:page/:part`
 * would answer in place of `/backup/*`. A route that begins with our own word comes before it.
 */
const paths = [
  '/',
  '/*',
  ...Array.from({ length: WORDS_MAX }, (_, more) => '/:a/:b/:c/:d/:e/:f/:g'.slice(0, 3 * (more + 1))),
];

interface Asked {
  readonly request: Request;
  readonly route: string;
  readonly server: HostServer | null;
}

/** What the request's path has behind the words of our place, which an app may have moved below a prefix of its own. */
function pathBelow(place: string, request: Request): string {
  const words = new URL(request.url).pathname.split('/').slice(place.split('/').length);
  return `/${words.join('/')}`;
}
