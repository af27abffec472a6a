/** What happens, as it happens. */
import { clientAddressOf } from '../client.ts';
import { databaseFeed } from '../database-feed.ts';
import { type EventOptions, eventStream } from '../events.ts';
import { overviewFeed } from '../overview-feed.ts';
import { type Asked, route } from '../route.ts';

export const eventRoutes = [
  route({
    method: 'GET',
    path: '/api/events',
    summary: 'What happens, as server-sent events',
    right: 'read',
    costs: 'watch',
    answers: { 200: 'text/event-stream' },
    handle(context) {
      const { database, authorize } = context;
      if (context.request.method === 'HEAD') return headOnly();
      const options = { openStreams: database.openStreams, mayGoOn: async () => void (await authorize('read')) };
      return eventStream(databaseFeed(database), { ...common(context), ...options });
    },
    ofAll(context) {
      const { site, allowed } = context;
      if (context.request.method === 'HEAD') return headOnly();
      const feed = overviewFeed({ errands: site.errands, allowed: () => allowed('read'), pingMs: site.pingMs });
      const options = { openStreams: site.openStreams, mayGoOn: async () => void (await allowed('read')) };
      return eventStream(feed, { ...common(context), ...options });
    },
  }),
];

/** Some hosts answer HEAD with a GET and read the body to its end, which never comes. */
function headOnly(): Response {
  return new Response(null, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
}

function common({ request, user, site }: Asked): Omit<EventOptions, 'openStreams' | 'mayGoOn'> {
  return {
    pingMs: site.pingMs,
    owner: user ?? clientAddressOf(request) ?? '',
    signal: request.signal,
    onError: (error) => site.onError(error, request),
  };
}
