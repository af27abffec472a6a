import { expect, test } from 'bun:test';
import { heldService, listingWith } from '../../../tests/support/held-jobs.ts';
import { manifestOf, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import type { Uploaded } from '../../engine/stories/upload-request.ts';
import { BackupError } from '../../words/errors.ts';
import { BY_RETENTION } from '../state/run-history.ts';

const scratch = scratchFolders();
const manifest = manifestOf(new Date('2024-03-01T12:00:00Z'));
const { name } = manifest;
const uploaded: Uploaded = {
  ...{ key: name, sealing: 'plain', listing: null, removed: [], survived: [], complaint: null, renumbered: 0 },
};
const unreachable = new BackupError('S3_UNREACHABLE', 'there was no answer', { hint: 'Look at the network.' });

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
    const { jobs, s3, set, put, rooms } = held;
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
    // What is seen before it is begun is no run that was stopped.
    const runs = rooms.context.state.history.list({ kind: 'upload', limit: 10 });
    expect(runs).toHaveLength(when === 'the folder is read' ? 0 : 2);
    expect(s3.uploads.states().get(name)).toBeUndefined();
  });
}

test('while a target stops, no job begins there; stopped, it still works by hand, and uploads nothing by itself', async () => {
  await using held = heldService(scratch());
  const { jobs, s3, put } = held;
  await put(manifest);
  const stopped = s3.stop();
  expect((await refusal(() => s3.refresh())).code).toBe('ABORTED');
  expect([jobs.begun, s3.known.listError]).toEqual([[], null]);
  await stopped;
  const look = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith());
  await look;
  await s3.uploads.run();
  expect(jobs.begun).toEqual(['list-remote']);
  s3.start();
  (await jobs.next('list-remote')).answer(listingWith());
  expect((await jobs.next('upload')).request.name).toBe(name);
});

test('what becomes of an upload to the place of before is not noted at the one of now', async () => {
  for (const outcome of ['stored', 'failed', 'looked through'] as const) {
    await using held = heldService(scratch());
    const { jobs, s3, set, put, rooms } = held;
    await put(manifest);
    let meanwhile = () => {};
    waits['the folder is read']?.(held, () => meanwhile());
    const run = s3.uploads.run();
    const upload = await jobs.next('upload');
    const move = () => set({ s3Path: 'new' });
    if (outcome === 'looked through') meanwhile = move;
    else move();
    if (outcome === 'failed') upload.fail(unreachable);
    else
      upload.answer({
        ...uploaded,
        listing: listingWith(manifest),
        removed: ['backup-2024-01-01T00-00-00-000Z.sqlite'],
      });
    await run;
    expect(rooms.context.settings.current.s3Path).toBe('new');
    expect([...s3.uploads.states().keys(), s3.uploads.nextTry.error, s3.known.identity]).toEqual([null, null]);
  }
});

test('a copy that retention removed with its own upload was removed by retention', async () => {
  await using held = heldService(scratch());
  const { jobs, s3, put } = held;
  await put(manifest);
  const run = s3.uploads.run();
  (await jobs.next('upload')).answer({ ...uploaded, listing: listingWith(), removed: [name] });
  await run;
  expect(s3.uploads.states().get(name)).toMatchObject({ status: 'removed', why: BY_RETENTION });
});

test('what was removed since it was found waiting is not uploaded', async () => {
  await using held = heldService(scratch());
  const { jobs, s3, put } = held;
  await put(manifest);
  const found = await s3.uploads.waiting();
  expect(found.map((backup) => backup.name)).toEqual([name]);
  s3.uploads.waiting = async () => {
    s3.known.noteRemoved(name, 'by ada');
    return found;
  };
  await s3.uploads.run();
  expect([jobs.begun, s3.uploads.states().get(name)?.status]).toEqual([[], 'removed']);
});
