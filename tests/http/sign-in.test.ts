import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadEnvironment } from '../../src/config/env.ts';
import { authorizeBy } from '../../src/http/auth.ts';
import { pageAssets } from '../../src/http/page-assets.ts';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/sign-in.ts';
import { SignInThrottle } from '../../src/http/sign-in-throttle.ts';
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
      expect(await session.json()).toEqual({ user: 'admin', canSignOut: true });

      const out = await host.fetch('/backup/logout', { method: 'POST', headers });
      expect(await out.json()).toEqual({ signedOut: true });
      expect(out.headers.get('set-cookie')).toStartWith('velist-backup=; Max-Age=0;');
      expect((await host.fetch('/backup/api/status', { headers })).status).toBe(401);
    });

    test('the cookie is read by no script, sent by no other site, and by https alone where that was used', async () => {
      const plain = (await send(password)).headers.get('set-cookie') ?? '';
      expect(plain).toMatch(/^velist-backup=[\w-]{43}; Max-Age=604800; HttpOnly; SameSite=Strict$/);
      const secure = (await send(password, { 'x-forwarded-proto': 'https' })).headers.get('set-cookie') ?? '';
      expect(secure).toEndWith('; HttpOnly; SameSite=Strict; Secure');
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

test('a flood of strangers slows all down, but not the address of one who signed in', () => {
  const throttle = new SignInThrottle();
  expect(throttle.begin('owner', 0)).toBe(0);
  throttle.succeeded('owner');
  let refused = 0;
  for (let stranger = 0; stranger < 1_000; stranger++) if (throttle.begin(`stranger ${stranger}`, 0) > 0) refused++;
  expect(refused).toBe(980);
  expect(throttle.begin('owner', 0)).toBe(0);
  expect(throttle.begin('newcomer', 10_000)).toBe(0);
});

test('an hour without attempts is a new start, and no wait is longer than a quarter of an hour', () => {
  const throttle = new SignInThrottle();
  let now = 0;
  const waits: number[] = [];
  for (let guess = 0; guess < 20; guess++) {
    const wait = throttle.begin('one', now);
    if (wait > 0) waits.push(wait / 1_000);
    now += wait;
    if (wait > 0) throttle.begin('one', now);
  }
  expect(waits.slice(0, 4)).toEqual([1, 2, 4, 8]);
  expect(Math.max(...waits)).toBeLessThanOrEqual(900);
  now += 3_600_001;
  expect([throttle.begin('one', now), throttle.begin('one', now)]).toEqual([0, 0]);
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
