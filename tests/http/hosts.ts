/**
 * The places where the routes must behave alike: a bare `fetch`, our server, Bun's, and the apps of hosts that mount
 * them, with Elysia, with `fetch` and with a listener of Node's http server.
 */
import { createServer as createNodeServer } from 'node:http';
import { once } from 'node:events';
import { Elysia } from 'elysia';
import { backupRoutes } from '../../src/http/elysia.ts';
import { backupFetch, backupListener } from '../../src/http/mount.ts';
import { createServer, type ServerOptions } from '../../src/http/server.ts';

export interface Host {
  readonly origin: string;
  /** Bun's server sends a streamed body chunked, without its length. */
  readonly sendsLength: boolean;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export const hosts: Readonly<Record<string, (options: ServerOptions) => Promise<Host>>> = {
  async 'bare fetch'(options) {
    const server = createServer(options);
    return {
      origin: 'http://localhost',
      sendsLength: true,
      fetch: (path, init) => server.fetch(new Request(`http://localhost${path}`, init)),
      close: async () => {},
    };
  },
  async 'the server'(options) {
    const server = createServer({ ...options, port: 0 });
    const origin = `http://localhost:${(await server.listen()).port}`;
    return {
      origin,
      sendsLength: true,
      fetch: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
      close: () => server.stop(),
    };
  },
  async "Bun's server"(options) {
    const routes = createServer(options);
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: (request, self) => routes.fetch(request, self),
    });
    const origin = `http://localhost:${server.port}`;
    return {
      origin,
      sendsLength: false,
      fetch: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
      close: () => server.stop(true),
    };
  },
  async 'an Elysia app'({ service, ...options }) {
    const app = new Elysia()
      .get('/host', () => 'host')
      .use(backupRoutes(service, { thisMachineOnly: !options.authorize && !options.signIn, ...options }));
    app.listen({ port: 0, hostname: '127.0.0.1' });
    const origin = `http://localhost:${app.server?.port}`;
    return {
      origin,
      sendsLength: false,
      fetch: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
      close: async () => void (await app.stop(true)),
    };
  },
};

/** Apps that mount the routes by a function, which asks them for `authorize`. */
export const appHosts: typeof hosts = {
  async 'an app of fetch'({ service, ...options }) {
    const handler = backupFetch(service, { authorize: () => true, ...options });
    const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler });
    const origin = `http://localhost:${server.port}`;
    return {
      origin,
      sendsLength: false,
      fetch: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
      close: () => server.stop(true),
    };
  },
  async 'an app of node:http'({ service, ...options }) {
    const server = createNodeServer(backupListener(service, { authorize: () => true, ...options }));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const address = server.address();
    const origin = `http://localhost:${typeof address === 'object' ? address?.port : ''}`;
    return {
      origin,
      sendsLength: true,
      fetch: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
      close: async () => {
        const closed = once(server.close(), 'close');
        server.closeAllConnections();
        await closed;
      },
    };
  },
};
