/** All routes of the OpenAPI document: which right each asks for, who is named by it, and what its answer bears. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Action, Authorize } from '../../src/http/access/authorize.ts';
import type { OpenApi } from '../../src/http/openapi.ts';
import { pageAssets } from '../../src/http/page-assets.ts';
import { createServer } from '../../src/http/server.ts';
import { arrivalId, createFakeService, firstBackup, rescueId } from './fake-service.ts';

const rights: Readonly<Record<string, Action>> = {
  'GET /': 'page',
  'POST /now': 'backup',
  'POST /config': 'configure',
  'GET /health': 'open',
  'GET /metrics': 'metrics',
  'DELETE /{filename}': 'delete',
  'POST /api/arrivals': 'change',
  'PATCH /api/arrivals/{arrival}': 'change',
  'POST /api/arrivals/{arrival}/check': 'change',
  'POST /api/arrivals/{arrival}/adopt': 'change',
  'DELETE /api/arrivals/{arrival}': 'change',
  'GET /api/databases': 'read',
  'GET /api/status': 'read',
  'GET /api/backups': 'read',
  'GET /api/backups/{filename}': 'read',
  'PATCH /api/backups/{filename}': 'change',
  'GET /api/backups/{filename}/download': 'download',
  'POST /api/backups/{filename}/verify': 'verify',
  'POST /api/backups/{filename}/adopt': 'change',
  'GET /api/backups/{filename}/restore': 'read',
  'POST /api/backups/{filename}/restore': 'restore',
  'GET /api/restore': 'read',
  'POST /api/restore': 'restore',
  'POST /api/claim': 'configure',
  'POST /api/restore/undo': 'restore',
  'POST /api/restore/dismiss': 'change',
  'POST /api/rescue/plan': 'look',
  'POST /api/rescue': 'restore',
  'GET /api/rescues': 'read',
  'POST /api/rescues/{rescue}/undo': 'restore',
  'GET /api/moments': 'read',
  'POST /api/marks': 'backup',
  'POST /api/continuous/pause': 'configure',
  'POST /api/continuous/resume': 'configure',
  'GET /api/diff': 'read',
  'POST /api/loss/accept': 'delete',
  'POST /api/loss/reopen': 'delete',
  'GET /api/activity': 'read',
  'GET /api/runs': 'read',
  'GET /api/audit': 'audit',
  'POST /api/runs/stop': 'backup',
  'POST /api/targets/{name}/test': 'configure',
  'GET /api/set-up': 'configure',
  'POST /api/set-up': 'configure',
  'POST /api/set-up/plan': 'configure',
  'POST /api/set-up/test': 'configure',
  'DELETE /api/set-up/{part}': 'configure',
  'GET /api/doctor': 'read',
  'POST /api/drill': 'verify',
  'GET /api/config': 'read',
  'GET /api/prune': 'read',
  'GET /api/session': 'read',
  'GET /api/events': 'read',
  'GET /api/openapi.json': 'read',
};
/** Not in the document: the page's files, which may lie at any path. */
const files = ['GET /theme.js', 'GET /assets/page-1a.css'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'velist-rights-'));
  mkdirSync(join(folder, 'assets'));
  for (const file of ['index.html', 'theme.js', 'assets/page-1a.css']) writeFileSync(join(folder, file), '/**/');
});
afterAll(() => rmSync(folder, { recursive: true }));

function open(authorize: Authorize) {
  const service = createFakeService();
  const server = createServer({ service, authorize, page: pageAssets(folder), nowMs: () => 0, onError: () => {} });
  const ask = async (route: string, body?: object) => {
    const [method, path = ''] = route
      .replace('{filename}', firstBackup)
      .replace('{arrival}', arrivalId)
      .replace('{name}', 's3')
      .replace('{part}', 'webhook')
      .replace('{rescue}', rescueId)
      .replace('api/diff', 'api/diff?a=latest&b=latest')
      .replace(/^(GET .*api.restore)$/, '$1?latest=true')
      .split(' ');
    const init = { method, body: body && JSON.stringify(body) };
    return await server.fetch(new Request(`https://app.example/backup${path}`, init));
  };
  return { service, ask };
}

test('the document tells these routes and no other', async () => {
  const { paths } = (await (await open(() => true).ask('GET /api/openapi.json')).json()) as OpenApi;
  const told = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(told.sort()).toEqual(Object.keys(rights).sort());
});

for (const [route, right] of [...Object.entries(rights), ...files.map((file) => [file, 'page'] as const)]) {
  test(`${route} asks for the right ${right}, and without it for nothing of the service`, async () => {
    const asked: string[] = [];
    const { service, ask } = open((_, action) => {
      asked.push(action);
      return false;
    });
    const response = await ask(route);
    // Health says one word to everybody, and more to whoever may read.
    if (right === 'open') {
      expect([response.status, asked, await response.json()]).toEqual([200, ['read'], { status: 'ok' }]);
      return;
    }
    expect([response.status, asked, service.calls]).toEqual([403, [right], []]);
  });
}

for (const route of [...Object.keys(rights), ...files].filter((name) => name.startsWith('GET '))) {
  test(`${route}, to whoever may, is kept by no cache, taken for nothing else, and framed by nobody`, async () => {
    const response = await open(() => ({ user: 'ada' })).ask(route);
    await response.body?.cancel();
    expect(response.status).toBe(200);
    const isPage = route === 'GET /' || files.includes(route);
    if (!isPage) expect(response.headers.get('cache-control')).toMatch(/^(private, )?no-store(, no-transform)?$/);
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('x-frame-options')).toBe('DENY');
    const policy = response.headers.get('content-security-policy') ?? '';
    expect([policy.includes("default-src 'none'"), policy.includes("frame-ancestors 'none'")]).toEqual([true, true]);
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
  });
}

for (const [route, body] of [
  ['POST /now'],
  ['POST /now?wait=false'],
  ['DELETE /{filename}'],
  ['POST /api/backups/{filename}/verify'],
  ['POST /api/backups/{filename}/restore', { confirm: 'dev.sqlite' }],
  ['POST /api/restore', { latest: true, confirm: 'dev.sqlite' }],
  ['POST /api/claim'],
  ['POST /api/restore/undo', { confirm: 'dev.sqlite' }],
  ['POST /api/rescue', { of: firstBackup, tables: [{ table: 'orders' }], expected: 'as it is' }],
  ['POST /api/rescues/{rescue}/undo'],
  ['POST /api/loss/accept', { filename: firstBackup }],
  ['POST /api/drill'],
] as const) {
  test(`${route} names who asked`, async () => {
    const { service, ask } = open(() => ({ user: 'ada' }));
    const response = await ask(route, body);
    await response.body?.cancel();
    expect([response.ok, service.users]).toEqual([true, ['ada']]);
  });
}
