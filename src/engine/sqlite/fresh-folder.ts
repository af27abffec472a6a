/**
 * A folder that nobody else can have prepared, beside the place where a file is to be made. Others may write to the
 * surrounding folder, as in `/tmp`: under a predictable name they would leave a folder that they can read, or a link.
 * So the name is random, and once it is made the folder is reached by its descriptor, if the system has a way for that:
 * its name may be moved to another folder meanwhile, but our work stays in ours. SQLite goes by the name again, so in a
 * folder without the sticky bit it might be given another file to check.
 *
 * A lock inside is held while the folder is in use (`staged.ts`), so that a process that finds it later knows whether
 * its maker was killed.
 */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import { openNew } from './open-new.ts';
import { holdStaging, removeIfAllowed, whenAlone } from './staged.ts';
import { sideFiles } from './stamp.ts';

const PREFIX = '.velist-restore-';
const MADE = new RegExp(`^${PREFIX.replaceAll('.', '\\.')}[A-Za-z0-9]{6}$`);
/** A process that cleans up may take an empty folder for an abandoned one. */
const TRIES_MAX = 5;
/** Whatever we make in one. */
const NAMES = ['database', 'download', 'download.etag'];

export class FreshFolder implements Disposable {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #inside: string;
  #lock: Disposable | null = null;

  private constructor(path: string) {
    this.#path = path;
    this.#descriptor = openFolder(path);
    this.#inside = insideOf(path, this.#descriptor);
  }

  /** @throws BackupError NO_PERMISSION, DISK_FULL, INTERNAL where none can be made. */
  static beside(destination: string): FreshFolder {
    for (let tries = 1; ; tries++) {
      const path = makeFolder(dirname(destination));
      let folder: FreshFolder | undefined;
      try {
        folder = new FreshFolder(path);
        folder.#begin();
        return folder;
      } catch (error) {
        folder?.[Symbol.dispose]();
        if (tries >= TRIES_MAX) throw error;
      }
    }
  }

  /** The path of what is made in it. */
  at(name: (typeof NAMES)[number]): string {
    return join(this.#inside, name);
  }

  [Symbol.dispose](): void {
    clear(this.#inside);
    this.#lock?.[Symbol.dispose]();
    remove(this.#path);
    closeSync(this.#descriptor);
  }

  #begin(): void {
    const found = fstatSync(this.#descriptor);
    if (!isOwn(found.uid) && !this.#givesOursThatOwner(found.uid)) throw exchanged(this.#path);
    fchmodSync(this.#descriptor, 0o700); // the umask may have taken more
    this.#lock = holdStaging(this.at('database'));
    if (lstatSync(this.#path, { throwIfNoEntry: false })?.ino !== found.ino) throw exchanged(this.#path);
  }

  /**
   * Some file systems give all files one owner, or give root's files to nobody; a file that we make gets the same
   * owner.
   */
  #givesOursThatOwner(uid: number): boolean {
    const probe = openNew(this.at('download'));
    try {
      return fstatSync(probe).uid === uid;
    } finally {
      closeSync(probe);
      removeIfAllowed(this.at('download'));
    }
  }
}

/** Removes those in that folder whose maker was killed; those of other users are theirs to remove. */
export function removeDeadFolders(around: string): void {
  for (const entry of madeIn(around)) {
    const path = join(around, entry);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (!found?.isDirectory() || !isOwn(found.uid)) continue;
    let descriptor: number | undefined;
    try {
      descriptor = openFolder(path);
      const inside = insideOf(path, descriptor);
      // An empty folder has no lock: not yet, or no longer.
      if (readdirSync(inside).length > 0) whenAlone(join(inside, 'database'), () => clear(inside));
      rmdirSync(path);
    } catch {
      // It is in use, or was removed a moment ago; a later run tries again.
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }
}

function makeFolder(around: string): string {
  try {
    return mkdtempSync(join(around, PREFIX));
  } catch (error) {
    throw BackupError.from(error);
  }
}

/** If this user may enter the folder but not read it, nothing is seen. */
function madeIn(around: string): readonly string[] {
  try {
    return readdirSync(around).filter((entry) => MADE.test(entry));
  } catch {
    return [];
  }
}

function openFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0));
}

/** If the system has no files for descriptors, the name has to do. */
function insideOf(path: string, descriptor: number): string {
  const byDescriptor = `/proc/self/fd/${descriptor}`;
  return existsSync(byDescriptor) ? byDescriptor : path;
}

function isOwn(uid: number): boolean {
  return process.geteuid === undefined || uid === process.geteuid();
}

function clear(inside: string): void {
  for (const name of NAMES) for (const suffix of ['', ...sideFiles]) removeIfAllowed(join(inside, name + suffix));
}

function remove(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Another program put something into it, or it was moved: no backup waits for that.
  }
}

function exchanged(path: string): BackupError {
  return new BackupError('NO_PERMISSION', `${path} was replaced or removed right after it was created`, {
    hint: 'Another program is changing that folder; choose another place.',
  });
}
