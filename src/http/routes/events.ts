/** What happens, as it happens. */
import { clientAddressOf } from '../client.ts';
import { eventStream } from '../events.ts';
import { route } from '../route.ts';

export const eventRoutes = [
  route({
    method: 'GET',
    path: '/api/events',
    summary: 'What happens, as server-sent events',
    right: 'read',
    costs: 'watch',
    answers: { 200: 'text/event-stream' },
    handle({ request, user, service, database, site, authorize }) {
      // Some hosts answer HEAD with a GET and read the body to its end, which never comes.
      if (request.method === 'HEAD')
        return new Response(null, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
      return eventStream(service, {
        pingMs: site.pingMs,
        openStreams: database.openStreams,
        owner: user ?? clientAddressOf(request) ?? '',
        signal: request.signal,
        mayGoOn: async () => void (await authorize('read')),
        onError: (error) => site.onError(error, request),
        onBackupsChanged: (listener) => database.onBackupsChanged(listener),
      });
    },
  }),
];
