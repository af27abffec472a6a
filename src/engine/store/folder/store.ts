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
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, mkdir, open, realpath, rename } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { BackupError } from '../../../words/errors.ts';
import { Disk, isMissing } from './disk.ts';
import { folderWords } from './words.ts';
import { checkKey, compareKeys, isKey } from '../object-key.ts';
import {
  alreadyThere,
  type DeleteFailure,
  type GetOptions,
  type ListedObject,
  notThere,
  type ObjectHead,
  type ObjectStore,
  type OperationOptions,
  type PutIfAbsentOptions,
  type PutOptions,
  throwIfAborted,
} from '../store.ts';

interface LocalStoreOptions {
  /** The folder; made on the first write. */
  readonly root: string;
  /** 0600 and 0700 when left out: a backup is nobody else's business. */
  readonly fileMode?: number;
  readonly folderMode?: number;
  /** Throws while the folder is not to be used. Asked before each operation, and again before a file gets its name. */
  readonly isThere?: () => Promise<void>;
}

/** A plain object, as every store is: whoever decorates one spreads it. */
export function createLocalStore(options: LocalStoreOptions): ObjectStore {
  const store = new LocalStore(options);
  return {
    place: store.place,
    words: store.words,
    put: (...given) => store.put(...given),
    putIfAbsent: (...given) => store.putIfAbsent(...given),
    get: (...given) => store.get(...given),
    head: (...given) => store.head(...given),
    list: (...given) => store.list(...given),
    delete: (...given) => store.delete(...given),
    deleteMany: (...given) => store.deleteMany(...given),
    close() {},
  };
}

class LocalStore {
  readonly place: string;
  readonly words = folderWords;
  readonly #root: string;
  readonly #disk: Disk;
  readonly #fileMode: number;
  readonly #folderMode: number;
  readonly #isThere: () => Promise<void>;

  constructor({ root, fileMode = 0o600, folderMode = 0o700, isThere = async () => {} }: LocalStoreOptions) {
    this.place = `folder ${root}`;
    this.#root = resolve(root);
    this.#disk = new Disk(this.place);
    this.#fileMode = fileMode;
    this.#folderMode = folderMode;
    this.#isThere = isThere;
  }

