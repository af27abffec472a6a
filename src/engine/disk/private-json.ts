/**
 * A small file of ours that nobody else may read, replaced as a whole. Flushed, it is the old one or the new one after a
 * power cut; else it may be neither then, which is for what may be lost.
 */
import { chmodSync, closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { giveToOwnerOfFolder } from './owner.ts';
import { makePrivateFolder } from './private-folder.ts';
import { syncNewFolder } from './sync-folder.ts';
import { BackupError, errnoCode } from '../../words/errors.ts';

/** @throws BackupError; then the file is as it was. */
export function writePrivateJson(
  path: string,
  value: object,
  {
    isFlushed = true,
    beforePlacing = () => {},
  }: { readonly isFlushed?: boolean; readonly beforePlacing?: () => void } = {},
): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    makePrivateFolder(dirname(path));
    // What a killed process of that number left, or somebody else: it may be a link.
    rmSync(temporary, { force: true });
    writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
    chmodSync(temporary, 0o600); // the umask may have taken more
    giveToOwnerOfFolder(temporary);
    if (isFlushed) flush(temporary);
    beforePlacing();
    renameSync(temporary, path);
    if (isFlushed) syncNewFolder(path);
  } catch (error) {
    throw BackupError.from(error);
  }
}

/** Removes what killed processes had not put in place yet. */
export function removeUnplaced(folder: string): void {
  for (const entry of readdirSync(folder)) {
    const [, pid] = /\.json\.(\d+)\.tmp$/.exec(entry) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, entry), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoCode(error) !== 'ESRCH';
  }
}

function flush(path: string): void {
  const file = openSync(path, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
