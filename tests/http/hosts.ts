/**
 * The places where the routes must behave alike: a bare `fetch`, our server, Bun's, and the apps of hosts that mount
 * them, with Elysia, with `fetch` and with a listener of Node's http server.
 */
import { createServer as createNodeServer } from 'node:http';
import { once } from 'node:events';
import { type AnyElysia, Elysia } from 'elysia';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
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

/** What the catch-all of an app answers: its own page, as single-page apps do for whatever they don't know. */
export const ownPage = '<title>The app</title>';

const overHttp = (origin: string, close: Host['close']): Host => ({
  origin,
  sendsLength: false,
  fetch: (path, init) => fetch(origin + path, { redirect: 'manual', ...init }),
  close,
});

const guarded = <Options extends object>(options: Options) => ({ authorize: () => true as const, ...options });

/** Apps whose own routes end with one that answers everything, mounted as the documentation says. */
export const hostsWithCatchAll: typeof hosts = {
  async Elysia({ service, ...options }) {
    return await elysiaApp(new Elysia().use(backupRoutes(service, guarded(options))).get('*', () => ownPage));
  },
  async 'Elysia, the catch-all before, for all methods'({ service, ...options }) {
    const app = new Elysia({ aot: false }).all('*', () => ownPage).get('/*', () => ownPage);
    return await elysiaApp(app.use(backupRoutes(service, guarded(options))));
  },
  async 'Elysia, beside pages with parameters'({ service, ...options }) {
    const app = new Elysia().get('/:page', () => ownPage).get('/:page/:part', () => ownPage);
    return await elysiaApp(app.use(backupRoutes(service, guarded(options))).get('/*', () => ownPage));
  },
  async "Bun's server"({ service, ...options }) {
    const answer = backupFetch(service, guarded(options));
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      routes: { '/backup': answer, '/backup/*': answer, '/*': () => new Response(ownPage) },
    });
    return overHttp(`http://localhost:${server.port}`, () => server.stop(true));
  },
  async Hono({ service, ...options }) {
    const answer = backupFetch(service, guarded(options));
    const app = new Hono<{ Bindings: Bun.Server<undefined> }>()
      .all('/backup', (context) => answer(context.req.raw, context.env))
      .all('/backup/*', (context) => answer(context.req.raw, context.env))
      .get('*', (context) => context.html(ownPage));
    const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: app.fetch });
    return overHttp(`http://localhost:${server.port}`, () => server.stop(true));
  },
  async Express({ service, ...options }) {
    const app = express()
      .use(backupListener(service, guarded(options)))
      .get('/{*path}', (_request, response) => void response.type('html').send(ownPage));
    return await nodeApp(createNodeServer(app));
  },
  async Fastify({ service, ...options }) {
    const listener = backupListener(service, guarded(options));
    const app = fastify();
    await app.register(async (scope) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      for (const path of ['/backup', '/backup/*'])
        scope.all(path, (request, reply) => {
          reply.hijack();
          listener(request.raw, reply.raw);
        });
    });
    app.get('*', async (_request, reply) => reply.type('text/html').send(ownPage));
    await app.ready();
    return await nodeApp(createNodeServer((incoming, outgoing) => app.routing(incoming, outgoing)));
  },
  async 'node:http'({ service, ...options }) {
    const listener = backupListener(service, guarded(options));
    const server = createNodeServer((incoming, outgoing) =>
      listener(incoming, outgoing, () => void outgoing.setHeader('content-type', 'text/html').end(ownPage)),
    );
    return await nodeApp(server);
  },
};

async function elysiaApp(app: AnyElysia): Promise<Host> {
  app.listen({ port: 0, hostname: '127.0.0.1' });
  return overHttp(`http://localhost:${app.server?.port}`, async () => void (await app.stop(true)));
}

async function nodeApp(server: ReturnType<typeof createNodeServer>): Promise<Host> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return overHttp(`http://localhost:${typeof address === 'object' ? address?.port : ''}`, async () => {
    const closed = once(server.close(), 'close');
    server.closeAllConnections();
    await closed;
  });
}
