import { expect, test } from 'bun:test';
import { truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { openBackup } from './opened-backup.ts';

const scratch = scratchFolders();
const sizeBytes = 3 * 256 * 1024;

async function opened() {
  const path = join(scratch(), 'a');
  writeFileSync(path, Buffer.alloc(sizeBytes));
  const file = await open(path);
  const isClosed = () => file.fd === -1;
  return { path, file, isClosed, backup: await openBackup({ file, sha256: 'abc', isTimeOfBytes: true }) };
}

test('the file is closed when its bytes end, when the reader leaves, and when nothing was read', async () => {
  const whole = await opened();
  expect((await new Response(whole.backup.stream(0, sizeBytes - 1)).bytes()).length).toBe(sizeBytes);
  expect(whole.isClosed()).toBe(true);

  const left = await opened();
  const reader = left.backup.stream(0, sizeBytes - 1).getReader();
  await reader.read();
  expect(left.isClosed()).toBe(false);
  await reader.cancel();
  expect(left.isClosed()).toBe(true);

  const unread = await opened();
  await unread.backup.close();
  await unread.backup.close();
  expect(unread.isClosed()).toBe(true);
});

test('the file is closed when reading fails or its end comes too soon', async () => {
  const short = await opened();
  const stream = short.backup.stream(0, sizeBytes - 1);
  truncateSync(short.path, 10);
  await expect(new Response(stream).bytes()).rejects.toThrow();
  expect(short.isClosed()).toBe(true);

  const { file } = await opened();
  await file.close();
  await expect(openBackup({ file, sha256: null, isTimeOfBytes: true })).rejects.toThrow();
});

test('the tag has the size, and the time where it is that of the bytes', async () => {
  const { file, backup } = await opened();
  const { mtimeMs } = await file.stat();
  expect(backup.etag).toBe(`"abc-${sizeBytes}-${Math.trunc(mtimeMs)}"`);
  expect((await openBackup({ file, sha256: 'abc', isTimeOfBytes: false })).etag).toBe(`"abc-${sizeBytes}"`);
  await file.close();
});
