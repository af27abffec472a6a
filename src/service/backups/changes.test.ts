import { expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { heldService, listingWith } from '../../../tests/support/held-jobs.ts';
import { manifestOf, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';

const scratch = scratchFolders();
const manifest = manifestOf(new Date('2024-03-01T12:00:00Z'));
const { name } = manifest;

/** The backup is in the folder and on S3; the upload to the second bucket was never tried. */
async function onS3Alone() {
  const held = heldService(scratch());
  const { jobs, rooms, s3, put } = held;
  await put(manifest);
  const look = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith(manifest));
  await look;
  const isHere = async () => existsSync((await rooms.context.catalog.list())[0]?.path ?? '');
  return { ...held, isHere };
}

test('a backup that is deleted at one target is not uploaded to another meanwhile', async () => {
  await using held = await onS3Alone();
  const { jobs, rooms, s3, second, isHere } = held;
  const deleted = rooms.changes.delete(name, { user: 'ada' });
  const job = await jobs.next('remove-remote');
  await second.uploads.run();
  expect(jobs.begun).toEqual(['list-remote', 'remove-remote']);
  job.answer(null);
  await deleted;
  expect([await isHere(), s3.find(name), s3.uploads.states().get(name)]).toMatchObject([
    false,
    null,
    { status: 'removed', why: 'by ada' },
  ]);
  // It was never there.
  expect(second.uploads.states().get(name)).toBeUndefined();
});

test('a backup that could not be deleted is as it was before, at each target', async () => {
  await using held = await onS3Alone();
  const { jobs, rooms, s3, second, isHere } = held;
  const refused = refusal(() => rooms.changes.delete(name, {}));
  const unreachable = new BackupError('S3_UNREACHABLE', 'there was no answer', { hint: 'Look at the network.' });
  (await jobs.next('remove-remote')).fail(unreachable);
  expect((await refused).code).toBe('S3_UNREACHABLE');
  expect([await isHere(), s3.uploads.states().get(name)?.status]).toEqual([true, 'stored']);
  const run = second.uploads.run();
  const { request, fail } = await jobs.next('upload');
  expect([request.target, request.name]).toEqual(['second', name]);
  fail(unreachable);
  await run;
});
