/**
 * An object store in a folder: the key is the path below the root.
 *
 * A write goes to a temporary name in the folder of its destination, is flushed, renamed, and the folder is flushed; a
 * cut at any moment leaves the old object or the new one, at worst with a `.velist-….part` beside it that no listing
 * shows. Create-only uses `link`, which refuses an existing name in one step. A file system without hard links, such as
 * exFAT, refuses `putIfAbsent` (UNSUPPORTED); `put` with `ifAbsent` looks before it renames there.
 *
 * Nothing outside the root is read or written: keys cannot climb (`object-key.ts`), a folder that turns out to lie
 * elsewhere (a symbolic link on the way) is refused, and a symbolic link in the place of an object is no object. A
 * folder and an object cannot share a name, so with `a` stored, `a/b` is refused.
 */
import { randomUUID } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, realpath, rename, unlink } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { checkKey, compareKeys, isKey } from './object-key.ts';
import {
  alreadyThere,
  type DeleteFailure,
  type ListedObject,
  notThere,
  type ObjectHead,
  type ObjectStore,
  throwIfAborted,
} from './store.ts';

export interface LocalStoreOptions {
  /** The folder; made on the first write. */
  readonly root: string;
  /** 0600 and 0700 when left out: a backup is nobody else's business. */
  readonly fileMode?: number;
  readonly folderMode?: number;
  /** Throws while the folder is not to be used. Asked before each operation, and again before a file gets its name. */
  readonly isThere?: () => Promise<void>;
}

