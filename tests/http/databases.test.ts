/** Several databases behind one server: an overview, and each one's own routes under its name. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { databasesAnswer, health } from '../../src/http/contract.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { backupFetch, type Fetch } from '../../src/http/mount.ts';
import { pageAssets } from '../../src/http/page-assets.ts';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { createBackups } from '../../src/fleet/from-config.ts';
import type { Fleet } from '../../src/fleet/fleet.ts';
import { openShop, makeDatabase, scratchFolders } from '../support/scratch.ts';
import { createFakeService, fakeGuard } from './fake-service.ts';
import { type Host, hosts } from './hosts.ts';

const newFolder = scratchFolders();
const token = '0123456789abcdef';
let folder: string;
let guard: Fleet;
const endings: (() => Promise<void>)[] = [];
const end = async () => {
  for (const ending of endings.splice(0).reverse()) await ending();
};
afterEach(end);
afterAll(end);

beforeEach(async () => {
  folder = newFolder();
  mkdirSync(join(folder, 'tenants'));
  makeDatabase(join(folder, 'app.sqlite'), { rows: 3 });
  makeDatabase(join(folder, 'tenants/acme.sqlite'), { rows: 5 });
  guard = await createBackups(
    {
      localPath: join(folder, 'backups'),
      statePath: join(folder, 'state.sqlite'),
      databases: [{ path: join(folder, 'app.sqlite') }, { glob: join(folder, 'tenants/*.sqlite') }],
    },
    { env: { PATH: process.env.PATH }, write: () => {} },
  );
  endings.push(() => guard.close());
});

/** A page of two files that were built. */
function builtPage() {
  const page = join(newFolder(), 'page');
  mkdirSync(page);
  writeFileSync(join(page, 'index.html'), 'the page of one');
  writeFileSync(join(page, 'overview.html'), 'the overview');
  return pageAssets(page);
}

async function backUp(name: string): Promise<string> {
  const { filename } = (await guard.get(name)?.performBackup()) ?? {};
  return filename ?? expect.unreachable(`${name} has no backup`);
}

describe.each(Object.entries(hosts))('under %s', (_, openHost) => {
  let host: Host;
  const open = async (options: { signIn?: ReturnType<typeof createSignIn> } = {}) => {
    // What strangers hear of health is held for a second.
    let nowMs = 0;
    host = await openHost({ service: guard, nowMs: () => (nowMs += 1_000), ...options });
    endings.push(() => host.close());
  };
  const status = async (path: string, init?: RequestInit) => (await host.fetch(`/backup/${path}`, init)).status;
  const body = async (path: string, init?: RequestInit) => (await host.fetch(`/backup/${path}`, init)).json();

  test('each database has all routes below its name', async () => {
    await open();
    const { filename } = await body('db/tenants.acme/now', { method: 'POST' });
    expect(
      (await body('db/tenants.acme/api/backups')).backups.map((one: { filename: string }) => one.filename),
    ).toEqual([filename]);
    expect((await body('db/tenants.acme/api/status')).database.name).toBe('acme.sqlite');
    const download = await host.fetch(`/backup/db/tenants.acme/api/backups/${filename}/download`);
    expect(new TextDecoder().decode((await download.arrayBuffer()).slice(0, 15))).toBe('SQLite format 3');
    expect(await status(`db/tenants.acme/${filename}`, { method: 'DELETE' })).toBe(200);
    expect(await status('db/app/now', { method: 'PUT' })).toBe(405);
    const moved = await host.fetch('/backup/db/app');
    expect([moved.status, moved.headers.get('location')]).toEqual([308, './app/']);
  });

  test('the name or file name of one never reaches what is another’s', async () => {
    await open();
    const filename = await backUp('tenants.acme');
    for (const path of [`api/backups/${filename}`, `api/backups/${filename}/download`])
      expect([path, await status(`db/app/${path}`), await status(`db/tenants.acme/${path}`)]).toEqual([path, 404, 200]);
    expect(await status(`db/app/${filename}`, { method: 'DELETE' })).toBe(404);
    for (const name of ['app%2f..%2ftenants.acme', '..%2ftenants.acme', 'tenants', 'APP', '%00', 'constructor'])
      expect([name, await status(`db/${name}/api/status`)]).toEqual([name, 404]);
    // What belongs to one database is not at the top.
    for (const path of ['api/status', 'api/backups', filename]) expect([path, await status(path)]).toEqual([path, 404]);
    const confirmed = { confirm: 'acme.sqlite', mode: 'offline' };
    const own = await backUp('app');
    const restore = { method: 'POST', body: JSON.stringify(confirmed) };
    expect(await status(`db/app/api/backups/${own}/restore`, restore)).toBe(409);
  });

  test('health is that of the worst, and names who it is to those who may read', async () => {
    await open({ signIn: createSignIn({ password: null, token }) });
    const headers = { authorization: `Bearer ${token}` };
    await backUp('app');
    expect([await status('health'), await body('health')]).toEqual([503, { status: 'failing' }]);
    const told = health.parse(await body('health', { headers }));
    expect(told.databases?.map(({ name, status: word, state }) => [name, word, state])).toEqual([
      ['app', 'ok', 'protected'],
      ['tenants.acme', 'failing', 'unprotected'],
    ]);
    await backUp('tenants.acme');
    expect([await status('health'), await body('health')]).toEqual([200, { status: 'ok' }]);
    expect(await status('db/app/health', { headers })).toBe(200);
  });

  test('one token opens all, and without it nobody learns which databases there are', async () => {
    await open({ signIn: createSignIn({ password: null, token }) });
    const headers = { authorization: `Bearer ${token}` };
    for (const path of ['api/databases', 'metrics', 'db/app/api/status'])
      expect([path, await status(path), await status(path, { headers })]).toEqual([path, 401, 200]);
    for (const path of ['', 'login', 'health', 'api/status', 'now', 'x.js']) {
      const [there, absent] = [await host.fetch(`/backup/db/app/${path}`), await host.fetch(`/backup/db/none/${path}`)];
      expect([path, there.status, await there.text()]).toEqual([path, absent.status, await absent.text()]);
      expect(there.headers.get('location')).toBe(absent.headers.get('location'));
    }
    expect((await host.fetch('/backup/db/app/')).headers.get('location')).toBe('../../');
    expect((await host.fetch('/backup/')).status).toBe(401);
  });
});

