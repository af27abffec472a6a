/**
 * Stands between a client and a real S3 server and lets go wrong on the way what a test asks for. What it does not
 * touch passes unchanged, Host header included, so signatures stay good. Bodies of requests are held whole (a part has
 * 5 MiB), those of answers pass as a stream.
 */
import { once } from 'node:events';
import { type ClientRequest, createServer, type IncomingMessage, request as ask, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FaultProxy {
  readonly endpoint: string;
  /** Consulted in order with each request; a test pushes into it and empties it. */
  readonly faults: ProxyFault[];
  /** `METHOD /bucket/key?query` of every request, oldest first. */
  readonly requests: string[];
  /** Connections are refused from now on, and those that are open are cut. */
  goAway(): Promise<void>;
  close(): Promise<void>;
}

export interface ProxyFault {
  /** Against `METHOD /bucket/key?query`. */
  readonly match: RegExp;
  readonly effect: ProxyEffect;
  /** How many requests it meets; all when left out. */
  times?: number;
  /** How many requests pass before the first. */
  skip?: number;
}

export type ProxyEffect =
  /** Answered so, and nothing reaches the server. */
  | { readonly status: number; readonly code?: string; readonly body?: string }
  /** Reset as soon as the head of the request is there. */
  | 'reset'
  /** Reset in the middle of the request's body. */
  | 'reset in the body'
  /** Reset when the request is there, before the server sees it. */
  | 'reset before the answer'
  /** Done by the server, then reset instead of its answer. */
  | 'lose the answer'
  /** The request is taken and never answered. */
  | 'stall'
  /** The request's body is not read on after its first bytes. */
  | 'stall in the body'
  /** The answer's body breaks off, or stands still, after so many bytes. */
  | { readonly cutAfterBytes: number; readonly meanwhile?: () => Promise<unknown> }
  | { readonly stallAfterBytes: number }
  /** Both bodies trickle. */
  | { readonly bytesPerSecond: number }
  /** One bit of the body is turned over on the way. */
  | 'flip a bit up'
  | 'flip a bit down'
  /** The answer bears this date; Amazon's clients set their own clock by it. */
  | { readonly date: Date }
  /** After the server has done its work, and before the client hears of it. */
  | { readonly meanwhile: () => Promise<unknown> };

export interface FaultProxyOptions {
  /** Speaks TLS to the client. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

const slicesPerSecond = 20;

export async function startFaultProxy(upstream: string, { tls }: FaultProxyOptions = {}): Promise<FaultProxy> {
  const { hostname, port: upstreamPort } = new URL(upstream);
  const faults: ProxyFault[] = [];
  const requests: string[] = [];
  const sockets = new Set<Socket>();

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const line = `${request.method} ${request.url}`;
    requests.push(line);
    const effect = takeFault(faults, line);
    const reset = () => request.socket.resetAndDestroy();
    if (effect === 'reset') return void reset();

    const parts: Buffer[] = [];
    const startedMs = performance.now();
    let receivedBytes = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (effect === 'reset in the body') return void reset();
      if (effect === 'stall in the body') return void request.pause();
      parts.push(chunk);
      receivedBytes += chunk.length;
      // By the clock: what each of many waits takes too long does not add up.
      if (typeof effect === 'object' && effect !== null && 'bytesPerSecond' in effect)
        await sleep(Math.max(0, startedMs + (receivedBytes / effect.bytesPerSecond) * 1000 - performance.now()));
    }
    const body = Buffer.concat(parts);
    if (effect === 'reset before the answer' || effect === 'reset in the body') return void reset();
    if (effect === 'stall' || effect === 'stall in the body') return;
    if (effect === 'flip a bit up') flip(body);
    if (typeof effect === 'object' && effect !== null && 'status' in effect) {
      const text = effect.body ?? errorBody(effect.code ?? 'InternalError');
      response.writeHead(effect.status, { 'content-type': 'application/xml' }).end(text);
      return;
    }

    const passed = ask({ hostname, port: upstreamPort, method: request.method, path: request.url, agent: false });
    for (const [name, value] of Object.entries(request.headers)) {
      if (value !== undefined && !ownHeaders.has(name)) passed.setHeader(name, value);
    }
    // An uploader may have set the length of nothing.
    if (body.length > 0 || request.headers['content-length'] !== undefined)
      passed.setHeader('content-length', body.length);
    const answer = await answerTo(passed, body);
    if (effect === 'lose the answer') {
      for await (const _ of answer);
      return void reset();
    }
    if (typeof effect === 'object' && effect !== null && 'meanwhile' in effect) await effect.meanwhile?.();
    await passOn(answer, response, effect);
    // Its body may never have been asked for.
    passed.destroy();
  };

  const listener = (request: IncomingMessage, response: ServerResponse) => {
    // A client that goes away in the middle is a normal case here.
    handle(request, response).catch(() => request.socket.destroy());
  };
  const server = tls ? createTlsServer({ ...tls }, listener) : createServer(listener);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  });
  const goAway = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    await closed;
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on TCP.
  return {
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    faults,
    requests,
    goAway,
    close: async () => {
      if (server.listening) await goAway();
    },
  };
}

/** A server that refuses does not read the body, and what it said would be lost with a body under way. */
async function answerTo(passed: ClientRequest, body: Buffer): Promise<IncomingMessage> {
  const answered = once(passed, 'response') as Promise<[IncomingMessage]>;
  // It may break off after its answer.
  passed.on('error', () => {});
  if (body.length > 0) {
    passed.setHeader('expect', '100-continue').flushHeaders();
    const refusal = await Promise.race([answered, once(passed, 'continue').then(() => null)]);
    if (refusal !== null) return refusal[0];
  }
  passed.end(body);
  const [answer] = await answered;
  return answer;
}

/** Of the connection, not of the message; and what this proxy answers itself. */
const ownHeaders: ReadonlySet<string> = new Set(['connection', 'content-length', 'expect', 'transfer-encoding']);

async function passOn(answer: IncomingMessage, response: ServerResponse, effect: ProxyEffect | null): Promise<void> {
  const headers = { ...answer.headers };
  delete headers.connection;
  if (typeof effect === 'object' && effect !== null && 'date' in effect) headers.date = effect.date.toUTCString();
  response.sendDate = false;
  response.writeHead(answer.statusCode ?? 502, headers);
  response.flushHeaders();
  const limit = limitOf(effect);
  let sentBytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    if (effect === 'flip a bit down' && sentBytes === 0) flip(chunk);
    const allowed = chunk.subarray(0, limit === null ? chunk.length : Math.max(0, limit.bytes - sentBytes));
    sentBytes += allowed.length;
    if (typeof effect === 'object' && effect !== null && 'bytesPerSecond' in effect)
      await trickle(allowed, response, effect.bytesPerSecond);
    else if (allowed.length > 0 && !response.write(allowed)) await once(response, 'drain');
    if (limit === null || sentBytes < limit.bytes) continue;
    answer.destroy();
    if (!limit.isCut) return;
    // What was sent must leave before the cut.
    await sleep(20);
    response.socket?.destroy();
    return;
  }
  response.end();
}

async function trickle(bytes: Buffer, response: ServerResponse, bytesPerSecond: number): Promise<void> {
  const slice = Math.max(1, Math.ceil(bytesPerSecond / slicesPerSecond));
  for (let at = 0; at < bytes.length; at += slice) {
    response.write(bytes.subarray(at, at + slice));
    await sleep(1000 / slicesPerSecond);
  }
}

function limitOf(effect: ProxyEffect | null): { readonly bytes: number; readonly isCut: boolean } | null {
  if (effect === null || typeof effect === 'string') return null;
  if ('cutAfterBytes' in effect) return { bytes: effect.cutAfterBytes, isCut: true };
  return 'stallAfterBytes' in effect ? { bytes: effect.stallAfterBytes, isCut: false } : null;
}

function takeFault(faults: readonly ProxyFault[], line: string): ProxyEffect | null {
  for (const fault of faults) {
    if (fault.times === 0 || !fault.match.test(line)) continue;
    if (fault.skip) {
      fault.skip -= 1;
      continue;
    }
    if (fault.times !== undefined) fault.times -= 1;
    return fault.effect;
  }
  return null;
}

function flip(bytes: Buffer): void {
  const middle = bytes.length >> 1;
  if (bytes.length > 0) bytes[middle] = (bytes[middle] ?? 0) ^ 1;
}

function errorBody(code: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`;
}
