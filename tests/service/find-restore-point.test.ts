/** The library and the service choose as the command line does; the rules are in `engine/restore-points/plan.test.ts`. */
import { expect, test } from 'bun:test';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, openElsewhere, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';
import { sayMoment } from '../../src/words/moment.ts';

const scratch = scratchFolders();
const count = 'SELECT count(*) FROM notes';

/** Two backups, of 100 rows and of 101. */
async function twoBackups(shop: Shop): Promise<readonly [string, string]> {
  const { filename: older = '' } = await shop.service.performBackup();
  const app = await openElsewhere(shop.databasePath);
  await app.ask("INSERT INTO notes (text) VALUES ('later') RETURNING id");
  await app.close();
  const { filename: newer = '' } = await shop.service.performBackup();
  return [older, newer];
}

const momentOfBackup = async (shop: Shop, name: string) => (await shop.service.getBackup(name)).createdAt;

test('the latest, and the one of a moment, are restored without their names, and the moment is said', async () => {
  await using shop = openShop(scratch());
  const { service } = shop;
  const [older, newer] = await twoBackups(shop);
  const at = await momentOfBackup(shop, older);
  const moment = { at, said: sayMoment(at) };
  expect(await service.planRestore({ latest: true })).toMatchObject({ backup: newer });
  expect(await service.planRestore({ at })).toMatchObject({ backup: older, moment });
  expect(await service.findRestorePoint({ at: at.toISOString() })).toMatchObject({
    ...{ filename: older, target: 'local', other: null, moment, warnings: [], skipped: [] },
  });

  expect(await service.restore({ at })).toMatchObject({ backup: older, mode: 'online', moment });
  expect(ask(shop.databasePath, count)).toBe(100);
  // The safety backup of that restore is newer, and is not the latest.
  const restored = await service.restore({ latest: true });
  expect([restored.backup, 'moment' in restored, ask(shop.databasePath, count)]).toEqual([newer, false, 101]);
  const to = join(scratch(), 'new.sqlite');
  expect(await service.restore({ backup: older }, { mode: 'file', to })).toMatchObject({ backup: older, path: to });
  expect(service.getAudit({ limit: 3 }).map(({ subject }) => subject)).toEqual([older, newer, older]);
});

test('a damaged backup that is newer is passed over, and that is said by plan and log', async () => {
  await using shop = openShop(scratch());
  const [older, newer] = await twoBackups(shop);
  truncateSync(join(shop.backups, newer), 5_000);
  const found = await shop.service.findRestorePoint({ latest: true });
  expect(found).toMatchObject({ filename: older, skipped: [{ filename: newer, target: 'local' }] });
  expect(found.warnings).toEqual([expect.stringContaining(`${newer} is newer and was passed over: `)]);
  expect((await shop.service.planRestore({ latest: true })).warnings).toEqual(found.warnings as string[]);
  await shop.service.restore({ latest: true }, { mode: 'file', to: join(scratch(), 'new.sqlite') });
  expect(shop.log.join('\n')).toContain(`${newer} is newer and was passed over`);
});

test('what names no backup restores nothing, and says how to write it', async () => {
  await using shop = openShop(scratch());
  const none = await refusal(() => shop.service.restore({ latest: true }));
  expect([none.code, none.message]).toEqual(['NO_BACKUP', 'there is no verified backup yet']);
  const [older] = await twoBackups(shop);
  const early = new Date((await momentOfBackup(shop, older)).getTime() - 1);
  expect((await refusal(() => shop.service.restore({ at: early }))).message).toBe(
    `there is no backup from ${sayMoment(early)} or before`,
  );
  const wrong = await refusal(() => shop.service.restore({ at: 'teatime' }));
  expect([wrong.code, wrong.hint]).toEqual(['BAD_REQUEST', expect.stringContaining('2 hours ago')]);
  const path = join(scratch(), 'elsewhere.sqlite');
  writeFileSync(path, '');
  // A restore point is no way to a path.
  expect((await refusal(() => shop.service.restore({ backup: path }))).code).toBe('BAD_NAME');
  expect(ask(shop.databasePath, count)).toBe(101);
  const [failed] = shop.service.getAudit({ limit: 1 });
  expect(failed).toMatchObject({ act: 'restore', subject: JSON.stringify({ backup: path }), result: 'failed' });
});