test('who gets the page alone learns of no database, and one that is refused by its path has no other', async () => {
  const onlyPage = backupFetch(guard, { authorize: (_, action) => action === 'page' });
  const status = async (fetch: Fetch, path: string) =>
    (await fetch(new Request(`http://localhost/backup${path}`))).status;
  expect(await status(onlyPage, '/')).toBe(403);
  expect(await status(onlyPage, '/db/app/')).toBe(await status(onlyPage, '/db/nosuch/'));
  const byPath = backupFetch(guard, {
    authorize: ({ url }) => !new URL(url).pathname.startsWith('/backup/db/app/'),
  });
  expect([await status(byPath, '/db/app/api/status'), await status(byPath, '/db/%61pp/api/status')]).toEqual([
    403, 404,
  ]);
});

test('a session that was opened at the top holds for each database, and is ended from each', async () => {
  const signIn = createSignIn({ password: 'correct horse', token: null });
  const server = createServer({ service: guard, signIn, page: builtPage() });
  const ask = (path: string, init?: RequestInit) => server.fetch(new Request(`http://localhost/backup/${path}`, init));
  const signedIn = await ask('login', { method: 'POST', body: 'password=correct+horse' });
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
  expect([signedIn.status, signedIn.headers.get('location')]).toEqual([303, './']);
  const page = await ask('', { headers: { cookie } });
  expect([page.status, page.headers.get('content-security-policy')]).toEqual([
    200,
    expect.stringContaining("default-src 'none'"),
  ]);
  expect(await page.text()).toBe('the overview');
  expect(await (await ask('db/app/', { headers: { cookie } })).text()).toBe('the page of one');
  expect((await (await ask('api/session', { headers: { cookie } })).json()).canSignOut).toBe(true);
  expect((await (await ask('db/app/api/session', { headers: { cookie } })).json()).canSignOut).toBe(true);
  await ask('db/tenants.acme/logout', { method: 'POST', headers: { cookie } });
  expect((await ask('db/app/api/status', { headers: { cookie } })).status).toBe(401);
});

test('the list tells how each stands, also when a file is gone', async () => {
  const server = createServer({ service: guard });
  const list = async (path: string) =>
    databasesAnswer.parse(
      await (await server.fetch(new Request(`http://localhost/backup/${path}api/databases`))).json(),
    );
  await backUp('app');
  rmSync(join(folder, 'tenants/acme.sqlite'));
  const told = await list('');
  expect(told).toEqual(await list('db/app/').then((one) => ({ ...one, current: null })));
  expect((await list('db/app/')).current).toBe('app');
  expect(told.databases.map(({ name, page, label, tone, exists }) => [name, page, label, tone, exists])).toEqual([
    ['app', 'db/app/', 'Protected', 'green', true],
    ['tenants.acme', 'db/tenants.acme/', 'The file is gone', 'amber', false],
  ]);
  expect(JSON.stringify(told)).not.toContain(folder);
});

