/**
 * A backup folder that was there before keeps its mode: it may be a share, or the folder of the database itself, and an
 * app whose folder is closed loses its own database. That others may look into it is said instead.
 */
import { readdirSync, statSync } from 'node:fs';
import { isEntryOfOurs } from '../../engine/format/names.ts';

const OTHERS = 0o077;

/** Null if it is closed to others, or can't be looked at. */
export function openFolderWarning(
  folder: string,
  named: string,
): { readonly mode: string; readonly message: string } | null {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (!found || (found.mode & OTHERS) === 0) return null;
  const mode = octal(found.mode);
  const message = `The backup folder ${named} is open to other users of this machine (${mode}). It existed before and keeps its mode; the files of the backups are closed to others. ${closeIt(named, holdsOthersFiles(folder))}.`;
  return { mode, message };
}

export const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');

/** What to do about it: nobody may be shut out of a folder that is not for backups alone. */
export function closeIt(named: string, isShared: boolean): string {
  return isShared
    ? 'Other files are there too: give the backups a folder of their own (BACKUP_LOCAL_PATH)'
    : `Close it with \`chmod 700 ${named}\``;
}

/** Does anything lie there that is no backup and none of our own files? */
export function holdsOthersFiles(folder: string): boolean {
  try {
    return readdirSync(folder).some((entry) => !entry.startsWith('.') && !isEntryOfOurs(entry));
  } catch {
    return false;
  }
}
