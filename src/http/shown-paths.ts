/**
 * Paths of the server as a client may see them: as they were configured when that is relative, relative to the working
 * directory when they lie below it, else their last two parts. The service needs the whole path; whoever reads an
 * answer needs to recognise the file and no more.
 */
import { isAbsolute, relative, sep } from 'node:path';
import { withoutFolders } from '../words/errors.ts';

export function shownPath(path: string, workingDirectory: string = process.cwd()): string {
  if (!isAbsolute(path)) return path;
  const below = relative(workingDirectory, path);
  if (below !== '' && below.split(sep)[0] !== '..' && !isAbsolute(below)) return `./${below.split(sep).join('/')}`;
  const parts = path.split(sep).filter((part) => part !== '');
  return parts.length <= 1 ? path : `…/${parts.slice(-2).join('/')}`;
}

const pathKeys: ReadonlySet<string> = new Set(['path', 'localPath', 'databasePath', 'where']);
const proseKeys: ReadonlySet<string> = new Set(['message', 'hint', 'detail', 'reason', 'subject']);

/** One field of an answer. A user's note stays as it was written. */
export function shownField(key: string, value: unknown): unknown {
  if (key === 'warnings' && Array.isArray(value))
    return value.map((text: unknown) => (typeof text === 'string' ? withoutFolders(text) : text));
  if (typeof value !== 'string') return value;
  if (pathKeys.has(key)) return shownPath(value);
  // `folder /srv/backups`, or a URL.
  if (key === 'place') return value.replace(/^folder (.*)$/s, (_, path: string) => `folder ${shownPath(path)}`);
  return proseKeys.has(key) ? withoutFolders(value) : value;
}