  async put(key: string, source: AsyncIterable<Uint8Array>, { signal, ifAbsent, modifiedAt }: PutOptions = {}) {
    checkKey(key);
    throwIfAborted(signal);
    const folder = await this.#folderForWriting(key);
    const { path, sizeBytes } = await this.#writeUnfinished(folder, source, signal, modifiedAt);
    const named = this.#pathOf(key);
    try {
      await this.#isThere();
      if (!ifAbsent) await this.#disk.wait(rename(path, named), key);
      else if (!(await this.#disk.nameIfAbsent(path, named, { key, mayRename: true })))
        throw alreadyThere(key, this.place);
    } catch (error) {
      await this.#disk.unlinkIfThere(path);
      throw error;
    }
    await this.#disk.sync(folder);
    return { sizeBytes };
  }

  async putIfAbsent(key: string, bytes: Uint8Array, { signal }: PutIfAbsentOptions = {}): Promise<boolean> {
    checkKey(key);
    throwIfAborted(signal);
    const folder = await this.#folderForWriting(key);
    const { path } = await this.#writeUnfinished(folder, once(bytes), signal);
    try {
      await this.#isThere();
    } catch (error) {
      await this.#disk.unlinkIfThere(path);
      throw error;
    }
    const isNew = await this.#disk.nameIfAbsent(path, this.#pathOf(key), { key, mayRename: false });
    if (isNew) await this.#disk.sync(folder);
    return isNew;
  }

  async *get(
    key: string,
    { from = 0, to = Number.POSITIVE_INFINITY, signal }: GetOptions = {},
  ): AsyncIterable<Uint8Array> {
    throwIfAborted(signal);
    const path = await this.#pathForReading(key);
    const file = path === null ? null : await this.#disk.openIfThere(path);
    if (file === null) throw notThere(key, this.place);
    try {
      const stats = await this.#disk.wait(file.stat());
      if (!stats.isFile()) throw notThere(key, this.place);
      const end = Math.min(to + 1, stats.size);
      let position = from;
      while (position < end) {
        throwIfAborted(signal);
        const chunk = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end - position));
        const { bytesRead } = await this.#disk.wait(file.read(chunk, 0, chunk.length, position));
        if (bytesRead === 0) throw shortened(key, this.place);
        position += bytesRead;
        yield chunk.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async head(key: string, { signal }: OperationOptions = {}): Promise<ObjectHead | null> {
    throwIfAborted(signal);
    const path = await this.#pathForReading(key);
    const stats = path === null ? null : await this.#disk.statIfThere(path);
    return stats?.isFile() ? headOf(stats) : null;
  }

  async *list(prefix: string, { signal }: OperationOptions = {}): AsyncIterable<ListedObject> {
    await this.#isThere();
    // Start at the folder the prefix names, so that listing one folder does not walk all of them.
    const keyBefore = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    if (keyBefore === '') return yield* this.#walk(this.#root, '', prefix, signal);
    const folder = keyBefore.slice(0, -1);
    if (!isKey(folder) || (await this.#pathForReading(`${folder}/x`)) === null) return;
    yield* this.#walk(this.#pathOf(folder), keyBefore, prefix, signal);
  }

  async delete(key: string, { signal }: OperationOptions = {}): Promise<void> {
    throwIfAborted(signal);
    await this.#remove(key);
  }

  async deleteMany(keys: readonly string[], { signal }: OperationOptions = {}): Promise<readonly DeleteFailure[]> {
    for (const key of keys) checkKey(key);
    const failures: DeleteFailure[] = [];
    for (const key of keys) {
      throwIfAborted(signal);
      await this.#remove(key).catch((error: unknown) => failures.push({ key, error: BackupError.from(error) }));
    }
    return failures;
  }

  #pathOf(key: string): string {
    return join(this.#root, ...key.split('/'));
  }

  /** Writes a file that is complete and flushed, beside its destination but not yet under its name. */
  async #writeUnfinished(folder: string, source: AsyncIterable<Uint8Array>, signal?: AbortSignal, at?: Date) {
    const path = join(folder, `.velist-${randomUUID()}.part`);
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
    const file = await this.#disk.wait(open(path, O_CREAT | O_EXCL | O_WRONLY | (O_NOFOLLOW ?? 0), this.#fileMode));
    try {
      let sizeBytes = 0;
      try {
        for await (const chunk of source) {
          throwIfAborted(signal);
          await this.#disk.wait(writeAll(file, chunk));
          sizeBytes += chunk.length;
        }
        throwIfAborted(signal);
        if (at) await this.#disk.wait(file.utimes(at, at));
        await this.#disk.wait(file.sync());
      } finally {
        await file.close();
      }
      return { path, sizeBytes };
    } catch (error) {
      await this.#disk.unlinkIfThere(path);
      throw error;
    }
  }

  /** The folder a key lives in, made where it is missing, proven to lie where its name says. */
  async #folderForWriting(key: string): Promise<string> {
    await this.#isThere();
    const folder = dirname(this.#pathOf(key));
    const firstMade = await this.#disk.wait(mkdir(folder, { recursive: true, mode: this.#folderMode }), key);
    if (firstMade !== undefined) {
      // A folder is only as durable as its entry in the one above, up to the first that existed before.
      for (let made = folder; made.length >= firstMade.length; made = dirname(made)) {
        await this.#disk.sync(dirname(made));
      }
    }
    if (await this.#liesElsewhere(folder)) {
      throw new BackupError('FORBIDDEN', `the folder of "${key}" leads outside ${this.place}`, {
        hint: 'Replace the symbolic link on that path by a real folder.',
      });
    }
    return folder;
  }

  async #liesElsewhere(folder: string): Promise<boolean> {
    const [realRoot, realFolder] = await Promise.all([
      this.#disk.wait(realpath(this.#root)),
      this.#disk.wait(realpath(folder)),
    ]);
    return join(realRoot, folder.slice(this.#root.length)) !== realFolder;
  }

  /** Where the object is, or null when nothing of ours can be there. */
  async #pathForReading(key: string): Promise<string | null> {
    checkKey(key);
    await this.#isThere();
    const path = this.#pathOf(key);
    try {
      return (await this.#liesElsewhere(dirname(path))) ? null : path;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async #remove(key: string): Promise<void> {
    const path = await this.#pathForReading(key);
    if (path === null) return;
    const stats = await this.#disk.statIfThere(path);
    if (stats === null || stats.isDirectory()) return;
    await this.#disk.unlinkIfThere(path);
    await this.#disk.sync(dirname(path));
  }

  async *#walk(folder: string, keyBefore: string, prefix: string, signal?: AbortSignal): AsyncIterable<ListedObject> {
    throwIfAborted(signal);
    const entries = await this.#disk.entriesOf(folder);
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
        if (key.startsWith(prefix) || prefix.startsWith(key)) yield* this.#walk(path, key, prefix, signal);
      } else if (key.startsWith(prefix)) {
        const stats = await this.#disk.statIfThere(path);
        if (stats?.isFile()) yield { key, ...headOf(stats) };
      }
    }
  }
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

function shortened(key: string, place: string): BackupError {
  return new BackupError('BAD_BACKUP', `"${key}" in ${place} became shorter while it was read`, {
    hint: 'Something else writes to that folder; leave it to velist-backup.',
  });
}
