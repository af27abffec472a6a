/** Rescues over HTTP, as the contract says them: plan, rescue, list, undo, and what is refused. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import type { z } from 'zod';
import * as contract from '../../src/http/contract.ts';
import { createServer } from '../../src/http/server.ts';
import { change, openShop, scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(120_000);
const newFolder = scratchFolders();

test('rows are planned, rescued, listed and taken back, in the form of the contract', async () => {
  await using shop = openShop(newFolder());
  const { filename = '' } = await shop.service.performBackup();
  change(shop.databasePath, "DELETE FROM notes WHERE id < 4; UPDATE notes SET text = '<b>new</b>' WHERE id = 4");
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
    const document = await response.json();
    expect([response.status, document]).toEqual([200, answer.parse(document)]);
    return answer.parse(document);
  };
  const tables = [{ table: 'notes', changed: true, conflicts: 'take' }];
  const plan = await ask(contract.rescuePlan, 'POST', '/api/rescue/plan', { of: filename, tables });
  expect(plan).toMatchObject({ of: filename, writes: 4, tables: [{ insert: 3, update: 1, conflicts: 1 }] });
  expect(plan.conflicts).toMatchObject([
    { key: '["i4"]', columns: ['id', 'text'], live: [4, '<b>new</b>'], result: 'take' },
  ]);
  const { expected } = plan;
  const wrong = await send('POST', '/api/rescue', { of: filename, tables, expected: 'something else' });
  expect(await wrong.json()).toMatchObject({ error: { code: 'DB_CHANGED' } });
  const { rescue } = await ask(contract.rescuedAnswer, 'POST', '/api/rescue', { of: filename, tables, expected });
  expect(rescue).toMatchObject({ written: 4, user: 'ada', tables: [{ name: 'notes', inserted: 3, updated: 1 }] });
  expect((await ask(contract.rescues, 'GET', '/api/rescues')).rescues).toEqual([rescue]);
  const undone = await ask(contract.rescueUndone, 'POST', `/api/rescues/${rescue.id}/undo`);
  expect(undone).toMatchObject({ undone: 4, left: 0, rescue: { id: rescue.id, undoneAt: expect.any(String) } });
  for (const [path, body, status, code] of [
    // A path names no backup, whatever lies there.
    ['/api/rescue/plan', { of: shop.databasePath, tables }, 400, 'BAD_NAME'],
    ['/api/rescue/plan', { of: filename, since: '../shop.sqlite', tables }, 400, 'BAD_NAME'],
    ['/api/rescue/plan', { of: filename, tables: [] }, 422, 'BAD_REQUEST'],
    ['/api/rescue', { of: filename, tables }, 422, 'BAD_REQUEST'],
    ['/api/rescues/..%2f..%2fshop/undo', undefined, 422, 'BAD_REQUEST'],
    ['/api/rescues/20240115t103000-0123456789ab/undo', undefined, 404, 'NO_BACKUP'],
  ] as const) {
    const response = await send('POST', path, body);
    const { error } = (await response.json()) as { error?: { code: string } };
    expect([path, response.status, error?.code]).toEqual([path, status, code]);
  }
});
