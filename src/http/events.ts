/**
 * Server-sent events: how many streams there are, in which order a stream tells what its feed gives it, and when it ends.
 * What is told is the feed's: `database-feed.ts` of one database, `overview-feed.ts` of several. Each event's data is one
 * JSON object on one line, and between them a `ping` is sent.
 */
import { toText } from './answers.ts';
import { TooMany } from './access/rate-limits.ts';

/** Events that may wait for a client that does not read; then its stream ends and it connects anew. */
const EVENTS_WAITING_MAX = 1_000;

/** Each costs a connection, a timer and the status at every change. */
const STREAMS_MAX = 100;
/** Nobody has more than half of them. */
const STREAMS_OF_ONE_MAX = 50;
const FULL_WAIT_MS = 5_000;

/** How many are open of one database, or of the overview, and whose. */
export class OpenStreams {
  readonly #owners: string[] = [];

  /**
   * Answers what to call when the stream has ended.
   *
   * @param owner the user, or the address where users have no names; empty if neither is known.
   * @throws TooMany
   */
  enter(owner: string): () => void {
    const own = owner === '' ? 0 : this.#owners.filter((other) => other === owner).length;
    const most = own >= STREAMS_OF_ONE_MAX ? STREAMS_OF_ONE_MAX : STREAMS_MAX;
    if (own >= STREAMS_OF_ONE_MAX || this.#owners.length >= STREAMS_MAX) {
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
  /** Asked at each ping; throws when the listener may not read any longer. */
  readonly mayGoOn: () => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly openStreams: OpenStreams;
  /** The listener, as `OpenStreams` counts it. */
  readonly owner: string;
}

/** Where a feed tells what happens. */
export interface Outlet {
  send(event: string, data: object): void;
  /** One after the other, so that events leave in the order in which they happened. What fails ends the stream. */
  queue(work: () => void | Promise<void>): void;
}

/** Begins to tell; answers what ends it. */
type Feed = (outlet: Outlet) => readonly (() => void)[];

/** @throws TooMany */
export function eventStream(feed: Feed, options: EventOptions): Response {
  const leave = options.openStreams.enter(options.owner);
  let stream: EventStream | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        stream = new EventStream(options, controller, leave);
        stream.begin(feed);
      },
      cancel: () => stream?.end(),
    },
    { highWaterMark: EVENTS_WAITING_MAX },
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

class EventStream implements Outlet {
  readonly #options: EventOptions;
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #text = new TextEncoder();
  readonly #endings: (() => void)[];
  #id = 0;
  #ended = false;
  #last: Promise<void> = Promise.resolve();

  constructor(options: EventOptions, controller: ReadableStreamDefaultController<Uint8Array>, leave: () => void) {
    this.#options = options;
    this.#controller = controller;
    this.#endings = [leave];
  }

  begin(feed: Feed): void {
    const { mayGoOn, pingMs, signal } = this.#options;
    const close = () => this.#close();
    this.#controller.enqueue(this.#text.encode('retry: 2000\n\n'));
    // A session ends, or a right is taken, while the stream is open.
    const pings = setInterval(() => void mayGoOn().then(() => this.send('ping', {}), close), pingMs);
    this.#endings.push(() => clearInterval(pings));
    signal.addEventListener('abort', close, { once: true });
    this.#endings.push(() => signal.removeEventListener('abort', close));
    if (signal.aborted) close();
    else this.#endings.push(...feed(this));
  }

  /** Once ended it sends nothing more, and hears of nothing. */
  end(): void {
    this.#ended = true;
    for (const ending of this.#endings.splice(0)) ending();
  }

  send(event: string, data: object): void {
    if (this.#ended) return;
    this.#controller.enqueue(this.#text.encode(`id: ${++this.#id}\nevent: ${event}\ndata: ${toText(data)}\n\n`));
    if ((this.#controller.desiredSize ?? 0) <= 0) this.#close();
  }

  queue(work: () => void | Promise<void>): void {
    this.#last = this.#last.then(work).catch((error: unknown) => {
      this.#options.onError(error);
      this.#close();
    });
  }

  #close(): void {
    if (this.#ended) return;
    this.end();
    this.#controller.close();
  }
}
