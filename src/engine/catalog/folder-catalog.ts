/**
 * The backups of one folder, newest first. A backup is there when its manifest is; a file that bears a backup's name
 * without a manifest is *foreign* (made by Velist or by hand), unless a staging folder of that name says that a run was
 * killed while publishing it: then it is nobody's, and the next run removes it.
 *
 * Order is by the sequence number in the manifest, so a clock that jumps back loses nothing. Foreign and adopted
 * backups have none; they stand where their name's moment falls among the others.
 *
 * Everything is looked up by listing the folder: no name from outside is ever joined to a path before it was found.
 */
import { type BigIntStats, constants, type Stats } from 'node:fs';
import { access, lstat, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { type FileStamp, isUnchanged, stampOf } from '../disk/file-stamp.ts';
import { FolderEntries } from '../disk/folder-entries.ts';
import { takeLock } from '../disk/lock.ts';
import { syncFolder } from '../disk/sync-folder.ts';
import { isLiveFile } from '../sqlite/stamp.ts';
import { backupMoment, isBackupName, manifestName, STAGING_FOLDER } from '../format/names.ts';
import { isChangedSince } from './changed.ts';
import { explainFolderError } from '../disk/folder-error.ts';
import { formatManifest, type Manifest, parseManifest } from '../format/manifest.ts';
import { type Unlinked, unlinkGently } from '../disk/remove-gently.ts';

export interface Backup {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  /** Null for a foreign backup. */
  readonly manifest: Manifest | null;
  /** Why this can't be relied on: an unreadable manifest, another size than recorded. */
  readonly fault: string | null;
  /** When the file was last written, in nanoseconds; left out if it is not in the folder. */
  readonly modifiedNs?: string;
  /** The same, where that was after it was published: nobody knows what is in it until it is verified. */
  readonly changedAt?: Date | null;
}

const MANIFEST_LOCK_FILE = '.manifests.lock';
const MANIFEST_LOCK_WAIT_MS = 10_000;
const READERS_MAX = 16;
const LOOKS_IN_A_ROW = 256;
const ALREADY_GONE: Unlinked = { free: async () => {} };
const MANIFEST_BYTES_MAX = 1024 * 1024;

/** What is known of one name, as long as neither its file nor its manifest changes. */
interface Known {
  readonly manifest: FileStamp;
  readonly file: FileStamp;
  /** Null for a link, or a folder. */
  readonly backup: Backup | null;
}

export class Catalog {
  readonly folder: string;
  readonly #entries: FolderEntries;
  readonly #staged: FolderEntries;
  readonly #known = new Map<string, Known>();
  #names: { readonly entries: ReadonlySet<string>; readonly names: readonly string[] } = {
    entries: new Set(),
    names: [],
  };
  #listed: { readonly published: readonly Backup[]; readonly inOrder: readonly Backup[] } = {
    published: [],
    inOrder: [],
  };

  constructor(folder: string) {
    this.folder = folder;
    this.#entries = new FolderEntries(folder);
    this.#staged = new FolderEntries(join(folder, STAGING_FOLDER));
  }

  /**
   * All backups, newest first. An absent folder is an empty catalog; an unreadable one is an error.
   *
   * Each call looks at each file and each manifest, because anybody may have changed one in its place. What is as it was (by
   * inode, size and times) is not read again, and the answer is the same object if all of it is.
   */
  async list(): Promise<readonly Backup[]> {
    const entries = await this.#namesHere();
    // In this order: a file that is published while we look has its staging folder now, or its manifest below.
    const unpublished = await this.unpublished();
    const backups = await this.#lookAt(this.#namesAmong(entries));
    for (const name of this.#known.keys()) if (!entries.has(name)) this.#known.delete(name);
    const published = backups.filter(
      ({ name, manifest, fault }) => manifest !== null || fault !== null || !unpublished.has(name),
    );
    const before = this.#listed.published;
    const isSame = published.length === before.length && published.every((backup, index) => backup === before[index]);
    if (!isSame) this.#listed = { published, inOrder: inOrder(published) };
    return this.#listed.inOrder;
  }

  #namesAmong(entries: ReadonlySet<string>): readonly string[] {
    if (this.#names.entries !== entries) this.#names = { entries, names: [...entries].filter(isBackupName) };
    return this.#names.names;
  }

  /** In the order of the names. */
  async #lookAt(names: readonly string[]): Promise<readonly Backup[]> {
    const backups = new Map<string, Backup | null>();
    const changed: string[] = [];
    for (const [index, name] of names.entries()) {
      // A look takes some microseconds, and the app is not to wait for thousands of them.
      if (index % LOOKS_IN_A_ROW === LOOKS_IN_A_ROW - 1) await nextTurn();
      const known = this.#known.get(name);
      if (known && this.#isAsKnown(name, known)) backups.set(name, known.backup);
      else changed.push(name);
    }
    const pending = changed.values();
    const reader = async () => {
      for (const name of pending) {
        // Before it is read: what changes meanwhile is found at the next look.
        const [manifest, file] = [stampOf(join(this.folder, manifestName(name))), stampOf(join(this.folder, name))];
        const backup = await this.#read(name);
        this.#known.set(name, { manifest, file, backup });
        backups.set(name, backup);
      }
    };
    await Promise.all(Array.from({ length: READERS_MAX }, reader));
    return names.flatMap((name) => backups.get(name) ?? []);
  }

  #isAsKnown(name: string, { manifest, file }: Known): boolean {
    return isUnchanged(join(this.folder, manifestName(name)), manifest) && isUnchanged(join(this.folder, name), file);
  }

  /** @throws BackupError BAD_NAME when it is not a backup's name, NO_BACKUP when there is none of that name. */
  async find(name: string): Promise<Backup> {
    if (!isBackupName(name)) {
      throw new BackupError('BAD_NAME', 'that is not the name of a backup', {
        hint: 'Names look like backup-2024-01-15T10-30-00-000Z.sqlite; list the backups to see them.',
      });
    }
    const found = (await this.list()).find((backup) => backup.name === name);
    if (!found) {
      throw new BackupError('NO_BACKUP', `there is no backup ${name}`, {
        hint: 'It may have been removed by retention; list the backups to see what is there.',
      });
    }
    return found;
  }

  /** Names that a killed run was about to publish; none if another user's run left the folder closed to us. */
  async unpublished(): Promise<ReadonlySet<string>> {
    try {
      return new Set([...(await this.#staged.read())].filter(isBackupName));
    } catch (error) {
      if (['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR'].includes(errnoCode(error) ?? '')) return new Set();
      throw BackupError.from(error);
    }
  }

  /** Makes the folder (0700) where it is missing; one that is there keeps its mode, because others may work in it too. */
  async prepare(): Promise<void> {
    try {
      makePrivateFolder(this.folder);
      await access(this.folder, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      throw explainFolderError(error, this.folder);
    }
  }

  /** Writes a manifest whole or not at all, durably. */
  async writeManifest(manifest: Manifest): Promise<void> {
    const path = join(this.folder, manifestName(manifest.name));
    const temporary = join(this.folder, `.${manifest.name}.${randomUUID()}.tmp`);
    try {
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.chmod(0o600); // the umask may have taken more
        giveToOwnerOfFolder(temporary);
        await file.writeFile(formatManifest(manifest));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw explainFolderError(error, this.folder);
    }
    await syncFolder(this.folder);
  }

  /** Reads, changes and writes one manifest; two processes that change the same one follow each other. */
  async changeManifest(name: string, change: (manifest: Manifest) => Manifest): Promise<Backup> {
    using _lock = await this.lockManifests();
    const backup = await this.find(name);
    if (!backup.manifest) {
      throw new BackupError('BAD_BACKUP', `${name} has no readable manifest`, {
        hint: 'Adopt the file first: it is verified and gets a manifest.',
      });
    }
    await this.writeManifest(change(backup.manifest));
    return await this.find(name);
  }

  /** Gives backups other numbers, the highest first: killed in between, no two change their order. Needs the folder's lock. */
  async renumber(numbers: ReadonlyMap<string, number>): Promise<void> {
    using _lock = await this.lockManifests();
    const backups = new Map((await this.list()).map((backup) => [backup.name, backup]));
    for (const [name, sequence] of [...numbers].sort(([, a], [, b]) => b - a)) {
      const manifest = backups.get(name)?.manifest;
      if (manifest) await this.writeManifest({ ...manifest, sequence });
    }
  }

  /**
   * Keeps what is said of backups as it is: nobody changes a manifest meanwhile.
   *
   * @throws BackupError BUSY, NO_PERMISSION
   */
  async lockManifests(): Promise<Disposable> {
    const path = join(this.folder, MANIFEST_LOCK_FILE);
    return await takeLock(path, { waitMs: MANIFEST_LOCK_WAIT_MS, signal: new AbortController().signal });
  }

  /**
   * The file first: a manifest alone is no backup, a file alone would be a foreign one. Gone already is fine.
   *
   * @throws BackupError NO_PERMISSION where this one is protected, or the whole folder is.
   */
  async remove(backup: Backup): Promise<void> {
    // At once, whatever its size: opening it here might drop locks that this process has on the file.
    await this.#unlink(backup, unlink);
  }

  /**
   * Removes a backup if it is still meant to go. That is asked when nobody can change a manifest any more, and until it is
   * removed nobody can.
   *
   * @param isMeant is given all backups as they are by now.
   * @returns whether it was removed.
   * @throws BackupError as `remove` does; BUSY
   */
  async removeIf(backup: Backup, isMeant: (backups: readonly Backup[]) => boolean): Promise<boolean> {
    const removed = await this.#unlinkIf(backup, isMeant);
    // A large file takes a while, and people may pin others meanwhile.
    await removed?.free();
    return removed !== null;
  }

  async #unlinkIf(backup: Backup, isMeant: (backups: readonly Backup[]) => boolean): Promise<Unlinked | null> {
    using _lock = await this.lockManifests();
    if (!isMeant(await this.list())) return null;
    let removed: Unlinked | undefined;
    try {
      await this.#unlink(backup, async (path) => {
        removed = await unlinkGently(path);
      });
      return removed ?? ALREADY_GONE;
    } catch (error) {
      await removed?.free();
      throw error;
    }
  }

  async #unlink(backup: Backup, unlinkFile: (path: string) => Promise<void>): Promise<void> {
    const gone = async (error: unknown) => {
      const code = errnoCode(error);
      if (code === 'ENOENT') return;
      const isOfThisFile = ['EPERM', 'EACCES', 'EBUSY'].includes(code ?? '') && (await this.#mayWrite());
      throw isOfThisFile ? isProtected(backup.name, error) : explainFolderError(error, this.folder);
    };
    await unlinkFile(backup.path).catch(gone);
    await unlink(join(this.folder, manifestName(backup.name))).catch(gone);
    await syncFolder(this.folder);
  }

  /**
   * Opens a backup's file for reading. Refuses links, and the live database under a backup's name: closing it in this
   * process would drop the app's locks.
   */
  async open(backup: Backup, options: { databasePath: string }) {
    if (isLiveFile(backup.path, options.databasePath)) throw planted(backup.name);
    try {
      return await open(backup.path, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if (errnoCode(error) === 'ELOOP') throw planted(backup.name);
      if (errnoCode(error) === 'ENOENT') {
        throw new BackupError('GONE', `${backup.name} was removed a moment ago`, { hint: 'List the backups again.' });
      }
      throw BackupError.from(error);
    }
  }

  async #namesHere(): Promise<ReadonlySet<string>> {
    try {
      return await this.#entries.read();
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return new Set();
      throw explainFolderError(error, this.folder);
    }
  }

  async #mayWrite(): Promise<boolean> {
    return await access(this.folder, constants.W_OK | constants.X_OK).then(
      () => true,
      () => false,
    );
  }

  async #read(name: string): Promise<Backup | null> {
    const path = join(this.folder, name);
    // The manifest before the file: where it is gone because the backup was removed, the file is gone too.
    const { manifest, fault } = await this.#readManifest(name);
    const found = await exactStatOrNull(path);
    // A link under a backup's name is never followed; a folder is no backup.
    if (!found?.isFile()) return null;
    const base = {
      ...{ name, path, sizeBytes: Number(found.size), createdAt: backupMoment(name) ?? found.mtime },
      ...{ manifest, modifiedNs: String(found.mtimeNs) },
    };
    if (manifest && manifest.artifact.sizeBytes !== base.sizeBytes) {
      return {
        ...base,
        fault: `the file has ${found.size} bytes, but its manifest says ${manifest.artifact.sizeBytes}`,
      };
    }
    const isChanged = manifest?.published && isChangedSince(manifest.published.modifiedNs, found.mtimeNs);
    return { ...base, fault, ...(isChanged && { changedAt: found.mtime }) };
  }

  async #readManifest(name: string): Promise<{ manifest: Manifest | null; fault: string | null }> {
    const path = join(this.folder, manifestName(name));
    const found = await statOrNull(path);
    if (!found) return { manifest: null, fault: null };
    if (!found.isFile()) return { manifest: null, fault: 'its manifest is not a plain file' };
    return await readManifestFile(path, name, found);
  }
}

