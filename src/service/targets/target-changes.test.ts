import { expect, test } from 'bun:test';
import { heldService, listingWith } from '../../../tests/support/held-jobs.ts';
import { manifestOf, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { NO_IDENTITY, type PlaceIdentity } from '../../engine/catalog/identity.ts';
import type { Uploaded } from '../../engine/stories/upload-request.ts';
import { BackupError } from '../../words/errors.ts';

const scratch = scratchFolders();
const at = new Date('2024-03-01T12:00:00Z');
const manifest = manifestOf(at);
const { name } = manifest;
const damaged = { method: 'full', at: at.toISOString(), complaint: 'page 7 is lost' } as const;
const uploaded: Uploaded = {
  ...{ key: name, sealing: 'plain', listing: null, removed: [], survived: [], complaint: null, renumbered: 0 },
};
const unreachable = new BackupError('S3_UNREACHABLE', 'there was no answer', { hint: 'Look at the network.' });

/** The same backup is in the folder and at two places of S3, of which the target has the first one. */
async function twoPlaces() {
  const held = heldService(scratch());
  const { jobs, s3, put, set } = held;
  await put(manifest);
  for (const s3Path of ['new', 'old']) {
    set({ s3Path });
    const look = s3.refresh();
    (await jobs.next('list-remote')).answer(listingWith(manifest));
    await look;
  }
  /** What is known at the other place. */
  const atNew = () => {
    set({ s3Path: 'new' });
    return { copy: s3.find(name), upload: s3.uploads.states().get(name)?.status, isKnown: s3.known.toKnow().length };
  };
  return { ...held, atNew };
}

const untouched = { copy: { manifest, fault: null }, upload: 'stored', isKnown: 1 } as const;

test('a removal at the place of before is none at the one of now, whether it succeeds or fails', async () => {
  for (const failure of [null, unreachable]) {
    await using held = await twoPlaces();
    const { jobs, s3, atNew } = held;
    s3.known.noteRemoved(name, 'by hand');
    const removal = s3.changes.announceRemoval(name, 'by ada');
    const ended = Promise.allSettled([removal.carryOut()]);
    const job = await jobs.next('remove-remote');
    expect(job.request.prefix).toBe('old');
    atNew();
    if (failure) job.fail(failure);
    else job.answer(null);
    await ended;
    removal.end();
    expect(atNew()).toMatchObject(untouched);
  }
});

test('what a person said of a copy at the place of before is not said at the one of now', async () => {
  await using held = await twoPlaces();
  const { jobs, s3, atNew } = held;
  const said = s3.changes.say(name, { pinned: true });
  const job = await jobs.next('change-remote');
  atNew();
  job.answer(null);
  const look = await jobs.next('list-remote');
  expect(atNew()).toMatchObject(untouched);
  look.answer(listingWith(manifest));
  await said;
});

test('a claim of the place of before claims nothing at the one of now', async () => {
  await using held = await twoPlaces();
  const { jobs, s3, atNew } = held;
  const claim = s3.changes.claim(null);
  const job = await jobs.next('claim-remote');
  atNew();
  const identity: PlaceIdentity = { record: null, claims: [], complaint: 'it is another one' };
  job.answer({ epoch: 1, from: null, identity });
  await claim;
  expect(s3.known.identity).toEqual(NO_IDENTITY);
});

test('what a check found counts for the copy that was checked, and for no other', async () => {
  await using held = await twoPlaces();
  const { jobs, s3, set, atNew } = held;
  const copy = s3.find(name) ?? expect.unreachable();
  atNew();
  s3.changes.recordVerification(copy, damaged, null);
  expect(atNew()).toMatchObject(untouched);

  set({ s3Path: 'old' });
  s3.changes.recordVerification(copy, damaged, null);
  expect(s3.find(name)?.manifest?.verification).toEqual(damaged);
  const look = s3.refresh();
  const another = { ...manifest, artifact: { ...manifest.artifact, sha256: '1'.repeat(64) } };
  const { entries, ...rest } = listingWith(another);
  (await jobs.next('list-remote')).answer({ ...rest, entries: entries.map((entry) => ({ ...entry, etag: 'b' })) });
  await look;
  s3.changes.recordVerification(copy, damaged, null);
  expect(s3.find(name)?.manifest?.verification).toEqual(manifest.verification);
});

test('what is about to be removed is not uploaded, and waits again if it stays', async () => {
  await using held = heldService(scratch());
  const { jobs, s3, put } = held;
  await put(manifest);
  const removal = s3.changes.announceRemoval(name, 'by ada');
  await s3.uploads.run();
  expect(jobs.begun).toEqual([]);
  const carriedOut = refusal(removal.carryOut);
  const job = await jobs.next('remove-remote');
  await s3.uploads.run();
  expect(jobs.begun).toEqual(['remove-remote']);
  job.fail(unreachable);
  expect((await carriedOut).code).toBe('S3_UNREACHABLE');
  removal.end();
  const run = s3.uploads.run();
  const upload = await jobs.next('upload');
  upload.fail(unreachable);
  await run;
  expect(s3.uploads.states().get(name)?.status).toBe('failed');
});

test('an upload that ends while its backup is removed does not count as stored', async () => {
  await using held = heldService(scratch());
  const { jobs, s3, put } = held;
  await put(manifest);
  const run = s3.uploads.run();
  const upload = await jobs.next('upload');
  // It ends in this very moment.
  upload.answer(uploaded);
  const removal = s3.changes.announceRemoval(name, 'by ada');
  const done = removal.carryOut();
  const job = await jobs.next('remove-remote');
  await run;
  expect(s3.uploads.states().get(name)).toMatchObject({ status: 'removed', why: 'by ada' });
  job.answer(null);
  await done;
  removal.end();
  expect(s3.uploads.states().get(name)).toMatchObject({ status: 'removed', why: 'by ada' });
});

test('a place is not known for a note that a backup is not to be uploaded there', async () => {
  await using held = heldService(scratch());
  const { jobs, s3, put, set } = held;
  const knowsPlace = () => s3.writing.request().writing.knowsPlace;
  await put(manifest);
  const run = s3.uploads.run();
  (await jobs.next('upload')).answer(uploaded);
  await run;
  expect(knowsPlace()).toBe(true);
  set({ s3Path: 'new' });
  s3.changes.announceRemoval(name, 'by ada');
  expect([s3.uploads.states().get(name)?.status, knowsPlace()]).toEqual(['removed', false]);
});
