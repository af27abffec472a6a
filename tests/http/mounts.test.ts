/** What an app's framework does to a request before the routes get it. */
import { afterEach, expect, test } from 'bun:test';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { Elysia } from 'elysia';
import { backupRoutes } from '../../src/http/elysia.ts';
import { backupFetch, backupListener, createSignIn, type MountOptions } from '../../src/http/mount.ts';
import { refusal } from '../support/scratch.ts';
import { createFakeService, firstBackup } from './fake-service.ts';
import { hostsWithCatchAll, ownPage } from './hosts.ts';

const authorize = () => ({ user: 'me' });
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listen(listener: (incoming: IncomingMessage, outgoing: ServerResponse) => void): Promise<string> {
  const server = createServer(listener);
  closers.push(() => server.close().closeAllConnections());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  return `http://localhost:${typeof address === 'object' ? address?.port : ''}`;
}

test('a mount by a function is refused without authorize', async () => {
  const none = {} as MountOptions;
  for (const mount of [backupFetch, backupListener]) {
    const { code, hint } = await refusal(() => mount(createFakeService(), none));
    expect([code, hint]).toEqual(['BAD_CONFIG', expect.stringContaining('authorize')]);
  }
});

test('another prefix, also a deep one, and nothing beside it', async () => {
  const handler = backupFetch(createFakeService(), { authorize, prefix: '/admin/db' });
  const status = async (path: string) => (await handler(new Request(`http://x${path}`))).status;
  expect(await status('/admin/db/api/status')).toBe(200);
  expect(await status('/admin/db')).toBe(308);
  for (const path of ['/', '/admin/dbx/api/status', '/backup/api/status', '/api/status'])
    expect(await status(path)).toBe(404);
  for (const [prefix, path] of [
    ['/admin/db/', '/admin/db/api/status'],
    ['admin', '/admin/api/status'],
    ['/', '/api/status'],
  ] as const) {
    const mounted = backupFetch(createFakeService(), { authorize, prefix });
    expect([prefix, (await mounted(new Request(`http://x${path}`))).status]).toEqual([prefix, 200]);
  }
});

test('an Elysia app may move the routes below a prefix of its own, with parameters', async () => {
  const routes = backupRoutes(createFakeService(), { authorize });
  const app = new Elysia().group('/of/:tenant', (group) => group.use(routes));
  const fetch = (path: string, init?: RequestInit) => app.handle(new Request(`http://localhost${path}`, init));
  expect((await fetch('/of/a%2Fb/backup/api/status')).status).toBe(200);
  expect((await fetch(`/of/a/backup/api/backups/${firstBackup}`)).status).toBe(200);
  expect((await fetch('/of/a/backup')).headers.get('location')).toBe('./backup/');
  expect((await fetch('/of/a/backup/now', { method: 'DELETE' })).status).toBe(405);
  expect((await fetch('/of/a/status')).status).toBe(404);
});

test('a framework that cut the path of the mount and has read the body already, as Express does', async () => {
  const service = createFakeService();
  const listener = backupListener(service, { authorize });
  const origin = await listen(async (incoming, outgoing) => {
    const chunks = await incoming.toArray();
    const body: unknown = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
    const { url = '' } = incoming;
    listener(Object.assign(incoming, { originalUrl: url, url: url.replace('/backup', ''), body }), outgoing);
  });
  const patched = await fetch(`${origin}/backup/api/backups/${firstBackup}`, {
    method: 'PATCH',
    body: JSON.stringify({ note: 'seen' }),
  });
  expect(await patched.json()).toMatchObject({ note: 'seen' });
  expect((await fetch(`${origin}/backup/now`, { method: 'POST' })).status).toBe(200);
});

