/** What holds for every route because of the table: a new row is held to it without a line here. */
import { describe, expect, test } from 'bun:test';
import { Glob } from 'bun';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Action, Authorize } from '../../src/http/access/authorize.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { routeFinder } from '../../src/http/find-route.ts';
import { type Entry, layOut } from '../../src/http/layout.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { table } from '../../src/http/routes/index.ts';
import { createServer } from '../../src/http/server.ts';
import { arrivalId, createFakeService, fakeGuard, firstBackup } from './fake-service.ts';

const actions: ReadonlySet<Action> = new Set([
  ...(['open', 'page', 'read', 'metrics', 'audit', 'download', 'look'] as const),
  ...(['backup', 'verify', 'change', 'configure', 'delete', 'restore'] as const),
]);
const token = '0123456789abcdef';
const BODY_BYTES = 4_000_000;
/** What is read before a body counts as too large, and what a stream holds ready beside. */
const READ_BYTES_MAX = 300_000;

const layouts = {
  'one database': { isMany: false, hasSignIn: false },
  'one database, with a page to sign in': { isMany: false, hasSignIn: true },
  'several databases': { isMany: true, hasSignIn: false },
  'several databases, with a page to sign in': { isMany: true, hasSignIn: true },
};

function open({ isMany, hasSignIn }: { isMany: boolean; hasSignIn: boolean }, authorize: Authorize = () => true) {
  const services = [createFakeService(), createFakeService()] as const;
  const [shop, wiki] = services;
  const service = isMany
    ? fakeGuard([
        { name: 'shop', service: shop },
        { name: 'wiki', service: wiki },
      ])
    : shop;
  const signIn = createSignIn({ password: null, token });
  const server = createServer({ service, ...(hasSignIn ? { signIn } : { authorize }), onError: () => {} });
  const ask = async ({ path, route }: Entry, init: RequestInit & { method?: string } = {}) => {
    const address = path
      .replace(':database', 'shop')
      .replace(':filename', firstBackup)
      .replace(':arrival', arrivalId)
      .replace(':name', 's3')
      .replace('*', 'none.js');
    const headers = { ...(hasSignIn && { authorization: `Bearer ${token}` }), ...init.headers };
    const request = { method: route.method, ...init, headers };
    return await server.fetch(new Request(`http://localhost/backup${address}`, request));
  };
  const calls = () => services.flatMap((one) => one.calls);
  return { ask, calls, entries: layOut(table, { isMany, hasSignIn }) };
}

const nameOf = ({ route, path }: Entry) => `${route.method} ${path}`;
const isRead = ({ route }: Entry) => route.method === 'GET';

/** A body that goes on and on, and how much of it was taken. */
function longBody(): { readonly body: ReadableStream<Uint8Array>; readonly taken: () => number } {
  let taken = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      taken += 10_000;
      if (taken > BODY_BYTES) controller.close();
      else controller.enqueue(new Uint8Array(10_000).fill(0x20));
    },
  });
  return { body, taken: () => taken };
}

