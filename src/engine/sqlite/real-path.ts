/**
 * The real path of a database, found by `lstat` and `readlink`: nothing opens the file. `realpathSync` may: Bun on macOS
 * opens it and closes it again, which drops SQLite's locks in the app's process.
 */
import { lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

/** Linux follows as many. */
const LINKS_MAX = 40;

/** @throws the system's error when there is no such file. */
export function realPathOfFile(path: string): string {
  let at = resolve(path);
  for (let links = 0; links <= LINKS_MAX; links++) {
    // A folder may be opened: SQLite has no locks on it.
    const real = at === '/' ? at : join(realpathSync(dirname(at)), basename(at));
    const found = lstatSync(real);
    if (found.isDirectory()) return realpathSync(real);
    if (!found.isSymbolicLink()) return real;
    at = resolve(dirname(real), readlinkSync(real));
  }
  throw Object.assign(new Error(`too many links: ${path}`), { code: 'ELOOP' });
}
