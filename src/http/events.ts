/**
 * What happens in the service, as server-sent events: first a `status`, then `status`, `progress`, `run`, `backups`
 * (the list changed, fetch it) and `ping`. A client that comes back needs no history: the first `status` is the whole
 * truth. Each event's data is one JSON object on one line.
 */
import type { BackupServicePort } from '../service/service-port.ts';
import { toText } from './answers.ts';
import { TooMany } from './access/rate-limits.ts';
import { serialize } from './serialize.ts';

/** Events that may wait for a client that does not read; then its stream ends and it connects anew. */
const MAX_WAITING = 1_000;

/** Each costs a connection, a timer and the status at every change. */
const MOST_STREAMS = 100;
/** Nobody has more than half of them. */
const MOST_OF_ONE = 50;
const FULL_WAIT_MS = 5_000;

/** How many are open of one database, and whose. */
export class OpenStreams {
  readonly #owners: string[] = [];

  /**
   * Answers what to call when the stream has ended.
   *
   * @param owner the user, or the address where users have no names; empty where neither is known.
   * @throws TooMany
   */
  enter(owner: string): () => void {
    const own = owner === '' ? 0 : this.#owners.filter((other) => other === owner).length;
    const most = own >= MOST_OF_ONE ? MOST_OF_ONE : MOST_STREAMS;
    if (own >= MOST_OF_ONE || this.#owners.length >= MOST_STREAMS) {
      const message = `${most} event streams are open, and no more are served at once`;
      throw new TooMany(FULL_WAIT_MS, { message, firstly: 'Close pages that nobody looks at. ' });
    }
    this.#owners.push(owner);
    return () => void this.#owners.splice(this.#owners.indexOf(owner), 1);
  }
}

export interface EventOptions {
  /** Servers cut a silent connection after 10 to 30 seconds. */
  readonly pingMs: number;
  readonly signal: AbortSignal;
  /** Tells of changes that routes made to the list of backups; returns the end of the subscription. */
  readonly onBackupsChanged: (listener: () => void) => () => void;
  /** Asked at each ping; throws when who listens may not read any longer. */
  readonly mayGoOn: () => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly openStreams: OpenStreams;
  /** The listener, as `OpenStreams` counts it. */
  readonly owner: string;
}

/** @throws TooMany */

export function eventStream(service: BackupServicePort, options: EventOptions): Response {
  const text = new TextEncoder();
  const endings: (() => void)[] = [options.openStreams.enter(options.owner)];
  let id = 0;
  let ended = false;

  function end(): void {
    ended = true;
    for (const ending of endings.splice(0)) ending();
  }

  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let last: Promise<void> = Promise.resolve();
        let statusWaits = false;

        function send(event: string, data: object): void {
          if (ended) return;
          controller.enqueue(text.encode(`id: ${++id}\nevent: ${event}\ndata: ${toText(data)}\n\n`));
          if ((controller.desiredSize ?? 0) <= 0) close();
        }
        function close(): void {
          if (ended) return;
          end();
          controller.close();
        }
        /** One after the other, so that events leave in the order in which they happened. */
        function queue(work: () => void | Promise<void>): void {
          last = last.then(work).catch((error: unknown) => {
            options.onError(error);
            close();
          });
        }
        function sendStatus(): void {
          if (statusWaits) return;
          statusWaits = true;
          queue(async () => {
            statusWaits = false;
            send('status', serialize(await service.getStatus()));
          });
        }

        controller.enqueue(text.encode('retry: 2000\n\n'));
        endings.push(
          service.on((event) => {
            if (event.type === 'status') sendStatus();
            if (event.type === 'backups') queue(() => send('backups', {}));
            if (event.type === 'progress') queue(() => send('progress', serialize(event.run)));
            if (event.type === 'run') {
              queue(() => send('run', serialize(event.run)));
              queue(() => send('backups', {}));
              sendStatus();
            }
          }),
          options.onBackupsChanged(() => queue(() => send('backups', {}))),
        );
        // A session ends, or a right is taken, while the stream is open.
        const pings = setInterval(() => void options.mayGoOn().then(() => send('ping', {}), close), options.pingMs);
        endings.push(() => clearInterval(pings));
        options.signal.addEventListener('abort', close, { once: true });
        endings.push(() => options.signal.removeEventListener('abort', close));
        if (options.signal.aborted) return close();
        sendStatus();
      },
      cancel: end,
    },
    { highWaterMark: MAX_WAITING },
  );
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      // A proxy or a framework that compresses would hold the events back.
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    },
  });
}
