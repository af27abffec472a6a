/** Continuous backup over HTTP, with a real stream: moments, marks, pause, and a restore to a moment with its plan and undo. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import type { z } from 'zod';
import * as contract from '../../src/http/contract.ts';
import { createServer } from '../../src/http/server.ts';
import { aMoment, capturedShops, capturing, order, texts, untilStatus } from '../support/captured-shop.ts';

setDefaultTimeout(120_000);
const { startShop } = capturedShops();

async function servedShop(more: Parameters<typeof startShop>[0] = {}) {
  const shop = await startShop(more);
  if (more.isOn !== false) await capturing(shop.service);
  const server = createServer({ service: shop.service, authorize: () => ({ user: 'ada' }), onError: () => {} });
  const send = async (method: string, path: string, body?: object) =>
    await server.fetch(
      new Request(`https://app.example/backup${path}`, {
        method,
        ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      }),
    );
  const ask = async <Answer extends z.ZodType>(answer: Answer, method: string, path: string, body?: object) => {
    const response = await send(method, path, body);
    expect(response.status).toBe(200);
    return answer.parse(await response.json());
  };
  return { ...shop, send, ask };
}

test('marks are made, listed with the ranges, and bounded by from and to', async () => {
  const { app, ask, send } = await servedShop();
  await order(app, 'one');
  const first = await ask(contract.mark, 'POST', '/api/marks', { name: 'before import 42' });
  expect(first).toEqual({ name: 'before import 42', bookmark: expect.stringMatching(/^[0-9a-f]{16}$/) });
  const between = (await aMoment()).toISOString();
  await order(app, 'two');
  await ask(contract.mark, 'POST', '/api/marks', { name: 'after' });
  const named = ({ marks }: z.output<typeof contract.moments>) => marks.map(({ name }) => name);
  const all = await ask(contract.moments, 'GET', '/api/moments');
  expect([named(all), all.gaps]).toEqual([['before import 42', 'after'], []]);
  expect(all.found?.bookmark).toBe(all.marks[1]?.bookmark ?? '');
  const later = await ask(contract.moments, 'GET', `/api/moments?from=${encodeURIComponent(between)}`);
  expect([named(later), later.ranges.every(({ from }) => from >= between)]).toEqual([['after'], true]);
  expect(named(await ask(contract.moments, 'GET', `/api/moments?to=${encodeURIComponent(between)}`))).toEqual([
    'before import 42',
  ]);
  expect((await send('GET', '/api/moments?from=someday')).status).toBe(422);
  for (const body of [{ name: '' }, { name: 'x'.repeat(201) }, { name: 7 }, {}, { name: 'a', more: 1 }])
    expect((await send('POST', '/api/marks', body)).status).toBe(422);
  const taken = await send('POST', '/api/marks', { name: 'after' });
  expect(await taken.json()).toMatchObject({
    error: { code: 'BAD_REQUEST', message: expect.stringContaining('already') },
  });
});

test('a plan and a restore take the time, the bookmark or the mark of a moment, and the undo brings back what was there', async () => {
  const { app, ask, service } = await servedShop();
  await order(app, 'one');
  const { bookmark } = await ask(contract.mark, 'POST', '/api/marks', { name: 'good' });
  const at = (await aMoment()).toISOString();
  await order(app, 'two');
  for (const wish of [bookmark, 'good', at]) {
    const plan = await ask(contract.restorePlan, 'GET', `/api/restore?at=${encodeURIComponent(wish)}`);
    expect([plan.backup, plan.mode, plan.undo, plan.after.verified]).toEqual([bookmark, 'online', true, true]);
    expect(plan.tables).toContainEqual({ name: 'orders', now: 2, after: 1 });
    const body = { at: wish, confirm: 'shop.sqlite', expected: plan.expected };
    const restored = await ask(contract.restoreResult, 'POST', '/api/restore', body);
    expect([restored.success, restored.backup, restored.safetyBackup !== null]).toEqual([true, bookmark, true]);
    expect(await texts(app)).toEqual(['one']);
    await ask(contract.restoreResult, 'POST', '/api/restore/undo', { confirm: 'shop.sqlite' });
    expect(await texts(app)).toEqual(['one', 'two']);
  }
  const [run] = service.getRuns({ kind: 'restore' });
  expect(run).toMatchObject({ backup: bookmark, user: 'ada', result: 'success' });
});

test('the newest state is restored by `latest`, and a moment that is not there is refused by name', async () => {
  const { app, ask, send, service } = await servedShop();
  await order(app, 'one');
  await service.performBackup();
  await order(app, 'two');
  const { bookmark } = await service.mark('newest');
  const plan = await ask(contract.restorePlan, 'GET', '/api/restore?latest=true');
  expect(plan.backup).toBe(bookmark);
  const none = await send('GET', '/api/restore?at=00000000000000ff');
  expect([none.status, await none.json()]).toMatchObject([404, { error: { code: 'NO_MOMENT' } }]);
  const wrong = await send('POST', '/api/restore', { at: bookmark, confirm: 'other.sqlite' });
  expect([wrong.status, await wrong.json()]).toMatchObject([409, { error: { code: 'CONFIRM_MISMATCH' } }]);
});

test('paused, the database is let go; resumed, it is captured again; who did it is in the audit record', async () => {
  const { app, ask, service } = await servedShop();
  await ask(contract.pauseAnswer, 'POST', '/api/continuous/pause');
  await untilStatus(service, ({ continuous }) => continuous?.phase === 'paused');
  expect(await app.run('PRAGMA journal_mode = DELETE')).toEqual([{ journal_mode: 'delete' }]);
  await app.run('PRAGMA journal_mode = WAL');
  expect(await ask(contract.resumeAnswer, 'POST', '/api/continuous/resume')).toEqual({
    paused: false,
    wasPaused: true,
  });
  await capturing(service);
  expect(await ask(contract.resumeAnswer, 'POST', '/api/continuous/resume')).toEqual({
    paused: false,
    wasPaused: false,
  });
});

test('a drill of a moment is asked for by `at`, and the status has its result', async () => {
  const { app, ask, service } = await servedShop();
  await order(app, 'one');
  const { bookmark } = await service.mark('good');
  const { ok, drills } = await ask(contract.drillReport, 'POST', '/api/drill', { at: 'good' });
  expect([ok, drills]).toMatchObject([true, [{ target: 'local', result: 'proven', backup: bookmark }]]);
  const { continuous } = await ask(contract.status, 'GET', '/api/status');
  expect(continuous?.drill).toMatchObject({ result: 'proven', bookmark, moment: drills[0]?.moment });
});

test('without a stream each of them is refused, and nothing is made', async () => {
  const { send } = await servedShop({ isOn: false });
  for (const [method, path, body] of [
    ['GET', '/api/moments'],
    ['POST', '/api/marks', { name: 'x' }],
    ['POST', '/api/continuous/pause'],
    ['POST', '/api/continuous/resume'],
  ] as const) {
    const response = await send(method, path, body);
    expect([path, response.status, await response.json()]).toMatchObject([path, 404, { error: { code: 'NO_MOMENT' } }]);
  }
});
