/** The right that each route asks for, what every answer bears, and what the limits hold back. */
import { expect, test } from 'bun:test';
import { backupFetch } from '../../src/http/mount.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/sign-in.ts';
import { createFakeService, firstBackup, secondBackup } from './fake-service.ts';

/** `open`: answered to everybody, though not with everything. */
const rights: Readonly<Record<string, string>> = {
  'GET /': 'page',
  'GET /health': 'open',
  'GET /metrics': 'read',
  'GET /api/activity': 'read',
  'GET /api/backups': 'read',
  'GET /api/backups/{filename}': 'read',
  'GET /api/backups/{filename}/restore': 'read',
  'GET /api/config': 'read',
  'GET /api/databases': 'read',
  'GET /api/doctor': 'read',
  'GET /api/events': 'read',
  'GET /api/openapi.json': 'read',
  'GET /api/prune': 'read',
  'GET /api/runs': 'read',
  'GET /api/session': 'read',
  'GET /api/status': 'read',
  'GET /api/backups/{filename}/download': 'download',
  'POST /now': 'backup',
  'POST /api/runs/stop': 'backup',
  'POST /api/backups/{filename}/verify': 'verify',
  'POST /api/drill': 'verify',
  'PATCH /api/backups/{filename}': 'change',
  'POST /api/backups/{filename}/adopt': 'change',
  'POST /api/restore/dismiss': 'change',
  'POST /config': 'configure',
  'POST /api/targets/{name}/test': 'configure',
  'DELETE /{filename}': 'delete',
  'POST /api/backups/{filename}/restore': 'restore',
  'POST /api/restore/undo': 'restore',
};

async function documentOf(): Promise<OpenApi> {
  const server = createServer({ service: createFakeService() });
  return (await (await server.fetch(new Request('http://localhost/backup/api/openapi.json'))).json()) as OpenApi;
}

const filled = (path: string) => path.replace('{filename}', firstBackup).replace('{name}', 's3');

test('each route of the API asks for its right, and who is refused reaches nothing behind it', async () => {
  const service = createFakeService();
  const asked: string[] = [];
  const fetch = backupFetch(service, { authorize: (_, action) => asked.push(action) < 0 });
  const found: Record<string, string> = {};
  for (const [path, operations] of Object.entries((await documentOf()).paths)) {
    for (const method of Object.keys(operations)) {
      asked.length = 0;
      const answer = await fetch(
        new Request(`http://localhost/backup${filled(path)}`, { method: method.toUpperCase() }),
      );
      const [action = 'nothing'] = asked;
      found[`${method.toUpperCase()} ${path}`] = answer.status === 403 ? action : 'open';
    }
  }
  expect(found).toEqual({ ...rights });
  expect(service.calls.filter((call) => call !== 'getStatus')).toEqual([]);
});

test('no answer with data may be kept by anybody, and none may be framed or sniffed', async () => {
  const service = createFakeService();
  const fetch = backupFetch(service, { authorize: () => ({ user: 'ada' }) });
  for (const name of Object.keys(rights).filter((name) => name.startsWith('GET /') && name !== 'GET /')) {
    const { status, headers, body } = await fetch(new Request(`http://localhost/backup${filled(name.slice(4))}`));
    await body?.cancel();
    expect([name, status]).toEqual([name, 200]);
    expect([name, headers.get('cache-control')]).toEqual([name, expect.stringMatching(/^(private, )?no-store$/)]);
    expect([name, headers.get('x-content-type-options')]).toEqual([name, 'nosniff']);
    expect([name, headers.get('content-security-policy')]).toEqual([name, expect.stringContaining('frame-ancestors')]);
  }
});

