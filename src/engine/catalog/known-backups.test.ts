import { expect, test } from 'bun:test';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { isUnchanged } from '../disk/file-stamp.ts';
import { Catalog } from './folder-catalog.ts';
import { LOOKED_AT_ALWAYS } from './known-backups.ts';

const scratch = scratchFolders();
const OLDER = 40;
const MINUTE_MS = 60_000;

/** A folder of so many backups that the older ones are held, with a clock and a count of the files that are looked at. */
async function largeFolder() {
  const folder = scratch();
  const looked: string[] = [];
  const clock = { ms: 0 };
  const made: string[] = [];
  for (let number = 1; number <= OLDER + LOOKED_AT_ALWAYS; number++) {
    // The clock was set back in their middle: what is newest is told by the numbers.
    const day = number % (OLDER * 2);
    const manifest = manifestOf(new Date(Date.UTC(2024, 0, 1 + day, 0, 0, 0, number)), { sequence: number });
    writeFileSync(join(folder, manifest.name), Buffer.alloc(8192));
    writeFileSync(join(folder, `${manifest.name}.json`), JSON.stringify(manifest));
    made.push(manifest.name);
  }
  const catalog = new Catalog(folder, {
    nowMs: () => clock.ms,
    isUnchanged: (path, stamp) => {
      looked.push(path);
      return isUnchanged(path, stamp);
    },
  });
  const faultOf = async (name: string) => (await catalog.list()).find((backup) => backup.name === name)?.fault;
  const [oldest = '', newest = ''] = [made[0], made.at(-1)];
  const before = await catalog.list();
  expect(before[0]?.name).toBe(newest);
  const spoil = (name: string) => truncateSync(join(folder, name), 100);
  return { catalog, looked, clock, before, oldest, newest, faultOf, spoil };
}

test('a look takes in the newest of a large folder, and the older ones once a minute', async () => {
  const { catalog, looked, clock, before } = await largeFolder();
  for (clock.ms = 0; clock.ms < MINUTE_MS / 2; clock.ms += 1_000) {
    looked.length = 0;
    expect(await catalog.list()).toBe(before);
    expect(looked.length).toBe(2 * LOOKED_AT_ALWAYS);
  }
  clock.ms = MINUTE_MS * 3;
  looked.length = 0;
  await catalog.list();
  expect(looked.length).toBe(2 * (LOOKED_AT_ALWAYS + OLDER));
});

test('one of the newest that is changed in its place shows at the next look, by its number and not by its name', async () => {
  const { newest, faultOf, spoil } = await largeFolder();
  spoil(newest);
  expect(await faultOf(newest)).toContain('100 bytes');
});

test('an older one that is changed in its place shows within a minute, however often somebody looks', async () => {
  const { clock, oldest, faultOf, spoil } = await largeFolder();
  spoil(oldest);
  expect(await faultOf(oldest)).toBeNull();
  let fault: string | null | undefined = null;
  while (fault === null && clock.ms <= MINUTE_MS) {
    clock.ms += 1_000;
    fault = await faultOf(oldest);
  }
  expect(fault).toContain('100 bytes');
  expect(clock.ms).toBeLessThanOrEqual(MINUTE_MS + 1_000);
});

test('an older one that somebody asks for by name, or that may be removed, is looked at at once', async () => {
  const { catalog, oldest, spoil } = await largeFolder();
  const backup = await catalog.find(oldest);
  spoil(oldest);
  expect((await catalog.find(oldest)).fault).toContain('100 bytes');

  const other = await largeFolder();
  other.spoil(other.oldest);
  let seen = '' as string | null | undefined;
  await other.catalog.removeIf(backup, (backups) => {
    seen = backups.find(({ name }) => name === other.oldest)?.fault;
    return false;
  });
  expect(seen).toContain('100 bytes');
});

test('what this process writes into an older one shows at once', async () => {
  const { catalog, oldest } = await largeFolder();
  await catalog.changeManifest(oldest, (manifest) => ({ ...manifest, pinned: true }));
  expect((await catalog.list()).find(({ name }) => name === oldest)?.manifest?.pinned).toBe(true);
});
