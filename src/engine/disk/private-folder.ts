/**
 * Folders that nobody else may look into. The mode that `mkdir` is given goes through the umask, and under one such as
 * 0277 a new folder can't be written to by its own maker, so each that is made gets its mode once more.
 */
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { giveToOwnerOfFolder } from './owner.ts';
import { errnoCode } from '../../words/errors.ts';
import { syncNewFolder } from './sync-folder.ts';

/** Makes the folder and those above it that are missing, each 0700 and durable; what is there stays as it is. */
export function makePrivateFolder(path: string): void {
  const missing: string[] = [];
  for (let folder = resolve(path); !existsSync(folder); folder = dirname(folder)) missing.unshift(folder);
  for (const folder of missing) {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      // Another process made it a moment ago, and gives it its mode.
      if (errnoCode(error) === 'EEXIST') continue;
      throw error;
    }
    chmodSync(folder, 0o700);
    giveToOwnerOfFolder(folder);
    syncNewFolder(folder);
  }
  // Fails if a file has the name.
  mkdirSync(path, { recursive: true });
}