export function createLocalStore(options: LocalStoreOptions): ObjectStore {
  const root = resolve(options.root);
  const fileMode = options.fileMode ?? 0o600;
  const folderMode = options.folderMode ?? 0o700;
  const place = `folder ${options.root}`;
  const isThere = options.isThere ?? (async () => {});

  /** Writes a file that is complete and flushed, beside its destination but not yet under its name. */
  async function writeUnfinished(folder: string, source: AsyncIterable<Uint8Array>, signal?: AbortSignal) {
    const path = join(folder, `.velist-${randomUUID()}.part`);
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
    const file = await onDisk(open(path, O_CREAT | O_EXCL | O_WRONLY | (O_NOFOLLOW ?? 0), fileMode));
    try {
      let sizeBytes = 0;
      try {
        for await (const chunk of source) {
          throwIfAborted(signal);
          await onDisk(writeAll(file, chunk));
          sizeBytes += chunk.length;
        }
        throwIfAborted(signal);
        await onDisk(file.sync());
      } finally {
        await file.close();
      }
      return { path, sizeBytes };
    } catch (error) {
      await unlinkIfThere(path);
      throw error;
    }
  }

  /** The folder a key lives in, made where it is missing, proven to lie where its name says. */
  async function folderForWriting(key: string): Promise<string> {
    await isThere();
    const folder = dirname(join(root, ...key.split('/')));
    const firstMade = await onDisk(mkdir(folder, { recursive: true, mode: folderMode }), key);
    if (firstMade !== undefined) {
      // A folder is only as durable as its entry in the one above, up to the first that existed before.
      for (let made = folder; made.length >= firstMade.length; made = dirname(made)) await syncFolder(dirname(made));
    }
    if (await liesElsewhere(folder)) {
      throw new BackupError('FORBIDDEN', `the folder of "${key}" leads out of ${place}`, {
        hint: 'Replace the symbolic link on that path by a real folder.',
      });
    }
    return folder;
  }

  async function liesElsewhere(folder: string): Promise<boolean> {
    const [realRoot, realFolder] = await Promise.all([onDisk(realpath(root)), onDisk(realpath(folder))]);
    return join(realRoot, folder.slice(root.length)) !== realFolder;
  }

  /** Where the object is, or null when nothing of ours can be there. */
  async function pathForReading(key: string): Promise<string | null> {
    checkKey(key);
    await isThere();
    const path = join(root, ...key.split('/'));
    try {
      return (await liesElsewhere(dirname(path))) ? null : path;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async function remove(key: string): Promise<void> {
    const path = await pathForReading(key);
    if (path === null) return;
    const stats = await statIfThere(path);
    if (stats === null || stats.isDirectory()) return;
    await unlinkIfThere(path);
    await syncFolder(dirname(path));
  }

  async function* walk(
    folder: string,
    keyBefore: string,
    prefix: string,
    signal?: AbortSignal,
  ): AsyncIterable<ListedObject> {
    throwIfAborted(signal);
    const entries = await entriesOf(folder);
    // A folder sorts as its name with the slash, so that the keys below it come in the order of their bytes.
    const keys = entries
      .filter((entry) => entry.isFile() || entry.isDirectory())
      .map((entry) => ({ key: keyBefore + entry.name, path: join(folder, entry.name), isFolder: entry.isDirectory() }))
      .filter(({ key }) => isKey(key))
      .map((entry) => (entry.isFolder ? { ...entry, key: `${entry.key}/` } : entry))
      .sort((left, right) => compareKeys(left.key, right.key));
    for (const { key, path, isFolder } of keys) {
      throwIfAborted(signal);
      if (isFolder) {
        if (key.startsWith(prefix) || prefix.startsWith(key)) yield* walk(path, key, prefix, signal);
      } else if (key.startsWith(prefix)) {
        const stats = await statIfThere(path);
        if (stats?.isFile()) yield { key, ...headOf(stats) };
      }
    }
  }

  return {
    place,

    async put(key, source, { signal, ifAbsent } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      const folder = await folderForWriting(key);
      const { path, sizeBytes } = await writeUnfinished(folder, source, signal);
      try {
        await isThere();
        if (!ifAbsent) await onDisk(rename(path, join(root, ...key.split('/'))), key);
        else if (!(await nameIfAbsent(path, join(root, ...key.split('/')), { key, place, mayRename: true })))
          throw alreadyThere(key, place);
      } catch (error) {
        await unlinkIfThere(path);
        throw error;
      }
      await syncFolder(folder);
      return { sizeBytes };
    },

    async putIfAbsent(key, bytes, { signal } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      const folder = await folderForWriting(key);
      const { path } = await writeUnfinished(folder, once(bytes), signal);
      await isThere();
      const isNew = await nameIfAbsent(path, join(root, ...key.split('/')), { key, place, mayRename: false });
      if (isNew) await syncFolder(folder);
      return isNew;
    },

    async *get(key, { from = 0, to = Number.POSITIVE_INFINITY, signal } = {}) {
      throwIfAborted(signal);
      const path = await pathForReading(key);
      const file = path === null ? null : await openIfThere(path);
      if (file === null) throw notThere(key, place);
      try {
        const stats = await onDisk(file.stat());
        if (!stats.isFile()) throw notThere(key, place);
        const end = Math.min(to + 1, stats.size);
        let position = from;
        while (position < end) {
          throwIfAborted(signal);
          const chunk = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end - position));
          const { bytesRead } = await onDisk(file.read(chunk, 0, chunk.length, position));
          if (bytesRead === 0) throw shortened(key, place);
          position += bytesRead;
          yield chunk.subarray(0, bytesRead);
        }
      } finally {
        await file.close();
      }
    },

    async head(key, { signal } = {}) {
      throwIfAborted(signal);
      const path = await pathForReading(key);
      const stats = path === null ? null : await statIfThere(path);
      return stats?.isFile() ? headOf(stats) : null;
    },

    async *list(prefix, { signal } = {}) {
      await isThere();
      // Start at the folder the prefix names, so that listing one folder does not walk all of them.
      const keyBefore = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      if (keyBefore === '') return yield* walk(root, '', prefix, signal);
      const folder = keyBefore.slice(0, -1);
      if (!isKey(folder) || (await pathForReading(`${folder}/x`)) === null) return;
      yield* walk(join(root, ...folder.split('/')), keyBefore, prefix, signal);
    },

    async delete(key, { signal } = {}) {
      throwIfAborted(signal);
      await remove(key);
    },

    async deleteMany(keys, { signal } = {}) {
      for (const key of keys) checkKey(key);
      const failures: DeleteFailure[] = [];
      for (const key of keys) {
        throwIfAborted(signal);
        await remove(key).catch((error: unknown) => failures.push({ key, error: BackupError.from(error) }));
      }
      return failures;
    },

    close() {},
  };
}

