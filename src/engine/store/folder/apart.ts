/** Whether a folder lies in another one, under whatever name. */
import { realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/**
 * By name and, because one folder may have several (bind mounts, capitals on macOS), by what the disk says it is.
 *
 * @param folder both with their links followed.
 */
export function contains(folder: string, path: string): boolean {
  const wanted = identityOf(folder);
  for (let at = path; ; at = dirname(at)) {
    if (nameOf(at) === nameOf(folder) || (wanted !== null && identityOf(at) === wanted)) return true;
    if (dirname(at) === at) return false;
  }
}

/** For what does not exist yet only names can be compared; macOS would make one folder of both spellings. */
function nameOf(path: string): string {
  return process.platform === 'darwin' ? path.normalize('NFC').toLowerCase() : path;
}

/** One for all names of a folder; null while there is none. */
export function identityOf(path: string): string | null {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? null : `${stats.dev}:${stats.ino}`;
}

/** The folder with its links followed as far as it exists; the rest as it would be made. */
export function realFolder(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    return dirname(whole) === whole ? whole : join(realFolder(dirname(whole)), basename(whole));
  }
}
