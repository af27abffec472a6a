/** The history that a folder keeps by default, on disks of their own that are small or full. Needs root, to mount them. */
import { afterEach, expect, test } from 'bun:test';
import { copyFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nameBackup } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { diskRoom } from '../../src/engine/disk/share.ts';
import { KEEP_BY_DEFAULT } from '../../src/engine/catalog/retention.ts';
import { toKeepSettings } from '../../src/service/targets/retention-policies.ts';
import { openShop, scratchFolders, type Shop } from '../support/scratch.ts';
import { must } from './hard-cases.ts';

const MB = 1024 * 1024;
const dayMs = 86_400_000;
const scratch = scratchFolders();
const mounted: string[] = [];
afterEach(() => {
  for (const path of mounted.splice(0)) must('umount', ['--lazy', path]);
});

/** A folder by default on a disk of that size, with a backup for each of so many days; 7,000 rows are about 1 MB. */
async function openFolder(diskBytes: number, days: number, rows = 7_000) {
  const disk = scratch();
  must('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes},mode=0755`, 'tmpfs', disk]);
  mounted.push(disk);
  const shop = openShop(scratch(), {
    ...{ backupsPath: join(disk, 'backups'), form: { rows }, keepIsDefault: true },
    settings: { ...toKeepSettings(KEEP_BY_DEFAULT), retentionCount: 3 },
  });
  const { filename = '' } = await shop.service.performBackup();
  const catalog = new Catalog(shop.backups);
  const { manifest, sizeBytes } = await catalog.find(filename);
  if (!manifest) throw new Error('the first backup has no manifest');
  for (let day = 1; day <= days; day++) {
    const at = new Date(Date.now() - day * dayMs);
    const name = nameBackup(at);
    copyFileSync(join(shop.backups, filename), join(shop.backups, name));
    await catalog.writeManifest({
      ...{ ...manifest, name, createdAt: at.toISOString(), sequence: (manifest.sequence ?? 0) - day },
      // The copy has a time of its own.
      published: undefined,
      artifact: { ...manifest.artifact, file: name },
    });
  }
  return { shop, disk, sizeBytes };
}

const heldBytes = ({ backups }: Shop) =>
  readdirSync(backups)
    .filter((name) => name.endsWith('.sqlite'))
    .reduce((sum, name) => sum + statSync(join(backups, name)).size, 0);
const daysOf = async ({ service }: Shop) =>
  new Set((await service.getBackups()).map(({ createdAt }) => createdAt.toISOString().slice(0, 10))).size;

test('all copies stay below a fifth of the disk, the newest days among them, and the plan says why others go', async () => {
  const { shop, sizeBytes } = await openFolder(50 * MB, 12);
  await using _ = shop;
  const { removed } = await shop.service.prune({ dryRun: true });
  const noRoom = 'older than the newest 3, and the default share of the disk for backups is used up';
  expect(removed.map(({ reason }) => reason)).toContain(noRoom);
  await shop.service.performBackup();
  expect(heldBytes(shop)).toBeLessThanOrEqual(10 * MB);
  expect(heldBytes(shop)).toBeGreaterThan(10 * MB - 2 * sizeBytes);
  expect(await daysOf(shop)).toBeGreaterThanOrEqual(6);
  expect((await shop.service.getStatus()).local.forecast.note).toContain('There is room for about');
});

test('a disk without room for them keeps the count, and page and doctor say so', async () => {
  const { shop } = await openFolder(32 * MB, 1, 20_000);
  await using _ = shop;
  for (let round = 0; round < 3; round++) expect((await shop.service.performBackup()).success).toBe(true);
  expect(await shop.service.getBackups()).toHaveLength(3);
  const { fitting, note } = (await shop.service.getStatus()).local.forecast;
  expect([fitting, note]).toEqual([0, expect.stringContaining('There is no room for any of them: only the newest 3')]);
  const { findings } = await shop.service.diagnose();
  const what = findings.find(({ code }) => code === 'history')?.what;
  expect(what).toContain('all copies together may take a fifth of the disk by default, and there is no room for more');
});

test('where others fill the disk the history gives back what each run adds, so that backups go on and days stay', async () => {
  const { shop, disk, sizeBytes } = await openFolder(60 * MB, 7);
  await using _ = shop;
  // Room for one more backup and the reserve, and for no other.
  const ballastBytes = diskRoom(disk).freeBytes - 16 * MB - 2 * sizeBytes;
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(ballastBytes));
  const before = await daysOf(shop);
  for (let round = 0; round < 10; round++) {
    const { success, error } = await shop.service.performBackup();
    expect([success, error]).toEqual([true, undefined]);
  }
  // The newest three take their room from the history, and no more.
  expect(await daysOf(shop)).toBeGreaterThanOrEqual(before - 3);
});
