import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { Elysia } from 'elysia';
import { backupRoutes } from '../../src/http/elysia.ts';
import { assertBindable } from '../../src/http/access/auth.ts';
import { backupFetch, backupListener } from '../../src/http/mount.ts';
import { createServer } from '../../src/http/server.ts';
import { createFakeService, type FakeService, firstBackup } from './fake-service.ts';
import { type Host, hosts } from './hosts.ts';
import { hostileNamesBeside } from '../support/hostile-names.ts';

for (const [name, open] of Object.entries(hosts)) {
  describe(`access on ${name}`, () => {
    let service: FakeService;
    let host: Host;

    beforeEach(async () => {
      service = createFakeService();
      host = await open({ service, allowedHosts: ['nas:8080', 'backup.lan'] });
    });
    afterEach(() => host.close());

    const status = async (method: string, path: string, headers: Record<string, string>) =>
      (await host.fetch(path, { method, headers })).status;

    test('only a Host header that names this machine is answered', async () => {
      for (const [header, expected] of [
        ['localhost', 200],
        ['LOCALHOST:5173', 200],
        ['127.0.0.1:3000', 200],
        ['[::1]:3000', 200],
        ['nas:8080', 200],
        ['backup.lan:9', 200],
        ['nas:8081', 403],
        ['evil.example', 403],
        ['localhost.evil.example', 403],
        ['127.0.0.1.evil.example:3000', 403],
        ['127.0.0.1.nip.io', 403],
      ] as const) {
        expect([header, await status('GET', '/backup/api/status', { host: header })]).toEqual([header, expected]);
      }
    });

    test('what came through a proxy is not this machine', async () => {
      expect(
        await status('POST', '/backup/now', {
          'x-forwarded-for': '203.0.113.9',
        }),
      ).toBe(403);
      expect(
        await status('GET', '/backup/api/status', {
          forwarded: 'for=203.0.113.9',
        }),
      ).toBe(403);
      expect(service.calls).toEqual([]);
    });

    test('another web site changes nothing', async () => {
      const own = host.origin;
      const refused: Record<string, string>[] = [
        { origin: 'https://evil.example' },
        { origin: 'null' },
        { origin: `${own}1` },
        { origin: 'http://localhost:1' },
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site' },
        { origin: own, 'sec-fetch-site': 'cross-site' },
        { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
      ];
      for (const headers of refused) {
        for (const [method, path] of [
          ['POST', '/backup/now'],
          ['POST', '/backup/config'],
          ['DELETE', `/backup/${firstBackup}`],
          ['PATCH', `/backup/api/backups/${firstBackup}`],
          ['POST', `/backup/api/backups/${firstBackup}/restore`],
          ['POST', '/backup/api/restore'],
          ['POST', '/backup/api/restore/undo'],
          ['POST', '/backup/api/restore/dismiss'],
          ['POST', '/backup/api/loss/accept'],
          ['POST', '/backup/api/loss/reopen'],
          ['POST', '/backup/api/runs/stop'],
        ] as const) {
          expect([headers, path, await status(method, path, headers)]).toEqual([headers, path, 403]);
        }
      }
      expect(service.calls).toEqual([]);
    });

    test('where a proxy names another host than the browser did, the hint says so', async () => {
      const hintFor = async (headers: Record<string, string>) => {
        const answer = await host.fetch('/backup/now', { method: 'POST', headers });
        const { error } = (await answer.json()) as { error: { hint: string } };
        return [answer.status, /proxy in front changes the Host header/.test(error.hint)];
      };
      const origin = 'https://backup.example.com';
      expect(await hintFor({ origin, 'sec-fetch-site': 'same-origin' })).toEqual([403, true]);
      // Browsers name no site over plain http.
      expect(await hintFor({ origin })).toEqual([403, true]);
      expect(await hintFor({ origin, 'sec-fetch-site': 'cross-site' })).toEqual([403, false]);
    });

    test('the own page and curl change what they like', async () => {
      for (const headers of [
        {},
        { origin: host.origin },
        { origin: host.origin, 'sec-fetch-site': 'same-origin' },
        { 'sec-fetch-site': 'none' },
      ]) {
        expect(await status('POST', '/backup/now', headers as Record<string, string>)).toBe(200);
      }
    });

    test('another web site reads no data but may link to the page', async () => {
      for (const path of ['/backup/api/status', '/backup/api/events', `/backup/api/backups/${firstBackup}/download`]) {
        expect(await status('GET', path, { 'sec-fetch-site': 'cross-site' })).toBe(403);
      }
      expect(
        await status('GET', '/backup', {
          'sec-fetch-site': 'cross-site',
          'sec-fetch-mode': 'navigate',
        }),
      ).toBe(308);
    });

    test('hostile names are refused before the service hears of them', async () => {
      for (const hostile of hostileNames) {
        for (const [method, path] of [
          ['DELETE', `/backup/${hostile}`],
          ['GET', `/backup/${hostile}`],
          ['GET', `/backup/api/backups/${hostile}`],
          ['GET', `/backup/api/backups/${hostile}/download`],
          ['GET', `/backup/api/backups/${hostile}/restore`],
          ['PATCH', `/backup/api/backups/${hostile}`],
          ['POST', `/backup/api/backups/${hostile}/verify`],
          ['POST', `/backup/api/backups/${hostile}/adopt`],
          ['POST', `/backup/api/backups/${hostile}/restore`],
        ] as const) {
          const response = await host.fetch(path, {
            method,
            body: method === 'POST' ? '{"confirm":"dev.sqlite"}' : undefined,
          });
          expect([method, path.slice(0, 200), response.status >= 400 && response.status < 500]).toEqual([
            method,
            path.slice(0, 200),
            true,
          ]);
          await response.body?.cancel();
        }
      }
      expect(service.calls).toEqual([]);
    });
  });
}

const hostileNames = hostileNamesBeside(firstBackup);

test('there are at least fifty hostile names', () => {
  expect(new Set(hostileNames).size).toBeGreaterThanOrEqual(50);
});

describe('authorize', () => {
  test('decides alone who may act, and names the user', async () => {
    const service = createFakeService();
    const asked: string[] = [];
    const server = createServer({
      service,
      host: '0.0.0.0',
      authorize(request, action) {
        asked.push(action);
        return request.headers.get('authorization') === 'Bearer good' ? { user: 'ada' } : false;
      },
    });
    const send = (init: RequestInit, path = '/backup/now') =>
      server.fetch(new Request(`https://app.example${path}`, init));
    expect((await send({ method: 'POST' })).status).toBe(403);
    expect(service.calls).toEqual([]);
    expect(
      (
        await send({
          method: 'POST',
          headers: { authorization: 'Bearer good' },
        })
      ).status,
    ).toBe(200);
    expect(service.users).toEqual(['ada']);
    expect(
      (
        await send({
          method: 'POST',
          headers: {
            authorization: 'Bearer good',
            origin: 'https://evil.example',
          },
        })
      ).status,
    ).toBe(403);
    const health = await send({}, '/backup/health');
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }]);
    expect(asked).toEqual(['backup', 'backup', 'read']);
  });

  test('only a plain yes or a name lets in, whatever an app in plain JavaScript answers', async () => {
    for (const answer of [0, '', Number.NaN, 'yes', {}, { user: 7 }, [], undefined, null, false]) {
      const service = createFakeService();
      const server = createServer({ service, authorize: () => answer as unknown as boolean });
      for (const path of ['api/status', `api/backups/${firstBackup}/download`])
        expect((await server.fetch(new Request(`http://localhost/backup/${path}`))).status, String(answer)).toBe(403);
      expect(service.calls).toEqual([]);
    }
  });

  test('a name that would break a line of the log does not', async () => {
    const service = createFakeService();
    const { performBackup } = service;
    let user: string | undefined;
    service.performBackup = (userId) => {
      user = userId;
      return performBackup(userId);
    };
    const server = createServer({ service, authorize: () => ({ user: 'x\n[Backup] Deleted: all\u001b[2J' }) });
    await server.fetch(new Request('http://localhost/backup/now', { method: 'POST' }));
    expect(user).toBe('x [Backup] Deleted: all [2J');
  });

  test('a right that is taken away ends the stream of events', async () => {
    let may = true;
    const server = createServer({ service: createFakeService(), pingMs: 5, authorize: () => may });
    const response = await server.fetch(new Request('http://localhost/backup/api/events'));
    const reader = response.body?.getReader();
    await reader?.read();
    may = false;
    while (!(await reader?.read())?.done);
    expect(await reader?.closed).toBeUndefined();
  });

  test('one that fails lets nobody in', async () => {
    const service = createFakeService();
    const server = createServer({
      service,
      onError: () => {},
      authorize: () => Promise.reject(new Error('session store is down')),
    });
    expect((await server.fetch(new Request('http://localhost/backup/now', { method: 'POST' }))).status).toBe(500);
    expect(service.calls).toEqual([]);
  });
});

