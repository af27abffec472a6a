/** Retention at a target while what others made is spared, and while people say something of the backups there. */
import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMemoryStore } from '../../../tests/contracts/memory-store.ts';
import { keysOf, once } from '../../../tests/support/objects.ts';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { Catalog } from './folder-catalog.ts';
import { formatManifest, type Manifest } from '../format/manifest.ts';
import { listRemote } from './store-catalog.ts';
import { lockRemoteManifests, pinsOf, planRemoteRetention, pruneRemote } from './prune-store.ts';
import { bytesOf } from '../store/store.ts';

const scratch = scratchFolders();
const now = new Date('2026-03-01T12:00:00Z');
const policy = { count: 2, startBurstMs: 1 };
let sequence = 0;

function made(day: number, installation: string | null) {
  const at = new Date(Date.UTC(2026, 1, day));
  const madeBy = installation === null ? {} : { madeBy: { installation, host: 'a host' } };
  const manifest: Manifest = { ...manifestOf(at), sequence: ++sequence, ...madeBy };
  return { name: manifest.name, manifest, fault: null };
}

const plan = (entries: readonly ReturnType<typeof made>[], sparesAllBut: string | null) => {
  const { kept, removed } = planRemoteRetention(entries, policy, {
    pins: new Map(),
    ownership: null,
    now,
    sparesAllBut,
  });
  const day = (name: string) => Number(name.slice(15, 17));
  return {
    kept: kept.map(({ backup, reasons }) => `${day(backup.name)}: ${reasons.at(-1)}`),
    removed: removed.map(({ backup }) => day(backup.name)),
  };
};

test('only our own are counted and removed; what others made, or nobody knows who, stays', () => {
  const entries = [
    made(1, 'ours'),
    made(2, 'theirs'),
    made(3, null),
    made(4, 'ours'),
    made(5, 'theirs'),
    made(6, 'ours'),
  ];
  const others = 'made by another installation, and this one took over only recently';
  expect(plan(entries, 'ours')).toEqual({
    kept: [
      ...['6: one of the newest 2 (1)', `5: ${others}`, '4: one of the newest 2 (2)'],
      ...[`3: ${others}`, `2: ${others}`],
    ],
    removed: [1],
  });
});

test('afterwards all of them count alike', () => {
  const entries = [made(1, 'ours'), made(2, 'theirs'), made(3, null), made(4, 'ours')];
  expect(plan(entries, null)).toEqual({
    kept: ['4: one of the newest 2 (1)', '3: one of the newest 2 (2)'],
    removed: [2, 1],
  });
});

/** A target with the backups of the 1st to the 4th, the newest of which is to be kept, and a folder with the one of the 2nd. */
async function target() {
  const store = createMemoryStore();
  const catalog = new Catalog(scratch());
  const put = (manifest: Manifest) => store.put(`${manifest.name}.json`, bytesOf(formatManifest(manifest)));
  const manifests = [1, 2, 3, 4].map((day) => made(day, 'ours').manifest);
  for (const manifest of manifests) {
    await store.put(manifest.name, once('a'.repeat(8192)));
    await put(manifest);
  }
  const [, second, third] = manifests as [Manifest, Manifest, Manifest, Manifest];
  writeFileSync(join(catalog.folder, second.name), Buffer.alloc(8192));
  await catalog.writeManifest(second);
  const { signal } = new AbortController();
  const { entries } = await listRemote(store, { signal });
  /** @param meanwhile happens between the plan and the removals. */
  const prune = async (meanwhile: () => Promise<unknown>) => {
    const { removed } = await pruneRemote(
      store,
      entries,
      {
        retention: { count: 1, startBurstMs: 1 },
        holding: { epoch: 1, sparesAllBut: null, confirm: async () => void (await meanwhile()) },
        ...{ folder: catalog.folder, target: 's3', pins: await pinsOf(catalog), ownership: null },
      },
      { signal, now: () => now, onEvent: () => {} },
    );
    return removed.map((name) => Number(name.slice(15, 17))).sort();
  };
  const files = async () =>
    (await keysOf(store)).filter((key) => key.endsWith('.sqlite')).map((key) => Number(key.slice(15, 17)));
  return { store, catalog, put, second, third, prune, files, signal };
}

test('a backup that is pinned at the target after it was listed is kept', async () => {
  const { put, third, prune, files } = await target();
  expect(await prune(() => put({ ...third, pinned: true }))).toEqual([1, 2]);
  expect(await files()).toEqual([3, 4]);
});

test('a backup that is pinned in the folder after the target was listed is kept at the target', async () => {
  const { catalog, second, prune, files } = await target();
  const pin = () => catalog.changeManifest(second.name, (manifest) => ({ ...manifest, pinned: true }));
  expect(await prune(pin)).toEqual([1, 3]);
  expect(await files()).toEqual([2, 4]);
});

test('who changes what is said there comes first, and retention sees it', async () => {
  const { catalog, put, third, prune, files, signal } = await target();
  const lock = await lockRemoteManifests(catalog.folder, 's3', { signal });
  const pruning = prune(async () => {});
  await Bun.sleep(300);
  await put({ ...third, pinned: true });
  lock[Symbol.dispose]();
  expect(await pruning).toEqual([1, 2]);
  expect(await files()).toEqual([3, 4]);
});

test('a file whose manifest is gone meanwhile may be one that is uploaded anew, and stays', async () => {
  const { store, third, prune, files } = await target();
  expect(await prune(() => store.delete(`${third.name}.json`))).toEqual([1, 2]);
  expect(await files()).toEqual([3, 4]);
});
