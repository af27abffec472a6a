import { afterEach, expect, jest, spyOn, test } from 'bun:test';
import { cpSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { isBackupName } from '../../src/engine/format/names.ts';
import { ask, openShop, refusal, scratchFolders, type Shop, touch } from '../support/scratch.ts';

const scratch = scratchFolders();
afterEach(() => jest.useRealTimers());

async function backUp({ service }: Shop): Promise<string> {
  return (await service.performBackup()).filename ?? '';
}
/** As many other bytes, as a careless program would write them, and not within the same tick of the system's clock. */
function overwrite(path: string): void {
  writeFileSync(path, Buffer.alloc(statSync(path).size));
  touch(path);
}
const told = async ({ service }: Shop) => {
  const { verdict, freshness } = await service.getStatus();
  return [verdict.code, verdict.tone, freshness.state];
};

test('a backup that was overwritten is seen at the next look, and found damaged when it is verified', async () => {
  await using shop = openShop(scratch());
  const name = await backUp(shop);
  expect((await shop.service.getBackup(name)).verified).toBe(true);
  overwrite(join(shop.backups, name));
  const { verified, verification } = await shop.service.getBackup(name);
  expect([verified, verification]).toEqual([false, { state: 'unchecked', changedAt: expect.any(Date) }]);
  expect(await told(shop)).toEqual(['changed', 'red', 'unprotected']);
  expect((await shop.service.verifyBackup(name)).verification.state).toBe('damaged');
  expect(await told(shop)).toEqual(['damaged', 'red', 'unprotected']);
  expect((await shop.service.getBackup(name)).verification.state).toBe('damaged');
});

test('a good one before it still counts, and a new one ends it', async () => {
  await using shop = openShop(scratch());
  const first = await backUp(shop);
  const second = await backUp(shop);
  overwrite(join(shop.backups, second));
  expect(await told(shop)).toEqual(['changed', 'amber', 'at-risk']);
  expect((await shop.service.getStatus()).lastGood?.filename).toBe(first);
  await backUp(shop);
  expect(await told(shop)).toEqual(['protected', 'green', 'protected']);
});

test('a file that was only touched is put right by verifying it', async () => {
  await using shop = openShop(scratch());
  const name = await backUp(shop);
  touch(join(shop.backups, name));
  expect(await told(shop)).toEqual(['changed', 'red', 'unprotected']);
  expect((await shop.service.verifyBackup(name)).verified).toBe(true);
  expect(await told(shop)).toEqual(['protected', 'green', 'protected']);
});

test('a pin changes nothing of this, and an adopted file is known by its time too', async () => {
  await using shop = openShop(scratch());
  const name = await backUp(shop);
  await shop.service.updateBackup(name, { pinned: true });
  expect((await shop.service.getBackup(name)).verified).toBe(true);
  const foreign = 'backup-2024-01-15T10-30-00-000Z.sqlite';
  cpSync(join(shop.backups, name), join(shop.backups, foreign));
  expect((await shop.service.adoptBackup(foreign)).verified).toBe(true);
  overwrite(join(shop.backups, foreign));
  expect((await shop.service.getBackup(foreign)).verification).toMatchObject({ changedAt: expect.any(Date) });
});

test('of a folder that was copied without its times nothing is removed, all of it can be restored, and plans verify it', async () => {
  const folder = scratch();
  await using shop = openShop(folder, { settings: { retentionCount: 2 } });
  for (let round = 0; round < 2; round++) await backUp(shop);
  await shop.service.close();
  const copied = join(folder, 'copied');
  cpSync(shop.backups, copied, { recursive: true });
  for (const name of readdirSync(copied)) touch(join(copied, name));
  rmSync(shop.backups, { recursive: true });

  const service = shop.again({ backupsPath: copied });
  const moved: Shop = { ...shop, service, backups: copied };
  const names = () => readdirSync(copied).filter(isBackupName).length;
  for (let round = 0; round < 3; round++) await backUp(moved);
  // Two that are kept, and the two of which nobody knows.
  expect(names()).toBe(4);
  const [oldest] = (await service.getBackups()).toReversed();
  await service.restore(oldest?.filename ?? '', { mode: 'file', to: join(folder, 'x.sqlite') });
  expect(ask(join(folder, 'x.sqlite'), 'SELECT count(*) FROM notes')).toBe(100);

  service.start();
  const verified = 'Changed after it was published, and as it was: ';
  const failed = 'A backup whose file was changed could not be verified';
  await Promise.race([shop.logged(`info: ${verified}`), shop.logged(`warn: ${failed}`)]);
  expect(shop.log).not.toContainEqual(expect.stringContaining(failed));
  await service.stop();
  const states = (await service.getBackups()).map(({ verification }) => verification.state);
  expect(states.filter((state) => state === 'unchecked').length).toBeLessThan(2);
});

test('a backup that is removed as soon as its check is noted was verified', async () => {
  await using shop = openShop(scratch());
  const name = await backUp(shop);
  const { changeManifest } = Catalog.prototype;
  const noting = spyOn(Catalog.prototype, 'changeManifest').mockImplementation(async function (
    this: Catalog,
    ...change
  ) {
    const noted = await changeManifest.apply(this, change);
    await shop.service.deleteBackup(name);
    return noted;
  });
  try {
    expect((await shop.service.verifyBackup(name)).verified).toBe(true);
  } finally {
    noting.mockRestore();
  }
  expect((await refusal(() => shop.service.getBackup(name))).code).toBe('GONE');
});

test('what is restored is checked against its digest, whatever its time says', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const name = await backUp(shop);
  overwrite(join(shop.backups, name));
  const error = await refusal(() => shop.service.restore(name, { mode: 'file', to: join(folder, 'x.sqlite') }));
  expect(['VERIFY_FAILED', 'NOT_SQLITE']).toContain(error.code);
});
