/**
 * A `fetch` function as a listener of Node's http server, for hosts without Bun. Bodies stream both ways with
 * backpressure; a client that leaves aborts `request.signal` and cancels the answer's stream.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import type { HostServer } from './create-answer.ts';

/** @param host Bun's server or what stands for it: it tells who asks, and is asked not to cut slow answers. */
export type Fetch = (request: Request, host?: HostServer | null) => Promise<Response>;

/** @param onAdmitted hears over which connection somebody was let in. */
export function nodeListener(
  fetch: Fetch,
  onAdmitted?: (socket: Socket) => void,
): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  return (incoming, outgoing) => {
    const gone = new AbortController();
    outgoing.once('close', () => gone.abort());
    const { socket } = incoming;
    const host: HostServer = {
      requestIP: () => (socket.remoteAddress === undefined ? null : { address: socket.remoteAddress }),
      admitted: () => onAdmitted?.(socket),
    };
    respond((request) => fetch(request, host), incoming, outgoing, gone.signal).catch(() => outgoing.destroy());
  };
}

async function respond(
  fetch: Fetch,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const request = toRequest(incoming, signal);
  if (!request) {
    outgoing.writeHead(400, { 'content-length': 0 }).end();
    return;
  }
  const response = await fetch(request);
  outgoing.writeHead(response.status, [...response.headers].flat());
  if (!response.body) {
    outgoing.end();
    return;
  }
  outgoing.flushHeaders();
  // The same stream under two names: the DOM's type and Node's.
  const body = Readable.fromWeb(response.body as unknown as NodeReadableStream<Uint8Array>);
  // A client that left ends the pipeline with an error, and that cancels the body: nothing more to do.
  await pipeline(body, outgoing).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/** Below no mount and no name of a file: it is answered that nothing is there. */
const NOWHERE = 'http://localhost//';

/** What Express and its like do to a request: cut the mount's path off its address, and read its body. */
interface Passed extends IncomingMessage {
  readonly originalUrl?: string;
  readonly body?: unknown;
}

/** What a framework made of a body, as it came. */
function asSent(body: unknown, headers: Headers): string | Uint8Array<ArrayBuffer> {
  if (typeof body === 'string') return body;
  if (body instanceof Uint8Array) return new Uint8Array(body);
  const isForm = headers.get('content-type')?.startsWith('application/x-www-form-urlencoded') === true;
  if (!isForm || typeof body !== 'object' || body === null) return JSON.stringify(body);
  return new URLSearchParams(Object.entries(body).map(([name, value]) => [name, String(value)])).toString();
}

/** The path with its query, as the client asked for it. */
export function pathAsked(incoming: Passed): string {
  return incoming.originalUrl ?? incoming.url ?? '/';
}

function toRequest(incoming: Passed, signal: AbortSignal): Request | undefined {
  const path = pathAsked(incoming);
  const scheme = 'encrypted' in incoming.socket && incoming.socket.encrypted === true ? 'https' : 'http';
  const url = `${scheme}://${incoming.headers.host ?? 'localhost'}${path}`;
  if (!path.startsWith('/') || !URL.canParse(url)) return undefined;
  // What a guard of the app has judged is what is answered: no `..`, and nothing of the path in the host.
  if (new URL(url).pathname !== path.split('?')[0]) return new Request(NOWHERE, { signal });
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct))
    for (const value of values ?? []) headers.append(name, value);
  const method = incoming.method ?? 'GET';
  if (method === 'GET' || method === 'HEAD') return new Request(url, { method, headers, signal });
  const body =
    incoming.readableEnded && incoming.body !== undefined
      ? asSent(incoming.body, headers)
      : (Readable.toWeb(incoming) as unknown as ReadableStream<Uint8Array>);
  // `duplex` is required by Node for a streamed body and unknown to the DOM types.
  return new Request(url, {
    method,
    headers,
    signal,
    body,
    duplex: 'half',
  } as RequestInit);
}
