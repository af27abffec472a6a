import { closeSync, fsyncSync, openSync } from 'node:fs';

/** Makes renames in a folder durable. */
export function syncFolderNow(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
