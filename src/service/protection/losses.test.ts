import { expect, test } from 'bun:test';
import { manifestOf } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import type { KnownBackup } from '../backups/backup-item.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import { Losses } from './losses.ts';

function backupWith(at: string, rows: number): KnownBackup {
  const createdAt = new Date(at);
  const bytes = rows * 100;
  const facts = {
    tables: { orders: { rows, bytes, contentBytes: bytes, schema: 'orders' } },
    ...{ furtherTables: 0, furtherRows: 0, schema: 'x', usedPages: 1 + Math.ceil(bytes / 4096), contentBytes: bytes },
  };
  const manifest = { ...manifestOf(createdAt), facts };
  const { name } = manifest;
  return { name, createdAt, fault: null, manifest, path: name, sizeBytes: bytes };
}

const made = backupWith('2024-03-01T12:00:00Z', 0);
const before = backupWith('2024-03-01T11:00:00Z', 5_000);
const expected: (readonly [string, string | undefined])[] = [[made.name, before.name]];

/** A rebuilt machine: the history is at a target that does not answer yet. */
function rebuilt({ ownChangeAt = null as Date | null } = {}) {
  const scene = {
    unseen: [{ refresh: async () => {} } as RemoteTarget] as readonly RemoteTarget[],
    known: [made] as readonly KnownBackup[],
    failures: 0,
    changed: [] as (readonly [string, string | undefined])[],
    warned: [] as string[],
    listTarget() {
      scene.unseen = [];
      scene.known = [made, before];
    },
  };
  const context = {
    ...{ options: {}, settings: { current: { lossIgnore: [] } }, now: () => made.createdAt },
    log: (level: string, message: string) => level === 'warn' && scene.warned.push(message),
    state: { history: { note: () => ownChangeAt?.toISOString() ?? null } },
  } as unknown as ServiceContext; // what a look asks
  const losses = new Losses(context, {
    backups: {
      everywhere: async () => {
        const found = scene.known;
        await Promise.resolve();
        return found;
      },
      find: () => expect.unreachable(),
      places: () => expect.unreachable(),
    },
    changes: {
      async change(name, { loss }) {
        if (scene.failures-- > 0) throw new BackupError('BUSY', 'the manifests are held', { hint: 'Wait.' });
        scene.changed.push([name, loss?.before]);
      },
    },
    restores: { lastRestore: () => null },
    targets: { unseen: () => scene.unseen },
    ignore: () => expect.unreachable(),
  });
  return { ...{ losses, scene }, ask: () => losses.question(), make: () => losses.made(made.name, null) };
}

test('a look that began before a target was listed leaves the comparison to the next one', async () => {
  const { losses, scene, ask, make } = rebuilt();
  await ask();
  await make();
  const early = losses.listed();
  scene.listTarget();
  await early;
  expect(scene.changed).toEqual([]);
  await Promise.all([losses.listed(), losses.listed()]);
  expect(scene.changed).toEqual(expected);
});

test('a target that is listed while the backup is made is compared with it afterwards', async () => {
  const { scene, ask, make } = rebuilt();
  await ask();
  scene.listTarget();
  await make();
  expect(scene.changed).toEqual(expected);
});

test('what a target alone holds was there before, also if it bears the higher number', async () => {
  const { scene, ask, make } = rebuilt();
  await ask();
  scene.unseen = [];
  const { path: _, ...elsewhere } = before as Backup;
  scene.known = [{ ...elsewhere, target: 's3', place: '', etag: '' } as KnownBackup, made];
  await make();
  expect(scene.changed).toEqual(expected);
});

test('a mark that could not be written is written by the next look', async () => {
  const { losses, scene, ask, make } = rebuilt();
  scene.failures = 1;
  await ask();
  scene.listTarget();
  await make();
  expect([scene.changed, scene.warned[0]]).toEqual([[], expect.stringContaining('the manifests are held')]);
  await losses.listed();
  expect(scene.changed).toEqual(expected);
});

test('a migration excuses what was lost before the backup, not what is found after it', async () => {
  for (const [minutes, changed] of [
    [-1, []],
    [1, expected],
  ] as const) {
    const { scene, ask, make } = rebuilt({ ownChangeAt: new Date(made.createdAt.getTime() + minutes * 60_000) });
    await ask();
    scene.listTarget();
    await make();
    expect(scene.changed).toEqual([...changed]);
  }
});