test('a page to sign in for an app without users, also where the framework has read the form', async () => {
  const signIn = createSignIn({ password: 'correct horse', token: null });
  const listener = backupListener(createFakeService(), { signIn });
  for (const reads of [
    (bytes: Buffer) => Object.fromEntries(new URLSearchParams(bytes.toString())),
    (bytes: Buffer) => bytes.toString(),
    (bytes: Buffer) => bytes,
    null,
  ]) {
    const origin = await listen(async (incoming, outgoing) => {
      if (reads) Object.assign(incoming, { body: reads(Buffer.concat(await incoming.toArray())) });
      listener(incoming, outgoing);
    });
    expect((await fetch(`${origin}/backup/api/status`)).status).toBe(401);
    const body = new URLSearchParams({ username: 'admin', password: 'correct horse' });
    const signedIn = await fetch(`${origin}/backup/login`, { method: 'POST', body, redirect: 'manual' });
    const cookie = signedIn.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    expect([signedIn.status, (await fetch(`${origin}/backup/api/status`, { headers: { cookie } })).status]).toEqual([
      303, 200,
    ]);
  }
});

test('the path that a guard of the app has seen is the one that is answered', async () => {
  const listener = backupListener(createFakeService(), { authorize });
  const origin = await listen(listener);
  const { hostname, port } = new URL(origin);
  const ask = (path: string, host = 'localhost') =>
    new Promise<number | undefined>((resolve, reject) => {
      const asked = request({ hostname, port, path, headers: { host } }, (answer) => {
        resolve(answer.resume().statusCode);
      });
      asked.on('error', reject).end();
    });
  expect(await ask('/backup/api/status')).toBe(200);
  expect(await ask('/backup/api/status?x=/../')).toBe(200);
  for (const path of ['/x/../backup/api/status', '/backup/./api/status', '/x\\..\\backup/api/status'])
    expect([path, await ask(path)]).toEqual([path, 404]);
  for (const host of ['x/backup/api/status?', 'x/backup/api/status#'])
    expect([host, await ask('/anything', host)]).toEqual([host, 404]);
});

for (const [name, open] of Object.entries(hostsWithCatchAll))
  test(`beside a catch-all of the app, each of our routes is ours: ${name}`, async () => {
    const host = await open({ service: createFakeService(), onError: () => {} });
    closers.push(() => host.close());
    const answers: Readonly<Record<string, readonly [number, string]>> = {
      'GET /backup/': [200, 'text/html'],
      'GET /backup/health': [200, 'application/json'],
      'GET /backup/metrics': [200, 'text/plain; version'],
      'GET /backup/api/status': [200, 'application/json'],
      'GET /backup/api/backups': [200, 'application/json'],
      'GET /backup/api/events': [200, 'text/event-stream'],
      [`GET /backup/api/backups/${firstBackup}/download`]: [200, 'application/vnd.sqlite3'],
      'HEAD /backup/health': [200, 'application/json'],
      'POST /backup/now': [200, 'application/json'],
      'PUT /backup/now': [405, 'application/json'],
      [`PATCH /backup/api/backups/${firstBackup}`]: [200, 'application/json'],
      'GET /backup/api/nothing': [404, 'application/json'],
      [`DELETE /backup/${firstBackup}`]: [200, 'application/json'],
    };
    for (const [asked, [status, type]] of Object.entries(answers)) {
      const [method = '', path = ''] = asked.split(' ');
      const body = method === 'PATCH' ? JSON.stringify({ note: 'seen' }) : undefined;
      const answer = await host.fetch(path, { method, body });
      expect([asked, answer.status, answer.headers.get('content-type')]).toEqual([
        asked,
        status,
        expect.stringContaining(type),
      ]);
      // The streams of events and of a download are not read to their end.
      if (type === 'text/event-stream') await answer.body?.cancel();
      else expect(await answer.text()).not.toContain(ownPage);
    }
    expect((await host.fetch('/backup')).headers.get('location')).toBe('./backup/');
    for (const path of ['/', '/else', '/backups', '/backup-of-something/else'])
      expect([path, await (await host.fetch(path)).text()]).toEqual([path, expect.stringContaining('The app')]);
  });
