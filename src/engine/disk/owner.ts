/**
 * What root makes in a folder of another user belongs to that user. `sudo velist-backup backup` once, or a line in root's
 * crontab, left files that the service could neither read nor remove from then on, and no backup was made any more.
 */
import { lchownSync, lstatSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Does nothing for another user than root, in a folder of root, and where the file system has no such owners. */
export function giveToOwnerOfFolder(path: string): void {
  if (process.getuid?.() !== 0) return;
  giveTo(path, lstatSync(dirname(path)));
}

/** The same for what lies in a folder already, from before files were given away at once; not for what lies below. */
export function giveBack(folder: string, { isOurs }: { readonly isOurs: (entry: string) => boolean }): void {
  if (process.getuid?.() !== 0) return;
  const owner = lstatSync(folder);
  if (owner.uid === 0) return;
  for (const entry of readdirSync(folder).filter(isOurs)) giveTo(join(folder, entry), owner);
}

function giveTo(path: string, { uid, gid }: { readonly uid: number; readonly gid: number }): void {
  if (uid === 0) return;
  try {
    const found = lstatSync(path);
    // A second name may be of a file elsewhere, which the owner of this folder may not have.
    if (found.uid !== 0 || (!found.isDirectory() && found.nlink > 1)) return;
    lchownSync(path, uid, gid);
  } catch {
    // A network file system that takes root for nobody, or it is gone: it stays as it was made.
  }
}
