/** The backup routes as a listener of Node's http server, which Express and Fastify hand their requests on to. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BackupServicePort } from '../service/service-port.ts';
import { type BackupHandlerOptions, backupHandler } from './fetch.ts';
import { nodeListener } from './node-listener.ts';

export { type Action, type Authorize, authorizeBy } from './auth.ts';
export type { BackupHandlerOptions } from './fetch.ts';

/**
 * Answers what is asked at `/backup` and below, and 404 elsewhere:
 *
 * ```ts
 * app.use('/backup', backupListener(backupService, { authorize: (request, action) => isAdmin(request) })); // Express
 * ```
 *
 * @throws BackupError BAD_CONFIG without `authorize`.
 */
export function backupListener(
  service: BackupServicePort,
  options: BackupHandlerOptions,
): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const handler = backupHandler(service, options);
  return nodeListener((request, { address }) =>
    handler(request, { requestIP: () => (address === undefined ? null : { address }) }),
  );
}
