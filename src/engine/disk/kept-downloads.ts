/**
 * Where a download lies that may have to be gone on with: a folder under a name that can be foreseen, so that the next
 * command finds it, and therefore only where no other user can have made it. That is beside the place asked for, if that
 * folder is this user's and nobody else may write there; else in the user's own cache.
 */
import { homedir } from 'node:os';
import { lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freeBytes } from './folder-error.ts';
import { makePrivateFolder } from './private-folder.ts';

/** Hidden beside a new file. */
const BESIDE = '.velist-backup-fetch';
const OTHERS_WRITE = 0o022;
/** More than a download leaves free (`fetch.ts`), so that a home that is nearly full stops none. */
const SPARE_BYTES = 32 * 1024 * 1024;

/** Null where there is no such place with room: then a download that is cut begins anew. */
export function folderForDownload(to: string, { sizeBytes }: { readonly sizeBytes: number }): string | null {
  const beside = join(dirname(to), BESIDE);
  if (isOwn(statSync(dirname(to))) && isOwnOrMissing(beside)) return beside;
  const home = homedir();
  const kept = join(home, '.cache', 'velist-backup', 'downloads');
  try {
    if (!isOwn(statSync(home))) return null;
    makePrivateFolder(kept);
    const folders = [dirname(dirname(kept)), dirname(kept), kept];
    return folders.every((folder) => isOwn(lstatSync(folder))) && freeBytes(kept) > sizeBytes + SPARE_BYTES
      ? kept
      : null;
  } catch {
    // Without a home, as in a container whose disk is read-only.
    return null;
  }
}

function isOwnOrMissing(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found === undefined || isOwn(found);
}

/** A folder, and no link to one, that only this user writes in. */
function isOwn(found: ReturnType<typeof lstatSync>): boolean {
  if (!found?.isDirectory()) return false;
  return (
    process.geteuid === undefined || (found.uid === process.geteuid() && (Number(found.mode) & OTHERS_WRITE) === 0)
  );
}
