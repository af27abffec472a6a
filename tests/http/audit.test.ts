/** What the doors write into the audit record: who came in, who was refused, and no more of a stranger than is bounded. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import type { AuditEntry } from '../../src/service/model.ts';
import { openShop, scratchFolders } from '../support/scratch.ts';
import { createFakeService, firstBackup } from './fake-service.ts';

const newFolder = scratchFolders();
const password = 'correct horse';
const token = '0123456789abcdef';

function openDoor() {
  const service = createFakeService();
  const nowMs = () => 0;
  const server = createServer({
    ...{ service, nowMs, onError: () => {} },
    signIn: createSignIn({ password, token, nowMs }),
  });
  let address = '192.0.2.1';
  const ask = async (method: string, path: string, headers: Record<string, string> = {}, body?: string) => {
    const request = new Request(`http://localhost/backup${path}`, { method, headers, body });
    return await server.fetch(request, { requestIP: () => ({ address }) });
  };
  const signIn = (given: string, headers: Record<string, string> = {}) =>
    ask('POST', '/login', headers, new URLSearchParams({ password: given }).toString());
  return {
    service,
    ask,
    signIn,
    from(next: string) {
      address = next;
    },
  };
}

const short = ({ act, user, via, address, agent, subject, result, code, detail }: AuditEntry) =>
  [act, user, via, address, agent, subject, result, code, detail].map((text) => text ?? '-').join(' | ');

test('signing in, out and again, and each refusal, leaves one record with the address and the client', async () => {
  const { service, ask, signIn } = openDoor();
  const agent = { 'user-agent': 'Firefox\t1' };
  const take = () => service.acts.splice(0).map(short);

  await signIn('wrong', agent);
  expect(take()).toEqual(['sign-in | - | api | 192.0.2.1 | Firefox 1 | - | refused | UNAUTHORIZED | not the password']);
  const cookie = (await signIn(password, agent)).headers.getSetCookie()[0]?.split(';')[0] ?? '';
  expect(take()).toEqual(['sign-in | admin | api | 192.0.2.1 | Firefox 1 | - | done | - | -']);
  await ask('POST', '/confirm', { cookie }, JSON.stringify({ password: 'wrong' }));
  // What was refused is told once, by the route that knows what it was.
  expect(take()).toEqual([
    'confirm-password | - | page | 192.0.2.1 | - | - | refused | UNAUTHORIZED | not the password',
  ]);
  const again = await ask('POST', '/confirm', { cookie }, JSON.stringify({ password }));
  expect(take()).toEqual(['confirm-password | admin | page | 192.0.2.1 | - | - | done | - | -']);
  const renewed = again.headers.getSetCookie()[0]?.split(';')[0] ?? '';
  await ask('POST', '/logout', { cookie: renewed });
  expect(take()).toEqual(['sign-out | admin | page | 192.0.2.1 | - | - | done | - | -']);
  await ask('POST', '/logout', { cookie: renewed });
  expect(take()).toEqual([]);
  await ask('DELETE', `/${firstBackup}`, { authorization: 'Bearer wrong-wrong-wrong-wrong' });
  expect(take()).toEqual([
    `request | - | api | 192.0.2.1 | - | DELETE /:filename (${firstBackup}) | refused | UNAUTHORIZED | you are not signed in`,
  ]);
  await ask('POST', '/config', { authorization: `Bearer ${token}`, origin: 'https://evil.example' }, '{}');
  expect(take()).toEqual([
    'request | - | api | 192.0.2.1 | - | POST /config | refused | FORBIDDEN | another web site may not change backups',
  ]);
  // Nothing of the password or the token, right or wrong, and nothing of an address that a stranger made up.
  await ask('GET', '/api/backups/not-a-name/restore?x=5ecret', { authorization: 'Bearer 5ecret-5ecret-5ecret' });
  expect(take()).toEqual([
    'request | - | api | 192.0.2.1 | - | GET /api/backups/:filename/restore | refused | UNAUTHORIZED | you are not signed in',
  ]);
});

test('of one stranger ten refusals are written and the rest is counted; another one’s are written still', async () => {
  const { service, ask, from } = openDoor();
  for (let count = 0; count < 500; count++) await ask('GET', '/api/status');
  expect(service.acts.length).toBe(10);
  from('198.51.100.2');
  await ask('GET', '/api/status');
  expect(service.acts.length).toBe(11);
  // From ten thousand addresses, one each: all together are bounded too.
  for (let count = 0; count < 10_000; count++) {
    from(`10.${count >> 8}.${count & 255}.1`);
    await ask('GET', '/api/status');
  }
  expect(service.acts.length).toBe(200);
});

test('a request of ours that fails, and the restore of a file, tell no folder of the server', async () => {
  const folder = newFolder();
  await using shop = openShop(folder);
  const { filename = '' } = await shop.service.performBackup();
  const copy = join(folder, 'copy.sqlite');
  await shop.service.restore(filename, { mode: 'file', to: copy });
  await shop.service.restore(copy, { mode: 'online' });
  await expect(shop.service.restore(join(folder, 'nothing.sqlite'), { mode: 'online' })).rejects.toThrow();
  const server = createServer({ service: shop.service, authorize: () => true });
  const text = await (await server.fetch(new Request('http://localhost/backup/api/audit'))).text();
  expect(text).toContain('"subject":"copy.sqlite"');
  expect(text).not.toContain(folder);
});

test('of one client ten faults are logged, each with its stack, and the rest is counted', async () => {
  const service = createFakeService();
  service.getConfig = () => {
    throw new Error('broken');
  };
  const server = createServer({ service, authorize: () => true, nowMs: () => 0 });
  const logged: unknown[] = [];
  const { error: before } = console;
  console.error = (line: unknown) => logged.push(line);
  try {
    for (let count = 0; count < 500; count++)
      await server.fetch(new Request('http://localhost/backup/api/config'), {
        requestIP: () => ({ address: '192.0.2.1' }),
      });
  } finally {
    console.error = before;
  }
  const [firstLines, stacks] = [0, 1].map((part) => logged.map((line) => String(line).split('\n')[part]));
  expect(firstLines).toEqual(Array.from({ length: 10 }, () => '[Backup] GET /backup/api/config failed: Error: broken'));
  expect(stacks?.every((line) => line?.trimStart().startsWith('at '))).toBe(true);
});

test('the record is read with its own right, newest first, from a time on', async () => {
  await using shop = openShop(newFolder());
  const { service } = shop;
  const server = createServer({ service, authorize: (_, action) => (action === 'restore' ? false : { user: 'ada' }) });
  const ask = async (method: string, path: string, body?: string) =>
    await server.fetch(new Request(`http://localhost/backup${path}`, { method, body }));
  const { filename = '' } = await service.performBackup();
  await ask('PATCH', `/api/backups/${filename}`, '{"pinned":true}');
  await (await ask('GET', `/api/backups/${filename}/download`)).bytes();
  await ask('HEAD', `/api/backups/${filename}/download`);
  await ask('POST', '/config', '{"intervalMinutes":60}');
  await ask('POST', `/api/backups/${filename}/restore`, '{"confirm":"shop.sqlite"}');
  await ask('DELETE', `/${filename}`);
  const read = async (query = '') =>
    ((await (await ask('GET', `/api/audit${query}`)).json()) as { entries: AuditEntry[] }).entries;
  expect((await read()).map(({ act, user, via, result }) => [act, user, via, result])).toEqual([
    ['delete', 'ada', 'api', 'done'],
    ['request', null, 'api', 'refused'],
    ['settings', 'ada', 'api', 'done'],
    ['download', 'ada', 'api', 'done'],
    ['pin', 'ada', 'api', 'done'],
  ]);
  expect((await read('?limit=1')).map(({ act }) => act)).toEqual(['delete']);
  expect(await read('?since=2999-01-01T00:00:00Z')).toEqual([]);
  expect((await read('?since=2001-01-01T00:00:00%2B02:00')).length).toBe(5);
  for (const query of ['?limit=0', '?limit=1001', '?since=yesterday'])
    expect([query, (await ask('GET', `/api/audit${query}`)).status]).toEqual([query, 422]);
});
