/** Rows rescued by the service: in the line of runs, behind a safety copy or a mark, in the records, and back again. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { capturedShops, capturing, order, texts } from '../support/captured-shop.ts';
import { ask, change, openShop, refusal, scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(120_000);
const newFolder = scratchFolders();
const { startShop } = capturedShops();

test('rows that are gone come back from a backup, behind a safety copy, and can be taken back once', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  const { filename = '' } = await service.performBackup();
  change(databasePath, "DELETE FROM notes WHERE id <= 30; UPDATE notes SET text = 'new' WHERE id = 40");
  const asked = { of: filename, tables: [{ table: 'notes' }] };
  const plan = await service.planRescue(asked);
  expect(plan).toMatchObject({
    of: filename,
    writes: 30,
    blocked: [],
    tables: [{ name: 'notes', insert: 30, conflicts: 0 }],
  });
  change(databasePath, 'INSERT INTO notes SELECT 7, text FROM notes WHERE id = 50');
  expect((await refusal(() => service.rescue(asked, { expected: plan.expected }))).code).toBe('DB_CHANGED');
  change(databasePath, 'DELETE FROM notes WHERE id = 7');
  const rescue = await service.rescue(asked, { expected: plan.expected, user: 'ada' });
  expect(rescue).toMatchObject({ of: filename, written: 30, user: 'ada', undoneAt: null });
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(100);
  expect(ask(databasePath, "SELECT count(*) FROM notes WHERE text = 'new'")).toBe(1);
  const safety = (await service.getBackups()).filter((backup) => backup.safety);
  expect(safety).toMatchObject([{ note: `Before rows were rescued from ${filename}` }]);
  // It holds what a rescue added to, and is no restore that could be undone.
  expect((await service.getStatus()).undo).toBe(null);
  expect(await service.rescues()).toEqual([rescue]);
  const { undone, left } = await service.undoRescue(rescue.id);
  expect([undone, left, ask(databasePath, 'SELECT count(*) FROM notes')]).toEqual([30, 0, 70]);
  expect((await refusal(() => service.undoRescue(rescue.id))).code).toBe('NOTHING_TO_UNDO');
  expect((await refusal(() => service.undoRescue('20240115t103000-0123456789ab'))).code).toBe('NO_BACKUP');
  expect(service.getRuns({ limit: 6 }).map(({ kind, result }) => `${kind} ${result}`)).toEqual([
    ...['undo-rescue refused', 'undo-rescue success'],
    ...['rescue success', 'rescue refused', 'backup success'],
  ]);
  expect(service.getAudit({ limit: 3 }).map(({ act, result, subject }) => [act, result, subject])).toEqual([
    ['undo-rescue', 'failed', '20240115t103000-0123456789ab'],
    ['undo-rescue', 'failed', rescue.id],
    ['undo-rescue', 'done', rescue.id],
  ]);
  const { filename: after = '' } = await service.performBackup();
  expect((await service.getBackup(after)).loss).toBe(null);
});

test('while commits are captured, a mark is set instead, and rows come back from a moment', async () => {
  const { service, app } = await startShop();
  await capturing(service);
  await order(app, 'one');
  await order(app, 'two');
  const { bookmark } = await service.mark('before the loss');
  await app.run('DELETE FROM orders');
  await service.mark('after the loss');
  const rescue = await service.rescue({ of: bookmark, tables: [{ table: 'orders' }] });
  expect(rescue).toMatchObject({ of: bookmark, written: 2 });
  expect(await texts(app)).toEqual(['one', 'two']);
  const { marks } = await service.moments();
  expect(marks.map(({ name }) => name)).toContain(`before rescue ${rescue.id}`);
  expect((await service.getBackups()).filter((backup) => backup.safety)).toEqual([]);
});

test('any SQLite file may be the source, but for the live database itself', async () => {
  await using shop = openShop(newFolder());
  const { service, databasePath } = shop;
  const copy = join(newFolder(), 'copy.sqlite');
  change(databasePath, `VACUUM INTO '${copy}'`);
  change(databasePath, 'DELETE FROM notes WHERE id = 5');
  expect(await service.rescue({ of: copy, tables: [{ table: 'notes', keys: ['["i5"]'] }] })).toMatchObject({
    written: 1,
  });
  const tables = [{ table: 'notes' }];
  expect((await refusal(() => service.planRescue({ of: databasePath, tables }))).code).toBe('BAD_BACKUP');
  expect((await refusal(() => service.rescue({ of: copy, tables }))).code).toBe('BAD_REQUEST');
});
