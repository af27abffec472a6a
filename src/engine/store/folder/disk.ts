/** What a store does on its disk. An error of the system is told as one of the place; the source's own come through as they are. */
import type { BigIntStats, Dirent } from 'node:fs';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, readdir, rename, unlink } from 'node:fs/promises';
import { BackupError, errnoCode, isDiskFull } from '../../../words/errors.ts';
import { syncFolder } from '../../disk/sync-folder.ts';
import { folderWords } from './words.ts';

export class Disk {
  readonly place: string;

  /** @param place how messages name it. */
  constructor(place: string) {
    this.place = place;
  }

  /** Waits for work of the system; `key` is the object concerned, if one is. */
  async wait<Result>(work: Promise<Result>, key?: string): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      throw this.#explain(error, key);
    }
  }

  /** Makes names in the folder durable. */
  async sync(folder: string): Promise<void> {
    await this.wait(syncFolder(folder));
  }

  async openIfThere(path: string): Promise<FileHandle | null> {
    // Without O_NONBLOCK a named pipe in the place of a file would hold us for ever.
    const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
    return await this.#ifThere(open(path, flags), ['ELOOP']);
  }

  async statIfThere(path: string): Promise<BigIntStats | null> {
    return await this.#ifThere(lstat(path, { bigint: true }));
  }

  async entriesOf(folder: string): Promise<readonly Dirent[]> {
    return (await this.#ifThere(readdir(folder, { withFileTypes: true }))) ?? [];
  }

  async unlinkIfThere(path: string): Promise<void> {
    await this.#ifThere(unlink(path));
  }

  /**
   * The unfinished file gets its name, unless that is taken; it is gone then in either case.
   *
   * @param options.mayRename if the file system has no hard links, a look before the rename must do.
   * @throws BackupError UNSUPPORTED where that may not be.
   */
  async nameIfAbsent(
    path: string,
    named: string,
    { key, mayRename }: { readonly key: string; readonly mayRename: boolean },
  ): Promise<boolean> {
    try {
      await link(path, named);
      return true;
    } catch (error) {
      const code = errnoCode(error);
      if (code === 'EEXIST') return false;
      if (!withoutLinks.has(code)) throw this.#explain(error, key);
      if (!mayRename) throw noLinks(this.place, error);
      if ((await this.statIfThere(named)) !== null) return false;
      await this.wait(rename(path, named), key);
      return true;
    } finally {
      await this.unlinkIfThere(path);
    }
  }

  async #ifThere<Result>(work: Promise<Result>, alsoMissing: readonly string[] = []): Promise<Result | null> {
    try {
      return await work;
    } catch (error) {
      if (isMissing(error) || alsoMissing.includes(errnoCode(error) ?? '')) return null;
      throw this.#explain(error);
    }
  }

  #explain(error: unknown, key?: string): BackupError {
    const code = errnoCode(error) ?? '';
    const told = (kind: BackupError['code'], message: string, hint: string) =>
      new BackupError(kind, message, { hint, cause: error });
    if (key !== undefined && ['ENOTDIR', 'EISDIR', 'EEXIST'].includes(code))
      return told('BAD_NAME', `"${key}" cannot be stored: a file and a folder would share a name`, 'Use another name.');
    if (isDiskFull(error))
      return told(
        'DISK_FULL',
        `the disk of ${this.place} is full`,
        'Free space there, or keep fewer backups there; what is there was not touched.',
      );
    if (code === 'EROFS')
      return told(
        'NO_PERMISSION',
        `${this.place} can't be written: its file system is read-only`,
        'Mount it for writing. A disk that turned read-only by itself may be failing.',
      );
    if (outOfOrder.has(code))
      return told(
        folderWords.codes.mismatch,
        `the disk of ${this.place} does not answer (${code})`,
        folderWords.silent,
      );
    return BackupError.from(error);
  }
}

/** Nothing there: no such file, or a file where the path wants a folder. */
export function isMissing(error: unknown): boolean {
  const code = errnoCode(error instanceof BackupError ? error.cause : error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** What `link` answers where the file system has none. */
const withoutLinks: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

function noLinks(place: string, cause: unknown): BackupError {
  return new BackupError('UNSUPPORTED', `the file system of ${place} has no hard links`, {
    hint: 'Backups can be stored there all the same; use each folder from one machine only.',
    cause,
  });
}

/** A disk that fails, or a server that does not answer (NFS, SMB, sshfs). */
const outOfOrder: ReadonlySet<string> = new Set([
  ...['EIO', 'ESTALE', 'ETIMEDOUT', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENOTCONN', 'ENXIO', 'ENODEV', 'EREMOTEIO'],
]);