test('a restore and an undo bear the name of who asked', async () => {
  const service = createFakeService();
  const fetch = backupFetch(service, { authorize: () => ({ user: 'ada' }) });
  const post = (path: string, body: object) =>
    fetch(new Request(`http://localhost/backup${path}`, { method: 'POST', body: JSON.stringify(body) }));
  const confirm = 'dev.sqlite';
  expect((await post(`/api/backups/${firstBackup}/restore`, { confirm })).status).toBe(200);
  expect((await post('/api/restore/undo', { confirm })).status).toBe(200);
  expect(service.users).toEqual(['ada', 'ada']);
});

test('who may only read takes no restore from the administrator, and who watches no download', async () => {
  const service = createFakeService();
  const fetch = backupFetch(service, { authorize: () => true, nowMs: () => 0 });
  const ask = async (method: string, path: string, body?: object) => {
    const request = new Request(`http://localhost/backup${path}`, { method, body: body && JSON.stringify(body) });
    const answer = await fetch(request);
    await answer.body?.cancel();
    return answer.status;
  };
  const untilRefused = async (...asked: Parameters<typeof ask>) => {
    let count = 0;
    while (count < 1_000 && (await ask(...asked)) !== 429) count++;
    return count;
  };
  const confirm = 'dev.sqlite';
  expect(await untilRefused('GET', `/api/backups/${secondBackup}/restore`)).toBe(30);
  expect(await ask('GET', '/api/prune')).toBe(429);
  expect(await untilRefused('POST', `/api/backups/${firstBackup}/restore`, { confirm })).toBe(30);
  expect(await ask('POST', '/api/restore/undo', { confirm })).toBe(429);
  expect(await untilRefused('GET', '/api/events')).toBe(120);
  expect(await untilRefused('GET', `/api/backups/${firstBackup}/download`)).toBe(120);
  expect(await untilRefused('POST', `/api/backups/${firstBackup}/verify`)).toBe(500);
});

test('a hundred streams of events at once, and one more when one has ended', async () => {
  let now = 0;
  const fetch = backupFetch(createFakeService(), { authorize: () => true, nowMs: () => (now += 500) });
  const open = () => fetch(new Request('http://localhost/backup/api/events'));
  const streams = await Promise.all(Array.from({ length: 100 }, open));
  expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
  const refused = await open();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
  await streams[0]?.body?.cancel();
  const late = await open();
  expect(late.status).toBe(200);
  await Promise.all([...streams.slice(1), late].map(({ body }) => body?.cancel()));
});

test('a change that another page asks for is refused, with a word about proxies', async () => {
  const fetch = backupFetch(createFakeService(), { authorize: () => true });
  const headers = { origin: 'https://app.example', host: '127.0.0.1:3000' };
  const answer = await fetch(new Request('http://localhost/backup/now', { method: 'POST', headers }));
  const { error } = (await answer.json()) as { error: { hint: string } };
  expect([answer.status, error.hint]).toEqual([403, expect.stringContaining('must pass the Host header on')]);
});

test('each guess at the password costs real work, and the oldest of very many sessions ends', async () => {
  const password = 'correct horse';
  const signIn = createSignIn({ password, token: null });
  const request = (cookie = '') => new Request('http://localhost/backup/login', { headers: { cookie } });
  const signedIn = async (address: string) => {
    const attempt = await signIn.attempt(request(), password, address);
    if (attempt.status !== 'signed-in') throw new Error(attempt.status);
    return attempt.cookies[0]?.split(';')[0] ?? '';
  };
  const first = await signedIn('first');
  const before = process.cpuUsage();
  const second = await signedIn('second');
  const { user, system } = process.cpuUsage(before);
  // scrypt of this cost takes 20 ms and more of any CPU, a plain digest a hundredth of one.
  expect(user + system).toBeGreaterThan(5_000);
  for (let count = 2; count < 100; count++) await signedIn(`${count}`);
  expect([first, second].map((cookie) => signIn.hasSession(request(cookie)))).toEqual([true, true]);
  await signedIn('last');
  expect([first, second].map((cookie) => signIn.hasSession(request(cookie)))).toEqual([false, true]);
});
