/**
 * Removes a large file bit by bit. Freed all at once, a gigabyte keeps the disk so busy (discards, on most clouds) that
 * an app's fsync waits 40 to 75 ms, several times; freed 32 MB at a time, about 20 ms once.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isOpenSomewhere } from '../sqlite/open-files.ts';

const STEP_BYTES = 32 * 1024 * 1024;

/**
 * Under its name it is gone at once. Whoever still reads it (a download, an upload, another name of the same file) keeps
 * all of it: then the name alone is removed. Killed, it leaves a hidden file that the next run removes.
 */
export async function removeGently(path: string): Promise<void> {
  const hidden = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  await rename(path, hidden);
  try {
    await shrink(hidden);
  } finally {
    await unlink(hidden);
  }
}

async function shrink(path: string): Promise<void> {
  // Where nobody can tell, it may be.
  if (isOpenSomewhere(path) !== false) return;
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const { size, nlink } = await file.stat();
    if (nlink > 1) return;
    for (let left = size - STEP_BYTES; left > 0; left -= STEP_BYTES) {
      const startedMs = performance.now();
      await file.truncate(left);
      await file.datasync();
      // As long as it took, the disk is the app's.
      await sleep(performance.now() - startedMs);
    }
  } finally {
    await file.close();
  }
}
