/** Each costly route until it is asked for too often, and what that leaves to the others. */
import { expect, test } from 'bun:test';
import { createServer } from '../../src/http/server.ts';
import { arrivalId, createFakeService, firstBackup, rescueId } from './fake-service.ts';

type Asked = readonly [method: string, path: string, body?: string];

const confirmed = '{"confirm":"dev.sqlite"}';
const backup = `/api/backups/${firstBackup}`;
/** How many at once, together. */
const buckets: readonly { readonly most: number; readonly routes: readonly Asked[] }[] = [
  { most: 30, routes: [['POST', '/now?wait=false']] },
  {
    most: 500,
    routes: [
      ['POST', `${backup}/verify`],
      ['POST', `${backup}/adopt`],
      ['POST', `/api/arrivals/${arrivalId}/check`],
      ['POST', `/api/arrivals/${arrivalId}/adopt`],
    ],
  },
  {
    most: 30,
    routes: [
      ['GET', `${backup}/restore`],
      ['GET', '/api/restore?latest=true'],
      ['GET', '/api/prune'],
      ['POST', '/api/rescue/plan', `{"of":"${firstBackup}","tables":[{"table":"orders"}]}`],
    ],
  },
  {
    most: 30,
    routes: [
      ['POST', `${backup}/restore`, confirmed],
      ['POST', '/api/restore', '{"latest":true,"confirm":"dev.sqlite"}'],
      ['POST', '/api/restore/undo', confirmed],
      ['POST', '/api/rescue', `{"of":"${firstBackup}","tables":[{"table":"orders"}],"expected":"as it is"}`],
      ['POST', `/api/rescues/${rescueId}/undo`],
    ],
  },
  { most: 10, routes: [['POST', '/api/targets/s3/test']] },
  { most: 10, routes: [['POST', '/api/drill']] },
  { most: 30, routes: [['GET', '/api/doctor']] },
  { most: 30, routes: [['POST', '/api/arrivals', '{"name":"shop.sqlite","sizeBytes":4096}']] },
  { most: 120, routes: [['GET', `${backup}/download`]] },
  { most: 120, routes: [['GET', '/api/events']] },
];

test('a hundred event streams are open at once, fifty of one; the next is refused, and let in when one has ended', async () => {
  let nowMs = 0;
  const server = createServer({
    service: createFakeService(),
    authorize: (request) => ({ user: request.headers.get('authorization') ?? '' }),
    ...{ nowMs: () => (nowMs += 1_000), onError: () => {} },
  });
  const watch = async (signal?: AbortSignal, user = 'cyd') =>
    await server.fetch(new Request('http://localhost/backup/api/events', { signal, headers: { authorization: user } }));
  const aborts = Array.from({ length: 100 }, () => new AbortController());
  const streams = await Promise.all(aborts.slice(0, 50).map(({ signal }) => watch(signal, 'ada')));
  const more = await watch(undefined, 'ada');
  expect([more.status, ((await more.json()) as { error: { message: string } }).error.message]).toEqual([
    429,
    '50 event streams are open, and no more are served at once',
  ]);
  streams.push(...(await Promise.all(aborts.slice(50).map(({ signal }) => watch(signal, 'ben')))));
  expect(streams.filter(({ status }) => status !== 200)).toEqual([]);

  const refused = await watch();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
  expect((await refused.json()) as object).toMatchObject({
    error: { code: 'TOO_MANY', message: '100 event streams are open, and no more are served at once' },
  });
  // However it ends: its reader leaves, or the connection does.
  await streams[0]?.body?.cancel();
  aborts[1]?.abort();
  const again = [await watch(), await watch(), await watch()];
  expect(again.map(({ status }) => status)).toEqual([200, 200, 429]);
  for (const stream of [...streams.slice(2), ...again]) await stream.body?.cancel();
});

test('what strangers hear of health is worked out once a second, however many ask; who may read hears it anew', async () => {
  let nowMs = 0;
  const service = createFakeService();
  const authorize = (request: Request) => request.headers.has('authorization');
  const server = createServer({ service, authorize, nowMs: () => nowMs, onError: () => {} });
  const health = (headers: Record<string, string> = {}) =>
    server.fetch(new Request('http://localhost/backup/health', { headers }));
  await Promise.all(Array.from({ length: 100 }, () => health()));
  expect(service.calls).toEqual(['getStatus']);
  nowMs += 999;
  await health();
  expect(service.calls.length).toBe(1);
  await health({ authorization: 'x' });
  expect(service.calls.length).toBe(2);
  nowMs += 1;
  service.behaviour.verdict = 'too-old';
  expect((await health()).status).toBe(503);
});

for (const { most, routes } of buckets) {
  for (const route of routes) {
    const [method, path] = route;
    test(`${method} ${path}: ${most} at once, then 429 for its kind and for no other`, async () => {
      const server = createServer({ service: createFakeService(), nowMs: () => 0, onError: () => {} });
      async function statusOf([asked, at, body]: Asked): Promise<number> {
        const response = await server.fetch(new Request(`http://localhost/backup${at}`, { method: asked, body }));
        await response.body?.cancel();
        return response.status;
      }
      for (let count = 0; count < most; count++) expect(await statusOf(route)).not.toBe(429);
      for (const same of routes) expect([same, await statusOf(same)]).toEqual([same, 429]);
      for (const other of buckets.flatMap((bucket) => (bucket.routes === routes ? [] : bucket.routes)))
        expect([other, (await statusOf(other)) === 429]).toEqual([other, false]);
    });
  }
}
