/** A disk for a folder target. One that is not mounted is played by an empty folder in its place, as a mount point is. */
import { mkdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FOLDER_MARK } from '../../src/engine/store/folder/kind.ts';
import type { FurtherFolder } from '../../src/service/targets/targets.ts';
import { openShop, type Shop } from './scratch.ts';

export interface Disk {
  readonly path: string;
  unmount(): void;
  mount(): void;
}

/** A disk with the mark of a target on it, mounted. */
export function newDisk(folder: string): Disk {
  const path = join(folder, 'nas');
  const away = join(folder, 'nas-away');
  mkdirSync(path);
  writeFileSync(join(path, FOLDER_MARK), '');
  return {
    path,
    unmount() {
      renameSync(path, away);
      mkdirSync(path);
    },
    mount() {
      rmdirSync(path);
      renameSync(away, path);
    },
  };
}

/** A service whose only target is that disk. */
export function openWithDisk(
  folder: string,
  { path }: Pick<Disk, 'path'>,
  change: Partial<FurtherFolder> = {},
): Shop & AsyncDisposable {
  return openShop(folder, { targets: [{ kind: 'folder', name: 'nas', path, retentionCount: null, ...change }] });
}
