import { expect, test } from 'bun:test';
import { heldService } from '../../../tests/support/held-jobs.ts';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';

const scratch = scratchFolders();
const manifest = manifestOf(new Date('2024-03-01T12:00:00Z'));

type Held = ReturnType<typeof heldService>;

/** Does that while the folder is read, or our own identity is written: both take their time. */
const waits: Record<string, (held: Held, meanwhile: () => void) => void> = {
  'the folder is read': ({ rooms: { context } }, meanwhile) => {
    const list = context.catalog.list.bind(context.catalog);
    context.catalog.list = async () => {
      meanwhile();
      return await list();
    };
  },
  'our identity is written': ({ rooms: { context } }, meanwhile) => {
    const selfToWrite = context.places.selfToWrite.bind(context.places);
    context.places.selfToWrite = async () => {
      meanwhile();
      return await selfToWrite();
    };
  },
};
for (const [when, meanwhileOf] of Object.entries(waits)) {
  test(`no upload begins after the service was stopped, or S3 switched off, while ${when}`, async () => {
    await using held = heldService(scratch());
    const { jobs, s3, set, put } = held;
    await put(manifest);
    let meanwhile = () => {};
    meanwhileOf(held, () => meanwhile());
    meanwhile = () => set({ s3Enabled: false });
    await s3.uploads.run();
    set({ s3Enabled: true });
    let stopped: Promise<void> | undefined;
    meanwhile = () => {
      stopped ??= s3.stop();
    };
    await s3.uploads.run();
    await stopped;
    expect(stopped).toBeDefined();
    expect(jobs.begun).toEqual([]);
    expect(s3.uploads.states().get(manifest.name)).toBeUndefined();
  });
}

test('a stopped target begins no job before it is started again', async () => {
  await using held = heldService(scratch());
  const { jobs, s3 } = held;
  await s3.stop();
  const [refused] = await Promise.allSettled([s3.refresh()]);
  expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'ABORTED' } });
  expect([jobs.begun, s3.known.listError]).toEqual([[], null]);
  s3.start();
  expect((await jobs.next('list-remote')).request.prefix).toBe('old');
});
