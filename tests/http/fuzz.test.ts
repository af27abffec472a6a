import { expect, test } from 'bun:test';
import type { Route } from '../../src/http/route.ts';
import { table } from '../../src/http/routes/index.ts';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { createFakeService } from './fake-service.ts';
import { fuzz } from './fuzz.ts';

test('two thousand requests made from the OpenAPI document find no fault of the server', async () => {
  const counts = await fuzz({ requests: 2_000, seed: 20_240_115 });
  expect(Object.keys(counts).filter((status) => Number(status) >= 500)).toEqual([]);
  // They reach the routes, and what refuses them.
  for (const status of [200, 400, 401, 404, 405, 422])
    expect([status, (counts[status] ?? 0) > 5]).toEqual([status, true]);
}, 180_000);

test('the document tells every route of the table', async () => {
  const server = createServer({
    service: createFakeService(),
    signIn: createSignIn({ password: null, token: '0123456789abcdef' }),
  });
  const ask = (headers: Record<string, string>) =>
    server.fetch(new Request('http://localhost/backup/api/openapi.json', { headers }));
  expect((await ask({})).status).toBe(401);
  const document = (await (await ask({ authorization: 'Bearer 0123456789abcdef' })).json()) as OpenApi;
  const told = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const inTable = table
    // What is asked of several databases at once does not stand below one.
    .filter((row: Route) => !row.fallback && (row.handle ?? row.atTop) !== undefined)
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
  expect(inTable.length).toBeGreaterThan(25);
  expect(told.sort()).toEqual(inTable.sort());
});
