/**
 * How much of its disk a folder of backups may use for the default history, which nobody asked for: a fifth, copies of
 * every kind together. It is less if the disk has no room for that: what others left free is first for the next backup,
 * a restore and a drill, and a history that grew into that room would end with backups that fail. If other programs
 * fill the disk, the history does not vanish at once: however little is free, a run gives back only as much as it
 * added.
 */
import { statfsSync } from 'node:fs';
import { askNearest } from '../sqlite/nearest.ts';

const SHARE = 1 / 5;
/** Copies of the newest one's size that stay free: the next backup, a safety backup, a drill, and one more. */
const FREE_COPIES = 4;
/** Kept free beyond what a copy needs, so that a backup never takes the last byte from the app. */
export const DISK_RESERVE_BYTES = 16 * 1024 * 1024;

export interface DiskRoom {
  /** Size of the whole disk. */
  readonly diskBytes: number;
  readonly freeBytes: number;
}

/** The disk that holds `folder`, or will when it is made. */
export function diskRoom(path: string): DiskRoom {
  const { blocks, bavail, bsize } = askNearest(path, (nearest) => statfsSync(nearest));
  return { diskBytes: Number(blocks) * Number(bsize), freeBytes: Number(bavail) * Number(bsize) };
}

/**
 * @param copies all that lie in the folder, newest first.
 * @param databases how many share the disk: a fifth is for all of them.
 */
export function historyBudget(
  copies: readonly { readonly sizeBytes: number }[],
  { diskBytes, freeBytes }: DiskRoom,
  databases = 1,
): number {
  const heldBytes = copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const newestBytes = copies[0]?.sizeBytes ?? 0;
  const spareBytes = freeBytes - FREE_COPIES * newestBytes - DISK_RESERVE_BYTES;
  const fittingBytes = heldBytes + Math.max(spareBytes, -newestBytes);
  return Math.floor(Math.min((diskBytes * SHARE) / databases, fittingBytes));
}
