/** What somebody with few rights can do to the history over HTTP, with a real service, real backups and the default settings. */
import { expect, test } from 'bun:test';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { nameBackup } from '../../src/engine/format/names.ts';
import { KEEP_BY_DEFAULT } from '../../src/engine/catalog/retention.ts';
import type { Action } from '../../src/http/access/authorize.ts';
import { createServer } from '../../src/http/server.ts';
import { toKeepSettings } from '../../src/service/targets/retention-policies.ts';
import { openShop, scratchFolders, type Shop } from '../support/scratch.ts';

const scratch = scratchFolders();
const hourMs = 3_600_000;

/** A service by default, with backups of the last three hours and the last six days. */
async function openHistory(folder: string) {
  const shop = openShop(folder, { settings: toKeepSettings(KEEP_BY_DEFAULT), keepIsDefault: true });
  const { filename = '' } = await shop.service.performBackup();
  const catalog = new Catalog(shop.backups);
  const { manifest } = await catalog.find(filename);
  if (!manifest) throw new Error('the first backup has no manifest');
  const ages = [...[1, 2, 3].map((hours) => hours * hourMs), ...[1, 2, 3, 4, 5, 6].map((days) => days * 24 * hourMs)];
  const old: string[] = [];
  mkdirSync(shop.backups, { recursive: true });
  for (const [index, ageMs] of ages.entries()) {
    const at = new Date(Date.now() - ageMs);
    const name = nameBackup(at);
    copyFileSync(join(shop.backups, filename), join(shop.backups, name));
    await catalog.writeManifest({
      ...{ ...manifest, name, createdAt: at.toISOString(), sequence: (manifest.sequence ?? 0) - 1 - index },
      // The copy has a time of its own.
      published: undefined,
      artifact: { ...manifest.artifact, file: name },
    });
    old.push(name);
  }
  return { shop, old };
}

function ask(shop: Shop, rights: readonly Action[]) {
  const authorize = (_: Request, action: Action) => rights.includes(action);
  let clockMs = 0;
  // Slowly enough for the limits of rate.
  const nowMs = () => (clockMs += hourMs);
  const server = createServer({ service: shop.service, authorize, nowMs, onError: () => {} });
  return async (path: string, body?: object) =>
    await server.fetch(
      new Request(`https://app.example/backup${path}`, { method: 'POST', body: body && JSON.stringify(body) }),
    );
}

const left = async (shop: Shop) => new Set((await shop.service.getBackups()).map(({ filename }) => filename));

test('eleven backups by somebody who may back up alone leave every hour and every day', async () => {
  const { shop, old } = await openHistory(scratch());
  await using _ = shop;
  const may = ask(shop, ['backup']);
  for (let index = 0; index < 11; index++) expect((await may('/now')).status).toBe(200);
  const there = await left(shop);
  expect(old.filter((name) => !there.has(name))).toEqual([]);
});

test('whoever may configure and not delete can’t hasten it either, where the count alone decides', async () => {
  const shop = openShop(scratch(), { settings: { intervalMinutes: 1_440 } });
  await using _ = shop;
  const may = ask(shop, ['configure']);
  expect((await may('/config', { intervalMinutes: 2_880 })).status).toBe(200);
  for (const body of [
    { intervalMinutes: 2_879 },
    { intervalMinutes: 1, verify: 'full' },
    { revert: ['intervalMinutes'] },
  ])
    expect([body, (await may('/config', body)).status]).toEqual([body, 403]);
  expect((await may('/config', { intervalMinutes: 10_000 })).status).toBe(200);
  expect((await ask(shop, ['configure', 'delete'])('/config', { intervalMinutes: 1 })).status).toBe(200);
});

test('whoever may change and not delete pins, and takes no pin away', async () => {
  await using shop = openShop(scratch());
  const { filename } = await shop.service.performBackup();
  const change = async (rights: readonly Action[], pinned: boolean) => {
    const authorize = (_: Request, action: Action) => rights.includes(action) && { user: 'ada' };
    const server = createServer({ service: shop.service, authorize });
    const body = JSON.stringify({ pinned });
    const url = `http://localhost/backup/api/backups/${filename}`;
    return (await server.fetch(new Request(url, { method: 'PATCH', body }))).status;
  };
  expect([await change(['change'], true), await change(['change'], false)]).toEqual([200, 403]);
  expect(shop.service.getAudit({ limit: 1 })[0]).toMatchObject({ act: 'request', user: 'ada', result: 'refused' });
  expect((await shop.service.getBackup(filename ?? '')).pinned).toBe(true);
  expect(await change(['change', 'delete'], false)).toBe(200);
});

test('whoever may configure and not delete can’t shorten the history, by no name and no revert', async () => {
  const { shop, old } = await openHistory(scratch());
  await using _ = shop;
  shop.service.updateConfig({ retentionCount: 20 });
  const before = shop.service.getConfig();
  const may = ask(shop, ['backup', 'configure']);
  for (const body of [
    { retentionCount: 1 },
    { keepDaily: 0 },
    { keepHourly: 0, keepWeekly: 0 },
    { enabled: false, retentionCount: 1 },
    { revert: ['retentionCount'] },
  ]) {
    const answer = await may('/config', body);
    expect([body, answer.status]).toEqual([body, 403]);
    expect(((await answer.json()) as { error: { code: string; message: string } }).error).toMatchObject({
      code: 'FORBIDDEN',
      message: 'changing what is kept removes backups, and needs the right to delete them',
    });
    expect(shop.service.getConfig()).toEqual(before);
  }
  await shop.service.performBackup();
  const there = await left(shop);
  expect(old.filter((name) => !there.has(name))).toEqual([]);
});

test('the other settings need no right to delete, and the number that holds already is no change', async () => {
  const { shop } = await openHistory(scratch());
  await using _ = shop;
  const may = ask(shop, ['configure']);
  for (const body of [{ enabled: false }, { retentionCount: 10, intervalMinutes: 30 }, { revert: ['retentionCount'] }])
    expect([body, (await may('/config', body)).status]).toEqual([body, 200]);
  expect(shop.service.getConfig()).toMatchObject({ enabled: false, intervalMinutes: 30, retentionCount: 10 });
});

test('with both rights what is kept is changed, and back', async () => {
  const { shop } = await openHistory(scratch());
  await using _ = shop;
  const may = ask(shop, ['configure', 'delete']);
  const change = async (body: object) => {
    const answer = await may('/config', body);
    const { keepDaily, keepHourly, keepIsDefault } = (await answer.json()) as Record<string, unknown>;
    return [answer.status, keepHourly, keepDaily, keepIsDefault];
  };
  expect(await change({ keepDaily: 30 })).toEqual([200, 24, 30, false]);
  expect(await change({ revert: ['keepDaily'] })).toEqual([200, 24, 7, true]);
});

test('in the library nothing of this is asked', async () => {
  const { shop, old } = await openHistory(scratch());
  await using _ = shop;
  shop.service.updateConfig({ retentionCount: 1, keepHourly: 0, keepDaily: 0, keepWeekly: 0 });
  await shop.service.performBackup();
  const there = await left(shop);
  expect(old.filter((name) => there.has(name))).toEqual([]);
});