describe.each(Object.entries(layouts))('each route of %s', (_, layout) => {
  const { entries } = open(layout);

  test('has a right, a line of its own, and an address that no other route of its method has', () => {
    expect(entries.length).toBeGreaterThan(35);
    expect(entries.filter(({ right }) => !actions.has(right)).map(nameOf)).toEqual([]);
    expect(entries.filter(({ route }) => route.summary.trim() === '').map(nameOf)).toEqual([]);
    expect(new Set(entries.map(nameOf)).size).toBe(entries.length);
    expect(entries.filter(({ path }) => !path.startsWith('/')).map(nameOf)).toEqual([]);
  });

  test('is in the document, with its line and what it takes, unless it is a file of the page', async () => {
    const { ask } = open(layout);
    const document = entries.find(({ route }) => route.path === '/api/openapi.json') ?? expect.unreachable();
    const { paths } = (await (await ask(document)).json()) as OpenApi;
    const told = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { summary }]) => `${method.toUpperCase()} ${path}: ${summary}`),
    );
    const inTable = entries
      .filter(({ route }) => !route.fallback)
      .map((entry) => `${nameOf(entry).replaceAll(/:(\w+)/g, '{$1}')}: ${entry.route.summary}`);
    expect(told.sort()).toEqual(inTable.sort());
    for (const { route, path } of entries.filter((entry) => !entry.route.fallback)) {
      const operation = paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[route.method.toLowerCase()];
      expect([path, operation?.requestBody !== undefined]).toEqual([path, route.body !== undefined]);
      const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
      const parameters = [...names, ...Object.keys(route.query?.shape ?? {})];
      expect([path, (operation?.parameters ?? []).map(({ name }) => name)]).toEqual([path, parameters as string[]]);
    }
  });

  test('refuses another method, and says which there are', async () => {
    const { ask, calls } = open(layout);
    for (const entry of entries.filter(({ route }) => !route.fallback)) {
      const answer = await ask(entry, { method: 'PUT' });
      const allowed = answer.headers.get('allow')?.split(', ') ?? [];
      expect([nameOf(entry), answer.status, allowed.includes(entry.route.method)]).toEqual([nameOf(entry), 405, true]);
    }
    expect(calls()).toEqual([]);
  });

  test('asks nothing of a service for whoever has no right', async () => {
    const { ask, calls } = open(layout, () => false);
    for (const entry of entries.filter(({ right }) => right !== 'open')) {
      const answer = await ask(entry, { headers: { authorization: '' } });
      expect([nameOf(entry), answer.status]).toEqual([nameOf(entry), layout.hasSignIn ? 401 : 403]);
    }
    expect(calls()).toEqual([]);
  });

  test('is not for a page of another site', async () => {
    const { ask, calls } = open(layout);
    for (const entry of entries) {
      if (isRead(entry) && (entry.right === 'open' || entry.right === 'page')) continue;
      const answer = await ask(entry, { headers: { 'sec-fetch-site': 'cross-site' } });
      expect([nameOf(entry), answer.status]).toEqual([nameOf(entry), 403]);
    }
    expect(calls()).toEqual([]);
  });

  test('reads a body up to a limit, and none that it does not take', async () => {
    const { ask } = open(layout);
    for (const entry of entries.filter((one) => !isRead(one))) {
      const { body, taken } = longBody();
      const answer = await ask(entry, { body, duplex: 'half' } as RequestInit);
      await answer.body?.cancel();
      // One says the password again above: from below one is sent there.
      const isSentAbove = entry.place === 'below' && entry.route.atTop !== undefined;
      if (entry.route.body) expect([nameOf(entry), answer.status]).toEqual([nameOf(entry), isSentAbove ? 307 : 422]);
      const most = (entry.route.bytesMax ?? 0) + READ_BYTES_MAX;
      expect([nameOf(entry), taken() < most]).toEqual([nameOf(entry), true]);
    }
  });

  test('bears the usual headers, whether it is carried out or refused', async () => {
    for (const authorize of [() => true, () => false]) {
      const { ask } = open(layout, authorize);
      for (const entry of entries) {
        const answer = await ask(entry);
        await answer.body?.cancel();
        const { headers } = answer;
        const policy = headers.get('content-security-policy') ?? '';
        expect([
          nameOf(entry),
          headers.get('x-content-type-options'),
          headers.get('x-frame-options'),
          headers.has('cache-control'),
          policy.includes("frame-ancestors 'none'"),
        ]).toEqual([nameOf(entry), 'nosniff', 'DENY', true, true]);
      }
    }
  });
});

test('every route that the documentation names is in the table', () => {
  const docs = join(import.meta.dir, '../../docs');
  const find = routeFinder(layOut(table, { isMany: true, hasSignIn: true }));
  const findAlone = routeFinder(layOut(table, { isMany: false, hasSignIn: true }));
  const named = [...new Glob('*.md').scanSync(docs)]
    .filter((file) => file !== 'hostile-requests.md')
    .flatMap((file) =>
      [
        ...readFileSync(join(docs, file), 'utf8').matchAll(/`(GET|POST|PATCH|DELETE|HEAD) \/backup(\/[^`\s?]*)[^`]*`/g),
      ].map(([, method = '', path = '']) => ({ file, method, path })),
    );
  expect(named.length).toBeGreaterThan(8);
  const unknown = named.filter(
    ({ method, path }) => ![find, findAlone].some((one) => one(method, path).kind === 'route'),
  );
  expect(unknown).toEqual([]);
});
