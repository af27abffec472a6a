/** What a file looked like: each change of its content shows in `mtimeMs`, each of its rights or times in `ctimeMs`. */
import { lstatSync, type Stats } from 'node:fs';

/** Null if there is none, or nobody may look. */
export type FileStamp = Pick<Stats, 'ino' | 'size' | 'mtimeMs' | 'ctimeMs'> | null;

export function stampOf(path: string): FileStamp {
  const found = look(path);
  return found && { ino: found.ino, size: found.size, mtimeMs: found.mtimeMs, ctimeMs: found.ctimeMs };
}

export function isUnchanged(path: string, stamp: FileStamp): boolean {
  const found = look(path);
  if (!found || !stamp) return !found && !stamp;
  const { ino, size, mtimeMs, ctimeMs } = found;
  return ctimeMs === stamp.ctimeMs && mtimeMs === stamp.mtimeMs && size === stamp.size && ino === stamp.ino;
}

function look(path: string): Stats | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}
