import { closeSync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoCode } from '../../words/errors.ts';

/** Makes renames in a folder durable. */
export function syncFolderNow(folder: string): void {
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

/** It may not be opened for reading, or its file system syncs no folders. */
const CANNOT_SYNC: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'EINVAL', 'ENOTSUP']);