async function readManifestFile(
  path: string,
  name: string,
  found: Stats,
): Promise<{ manifest: Manifest | null; fault: string | null }> {
  if (found.size > MANIFEST_BYTES_MAX) return { manifest: null, fault: 'its manifest is far too large' };
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return { manifest: parseManifest(await file.readFile('utf8'), name), fault: null };
    } finally {
      await file.close();
    }
  } catch (error) {
    const isClosed = errnoCode(error) === 'EACCES' && found.uid !== process.getuid?.();
    const fault = isClosed
      ? `its manifest belongs to another user (${found.uid}), and the user of this process may not read it`
      : BackupError.from(error).message;
    return { manifest: null, fault };
  }
}

/**
 * Newest first, by the numbers in the manifests; those without one stand where their moment falls. Two machines may have
 * given the same number, if neither knew of the other's backup: then the moments decide.
 */
export function inOrder<Kind extends Ordered>(backups: readonly Kind[]): readonly Kind[] {
  const byName = (a: Kind, b: Kind) => (a.name < b.name ? -1 : 1);
  const byMoment = (a: Kind, b: Kind) => a.createdAt.getTime() - b.createdAt.getTime() || byName(a, b);
  const numbered = backups.filter((backup) => backup.manifest?.sequence);
  const oldestFirst = numbered.sort(
    (a, b) => (a.manifest?.sequence ?? 0) - (b.manifest?.sequence ?? 0) || byMoment(a, b),
  );
  for (const other of backups.filter((backup) => !backup.manifest?.sequence).sort(byName)) {
    const after = oldestFirst.findLastIndex((backup) => backup.createdAt <= other.createdAt);
    oldestFirst.splice(after + 1, 0, other);
  }
  return oldestFirst.reverse();
}

type Ordered = Pick<Backup, 'name' | 'createdAt'> & { readonly manifest: Pick<Manifest, 'sequence'> | null };

const statOrNull = (path: string): Promise<Stats | null> => lstat(path).catch(nullWhereMissing);
const exactStatOrNull = (path: string): Promise<BigIntStats | null> =>
  lstat(path, { bigint: true }).catch(nullWhereMissing);

function nullWhereMissing(error: unknown): null {
  if (errnoCode(error) === 'ENOENT') return null;
  throw BackupError.from(error);
}

function isProtected(name: string, cause: unknown): BackupError {
  return new BackupError('NO_PERMISSION', `${name} can't be removed (${errnoCode(cause)})`, {
    hint: 'It may be protected (`lsattr`), kept by a rule of its storage, or belong to another user. No other backup is affected.',
    cause,
  });
}

function planted(name: string): BackupError {
  return new BackupError('BAD_BACKUP', `${name} is a link to another file`, {
    hint: 'Someone or something put it into the backup folder; remove it there.',
  });
}
