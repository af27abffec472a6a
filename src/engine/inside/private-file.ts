/** An empty file that nobody else may read. */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';

/** @throws if a file of that name is there. */
export function makePrivateFile(path: string): void {
  makePrivateFolder(dirname(path));
  closeSync(openSync(path, 'wx', 0o600));
  chmodSync(path, 0o600); // the umask may have taken more
  giveToOwnerOfFolder(path);
}
