import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { createHmac, scryptSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadEnvironment } from '../../src/config/env.ts';
import { authorizeBy } from '../../src/http/access/auth.ts';
import * as mount from '../../src/http/mount.ts';
import { pageAssets } from '../../src/http/page-assets.ts';
import { createServer } from '../../src/http/server.ts';
import { Sessions } from '../../src/http/access/sessions.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { SignInThrottle } from '../../src/http/access/sign-in-throttle.ts';
import { createFakeService, type FakeService, firstBackup } from './fake-service.ts';
import { type Host, hosts } from './hosts.ts';

const password = 'correct horse';
const token = '0123456789abcdef';
const minuteMs = 60_000;

for (const [name, open] of Object.entries(hosts)) {
  describe(`signing in on ${name}`, () => {
    let service: FakeService;
    let host: Host;
    let folder: string;
    let nowMs = 0;

    beforeEach(async () => {
      service = createFakeService();
      folder = mkdtempSync(join(tmpdir(), 'velist-page-'));
      writeFileSync(join(folder, 'index.html'), '<link rel="stylesheet" crossorigin href="./assets/page-1a.css">');
      writeFileSync(join(folder, 'theme.js'), '// theme');
      nowMs = Date.UTC(2024, 0, 15);
      host = await open({
        service,
        page: pageAssets(folder),
        signIn: createSignIn({ password, token, nowMs: () => nowMs }),
      });
    });
    afterEach(async () => {
      await host.close();
      rmSync(folder, { recursive: true });
    });

    const send = (given: string, headers: Record<string, string> = {}) =>
      host.fetch('/backup/login', {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
        body: new URLSearchParams({ username: 'admin', password: given }).toString(),
      });
    async function signedIn(): Promise<string> {
      const response = await send(password);
      expect([response.status, response.headers.get('location')]).toEqual([303, './']);
      return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    }

    test('who is not signed in gets the form, or 401 in JSON, and no data', async () => {
      const page = await host.fetch('/backup/');
      expect([page.status, page.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="backup"']);
      const text = await page.text();
      expect(text).toContain('<form method="post" action="./login">');
      expect(text).toContain('href="./assets/page-1a.css"');
      expect(text).not.toMatch(/<style|style=|<script>|\son\w+=/);
      expect(page.headers.get('content-security-policy')).toContain("form-action 'self'");
      expect(page.headers.get('cache-control')).toBe('no-store');
      for (const [method, path] of [
        ['GET', '/backup/api/status'],
        ['GET', '/backup/api/events'],
        ['GET', '/backup/metrics'],
        ['GET', `/backup/api/backups/${firstBackup}/download`],
        ['POST', '/backup/now'],
        ['POST', '/backup/config'],
        ['DELETE', `/backup/${firstBackup}`],
      ] as const) {
        const response = await host.fetch(path, { method });
        const body = (await response.json()) as { error: { code: string } };
        expect([path, response.status, body.error.code]).toEqual([path, 401, 'UNAUTHORIZED']);
      }
      expect(service.calls).toEqual([]);
      expect((await host.fetch('/backup/theme.js')).status).toBe(200);
      expect(await (await host.fetch('/backup/health')).json()).toEqual({ status: 'ok' });
    });

    test('the password opens a session that is named, and signing out ends it', async () => {
      const cookie = await signedIn();
      const headers = { cookie: `other=1; ${cookie}` };
      expect(await (await host.fetch('/backup/', { headers })).text()).not.toContain('<form');
      expect((await host.fetch('/backup/login', { headers })).status).toBe(303);
      expect((await host.fetch('/backup/now', { method: 'POST', headers })).status).toBe(200);
      expect(service.users).toEqual(['admin']);
      const session = await host.fetch('/backup/api/session', { headers });
      expect(await session.json()).toEqual({ user: 'admin', canSignOut: true, needsPassword: false });

      const out = await host.fetch('/backup/logout', { method: 'POST', headers });
      expect(await out.json()).toEqual({ signedOut: true });
      expect(out.headers.get('set-cookie')).toStartWith('velist-backup=; Max-Age=0;');
      expect((await host.fetch('/backup/api/status', { headers })).status).toBe(401);
    });

    test('the cookie is read by no script, sent by no other site, and by https alone where that was used', async () => {
      const [plain, known] = (await send(password)).headers.getSetCookie();
      expect(plain).toMatch(/^velist-backup=[\w-]{43}; Max-Age=604800; HttpOnly; SameSite=Strict$/);
      expect(known).toMatch(/^velist-backup-browser=[\w.-]{80}; Max-Age=34560000; HttpOnly; SameSite=Strict$/);
      for (const headers of [
        ['x-forwarded-proto', 'https'] as const,
        ['forwarded', 'for=192.0.2.1;proto=https'] as const,
      ])
        for (const secure of (await send(password, Object.fromEntries([headers]))).headers.getSetCookie())
          expect(secure).toMatch(
            /^__Host-velist-backup(-browser)?=[\w.-]{43,}; Max-Age=\d+; HttpOnly; SameSite=Strict; Path=\/; Secure$/,
          );
    });

    test('a session ends after twelve hours without use, and after a week in any case', async () => {
      const headers = { cookie: await signedIn() };
      const status = async () => (await host.fetch('/backup/api/config', { headers })).status;
      for (let hours = 0; hours < 7 * 24; hours += 12) {
        nowMs += 12 * 60 * minuteMs;
        expect(await status()).toBe(200);
      }
      nowMs += minuteMs;
      expect(await status()).toBe(401);

      const idle = { cookie: await signedIn() };
      nowMs += 12 * 60 * minuteMs + 1;
      expect((await host.fetch('/backup/api/config', { headers: idle })).status).toBe(401);
    });

    test('the token is taken as a bearer, with its own name; a wrong one is not', async () => {
      const now = async (authorization: string) =>
        (await host.fetch('/backup/now', { method: 'POST', headers: { authorization } })).status;
      expect(await now(`Bearer ${token}`)).toBe(200);
      expect(service.users).toEqual(['token']);
      for (const wrong of [`Bearer ${token}0`, `Bearer ${token.slice(1)}`, 'Bearer ', `Basic ${token}`, token, ''])
        expect([wrong, await now(wrong)]).toEqual([wrong, 401]);
      expect(service.users).toEqual(['token']);
    });

    test('who guesses waits longer and longer, and the right password waits with him', async () => {
      const answers: [number, string | null][] = [];
      for (let guess = 0; guess < 5; guess++) {
        const answer = await send('wrong');
        answers.push([answer.status, answer.headers.get('retry-after')]);
      }
      expect(answers.map(([status]) => status)).toEqual([401, 401, 401, 429, 429]);
      expect((await send(password)).status).toBe(429);
      nowMs += 1_000;
      expect((await send('wrong')).status).toBe(401);
      const held = await send(password);
      expect([held.status, held.headers.get('retry-after')]).toEqual([429, '2']);
      expect(await held.text()).toContain('Try again in 2 seconds.');
      nowMs += 2_000;
      expect((await send(password)).status).toBe(303);
      expect((await send('wrong')).status).toBe(401);
    });

    test('a browser that signed in before is not held up by who guesses, only by its own failures', async () => {
      const cookieFrom = (answer: Response) => answer.headers.getSetCookie()[1]?.split(';')[0] ?? '';
      const owner = { cookie: cookieFrom(await send(password)) };
      for (let guess = 0; guess < 100; guess++) {
        await send('wrong');
        nowMs += 500;
      }
      expect((await send(password)).status).toBe(429);
      const again = await send(password, owner);
      expect(again.status).toBe(303);
      // It stays the same browser: signing in buys no second lane.
      expect(cookieFrom(again).split('.')[0]).toBe(owner.cookie.split('.')[0]);
      expect((await host.fetch('/backup/api/config', { headers: owner })).status).toBe(401);

      const forged = [owner.cookie.replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A'))];
      forged.push(owner.cookie.replace(/=./, (first) => (first === '=A' ? '=B' : '=A')));
      forged.push(owner.cookie.replace(/\.\d+/, `.${nowMs + 500 * 24 * 60 * minuteMs}`));
      for (const cookie of forged) expect([cookie, (await send(password, { cookie })).status]).toEqual([cookie, 429]);

      const own: number[] = [];
      for (let guess = 0; guess < 4; guess++) own.push((await send('wrong', owner)).status);
      expect(own).toEqual([401, 401, 401, 429]);
      nowMs += 401 * 24 * 60 * minuteMs;
      for (let guess = 0; guess < 4; guess++) await send('wrong');
      expect((await send(password, owner)).status).toBe(429);
    });

    test('another site signs nobody in or out, and a link from there finds the session', async () => {
      const cookie = await signedIn();
      expect((await send(password, { origin: 'https://evil.example' })).status).toBe(403);
      expect((await send(password, { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
      const out = await host.fetch('/backup/logout', {
        method: 'POST',
        headers: { cookie, 'sec-fetch-site': 'cross-site' },
      });
      expect(out.status).toBe(403);
      const link = await host.fetch('/backup/', { headers: { 'sec-fetch-site': 'cross-site' } });
      expect([link.status, link.headers.get('refresh')]).toEqual([200, '0; url=./']);
      expect((await host.fetch('/backup/api/config', { headers: { cookie } })).status).toBe(200);
    });

    test('a body that is no form, or too large, signs nobody in', async () => {
      for (const body of ['', '{"password":"correct horse"}', 'password', 'password='])
        expect((await host.fetch('/backup/login', { method: 'POST', body })).status).not.toBe(303);
      nowMs += 60 * minuteMs;
      expect((await send('x'.repeat(100_000))).status).toBe(422);
    });
  });
}

test('a token alone opens to programs, and the page says what is missing', async () => {
  const server = createServer({ service: createFakeService(), signIn: createSignIn({ password: null, token }) });
  const page = await server.fetch(new Request('http://localhost/backup/'));
  expect(page.status).toBe(401);
  const text = await page.text();
  expect(text).toContain('BACKUP_ADMIN_PASSWORD');
  expect(text).not.toContain('<form');
  const attempt = await server.fetch(
    new Request('http://localhost/backup/login', { method: 'POST', body: 'password=null' }),
  );
  expect(attempt.status).toBe(401);
});

test('a thousand are signed in at most: the next ends the oldest', () => {
  const sessions = new Sessions();
  const [first, second, ...others] = Array.from({ length: 1_001 }, (_, at) => sessions.begin(0, `192.0.2.${at % 20}`));
  expect([sessions.use(first ?? '', 0), sessions.use(second ?? '', 0)]).toEqual([false, true]);
  expect(others.filter((secret) => !sessions.use(secret, 0))).toEqual([]);
});

test('the hundred and first session of an address ends its oldest, and nobody else’s', () => {
  const sessions = new Sessions();
  const other = sessions.begin(0, '198.51.100.1');
  const [first = '', second = ''] = Array.from({ length: 101 }, () => sessions.begin(0, '192.0.2.1'));
  expect([first, second, other].map((secret) => sessions.use(secret, 0))).toEqual([false, true, true]);
});

test('a restart ends every session', async () => {
  const ask = (cookie = '') => new Request('http://localhost/backup/api/status', { headers: { cookie } });
  const signIn = createSignIn({ password, token });
  const answer = await signIn.attempt(ask(), password, undefined);
  const cookie = answer.status === 'signed-in' ? answer.cookies.join('; ') : '';
  expect(await signIn.authorize(ask(cookie), 'read', { database: null })).toEqual({ user: 'admin' });
  expect(await createSignIn({ password, token }).authorize(ask(cookie), 'read', { database: null })).toBe(false);
});

test('what is made of the password costs whoever guesses 16 MB and a scrypt', async () => {
  const request = new Request('http://localhost/backup/login');
  const answer = await createSignIn({ password, token }).attempt(request, password, undefined);
  const value = (answer.status === 'signed-in' && /=([^;]*)/.exec(answer.cookies[1] ?? '')?.[1]) || '';
  const cost = { N: 16_384, r: 8, p: 1 };
  const key = scryptSync(`${password}\0${token}`, 'velist-backup browser', 32, cost);
  const signed = value.slice(0, value.lastIndexOf('.'));
  expect(signed).toMatch(/^[\w-]{22}\.\d{13}$/);
  expect(value).toBe(`${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`);
});

test('a browser stays known over a restart, until the password or the token is another', async () => {
  const address = '203.0.113.9';
  const ask = (cookie: string) => new Request('http://localhost/backup/login', { headers: { cookie } });
  // Nothing of a wait passes while a password is tried.
  const atMs = Date.now();
  const nowMs = () => atMs;
  const answer = await createSignIn({ password, token, nowMs }).attempt(ask(''), password, address);
  const cookie = answer.status === 'signed-in' ? (answer.cookies[1]?.split(';')[0] ?? '') : '';
  for (const [changed, expected] of [
    [{}, 'signed-in'],
    [{ token: `${token}0` }, 'wait'],
    [{ password: 'correct horses' }, 'wait'],
  ] as const) {
    const now = { password, token, ...changed };
    const restarted = createSignIn({ ...now, nowMs });
    for (let guess = 0; guess < 4; guess++) await restarted.attempt(ask(''), 'wrong', address);
    const { status } = await restarted.attempt(ask(cookie), now.password, address);
    expect([changed, status]).toEqual([changed, expected]);
  }
});

test('a flood of strangers slows all down, but not a known browser nor the address of one who signed in', () => {
  const throttle = new SignInThrottle();
  const owner = { address: '198.51.100.7' };
  expect(throttle.begin(owner, 0)).toBe(0);
  throttle.succeeded(owner);
  let refused = 0;
  for (let stranger = 0; stranger < 1_000; stranger++)
    if (throttle.begin({ address: `stranger ${stranger}` }, 0) > 0) refused++;
  expect(refused).toBe(980);
  expect(throttle.begin(owner, 0)).toBe(0);
  expect(throttle.begin({ address: 'stranger 1', browser: 'known' }, 0)).toBe(0);
  expect(throttle.begin({ address: 'newcomer' }, 10_000)).toBe(0);
});

test('of IPv6 a whole /64 waits together, of IPv4 each address alone', () => {
  const waitsAfter = (guessers: readonly string[], address: string) => {
    const throttle = new SignInThrottle();
    for (const guesser of guessers) throttle.begin({ address: guesser }, 0);
    return throttle.begin({ address }, 0) > 0;
  };
  const neighbours = ['2001:db8:0:7::1', '2001:0DB8:0:7:ffff::2', '2001:db8::7:0:0:0:3'];
  expect(waitsAfter(neighbours, '2001:db8:0:7:9:9:9:9')).toBe(true);
  expect(waitsAfter(neighbours, '2001:db8:0:8::1')).toBe(false);
  expect(waitsAfter(['fe80::1%eth0', 'fe80::2%eth0', 'fe80::3%eth0'], 'fe80::4%eth0')).toBe(true);
  for (const prefix of ['203.0.113.', '::ffff:203.0.113.']) {
    expect(waitsAfter([`${prefix}1`, `${prefix}2`, `${prefix}3`], `${prefix}4`)).toBe(false);
    expect(waitsAfter([`${prefix}4`, `${prefix}4`, `${prefix}4`], `${prefix}4`)).toBe(true);
  }
});

test('a clock that is set back lengthens no wait', () => {
  const throttle = new SignInThrottle();
  const day = 86_400_000;
  for (let guess = 0; guess < 4; guess++) throttle.begin({ address: 'one' }, day);
  for (let stranger = 0; stranger < 30; stranger++) throttle.begin({ address: `stranger ${stranger}` }, day);
  expect(throttle.begin({ address: 'one' }, 0)).toBeLessThanOrEqual(15 * minuteMs);
  expect(throttle.begin({ address: 'another' }, 0)).toBeLessThanOrEqual(10_000);
});

test('an hour without attempts is a new start, and no wait is longer than a quarter of an hour', () => {
  const throttle = new SignInThrottle();
  let now = 0;
  const waits: number[] = [];
  for (let guess = 0; guess < 20; guess++) {
    const wait = throttle.begin({ address: 'one' }, now);
    if (wait > 0) waits.push(wait / 1_000);
    now += wait;
    if (wait > 0) throttle.begin({ address: 'one' }, now);
  }
  expect(waits.slice(0, 4)).toEqual([1, 2, 4, 8]);
  expect(Math.max(...waits)).toBeLessThanOrEqual(900);
  now += 3_600_001;
  expect([throttle.begin({ address: 'one' }, now), throttle.begin({ address: 'one' }, now)]).toEqual([0, 0]);
});

test('an app without users mounts the page to sign in, which is exported beside the routes', async () => {
  const answer = mount.backupFetch(createFakeService(), { signIn: mount.createSignIn({ password, token: null }) });
  const ask = (path: string, init?: RequestInit) => answer(new Request(`https://app.example/backup/${path}`, init));
  expect((await ask('api/status')).status).toBe(401);
  const signedIn = await ask('login', { method: 'POST', body: new URLSearchParams({ password }) });
  const cookie = signedIn.headers.getSetCookie()[0]?.split(';')[0] ?? '';
  expect((await ask('api/status', { headers: { cookie } })).status).toBe(200);
});

test('a door that nobody or anybody could open is not made', () => {
  for (const secrets of [
    { password: null, token: null },
    { password: '', token },
    { password, token: '' },
    { password, token: 'tooshort' },
    { password: undefined, token: undefined },
    { password },
  ])
    expect(() => createSignIn(secrets as { password: string; token: string })).toThrow(/no password and no token/);
});

test('a short token stops the start, and neither secret is repeated', () => {
  const load = () => loadEnvironment({ BACKUP_API_TOKEN: 'tooshort', BACKUP_ADMIN_PASSWORD: 'x'.repeat(2_000) });
  expect(load).toThrow(/BACKUP_API_TOKEN: \(secret\) is not allowed; at least 16 characters/);
  expect(load).not.toThrow(/tooshort|xxxx/);
});

test('the adapter for apps with sessions lets in whom the app knows and allows', async () => {
  const people: Readonly<Record<string, { name: string; admin: boolean }>> = {
    a: { name: 'ada', admin: true },
    b: { name: 'bob', admin: false },
  };
  const service = createFakeService();
  const server = createServer({
    service,
    authorize: authorizeBy({
      session: (request) => people[request.headers.get('cookie') ?? ''] ?? null,
      mayDo: (user, action) => user.admin || action === 'read',
      nameOf: (user) => user.name,
    }),
  });
  const ask = async (cookie: string, method: string, path: string) =>
    (await server.fetch(new Request(`https://app.example/backup${path}`, { method, headers: { cookie } }))).status;
  expect([await ask('a', 'POST', '/now'), await ask('a', 'GET', '/api/status')]).toEqual([200, 200]);
  expect([await ask('b', 'POST', '/now'), await ask('b', 'GET', '/api/status')]).toEqual([403, 200]);
  expect([await ask('', 'POST', '/now'), await ask('', 'GET', '/api/status')]).toEqual([403, 403]);
  expect(service.users).toEqual(['ada']);
});
