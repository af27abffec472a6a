/** Flushes a folder, which makes the new names, the renames and the removals in it durable. */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, sep } from 'node:path';
import { errnoCode } from '../../words/errors.ts';

export async function syncFolder(folder: string): Promise<void> {
  if (NEEDS_NONE) return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function syncFolderNow(folder: string): void {
  if (NEEDS_NONE) return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** Makes a new folder durable: it is an entry of the one above, which we may use and perhaps not read. */
export function syncNewFolder(folder: string): void {
  try {
    syncFolderNow(dirname(folder));
  } catch (error) {
    if (!CANNOT_SYNC.has(errnoCode(error))) throw error;
  }
}

/** Windows opens no folders. */
const NEEDS_NONE = sep === '\\';

/** It may not be opened for reading, or its file system syncs no folders. */
const CANNOT_SYNC: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'EINVAL', 'ENOTSUP']);
