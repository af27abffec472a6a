import { expect, test } from 'bun:test';
import { heldService, listingWith } from '../../../tests/support/held-jobs.ts';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';

const scratch = scratchFolders();
const manifest = manifestOf(new Date('2024-03-01T12:00:00Z'));
const unreachable = new BackupError('S3_UNREACHABLE', 'there was no answer', { hint: 'Look at the network.' });

test('who asks while another place is looked at gets a look at the place of now, and nothing is uploaded before', async () => {
  await using service = heldService(scratch());
  const { jobs, s3, rooms, put, set } = service;
  await put(manifest);
  const first = s3.refresh();
  const atOld = await jobs.next('list-remote');
  rooms.context.isStarted = true;
  set({ s3Path: 'new' });
  const second = s3.refresh();
  atOld.answer(listingWith());
  const atNew = await jobs.next('list-remote');
  expect([atOld.request.prefix, atNew.request.prefix]).toEqual(['old', 'new']);
  expect(jobs.begun).toEqual(['list-remote', 'list-remote']);
  expect(s3.known.listedAt).toBeNull();
  atNew.answer(listingWith());
  expect(await Promise.all([first, second])).toHaveLength(2);
  expect(s3.known.listedAt).not.toBeNull();
  const { request } = await jobs.next('upload');
  expect([request.prefix, request.name]).toEqual(['new', manifest.name]);
});

test('what went wrong at the place of before is no error of the one of now', async () => {
  await using service = heldService(scratch());
  const { jobs, s3, set } = service;
  const look = s3.refresh();
  const atOld = await jobs.next('list-remote');
  set({ s3Path: 'new' });
  atOld.fail(unreachable);
  (await jobs.next('list-remote')).answer(listingWith(manifest));
  await look;
  expect([s3.known.listError, s3.find(manifest.name)?.name]).toEqual([null, manifest.name]);
});

test('a look that fails is the error of all who asked, and the next one is another', async () => {
  await using service = heldService(scratch());
  const { jobs, s3 } = service;
  const looks = Promise.allSettled([s3.refresh(), s3.refresh()]);
  (await jobs.next('list-remote')).fail(unreachable);
  expect(await looks).toMatchObject([{ reason: unreachable }, { reason: unreachable }]);
  expect(s3.known.listError).toMatchObject({ code: 'S3_UNREACHABLE' });
  const again = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith());
  await again;
  expect([s3.known.listError, jobs.begun.length]).toEqual([null, 2]);
});

test('what was found at the place of before is not believed of the one of now', async () => {
  await using service = heldService(scratch());
  const { jobs, s3, rooms, put, set } = service;
  await put(manifest);
  const { catalog } = rooms.context;
  const list = catalog.list.bind(catalog);
  catalog.list = async () => {
    // While the folder is read.
    set({ s3Path: 'new' });
    return await list();
  };
  const look = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith(manifest));
  (await jobs.next('list-remote')).answer(listingWith());
  await look;
  expect([...s3.uploads.states()]).toEqual([]);
  catalog.list = list;
  set({ s3Path: 'old' });
  expect([...s3.known.entries().keys()]).toEqual([manifest.name]);
});

test('a pin is set there once the manifest is shown, and not while it is not', async () => {
  await using service = heldService(scratch());
  const { jobs, s3, rooms, put } = service;
  await put({ ...manifest, pinned: true });
  const first = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith(manifest));
  await first;
  rooms.context.isStarted = true;
  const second = s3.refresh();
  const entry = { name: manifest.name, etag: '', fault: 'S3 did not answer' };
  (await jobs.next('list-remote')).answer({ ...listingWith(), entries: [entry] });
  await second;
  expect(jobs.begun).toEqual(['list-remote', 'list-remote']);
  const third = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith(manifest));
  const { request, answer } = await jobs.next('change-remote');
  expect([request.name, request.pinned]).toEqual([manifest.name, true]);
  answer(null);
  await third;
});

test('pins that were to be set at the place of before are not set at the one of now', async () => {
  await using service = heldService(scratch());
  const { jobs, s3, rooms, put, set } = service;
  const two = [manifest, manifestOf(new Date('2024-03-01T13:00:00Z'))];
  for (const one of two) await put({ ...one, pinned: true });
  rooms.context.isStarted = true;
  const look = s3.refresh();
  (await jobs.next('list-remote')).answer(listingWith(...two));
  const first = await jobs.next('change-remote');
  set({ s3Path: 'new' });
  first.answer(null);
  (await jobs.next('list-remote')).answer(listingWith());
  await look;
  expect(jobs.begun.filter((kind) => kind !== 'upload')).toEqual(['list-remote', 'change-remote', 'list-remote']);
});
