/**
 * What a session, a token and an address may do beyond being let in: the password that is asked for again, the token of
 * the metrics, short passwords, cookies over https, schemes of origins, headers of proxies.
 */
import { describe, expect, test } from 'bun:test';
import { createServer } from '../../src/http/server.ts';
import { createSignIn, type SignInOptions } from '../../src/http/access/sign-in.ts';
import { createFakeService, type FakeService, firstBackup } from './fake-service.ts';

const password = 'correct horse';
const token = '0123456789abcdef';
const metricsToken = 'fedcba9876543210';
const hourMs = 60 * 60_000;

interface Door {
  readonly service: FakeService;
  readonly pass: (ms: number) => void;
  ask(method: string, path: string, more?: { headers?: Record<string, string>; body?: string }): Promise<Response>;
  /** The cookie of a new session. */
  signedIn(headers?: Record<string, string>): Promise<string>;
}

function openDoor(change: Partial<SignInOptions> = {}): Door {
  let nowMs = Date.UTC(2024, 0, 15);
  const service = createFakeService();
  const signIn = createSignIn({ password, token, metricsToken, nowMs: () => nowMs, ...change });
  const server = createServer({ service, signIn, onError: () => {} });
  const ask: Door['ask'] = async (method, path, { headers, body } = {}) =>
    await server.fetch(new Request(`http://localhost/backup${path}`, { method, headers, body }));
  return {
    ...{ service, ask },
    pass(ms) {
      nowMs += ms;
    },
    async signedIn(headers = {}) {
      const body = new URLSearchParams({ password }).toString();
      return cookieOf(await ask('POST', '/login', { headers, body }));
    },
  };
}

const cookieOf = (answer: Response) => answer.headers.getSetCookie()[0]?.split(';')[0] ?? '';
const codeOf = async (answer: Response) => ((await answer.json()) as { error?: { code: string } }).error?.code;

const confirmed = '{"confirm":"dev.sqlite"}';
const ofWeight: readonly (readonly [method: string, path: string, body?: string])[] = [
  ['DELETE', `/${firstBackup}`],
  ['POST', `/api/backups/${firstBackup}/restore`, confirmed],
  ['POST', '/api/restore', '{"latest":true,"confirm":"dev.sqlite"}'],
  ['POST', '/api/restore/undo', confirmed],
  ['POST', '/api/loss/accept', `{"filename":"${firstBackup}"}`],
  ['POST', '/api/loss/reopen', `{"filename":"${firstBackup}"}`],
  ['POST', '/config', '{"retentionCount":3}'],
  ['PATCH', `/api/backups/${firstBackup}`, '{"pinned":false}'],
];

describe('an hour after the password was given', () => {
  for (const [method, path, body] of ofWeight)
    test(`${method} ${path} asks for it again, and is done with a session that gave it or a token`, async () => {
      const door = openDoor();
      const old = { headers: { cookie: await door.signedIn() }, body };
      door.pass(hourMs + 1);
      const refused = await door.ask(method, path, old);
      expect([refused.status, await codeOf(refused)]).toEqual([403, 'PASSWORD_AGAIN']);
      expect(door.service.calls.filter((call) => !/^get/.test(call))).toEqual([]);

      const again = await door.ask('POST', '/confirm', { ...old, body: JSON.stringify({ password }) });
      expect([again.status, await again.json()]).toEqual([200, { confirmed: true }]);
      const cookie = cookieOf(again);
      const needs = async (headers: object) =>
        ((await (await door.ask('GET', '/api/session', headers)).json()) as { needsPassword: boolean }).needsPassword;
      expect(await needs({ headers: { cookie } })).toBe(false);
      // The session is another one, and the one before has ended.
      expect((await door.ask('GET', '/api/config', old)).status).toBe(401);
      expect((await door.ask(method, path, { headers: { cookie }, body })).status).toBe(200);
      const byToken = await door.ask(method, path, { headers: { authorization: `Bearer ${token}` }, body });
      expect([200, 404]).toContain(byToken.status); // one of them is deleted by now
    });

  test('everything else goes on without it', async () => {
    const door = openDoor();
    const headers = { cookie: await door.signedIn() };
    door.pass(hourMs + 1);
    for (const [method, path, body] of [
      ['GET', '/api/status'],
      ['GET', `/api/backups/${firstBackup}/download`],
      ['POST', '/now'],
      ['POST', '/config', '{"verify":"full"}'],
      ['PATCH', `/api/backups/${firstBackup}`, '{"pinned":true}'],
      ['GET', `/api/backups/${firstBackup}/restore`],
    ] as const)
      expect([path, (await door.ask(method, path, { headers, body })).status]).toEqual([path, 200]);
  });

  test('a wrong password confirms nothing, and is slowed down like a sign-in', async () => {
    const door = openDoor();
    const cookie = await door.signedIn();
    door.pass(hourMs + 1);
    const confirm = (given: unknown, headers: Record<string, string> = { cookie }) =>
      door.ask('POST', '/confirm', { headers, body: JSON.stringify(given) });
    expect((await confirm({ password }, {})).status).toBe(401);
    const wrong = [];
    for (let count = 0; count < 4; count++) wrong.push(await confirm({ password: 'wrong' }));
    expect(await Promise.all(wrong.map(async (answer) => [answer.status, await codeOf(answer)]))).toEqual([
      ...Array.from({ length: 3 }, () => [403, 'PASSWORD_AGAIN']),
      [429, 'TOO_MANY'],
    ]);
    expect(wrong[3]?.headers.get('retry-after')).toBe('1');
    expect((await door.ask('DELETE', `/${firstBackup}`, { headers: { cookie } })).status).toBe(403);
    for (const body of [{}, { password: 1 }, [], 'x', { password, more: 1 }])
      expect([body, (await confirm(body)).status]).toEqual([body, 422]);
  });
});