/** Read size: large enough that the disk, not the loop, sets the pace. */
const chunkBytes = 256 * 1024;

function headOf(stats: BigIntStats): ObjectHead {
  // A replaced file is another inode; a file changed in place has another time. Together they name the content.
  return {
    sizeBytes: Number(stats.size),
    etag: `${stats.ino.toString(36)}-${stats.size.toString(36)}-${stats.mtimeNs.toString(36)}`,
    modifiedAt: new Date(Number(stats.mtimeMs)),
  };
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  let written = 0;
  while (written < chunk.length) {
    const { bytesWritten } = await file.write(chunk, written, chunk.length - written);
    written += bytesWritten;
  }
}

async function syncFolder(path: string): Promise<void> {
  if (sep === '\\') return; // Windows opens no folders, and needs no such flush.
  const folder = await onDisk(open(path, constants.O_RDONLY));
  try {
    await onDisk(folder.sync());
  } finally {
    await folder.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    // Without O_NONBLOCK a named pipe in the place of a file would hold us for ever.
    return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    if (isMissing(error) || errnoCode(error) === 'ELOOP') return null;
    throw diskError(error);
  }
}

async function statIfThere(path: string): Promise<BigIntStats | null> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return null;
    throw diskError(error);
  }
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw diskError(error);
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isMissing(error)) throw diskError(error);
  }
}

/** Nothing there: no such file, or a file where the path wants a folder. */
function isMissing(error: unknown): boolean {
  const cause = error instanceof BackupError ? error.cause : error;
  const code = errnoCode(cause);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

interface Naming {
  readonly key: string;
  readonly place: string;
  /** If the file system has no hard links, a look before the rename must do. */
  readonly mayRename: boolean;
}

/** The unfinished file gets its name, unless that is taken; it is gone then in either case. */
async function nameIfAbsent(path: string, named: string, { key, place, mayRename }: Naming): Promise<boolean> {
  try {
    await link(path, named);
    return true;
  } catch (error) {
    const code = errnoCode(error);
    if (code === 'EEXIST') return false;
    if (!withoutLinks.has(code)) throw diskError(error, key);
    if (!mayRename) throw noLinks(place, error);
    if ((await statIfThere(named)) !== null) return false;
    await onDisk(rename(path, named), key);
    return true;
  } finally {
    await unlinkIfThere(path);
  }
}

/** What `link` answers where the file system has none. */
const withoutLinks: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

function noLinks(place: string, cause: unknown): BackupError {
  return new BackupError('UNSUPPORTED', `the file system of ${place} has no hard links`, {
    hint: 'Backups can be stored there all the same; keep one machine to one folder.',
    cause,
  });
}

/** Turns a system error of our own disk work into a `BackupError`; the source's errors never come through here. */
async function onDisk<Result>(work: Promise<Result>, key?: string): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    throw diskError(error, key);
  }
}

function diskError(error: unknown, key?: string): BackupError {
  const code = errnoCode(error);
  if (key !== undefined && (code === 'ENOTDIR' || code === 'EISDIR' || code === 'EEXIST')) {
    return new BackupError('BAD_NAME', `"${key}" cannot be stored: a file and a folder would share a name`, {
      hint: 'Use another name.',
      cause: error,
    });
  }
  return BackupError.from(error);
}

function shortened(key: string, place: string): BackupError {
  return new BackupError('BAD_BACKUP', `"${key}" in ${place} became shorter while it was read`, {
    hint: 'Something else writes into that folder; leave it to velist-backup.',
  });
}
