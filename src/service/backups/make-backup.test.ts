import { expect, test } from 'bun:test';
import { heldService, listingWith } from '../../../tests/support/held-jobs.ts';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { NO_REMARKS } from '../../engine/sqlite/rules.ts';

const scratch = scratchFolders();

test('a backup is shown as running until it is recorded, so that whoever looks meanwhile misses none', async () => {
  const shown: unknown[] = [];
  await using held = heldService(scratch(), (_, message) => {
    const { kind, mayStop } = held.rooms.context.runs.shown ?? {};
    if (message.startsWith('Completed: ')) shown.push(kind, mayStop);
  });
  const { local } = held.rooms.makeBackup.request({ trigger: 'manual', user: null, plannedAt: null });
  for (const _ of [held.s3, held.second]) (await held.jobs.next('list-remote')).answer(listingWith());
  const job = await held.jobs.next('backup');
  const manifest = manifestOf(new Date());
  await held.put(manifest);
  job.answer({ name: manifest.name, sizeBytes: 8192, removed: [], loss: null, ...NO_REMARKS });
  expect((await local).success).toBe(true);
  expect(shown).toEqual(['backup', false]);
  expect(held.rooms.context.runs.shown).toBeNull();
});
