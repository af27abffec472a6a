/**
 * A download that may end before its end: the bytes so far, and beside them the ETag of the object that they are from.
 * The tag is written before the first byte, so bytes without one are never gone on with.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { giveToOwnerOfFolder } from './disk/owner.ts';
import { errnoCode } from './errors.ts';

export class PartialFile {
  readonly path: string;
  readonly #tagPath: string;

  constructor(path: string) {
    this.path = path;
    this.#tagPath = `${path}.etag`;
  }

  /** How many bytes of that object are here; 0 after removing those of another. */
  resume(etag: string, options: { readonly sizeBytes: number }): number {
    const haveBytes = statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
    if (this.#tag() === etag && haveBytes <= options.sizeBytes) return haveBytes;
    this.remove();
    writeFileSync(this.#tagPath, etag, { mode: 0o600 });
    giveToOwnerOfFolder(this.#tagPath);
    return 0;
  }

  /** The bytes first: a tag without them is a download that begins. */
  remove(): void {
    rmSync(this.path, { force: true });
    rmSync(this.#tagPath, { force: true });
  }

  #tag(): string | null {
    try {
      return readFileSync(this.#tagPath, 'utf8');
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return null;
      throw error;
    }
  }
}
