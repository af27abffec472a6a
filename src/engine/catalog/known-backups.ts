/**
 * What is known of the backups in one folder, as long as neither a file nor its manifest changes: what is as it was (by inode,
 * size and times) is not read again.
 *
 * Anybody may change a file or a manifest in its place, which the folder itself does not show. So each look takes in the
 * newest `LOOKED_AT_ALWAYS`, which decide how well a database is protected, and the one that is asked for. The others of a
 * larger folder were looked at within the last minute: for a folder of 10,000, the 20,000 calls of the system took most of the
 * time of each status.
 */
import { type BigIntStats, closeSync, constants, lstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { type FileStamp, isUnchanged, stampOf } from '../disk/file-stamp.ts';
import { type Manifest, parseManifest } from '../format/manifest.ts';
import { backupMoment, manifestName } from '../format/names.ts';
import { isChangedSince } from './changed.ts';

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

/** A read with its check takes some 25 microseconds. */
const READS_IN_A_ROW = 32;
const LOOKS_IN_A_ROW = 256;
/** The newest so many are looked at in each call: they decide how well a database is protected. */
export const LOOKED_AT_ALWAYS = 256;
/** The others of a larger folder are held for so long, and looked at again beside the calls from half of it on. */
const HELD_MS = 60_000;
const MANIFEST_BYTES_MAX = 1024 * 1024;

export interface LookOptions {
  readonly nowMs?: () => number;
  /** Looks whether a file is as it was. */
  readonly isUnchanged?: typeof isUnchanged;
}

/** What is known of one name, as long as neither its file nor its manifest changes. */
interface Known {
  readonly manifest: FileStamp;
  readonly file: FileStamp;
  /** Null for a link, or a folder. */
  readonly backup: Backup | null;
}

/** What is to be as it is at this moment. */
interface LookedAtNow {
  /** The newest `LOOKED_AT_ALWAYS` of the last look. */
  readonly newest: ReadonlySet<string>;
  readonly name?: string | undefined;
  readonly all?: boolean;
}

export class KnownBackups {
  readonly #folder: string;
  readonly #nowMs: () => number;
  readonly #isUnchanged: typeof isUnchanged;
  readonly #known = new Map<string, Known>();
  /** When the last look at all of them began. */
  #roundMs = Number.NEGATIVE_INFINITY;
  #isLookingAround = false;

  constructor(folder: string, options: LookOptions = {}) {
    this.#folder = folder;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#isUnchanged = options.isUnchanged ?? isUnchanged;
  }

  /** In the order of the names. */
  async look(names: readonly string[], { newest, name: asked, all }: LookedAtNow): Promise<readonly Backup[]> {
    const nowMs = this.#nowMs();
    const isRound = names.length <= LOOKED_AT_ALWAYS || all === true || this.#isRoundDue(names, nowMs);
    const backups = await this.#lookAt(names, (name) => isRound || name === asked || newest.has(name));
    if (isRound) this.#roundMs = nowMs;
    return backups;
  }

  /** It was written anew. */
  forget(name: string): void {
    this.#known.delete(name);
  }

  /** The others are gone. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name);
  }

  /** Whether this call has to look at all of them; if not, it may begin a look at the older ones beside it. */
  #isRoundDue(names: readonly string[], nowMs: number): boolean {
    const heldMs = nowMs - this.#roundMs;
    if (heldMs > HELD_MS) return true;
    if (heldMs < HELD_MS / 2 || this.#isLookingAround) return false;
    this.#isLookingAround = true;
    const looked = this.#lookAt(names, () => true).then(() => {
      this.#roundMs = nowMs;
    });
    // What can't be looked at is said by the call that has to.
    void looked
      .catch(() => {})
      .finally(() => {
        this.#isLookingAround = false;
      });
    return false;
  }

  /** In the order of the names. What is not to be looked at is taken as it is known, if it is. */
  async #lookAt(names: readonly string[], isToBeLookedAt: (name: string) => boolean): Promise<readonly Backup[]> {
    const known = names.map((name) => this.#known.get(name));
    const changed: number[] = [];
    let looks = 0;
    for (const [index, name] of names.entries()) {
      const before = known[index];
      if (before && !isToBeLookedAt(name)) continue;
      // A look takes some microseconds, and the app is not to wait for thousands of them.
      if (++looks % LOOKS_IN_A_ROW === 0) await nextTurn();
      if (!before || !this.#isAsKnown(name, before)) changed.push(index);
    }
    for (const [count, index] of changed.entries()) {
      if (count % READS_IN_A_ROW === READS_IN_A_ROW - 1) await nextTurn();
      const name = names[index] ?? '';
      const found = this.#read(name);
      this.#known.set(name, found);
      known[index] = found;
    }
    return known.flatMap((one) => one?.backup ?? []);
  }

  #isAsKnown(name: string, { manifest, file }: Known): boolean {
    // Not by `join`, which takes as long as the look itself.
    const path = `${this.#folder}/${name}`;
    return this.#isUnchanged(manifestName(path), manifest) && this.#isUnchanged(path, file);
  }

  /** The manifest before the file: where it is gone because the backup was removed, the file is gone too. */
  #read(name: string): Known {
    const [path, manifestPath] = [join(this.#folder, name), join(this.#folder, manifestName(name))];
    // Before they are read: what changes meanwhile is found at the next look.
    const manifestStamp = stampOf(manifestPath);
    const { manifest, fault } = readManifest(manifestPath, name);
    const stamp = stampOf(path);
    return { manifest: manifestStamp, file: stamp, backup: toBackup(path, name, { manifest, fault }) };
  }
}

