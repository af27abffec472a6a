import { expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { addSegment } from '../../../tests/support/small-stream.ts';
import { takeLock } from '../disk/lock.ts';
import { LocalStream } from '../replication/local-stream.ts';
import { MARKS_LOCK, nameMoment, pendingMarks, readMarks, writeMarks } from '../replication/marks.ts';
import { makeMomentFile, mark } from './moments.ts';

const scratch = scratchFolders();
const at = new Date('2024-01-01T09:12:00Z');
const { signal } = new AbortController();
const context = { signal, now: () => at, onEvent: () => {} };

async function makeStream() {
  const stream = new LocalStream(join(scratch(), 'continuous'));
  stream.prepare();
  await addSegment(stream, 9, 1n, at);
  const { folder } = stream;
  return { stream, folder, markIt: (name: string) => mark({ kind: 'mark', folder, name, waitMs: 60_000 }, context) };
}

test('a mark without a replicator names the newest moment there is once its turn has come', async () => {
  const { stream, folder, markIt } = await makeStream();
  const lock = await takeLock(join(folder, MARKS_LOCK), { waitMs: 60_000, signal });
  const made = markIt('before import 42');
  await addSegment(stream, 0, 2n, at);
  lock[Symbol.dispose]();
  expect((await made).bookmark).toBe('0000000000000002');
});

test('a name that is a time or a bookmark is refused', async () => {
  const { folder, markIt } = await makeStream();
  for (const name of ['2024-01-01', '09:30', 'yesterday', '2 hours ago', '00000000000000ff']) {
    const { code, message } = await refusal(() => markIt(name));
    expect([code, message]).toEqual(['BAD_REQUEST', expect.stringContaining(name)]);
  }
  expect(readMarks(folder)).toEqual([]);
});

test('a moment is the one of the marks that were asked for before it was captured, and of no later one', async () => {
  const { folder } = await makeStream();
  const asked = (name: string, bookmark: string | null = null) => ({ name, at: at.toISOString(), bookmark });
  writeMarks(folder, [asked('old', '0000000000000001'), asked('before')]);
  const pending = pendingMarks(folder);
  writeMarks(folder, [...readMarks(folder), asked('since')]);
  await nameMoment(folder, pending, '0000000000000002', signal);
  const marked = readMarks(folder).map(({ name, bookmark }) => `${name}: ${bookmark}`);
  expect(marked).toEqual(['old: 0000000000000001', 'before: 0000000000000002', 'since: null']);
});

test('a moment for which the disk has no room is not begun', async () => {
  const { stream, folder } = await makeStream();
  await addSegment(stream, 0, 2n, at, { commitPages: 2 ** 32 - 1, pageSize: 65_536 });
  const to = join(scratch(), 'moment.sqlite');
  const bookmark = '0000000000000002';
  const { code, message } = await refusal(() => makeMomentFile({ kind: 'moment-file', folder, bookmark, to }, context));
  expect([code, message]).toEqual(['DISK_FULL', expect.stringContaining('needed')]);
  expect(existsSync(to)).toBe(false);
});
