/**
 * What happens in the service, as server-sent events: first a `status`, then `status`, `progress`, `run`, `backups`
 * (the list changed, fetch it) and `ping`. A client that comes back needs no history: the first `status` is the whole
 * truth. Each event's data is one JSON object on one line.
 */
import type { ServiceEvent } from '../service/model.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { toText } from './answers.ts';
import { TooMany } from './access/rate-limits.ts';
import { serialize } from './serialize.ts';

/** Events that may wait for a client that does not read; then its stream ends and it connects anew. */
const EVENTS_WAITING_MAX = 1_000;

/** Each costs a connection, a timer and the status at every change. */
const STREAMS_MAX = 100;
/** Nobody has more than half of them. */
const STREAMS_OF_ONE_MAX = 50;
const FULL_WAIT_MS = 5_000;

/** How many are open of one database, and whose. */
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

interface EventOptions {
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
  const leave = options.openStreams.enter(options.owner);
  let stream: EventStream | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        stream = new EventStream(service, options, controller, leave);
        stream.begin();
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

class EventStream {
  readonly #service: BackupServicePort;
  readonly #options: EventOptions;
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #text = new TextEncoder();
  readonly #endings: (() => void)[];
  #id = 0;
  #ended = false;
  #last: Promise<void> = Promise.resolve();
  #statusWaits = false;

  constructor(
    service: BackupServicePort,
    options: EventOptions,
    controller: ReadableStreamDefaultController<Uint8Array>,
    leave: () => void,
  ) {
    this.#service = service;
    this.#options = options;
    this.#controller = controller;
    this.#endings = [leave];
  }

  begin(): void {
    const { onBackupsChanged, mayGoOn, pingMs, signal } = this.#options;
    const close = () => this.#close();
    this.#controller.enqueue(this.#text.encode('retry: 2000\n\n'));
    this.#endings.push(
      this.#service.on((event) => this.#onEvent(event)),
      onBackupsChanged(() => this.#queue(() => this.#send('backups', {}))),
    );
    // A session ends, or a right is taken, while the stream is open.
    const pings = setInterval(() => void mayGoOn().then(() => this.#send('ping', {}), close), pingMs);
    this.#endings.push(() => clearInterval(pings));
    signal.addEventListener('abort', close, { once: true });
    this.#endings.push(() => signal.removeEventListener('abort', close));
    if (signal.aborted) close();
    else this.#sendStatus();
  }

  /** Once ended it sends nothing more, and hears of nothing. */
  end(): void {
    this.#ended = true;
    for (const ending of this.#endings.splice(0)) ending();
  }

  #close(): void {
    if (this.#ended) return;
    this.end();
    this.#controller.close();
  }

  #onEvent(event: ServiceEvent): void {
    if (event.type === 'status') this.#sendStatus();
    if (event.type === 'backups') this.#queue(() => this.#send('backups', {}));
    if (event.type === 'progress') this.#queue(() => this.#send('progress', serialize(event.run)));
    if (event.type !== 'run') return;
    this.#queue(() => this.#send('run', serialize(event.run)));
    this.#queue(() => this.#send('backups', {}));
    this.#sendStatus();
  }

  #send(event: string, data: object): void {
    if (this.#ended) return;
    this.#controller.enqueue(this.#text.encode(`id: ${++this.#id}\nevent: ${event}\ndata: ${toText(data)}\n\n`));
    if ((this.#controller.desiredSize ?? 0) <= 0) this.#close();
  }

  #sendStatus(): void {
    if (this.#statusWaits) return;
    this.#statusWaits = true;
    this.#queue(async () => {
      this.#statusWaits = false;
      this.#send('status', serialize(await this.#service.getStatus()));
    });
  }

  /** One after the other, so that events leave in the order in which they happened. */
  #queue(work: () => void | Promise<void>): void {
    this.#last = this.#last.then(work).catch((error: unknown) => {
      this.#options.onError(error);
      this.#close();
    });
  }
}