interface ReadManifest {
  readonly manifest: Manifest | null;
  readonly fault: string | null;
}

function toBackup(path: string, name: string, { manifest, fault }: ReadManifest): Backup | null {
  const found = statOrNull(path, { bigint: true });
  // A link under a backup's name is never followed; a folder is no backup.
  if (!found?.isFile()) return null;
  const base = {
    ...{ name, path, sizeBytes: Number(found.size), createdAt: backupMoment(name) ?? found.mtime },
    ...{ manifest, modifiedNs: String(found.mtimeNs) },
  };
  if (manifest && manifest.artifact.sizeBytes !== base.sizeBytes) {
    const what = `the file has ${found.size} bytes, but its manifest says ${manifest.artifact.sizeBytes}`;
    return { ...base, fault: what };
  }
  const isChanged = manifest?.published && isChangedSince(manifest.published.modifiedNs, found.mtimeNs);
  return { ...base, fault, ...(isChanged && { changedAt: found.mtime }) };
}

function readManifest(path: string, name: string): ReadManifest {
  const found = statOrNull(path);
  if (!found) return { manifest: null, fault: null };
  if (!found.isFile()) return { manifest: null, fault: 'its manifest is not a plain file' };
  if (found.size > MANIFEST_BYTES_MAX) return { manifest: null, fault: 'its manifest is far too large' };
  try {
    // A pipe that took its place since does not hold us up.
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      return { manifest: parseManifest(readFileSync(file, 'utf8'), name), fault: null };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const isClosed = errnoCode(error) === 'EACCES' && found.uid !== process.getuid?.();
    const fault = isClosed
      ? `its manifest belongs to another user (${found.uid}), and the user of this process may not read it`
      : BackupError.from(error).message;
    return { manifest: null, fault };
  }
}

function statOrNull(path: string): Stats | null;
function statOrNull(path: string, options: { readonly bigint: true }): BigIntStats | null;
function statOrNull(path: string, { bigint = false } = {}): Stats | BigIntStats | null {
  try {
    return lstatSync(path, { bigint, throwIfNoEntry: false }) ?? null;
  } catch (error) {
    throw BackupError.from(error);
  }
}
