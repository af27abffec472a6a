/** A database whose file is gone, as a page and a watcher see it over HTTP, with a real service. */
import { expect, test } from 'bun:test';
import { rmSync, writeFileSync } from 'node:fs';
import type { Action } from '../../src/http/access/authorize.ts';
import { createServer } from '../../src/http/server.ts';
import { ask as askDatabase, openShop, scratchFolders, type Shop } from '../support/scratch.ts';

const scratch = scratchFolders();
const every: readonly Action[] = ['read', 'restore', 'delete', 'configure', 'backup'];

function client({ service }: Shop, rights: readonly Action[] = every) {
  const authorize = (_: Request, action: Action) => rights.includes(action);
  const server = createServer({ service, authorize, nowMs: () => 0, onError: () => {} });
  return async (path: string, body?: object) => {
    const init = body && { method: 'POST', body: JSON.stringify(body) };
    const response = await server.fetch(new Request(`https://app.example/backup${path}`, init));
    return { status: response.status, body: JSON.parse(await response.text()) };
  };
}

async function lost() {
  const shop = openShop(scratch());
  const { filename = '' } = await shop.service.performBackup();
  for (const suffix of ['', '-wal', '-shm']) rmSync(shop.databasePath + suffix, { force: true });
  return { shop, path: `/api/backups/${filename}/restore` };
}

test('health is 503 and says why to whoever may read, and one request without a typed name brings it back', async () => {
  const { shop, path } = await lost();
  await using _ = shop;
  const ask = client(shop);
  expect(await ask('/health')).toMatchObject({ status: 503, body: { status: 'failing', verdict: 'missing' } });
  expect((await ask('/api/status')).body).toMatchObject({
    verdict: { code: 'missing', tone: 'red' },
    ...{ undo: null, database: { exists: false } },
  });
  expect((await ask(path)).body).toMatchObject({ now: null, modes: ['missing', 'offline'] });
  const { body } = await ask(path, { mode: 'missing' });
  expect(body).toMatchObject({ success: true, mode: 'missing', safetyBackup: null });
  expect(askDatabase(shop.databasePath, 'SELECT count(*) FROM notes')).toBe(100);
  expect((await ask('/health')).status).toBe(200);
});

test('it needs the right to restore', async () => {
  const { shop, path } = await lost();
  await using _ = shop;
  const ask = client(shop, ['read', 'backup', 'configure', 'delete']);
  expect((await ask(path, { mode: 'missing' })).status).toBe(403);
  expect((await ask('/health')).status).toBe(503);
});

test('a file that appeared while somebody read the dialog is not touched', async () => {
  const { shop, path } = await lost();
  await using _ = shop;
  writeFileSync(shop.databasePath, 'something else');
  const { body } = await client(shop)(path, { mode: 'missing' });
  expect(body.error).toMatchObject({ code: 'TARGET_EXISTS', hint: expect.stringMatching(/^Nothing was changed\./) });
  expect(await Bun.file(shop.databasePath).text()).toBe('something else');
});

test('a database that is there is not replaced by that word', async () => {
  const shop = openShop(scratch());
  await using _ = shop;
  const { filename = '' } = await shop.service.performBackup();
  const { body } = await client(shop)(`/api/backups/${filename}/restore`, { mode: 'missing' });
  expect(body.error.code).toBe('TARGET_EXISTS');
  expect(await shop.service.getBackups()).toHaveLength(1);
});
