import { expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openShop, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { Credentials } from '../state/credentials.ts';
import { folderInState } from '../state/state-database.ts';
import type { FurtherTarget } from './targets.ts';

const newFolder = scratchFolders();
const place = { bucket: 'mine', region: 'us-east-1', endpoint: 'https://s3.example.com', forcePathStyle: null };

/** What the page set up before the app listed these further targets. */
function openLater(targets: (folder: string) => readonly FurtherTarget[]) {
  const folder = newFolder();
  mkdirSync(join(folder, 'nas'));
  const shop = openShop(folder, { form: null, settings: { s3Path: 'eu', s3Enabled: true } });
  const state = join(folder, 'state.sqlite');
  const file = new Credentials(state, { folder: folderInState(state, shop.backups), warn: expect.unreachable });
  file.change('s3', { ...place, accessKey: 'AKIA', secretKey: 'hush', lifecycleDays: null });
  file.change('folder', { path: join(folder, 'nas'), below: 'shop' });
  return { shop, service: shop.again({ targets: targets(folder) }) };
}
const used = async (service: ReturnType<typeof openLater>['service']) =>
  (await service.getStatus()).targets.map(({ target }) => target);

test('one target of the page that is in conflict takes no other along, and its reason is told', async () => {
  const { shop, service } = openLater(() =>
    ['eu', 'asia'].map((name) => ({ ...place, name, prefix: name, retentionCount: null })),
  );
  await using _ = shop;
  expect(await used(service)).toEqual(['eu', 'asia', 'folder']);
  const complaint = 'the targets s3 and eu are one place: s3://mine/eu';
  expect(service.setUp.show()).toMatchObject({
    s3: { setBy: 'page', where: null, complaint },
    folder: { setBy: 'page', complaint: null },
  });
  const { findings } = await service.diagnose();
  expect(findings.find(({ code }) => code === 'set-up')).toMatchObject({
    severity: 'problem',
    what: expect.stringContaining(complaint),
  });
  // At another path it is in use at once, and it never comes back into the conflict.
  service.updateConfig({ s3Path: 'us' });
  expect(await used(service)).toEqual(['s3', 'eu', 'asia', 'folder']);
  expect(service.setUp.show().s3).toMatchObject({ where: 's3://mine/us', complaint: null });
  const said = shop.log.filter((line) => line.includes('not in use'));
  expect(said).toEqual([`warn: The bucket that was set up on the page is not in use: ${complaint}.`]);
  expect((await refusal(() => service.updateConfig({ revert: ['s3Path'] }))).message).toBe(complaint);
  expect((await refusal(() => service.updateConfig({ s3Path: 'asia' }))).message).toContain('s3 and asia are one');
  expect(service.getConfig().s3Path).toBe('us');
  // A change that was refused changed nothing.
  expect(shop.log.filter((line) => line.includes('not in use'))).toEqual(said);
});

test('a folder of the page that is the app’s by now leaves the bucket in use', async () => {
  const { shop, service } = openLater((folder) => [
    { kind: 'folder', name: 'nas', path: join(folder, 'nas'), prefix: 'shop', retentionCount: null },
  ]);
  await using _ = shop;
  expect(await used(service)).toEqual(['s3', 'nas']);
  expect(service.setUp.show()).toMatchObject({
    s3: { where: 's3://mine/eu', complaint: null },
    folder: { setBy: 'page', where: null, complaint: expect.stringContaining('are one place') },
  });
});
