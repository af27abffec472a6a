import { expect, test } from 'bun:test';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { LossMark } from '../../engine/format/manifest.ts';
import type { KnownBackup } from '../backups/backup-item.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import { Losses } from './losses.ts';

const now = new Date('2024-03-01T12:00:00Z');

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

test('a look that began before a target was listed leaves the comparison to the next one', async () => {
  const made = backupWith('2024-03-01T12:00:00Z', 0);
  const before = backupWith('2024-03-01T11:00:00Z', 5_000);
  let unseen: readonly RemoteTarget[] = [{} as RemoteTarget];
  let known: readonly KnownBackup[] = [made];
  const changed: [string, LossMark | undefined][] = [];
  const context = {
    ...{ options: {}, settings: { current: { lossIgnore: [] } }, now: () => now, log: () => {} },
    state: { history: { note: () => null } },
  } as unknown as ServiceContext; // what a look asks
  const losses = new Losses(context, {
    backups: {
      everywhere: async () => {
        const found = known;
        await Promise.resolve();
        return found;
      },
      find: () => expect.unreachable(),
      places: () => expect.unreachable(),
    },
    changes: { change: async (name, { loss }) => void changed.push([name, loss]) },
    restores: { lastRestore: () => null },
    targets: { unseen: () => unseen },
    ignore: () => expect.unreachable(),
  });
  losses.made(made.name, null);
  const early = losses.listed();
  unseen = [];
  known = [made, before];
  await early;
  expect(changed).toEqual([]);
  await Promise.all([losses.listed(), losses.listed()]);
  expect(changed.map(([name, loss]) => [name, loss?.before])).toEqual([[made.name, before.name]]);
});
