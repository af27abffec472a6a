/**
 * Files and folders of our own that can't be used (another user's, damaged, of another kind) are moved out of the way and
 * never removed: whoever can read them may still want them, and no backup waits for that.
 */
import { randomUUID } from 'node:crypto';
import { accessSync, constants, lstatSync, renameSync, statSync } from 'node:fs';
import { makePrivateFolder } from './private-folder.ts';

/** Hears what was moved, in a whole sentence. */
export type Warn = (message: string) => void;

/** @returns where it is now. @throws the system's error when it can't be moved either. */
export function setAside(path: string): string {
  const aside = `${path}.unusable-${randomUUID().slice(0, 8)}`;
  renameSync(path, aside);
  return aside;
}

/** Makes a folder of ours, or takes the one that is there if this user can work in it. */
export function prepareOwnFolder(path: string, warn: Warn): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  // A link leads wherever its maker likes.
  if (found && (found.isSymbolicLink() || !mayWorkIn(path))) {
    const aside = setAside(path);
    warn(`${path} can't be used by the user of this process; it was moved to ${aside}, which may be removed.`);
  }
  makePrivateFolder(path);
}

function mayWorkIn(folder: string): boolean {
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return statSync(folder).isDirectory();
  } catch {
    return false;
  }
}
