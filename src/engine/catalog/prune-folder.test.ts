/** Retention carried out while people say something of the backups that it is about. */
import { expect, test } from 'bun:test';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { type Backup, Catalog } from './folder-catalog.ts';
import { isBackupName } from '../format/names.ts';
import { prune } from './prune-folder.ts';
import type { JobEvent } from '../../words/story.ts';

const scratch = scratchFolders();
const DAY_MS = 86_400_000;
const now = new Date('2026-03-10T12:00:00Z');

/** Calls `then` once, when it was listed for the first time. */
class WatchedCatalog extends Catalog {
  #then: (() => Promise<unknown>) | null;

  constructor(folder: string, then: () => Promise<unknown>) {
    super(folder);
    this.#then = then;
  }

  override async list(): Promise<readonly Backup[]> {
    const backups = await super.list();
    const then = this.#then;
    this.#then = null;
    await then?.();
    return backups;
  }
}

/** Backups of the last days, the newest first; one is to be kept. */
async function folderOf(days: number) {
  const catalog = new Catalog(scratch());
  const names: string[] = [];
  for (let day = 0; day < days; day++) {
    const manifest = manifestOf(new Date(now.getTime() - day * DAY_MS), { sequence: 100 - day });
    writeFileSync(join(catalog.folder, manifest.name), Buffer.alloc(8192));
    await catalog.writeManifest(manifest);
    names.push(manifest.name);
  }
  return { catalog, names, left: () => readdirSync(catalog.folder).filter(isBackupName).sort().reverse() };
}

const events: JobEvent[] = [];
const context = {
  signal: new AbortController().signal,
  now: () => now,
  onEvent: (event: JobEvent) => events.push(event),
};
const carryOut = (catalog: Catalog) => prune(catalog, undefined, { count: 1, startBurstMs: 1 }, context);

test('a backup that is pinned after the plan was made is kept, and all the others go', async () => {
  const { catalog, names, left } = await folderOf(5);
  const [newest = '', , pinned = ''] = names;
  const pin = () => catalog.changeManifest(pinned, (manifest) => ({ ...manifest, pinned: true }));
  const removed = await carryOut(new WatchedCatalog(catalog.folder, pin));
  expect(removed).toEqual(names.filter((name) => name !== newest && name !== pinned));
  expect(left()).toEqual([newest, pinned]);
  expect((await catalog.find(pinned)).manifest?.pinned).toBe(true);
});

test('a pin that is set just now comes first', async () => {
  const { catalog, names, left } = await folderOf(2);
  const [newest = '', pinned = ''] = names;
  let pruning: Promise<unknown>;
  {
    using _lock = await catalog.lockManifests();
    pruning = carryOut(new Catalog(catalog.folder));
    await Bun.sleep(300);
    const { manifest } = await catalog.find(pinned);
    if (manifest) await catalog.writeManifest({ ...manifest, pinned: true });
  }
  expect(await pruning).toEqual([]);
  expect(left()).toEqual([newest, pinned]);
});

test('where the newest one is deleted meanwhile, the next one is the newest and stays', async () => {
  const { catalog, names, left } = await folderOf(3);
  const [newest = '', next = '', oldest = ''] = names;
  const remove = async () => await catalog.remove(await catalog.find(newest));
  expect(await carryOut(new WatchedCatalog(catalog.folder, remove))).toEqual([oldest]);
  expect(left()).toEqual([next]);
});

test('a pin that is taken away meanwhile removes nothing that was not planned', async () => {
  const { catalog, names, left } = await folderOf(3);
  const [newest = '', pinned = '', oldest = ''] = names;
  const setPin = (isPinned: boolean) => catalog.changeManifest(pinned, (one) => ({ ...one, pinned: isPinned }));
  await setPin(true);
  expect(await carryOut(new WatchedCatalog(catalog.folder, () => setPin(false)))).toEqual([oldest]);
  expect(left()).toEqual([newest, pinned]);
});

test('nothing is removed while the manifests can not be locked, and that is said', async () => {
  const { catalog, names, left } = await folderOf(2);
  events.length = 0;
  const busy = new Catalog(catalog.folder);
  busy.lockManifests = async () => {
    throw new Error('no lock');
  };
  expect(await carryOut(busy)).toEqual([]);
  expect(left()).toEqual(names);
  expect(events).toEqual([{ type: 'warning', message: expect.stringContaining('Not removed by retention: no lock') }]);
});