describe('mounted without a word on who may act', () => {
  test('nothing is mounted', () => {
    const service = createFakeService();
    for (const mount of [backupRoutes, backupFetch, backupListener])
      expect(() => mount(service, {} as { authorize: () => boolean })).toThrow(/mounted without `authorize`/);
  });

  test('for this machine only: a host that does not tell who asks is not believed, nor what a proxy passed on', async () => {
    const app = new Elysia().use(backupRoutes(createFakeService(), { thisMachineOnly: true }));
    const asked = new Request('http://localhost/backup/api/status', { headers: { host: 'localhost' } });
    expect((await app.handle(asked)).status).toBe(403);
    const server = createServer({ service: createFakeService() });
    for (const name of ['via', 'x-forwarded-proto', 'cf-connecting-ip', 'true-client-ip', 'x-client-ip']) {
      const headers = { [name]: '203.0.113.9' };
      expect((await server.fetch(new Request('http://localhost/backup/api/status', { headers }))).status, name).toBe(
        403,
      );
    }
    expect((await server.fetch(new Request('http://localhost/backup/api/status'))).status).toBe(200);
    // Whatever the headers say: who asks from elsewhere is not on this machine.
    for (const [address, expected] of [
      ['127.0.0.1', 200],
      ['::1', 200],
      ['::ffff:127.0.0.1', 200],
      ['203.0.113.9', 403],
      ['::ffff:203.0.113.9', 403],
      ['2001:db8::1', 403],
    ] as const) {
      const answer = await server.fetch(new Request('http://localhost/backup/api/status'), {
        requestIP: () => ({ address }),
      });
      expect([address, answer.status]).toEqual([address, expected]);
    }
  });
});

