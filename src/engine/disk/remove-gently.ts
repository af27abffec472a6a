/**
 * Removes a large file bit by bit. Freed all at once, a gigabyte keeps the disk so busy (discards, on most clouds) that
 * an app's fsync waits 40 to 75 ms, several times; freed 32 MB at a time, about 20 ms once.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSurelyUnused } from '../sqlite/open-files.ts';

const STEP_BYTES = 32 * 1024 * 1024;

/** A file whose name is gone. */
export interface Unlinked {
  /** To be called once, and not before its folder is synced: after a power cut the name may be there again. */
  free(): Promise<void>;
}

/** The name goes at once. Readers of the file (a download, an upload, another name of it) keep all of it. */
export async function removeGently(path: string): Promise<void> {
  const removed = await unlinkGently(path);
  await removed.free();
}

/** The name first: nobody can open the file any more while we find out whether anybody has it open. */
export async function unlinkGently(path: string): Promise<Unlinked> {
  const file = await openIfAllowed(path);
  try {
    await unlink(path);
  } catch (error) {
    await file?.close();
    throw error;
  }
  return {
    async free() {
      await using held = file;
      // If it can't be truncated, all of it is freed at once when it is closed.
      if (held) await shrink(held, dirname(path)).catch(() => {});
    },
  };
}

/** Null for a link, and for a file that we may remove and not write: the system frees it all at once. */
async function openIfAllowed(path: string): Promise<FileHandle | null> {
  return await open(path, constants.O_RDWR | constants.O_NOFOLLOW).catch(() => null);
}

/** A kill leaves nothing: the system frees the rest. */
async function shrink(file: FileHandle, folder: string): Promise<void> {
  const { size, nlink } = await file.stat();
  if (size <= STEP_BYTES || nlink > 0 || !isSurelyUnused(file.fd, folder)) return;
  for (let left = size - STEP_BYTES; left > 0; left -= STEP_BYTES) {
    const startedMs = performance.now();
    await file.truncate(left);
    await file.datasync();
    // The disk is left to the app for as long as that took.
    await sleep(performance.now() - startedMs);
  }
}
