/**
 * A download that may be interrupted: the bytes so far, and beside them the ETag of the object that they come from. The
 * tag is written before the first byte, so bytes without a tag are never continued.
 *
 * Root may work in a folder of another user, who could leave a link to any file of the system under either name.
 * Neither name is followed, and anything that is not a plain file with a single name is removed.
 */
import { lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { giveToOwnerOfFolder } from './owner.ts';
import { BackupError } from '../../words/errors.ts';
import { APPEND_HERE } from '../sqlite/open-new.ts';

export class PartialFile {
  readonly path: string;
  readonly #tagPath: string;

  constructor(path: string) {
    this.path = path;
    this.#tagPath = `${path}.etag`;
  }

  /** How many bytes of that object are here; 0 after removing those of another. */
  resume(etag: string, options: { readonly sizeBytes: number }): number {
    const haveBytes = plainSize(this.path);
    if (haveBytes !== null && this.#tag() === etag && haveBytes <= options.sizeBytes) return haveBytes;
    this.remove();
    writeFileSync(this.#tagPath, etag, { flag: 'wx', mode: 0o600 });
    giveToOwnerOfFolder(this.#tagPath);
    return 0;
  }

  /** To continue after the last byte. */
  async open(): Promise<FileHandle> {
    const file = await open(this.path, APPEND_HERE, 0o600);
    const found = await file.stat();
    if (found.isFile() && found.nlink === 1) return file;
    await file.close();
    throw new BackupError('NO_PERMISSION', `${this.path} is not a file of velist-backup`, {
      hint: 'Somebody else put it there a moment ago: find out who may write to that folder, and try again.',
    });
  }

  /** The bytes first: a tag without bytes is a download that is just beginning. */
  remove(): void {
    rmSync(this.path, { force: true });
    rmSync(this.#tagPath, { force: true });
  }

  #tag(): string | null {
    return plainSize(this.#tagPath) === null ? null : readFileSync(this.#tagPath, 'utf8');
  }
}

/** Null for anything but a plain file with a single name. */
function plainSize(path: string): number | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isFile() && found.nlink === 1 ? found.size : null;
}
