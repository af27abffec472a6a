/** What a webhook or a heartbeat is sent to: a real HTTP server that notes each request and answers as it is told. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';

export interface Received {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly received: readonly Received[];
  /** What the next requests are answered, by each, as soon as it is known; then 200. */
  answers: (number | Promise<number> | 'hang' | 'reset')[];
  /** Resolves with the first so many requests, when they are there. */
  until(count: number): Promise<readonly Received[]>;
}

export async function openReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const receiver = { answers: [] as Receiver['answers'] };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const { method = '', url: path = '', headers } = request;
    const next = receiver.answers.shift() ?? 200;
    received.push({ method, path, headers, body });
    for (const hear of waiting) hear();
    const answer = await next;
    if (answer === 'hang') return;
    if (answer === 'reset') request.socket.resetAndDestroy();
    else response.writeHead(answer, answer < 400 && answer >= 300 ? { location: '/elsewhere' } : {}).end('noted');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on a port
  return Object.assign(receiver, {
    url: `http://127.0.0.1:${port}`,
    received,
    async until(count: number) {
      while (received.length < count) {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        await promise;
        waiting.delete(resolve);
      }
      return received.slice(0, count);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  });
}

/** An address at which nobody listens, nor can: its port is the near end of a connection until this is disposed of. */
export async function openDeadEnd(): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // it listens on a port
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return {
    url: `http://127.0.0.1:${socket.localPort}`,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
