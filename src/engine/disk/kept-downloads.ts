/**
 * The place for a download that may have to be resumed: a folder with a predictable name, so that the next command
 * finds it, and therefore only where no other user can have made it. That is beside the requested place, if that folder
 * is this user's and nobody else may write there; otherwise in the user's own cache.
 */
import { homedir } from 'node:os';
import { lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freeBytes } from './folder-error.ts';
import { makePrivateFolder } from './private-folder.ts';

/** Hidden beside a new file. */
const BESIDE = '.velist-backup-fetch';
const OTHERS_WRITE = 0o022;
/** More than a download leaves free (`fetch.ts`), so that a nearly full home stops no download. */
const SPARE_BYTES = 32 * 1024 * 1024;

/** Null if there is no such place with room: an interrupted download then begins again. */
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

/** A folder, not a link to one, to which only this user writes. */
function isOwn(found: ReturnType<typeof lstatSync>): boolean {
  if (!found?.isDirectory()) return false;
  return (
    process.geteuid === undefined || (found.uid === process.geteuid() && (Number(found.mode) & OTHERS_WRITE) === 0)
  );
}
