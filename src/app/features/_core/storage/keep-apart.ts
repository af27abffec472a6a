/**
 * Keeps the app's files apart from backups, their state and the database: a folder by where it really lies, a key in a
 * bucket by what any server on the way might take it for.
 *
 * Keys are often made of what users send, and answers may be served to anybody. A key is therefore judged by more than
 * its letters: proxies decode `%2F` once more, servers over a folder may not tell capitals from small letters or two
 * Unicode spellings apart. Whatever could be read as a key of the backups by one of them is refused.
 */
import { basename, dirname, join, posix, resolve } from 'node:path';
import { BackupError, errnoCode } from '../../../../words/errors.ts';
import { contains } from '../../../../engine/store/folder/apart.ts';
import { realPathOfFile } from '../../../../engine/sqlite/real-path.ts';

/** @throws BackupError FORBIDDEN when the key is, lies below, or would stand in the way of one of the prefixes. */
export function requireOutside(key: string, prefixes: readonly string[]): void {
  const asked = plainest(key);
  for (const prefix of prefixes) {
    const reserved = plainest(prefix);
    // A server over a folder cannot keep an object `backups` and one `backups/database/…` at once.
    if (asked !== reserved && !asked.startsWith(`${reserved}/`) && !reserved.startsWith(`${asked}/`)) continue;
    throw new BackupError('FORBIDDEN', `"${key}" lies where the backups are`, {
      hint: `Use a key that does not begin with "${prefix}/".`,
    });
  }
}

/** How often something may be encoded on top of another; nothing in the way decodes that often. */
const mostEncodings = 5;

/** What the least careful reader would make of a key. */
function plainest(key: string): string {
  let text = key;
  for (let round = 0; round < mostEncodings && text.includes('%'); round += 1) {
    // Piece by piece, so that one percent sign that encodes nothing does not hide the others.
    text = text.replace(/(?:%[0-9a-f]{2})+/gi, (piece) => {
      try {
        return decodeURIComponent(piece);
      } catch {
        return piece;
      }
    });
  }
  const folded = text
    .normalize('NFKC')
    .replace(/\p{Default_Ignorable_Code_Point}|\p{Cc}/gu, '')
    .replaceAll('\\', '/')
    .toLowerCase()
    .normalize('NFKC');
  return posix.normalize(`/${folded}`).replace(/^\/+|\/+$/g, '');
}

/** @throws BackupError BAD_CONFIG when one of the two is the other or lies inside it, links followed. */
export function requireApart(root: string, privatePath: string): void {
  const [storage, other] = [realPathOf(root), realPathOf(privatePath)];
  if (!contains(storage, other) && !contains(other, storage)) return;
  throw new BackupError('BAD_CONFIG', `the file storage ${root} and ${privatePath} are not apart`, {
    hint: 'Set LOCAL_STORAGE_PATH to a folder of its own: backups, their state and the database must never be served as files.',
  });
}

/** The path with its links followed as far as it exists; the rest as it would be made. */
function realPathOf(path: string): string {
  const full = resolve(path);
  try {
    return realPathOfFile(full);
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT' || dirname(full) === full) throw BackupError.from(error);
    return join(realPathOf(dirname(full)), basename(full));
  }
}
