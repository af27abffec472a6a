/**
 * The standalone server: the backup routes and nothing else.
 *
 * It listens through `node:http` on both runtimes: Bun's own server sends a streamed body chunked and drops its
 * `content-length`, and a download without a length shows no progress and cannot be resumed by most programs.
 */
import { createServer as createNodeServer } from 'node:http';
import { BackupError, errnoCode } from '../words/errors.ts';
import type { FleetPort } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { withSecurityHeaders } from './answers.ts';
import type { BackupRoutesOptions, HostServer } from './create-answer.ts';
import { assertBindable } from './access/auth.ts';
import { Connections, timeouts } from './connections.ts';
import { fetchAt } from './mount.ts';
import { type Fetch, nodeListener } from './node-listener.ts';

export interface ServerOptions extends BackupRoutesOptions<string> {
  readonly service: BackupServicePort | FleetPort;
  /** An address of this machine; another one needs `authorize`. */
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port?: number;
}

export interface BackupServer {
  /** Resolves when connections are accepted. Throws BAD_CONFIG when the address is taken or not allowed. */
  listen(): Promise<{ readonly url: string; readonly port: number }>;
  /** Ends all connections, event streams and downloads too. */
  stop(): Promise<void>;
  readonly fetch: Fetch;
}

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 3000;
const inThisProcess: HostServer = { requestIP: () => ({ address: DEFAULT_HOST }) };

export function createServer(options: ServerOptions): BackupServer {
  const { service, host = DEFAULT_HOST, port = DEFAULT_PORT, prefix = '/backup' } = options;
  const answer = fetchAt(service, {
    ...options,
    prefix,
    thisMachineOnly: !options.authorize && !options.signIn,
  });
  let stopListening: (() => Promise<void>) | undefined;

  // A caller in this process is on this machine; the listener tells of the others.
  const fetch: Fetch = async (request, client = inThisProcess) => {
    const { method, url } = request;
    if (new URL(url).pathname === '/' && (method === 'GET' || method === 'HEAD'))
      return withSecurityHeaders(request, new Response(null, { status: 302, headers: { location: `.${prefix}/` } }));
    return answer(request, client);
  };

  return {
    fetch,
    async listen() {
      assertBindable(host, options);
      const bound = await listenOn(fetch, host, port);
      stopListening = bound.stop;
      const name =
        host === '127.0.0.1' ? 'localhost' : host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
      return { url: `http://${name}:${bound.port}${prefix}`, port: bound.port };
    },
    async stop() {
      const stop = stopListening;
      stopListening = undefined;
      await stop?.();
    },
  };
}

async function listenOn(
  fetch: Fetch,
  host: string,
  port: number,
): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const connections = new Connections();
  const server = createNodeServer(
    timeouts,
    nodeListener(fetch, (socket) => connections.admit(socket)),
  );
  server.on('connection', (socket) => connections.accept(socket));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(host, port, error)));
    server.listen(port, bare(host), resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

function cannotListen(host: string, port: number, error: unknown): BackupError {
  const taken = errnoCode(error) === 'EADDRINUSE';
  return new BackupError(
    'BAD_CONFIG',
    `PORT=${port}: cannot listen on ${host}:${port}${taken ? ', another program does' : ''}`,
    {
      hint: taken
        ? 'Stop the other program or set PORT to a free port.'
        : 'Set HOST to an address of this machine and PORT to a port from 1024 up.',
      cause: error,
    },
  );
}