test('the token of the metrics opens them and nothing else', async () => {
  const { ask } = openDoor();
  const status = async (method: string, path: string, given: string) =>
    (await ask(method, path, { headers: { authorization: `Bearer ${given}` } })).status;
  expect([await status('GET', '/metrics', metricsToken), await status('GET', '/metrics', token)]).toEqual([200, 200]);
  for (const [method, path] of [
    ['GET', '/api/status'],
    ['GET', '/api/audit'],
    ['GET', '/api/events'],
    ['GET', `/api/backups/${firstBackup}/download`],
    ['POST', '/now'],
    ['POST', '/config'],
    ['DELETE', `/${firstBackup}`],
  ] as const)
    expect([path, await status(method, path, metricsToken)]).toEqual([path, 401]);
  const health = await ask('GET', '/health', { headers: { authorization: `Bearer ${metricsToken}` } });
  expect(await health.json()).toEqual({ status: 'ok' });
  expect(() => createSignIn({ password, token, metricsToken: token })).toThrow('stands for both');
  expect(() => createSignIn({ password: null, token: null, metricsToken })).toThrow('no password and no token');
});

test('a password of seven characters opens nothing and the page says why; the token and the server go on', async () => {
  for (const short of ['hunter2', 'ééééééé', 'e\u0301'.repeat(7), '🐎🐎🐎🐎🐎🐎🐎']) {
    const { ask } = openDoor({ password: short });
    const page = await ask('GET', '/');
    const text = await page.text();
    expect([page.status, text.includes('fewer than 8 characters'), text.includes('<form')]).toEqual([401, true, false]);
    const attempt = await ask('POST', '/login', { body: new URLSearchParams({ password: short }).toString() });
    expect([attempt.status, attempt.headers.getSetCookie()]).toEqual([401, []]);
    expect((await ask('GET', '/api/status', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  }
  const eight = openDoor({ password: '🐎🐎🐎🐎🐎🐎🐎🐎' });
  expect(await (await eight.ask('GET', '/')).text()).toContain('<form');
});

test('over https the cookies are bound to the host, and none of another name counts', async () => {
  const door = openDoor();
  const https = { 'x-forwarded-proto': 'https' };
  const cookie = await door.signedIn(https);
  expect(cookie).toMatch(/^__Host-velist-backup=[\w-]{43}$/);
  const status = async (headers: Record<string, string>) => (await door.ask('GET', '/api/status', { headers })).status;
  expect(await status({ ...https, cookie })).toBe(200);
  // What a page over plain http, or another host of the domain, could have set.
  expect(await status({ ...https, cookie: cookie.replace('__Host-', '') })).toBe(401);
  expect(await status({ cookie })).toBe(401);
});

test('several servers below one host share the cookie and keep each its own session', async () => {
  const [first, second] = [openDoor(), openDoor()];
  const https = { 'x-forwarded-proto': 'https' };
  const body = new URLSearchParams({ password }).toString();
  const one = await first.signedIn(https);
  const both = cookieOf(await second.ask('POST', '/login', { headers: { ...https, cookie: one }, body }));
  const status = async (door: Door, cookie: string) =>
    (await door.ask('GET', '/api/status', { headers: { ...https, cookie } })).status;
  expect([await status(first, both), await status(second, both)]).toEqual([200, 200]);
  const out = await first.ask('POST', '/logout', { headers: { ...https, cookie: both } });
  const left = cookieOf(out);
  expect([await status(first, both), await status(second, left)]).toEqual([401, 200]);
  // It does not grow without an end.
  let cookie = left;
  for (let count = 0; count < 10; count++)
    cookie = cookieOf(await openDoor().ask('POST', '/login', { headers: { ...https, cookie }, body }));
  expect(cookie.split('~').length).toBe(4);
});

test('an origin of another scheme is another site', async () => {
  const door = openDoor();
  const authorization = `Bearer ${token}`;
  const status = async (headers: Record<string, string>) =>
    (await door.ask('POST', '/now', { headers: { authorization, host: 'nas.example', ...headers } })).status;
  const https = { 'x-forwarded-proto': 'https' };
  for (const [headers, expected] of [
    [{ origin: 'http://nas.example' }, 200],
    [{ origin: 'https://nas.example', ...https }, 200],
    [{ origin: 'https://nas.example', forwarded: 'for=192.0.2.1; proto="https"' }, 200],
    [{ origin: 'http://nas.example', ...https }, 403],
    [{ origin: 'http://nas.example', ...https, 'sec-fetch-site': 'same-origin' }, 403],
    [{ origin: 'http://nas.example', forwarded: 'proto=https;for=192.0.2.1' }, 403],
    [{ origin: 'https://nas.example' }, 403],
    [{ origin: 'https://nas.example', 'x-forwarded-proto': 'http' }, 403],
    // A proxy that does not say that it was https; the browser has compared.
    [{ origin: 'https://nas.example', 'sec-fetch-site': 'same-origin' }, 200],
    [{ origin: 'https://nas.example', 'sec-fetch-site': 'cross-site' }, 403],
    [{ origin: 'ftp://nas.example' }, 403],
    [{ origin: 'null', 'sec-fetch-site': 'same-origin' }, 403],
    [{ origin: 'https://nas.example:8443', ...https }, 403],
  ] as const)
    expect([headers, await status(headers as unknown as Record<string, string>)]).toEqual([headers, expected]);
});

test('without a login, whatever a proxy adds of its own shuts the door', async () => {
  const server = createServer({ service: createFakeService(), onError: () => {} });
  const status = async (name: string) =>
    (await server.fetch(new Request('http://localhost/backup/api/status', { headers: { [name]: 'x' } }))).status;
  for (const name of [
    ...[
      'via',
      'forwarded',
      'x-forwarded',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-forwarded-port',
    ],
    ...['x-forwarded-server', 'x-forwarded-prefix', 'x-forwarded-scheme', 'x-forwarded-client-cert', 'x-forwarded-ssl'],
    ...['x-real-ip', 'x-real-port', 'x-client-ip', 'client-ip', 'true-client-ip', 'x-cluster-client-ip', 'x-host'],
    ...['x-original-for', 'x-original-host', 'x-original-url', 'x-original-forwarded-for', 'x-rewrite-url', 'x-scheme'],
    ...['x-remote-ip', 'x-remote-addr', 'x-originating-ip', 'front-end-https', 'x-url-scheme', 'x-proxyuser-ip'],
    ...[
      'cf-connecting-ip',
      'cf-connecting-ipv6',
      'cf-ray',
      'cf-visitor',
      'cdn-loop',
      'fastly-client-ip',
      'fly-client-ip',
    ],
    ...['akamai-origin-hop', 'x-akamai-edgescape', 'x-envoy-external-address', 'x-amzn-trace-id', 'x-amz-cf-id'],
    ...['x-azure-clientip', 'x-arr-ssl', 'x-appengine-user-ip', 'x-cloud-trace-context', 'x-vercel-forwarded-for'],
    ...['x-nf-client-connection-ip', 'do-connecting-ip', 'wl-proxy-client-ip', 'x-varnish', 'tailscale-user-login'],
  ])
    expect([name, await status(name)]).toEqual([name, 403]);
  for (const name of ['accept', 'x-requested-with', 'x-custom', 'priority'])
    expect([name, await status(name)]).toEqual([name, 200]);
});
