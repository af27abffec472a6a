/** Copies of a file that only this user may read, cloned where the file system can, and on the disk when that is said. */
import { closeSync, constants, copyFileSync, fchmodSync, fsyncSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { BackupError } from '../../words/errors.ts';

/** For reading: a copy has the rights of its source, which may be protected from writing. */
const TO_FLUSH = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);

/** @throws BackupError DISK_FULL, NO_PERMISSION. */
export function copyDurably(source: string, destination: string): void {
  copyPrivately(source, destination);
  flushNow(destination);
}

/** Not on the disk yet. @throws BackupError DISK_FULL, NO_PERMISSION. */
export function copyPrivately(source: string, destination: string): void {
  try {
    copyFileSync(source, destination, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    onFile(destination, (file) => fchmodSync(file, 0o600));
  } catch (error) {
    throw BackupError.from(error);
  }
}

/** @throws BackupError DISK_FULL. */
export function flushNow(path: string): void {
  try {
    onFile(path, fsyncSync);
  } catch (error) {
    throw BackupError.from(error);
  }
}

/** The same, while this process does something else. */
export async function flush(path: string): Promise<void> {
  try {
    const file = await open(path, TO_FLUSH);
    await file.sync().finally(() => file.close());
  } catch (error) {
    throw BackupError.from(error);
  }
}

function onFile(path: string, act: (file: number) => void): void {
  const file = openSync(path, TO_FLUSH);
  try {
    act(file);
  } finally {
    closeSync(file);
  }
}