describe('binding', () => {
  test('without authorize only loopback addresses are bound', async () => {
    for (const host of ['127.0.0.1', '127.0.0.53', '::1', '[::1]', 'localhost'])
      expect(() => assertBindable(host)).not.toThrow();
    for (const host of ['0.0.0.0', '::', '192.168.1.5', 'example.org', '', '127.evil.example']) {
      expect(() => assertBindable(host)).toThrow(/loopback/);
      expect(() => assertBindable(host, { authorize: () => true })).not.toThrow();
    }
    await expect(
      createServer({
        service: createFakeService(),
        host: '0.0.0.0',
        port: 0,
      }).listen(),
    ).rejects.toMatchObject({ code: 'BAD_CONFIG' });
  });

  test('a port that is taken is told in a sentence', async () => {
    const first = createServer({ service: createFakeService(), port: 0 });
    const { port } = await first.listen();
    const second = createServer({ service: createFakeService(), port });
    await expect(second.listen()).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining('another program'),
    });
    await first.stop();
  });
});

test('a short host name does not confuse the router', async () => {
  const server = createServer({
    service: createFakeService(),
    allowedHosts: ['x'],
  });
  expect((await server.fetch(new Request('http://x/backup/api/status'))).status).toBe(200);
});

test('the plugin leaves the errors and addresses of its host alone', async () => {
  const open = hosts['an Elysia app'];
  const host = await open?.({ service: createFakeService() });
  expect(await (await host?.fetch('/host'))?.text()).toBe('host');
  const unknown = await host?.fetch('/elsewhere');
  expect([unknown?.status, await unknown?.text()]).toEqual([404, 'NOT_FOUND']);
  await host?.close();
});
