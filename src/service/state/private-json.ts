/** A small file of ours that nobody else may read, replaced as a whole and flushed: after a power cut it is the old one or the new one. */
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { giveToOwnerOfFolder } from '../../engine/disk/owner.ts';
import { makePrivateFolder } from '../../engine/disk/private-folder.ts';
import { syncNewFolder } from '../../engine/disk/sync-folder.ts';
import { BackupError } from '../../words/errors.ts';

/** @throws BackupError; then the file is as it was. */
export function writePrivateJson(
  path: string,
  value: object,
  { beforePlacing = () => {} }: { readonly beforePlacing?: () => void } = {},
): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    makePrivateFolder(dirname(path));
    // What a killed process of that number left, or somebody else: it may be a link.
    rmSync(temporary, { force: true });
    writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
    chmodSync(temporary, 0o600); // the umask may have taken more
    giveToOwnerOfFolder(temporary);
    const file = openSync(temporary, 'r+');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    beforePlacing();
    renameSync(temporary, path);
    syncNewFolder(path);
  } catch (error) {
    throw BackupError.from(error);
  }
}
