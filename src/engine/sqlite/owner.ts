import { chownSync, statSync } from 'node:fs';

/** Root restores before the app starts, and the app that may make files in that folder must be able to open this one. */
export function giveToOwnerOf(folder: string, path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(folder);
  chownSync(path, uid, gid);
}
