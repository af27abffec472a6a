/**
 * The names in a folder, read again only when the folder itself says that it changed: each name that comes or goes, by
 * whichever process, renews the folder's `ctime`, which nobody can set back (inode(7)). Two changes within one tick of the
 * clock have one time, so nothing is held before the last change is old enough. Nothing is held either on a file system that
 * other machines write to: they have another clock, and this kernel may show their changes late.
 */
import { statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { isOnOwnDisk } from '../sqlite/network.ts';

/** Some file systems count whole seconds. */
const SETTLED_MS = 1_500;
const NONE: ReadonlySet<string> = new Set();

export class FolderEntries {
  readonly #folder: string;
  #known: { readonly key: string; readonly names: ReadonlySet<string> } | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * The same object for as long as nothing came or went; none if there is no such folder.
   *
   * @throws the system's error if the folder can't be read.
   */
  async read(): Promise<ReadonlySet<string>> {
    const found = this.#look();
    if (found === 'missing') return NONE;
    if (found && found.key === this.#known?.key) return this.#known.names;
    const names = new Set(await readdir(this.#folder));
    this.#known = found?.isSettled && isOnOwnDisk(this.#folder) ? { key: found.key, names } : null;
    return names;
  }

  /** Looked at before the names are read: what changes meanwhile is found at the next look. */
  #look(): { readonly key: string; readonly isSettled: boolean } | 'missing' | null {
    try {
      const found = statSync(this.#folder, { bigint: true, throwIfNoEntry: false });
      if (!found) return 'missing';
      const { dev, ino, ctimeNs, ctimeMs } = found;
      const isSettled = Date.now() - Number(ctimeMs) > SETTLED_MS;
      return { key: `${dev}.${ino}.${ctimeNs}`, isSettled };
    } catch {
      // The read says what is wrong.
      return null;
    }
  }
}