test('metrics have the label database, and stand together by name', async () => {
  const server = createServer({ service: guard });
  await backUp('app');
  const text = await (await server.fetch(new Request('http://localhost/backup/metrics'))).text();
  for (const [name, state] of Object.entries({ app: 'protected', 'tenants.acme': 'unprotected' }))
    expect(text).toMatch(new RegExp(`^velist_backup_state\\{state="${state}",database="${name}"\\} 1$`, 'm'));
  const heads = text.match(/^# TYPE \S+/gm) ?? [];
  expect(new Set(heads).size).toBe(heads.length);
  for (const line of text.split('\n').filter((one) => one !== '' && !one.startsWith('#')))
    expect(line).toMatch(/database="(app|tenants\.acme)"/);
});

test('one that can’t be read is unprotected, and hides none of the others', async () => {
  const broken = createFakeService();
  broken.getStatus = () => Promise.reject(new Error('no'));
  const databases = [
    { name: 'broken', service: broken },
    { name: 'good', service: createFakeService() },
  ];
  const server = createServer({ service: fakeGuard(databases) });
  const ask = async (path: string) => await server.fetch(new Request(`http://localhost/backup/${path}`));
  expect((await ask('health')).status).toBe(503);
  expect((await (await ask('api/databases')).json()).databases.map((one: { state: string }) => one.state)).toEqual([
    ...['unprotected', 'protected'],
  ]);
  const metrics = await (await ask('metrics')).text();
  expect(metrics).toContain('velist_backup_state{state="unprotected",database="broken"} 1');
  expect(metrics).toContain('velist_backup_state{state="protected",database="good"} 1');
});

test('a glob that finds nothing is no protection', async () => {
  const server = createServer({ service: fakeGuard([]) });
  expect((await server.fetch(new Request('http://localhost/backup/health'))).status).toBe(503);
  const list = await (await server.fetch(new Request('http://localhost/backup/api/databases'))).json();
  expect(list).toEqual({ current: null, databases: [] });
});

test('without a list all routes stay, and the list names the one', async () => {
  await using shop = openShop(newFolder());
  const server = createServer({ service: shop.service });
  const told = databasesAnswer.parse(
    await (await server.fetch(new Request('http://localhost/backup/api/databases'))).json(),
  );
  expect(told.databases.map(({ name, page }) => [name, page])).toEqual([[told.current ?? '', '']]);
  expect((await server.fetch(new Request('http://localhost/backup/db/shop/api/status'))).status).toBe(404);
});

test('the document tells the routes of the top and of each', async () => {
  const server = createServer({ service: guard });
  const { paths } = (await (
    await server.fetch(new Request('http://localhost/backup/api/openapi.json'))
  ).json()) as OpenApi;
  expect(Object.keys(paths['/api/databases'] ?? {})).toEqual(['get']);
  expect(paths['/db/{database}/now']?.['post']?.parameters).toEqual([
    expect.objectContaining({ name: 'database', in: 'path' }),
    expect.objectContaining({ name: 'wait' }),
  ]);
});

/** Each may do everything to one database, and asks as that. */
describe('a user of one of several databases', () => {
  const may = { ada: 'shop', ben: 'wiki' } as const;
  const open = () => {
    const [shop, wiki] = [createFakeService(), createFakeService()];
    const asked = new Set<string>();
    const guarding = fakeGuard([
      { name: 'shop', service: shop },
      { name: 'wiki', service: wiki },
    ]);
    const server = createServer({
      service: guarding,
      onError: () => {},
      nowMs: () => 0,
      authorize(request, action, { database }) {
        const user = request.headers.get('authorization') ?? '';
        asked.add(`${action} ${database}`);
        if (user === 'root') return { user };
        return database !== null && (may as Record<string, string>)[user] === database ? { user } : false;
      },
    });
    const ask = async (user: string, method: string, path: string, body?: string) =>
      await server.fetch(
        new Request(`http://localhost/backup/${path}`, { method, headers: { authorization: user }, body }),
      );
    return { shop, wiki, guarding, ask, asked };
  };
  const names = (all: readonly { readonly name: string }[]) => all.map(({ name }) => name);

  test('is listed, counted and told that one alone, at the top and on its page', async () => {
    const { ask, wiki } = open();
    wiki.behaviour.verdict = 'too-old';
    for (const path of ['api/databases', 'db/shop/api/databases'])
      expect(names(databasesAnswer.parse(await (await ask('ada', 'GET', path)).json()).databases)).toEqual(['shop']);
    expect(names(databasesAnswer.parse(await (await ask('root', 'GET', 'api/databases')).json()).databases)).toEqual([
      ...['shop', 'wiki'],
    ]);
    const metrics = await (await ask('ada', 'GET', 'metrics')).text();
    expect([metrics.includes('database="shop"'), metrics.includes('wiki')]).toEqual([true, false]);
    // Nothing of the other, not even that it fails.
    const healthOf = async (user: string) => {
      const answer = await ask(user, 'GET', 'health');
      return [answer.status, await answer.json()];
    };
    expect(await healthOf('ada')).toEqual([
      200,
      { status: 'ok', databases: [expect.objectContaining({ name: 'shop', status: 'ok' })] },
    ]);
    expect(await healthOf('ben')).toEqual([
      503,
      { status: 'failing', databases: [expect.objectContaining({ name: 'wiki', status: 'failing' })] },
    ]);
    expect(await healthOf('nobody')).toEqual([503, { status: 'failing' }]);
    for (const path of ['', 'api/databases', 'metrics', 'api/audit'])
      expect([path, (await ask('nobody', 'GET', path)).status]).toEqual([path, 403]);
  });

  test('is refused every route of the other, and of one that is not there, alike', async () => {
    const { ask, wiki } = open();
    const { paths } = (await (await ask('root', 'GET', 'api/openapi.json')).json()) as OpenApi;
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method.toUpperCase(), path] as const),
    );
    const below = routes.filter(([, path]) => path.startsWith('/db/'));
    expect(below.length).toBeGreaterThan(30);
    for (const [method, path] of below) {
      const of = (name: string) =>
        path
          .slice(1)
          .replace('{database}', name)
          .replace('{filename}', 'backup-2024-01-15T10-30-00-000Z.sqlite')
          .replace('{name}', 's3');
      const answers = await Promise.all([ask('ada', method, of('wiki')), ask('ada', method, of('nothing'))]);
      const [there, absent] = await Promise.all(answers.map(async (answer) => [answer.status, await answer.text()]));
      expect([method, path, there?.[0], there]).toEqual([method, path, 403, absent]);
    }
    expect(wiki.calls).toEqual([]);
  });

  test('uses up no limit of the other', async () => {
    const { ask } = open();
    const now = async (user: string, name: string) => (await ask(user, 'POST', `db/${name}/now?wait=false`)).status;
    for (let count = 0; count < 30; count++) expect(await now('ada', 'shop')).toBe(202);
    expect([await now('ada', 'shop'), await now('ben', 'wiki')]).toEqual([429, 202]);
    const watch = (user: string, name: string) => ask(user, 'GET', `db/${name}/api/events`);
    const streams = [];
    for (let count = 0; count < 50; count++) streams.push(await watch('ada', 'shop'));
    const [more, other] = [await watch('ada', 'shop'), await watch('ben', 'wiki')];
    expect([more.status, other.status]).toEqual([429, 200]);
    for (const stream of [...streams, other]) await stream.body?.cancel();
  });

  test('reads the record of that one; what is done to all is for whoever may read it of all', async () => {
    const { ask, shop, wiki, guarding } = open();
    shop.recordAct({ act: 'delete' });
    wiki.recordAct({ act: 'restore' });
    guarding.recordAct({ act: 'sign-in' });
    const acts = async (user: string, path: string) => {
      const { entries } = (await (await ask(user, 'GET', path)).json()) as { entries: { act: string }[] };
      return entries.map(({ act }) => act).sort();
    };
    expect(await acts('ada', 'api/audit')).toEqual(['delete']);
    expect(await acts('ada', 'db/shop/api/audit')).toEqual(['delete']);
    expect(await acts('root', 'api/audit')).toEqual(['delete', 'restore', 'sign-in']);
    // What was refused of one is in that one's record.
    await ask('ben', 'DELETE', 'db/shop/backup-2024-01-15T10-30-00-000Z.sqlite');
    expect(await acts('ada', 'api/audit')).toEqual(['delete', 'request']);
    expect(await acts('ben', 'api/audit')).toEqual(['restore']);
  });

  test('the name is told with every right that a route asks for', async () => {
    const { ask, asked } = open();
    await ask('ada', 'POST', 'db/shop/config', '{"retentionCount":3}');
    expect([...asked].filter((line) => !line.endsWith(' shop'))).toEqual([]);
    expect([...asked].sort()).toEqual(['configure shop', 'delete shop']);
  });
});
