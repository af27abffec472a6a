/**
 * The last steps of a backup: from a verified file in staging to a committed backup.
 *
 * Killed anywhere, they leave no backup and no half file under a backup's name. The order is what makes that true: the
 * staging folder takes the backup's name before the file does, so a file without manifest beside such a folder is known
 * to be nobody's.
 */
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, lstatSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { manifestName, nameBackup, STAGING_FOLDER } from '../format/names.ts';
import type { Catalog } from './folder-catalog.ts';
import type { Manifest } from '../format/manifest.ts';
import { prepareOwnFolder, type Warn } from '../disk/aside.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { syncFolder } from '../disk/sync-folder.ts';
import { BackupError, errnoCode } from '../../words/errors.ts';
import type { VerifiedSnapshot } from '../sqlite/verify.ts';

/** The folder in which one run works; on the same file system as the backups, so that a rename publishes. */
export class Staging {
  #folder: string;
  readonly #root: string;
  readonly #warn: Warn;

  /** @param warn hears that the folder of another user was set aside, or that ours could not be removed. */
  constructor(backupsFolder: string, warn: Warn) {
    this.#warn = warn;
    this.#root = join(backupsFolder, STAGING_FOLDER);
    prepareOwnFolder(this.#root, warn);
    close(this.#root);
    this.#folder = join(this.#root, `run-${process.pid}`);
    mkdirSync(this.#folder, { mode: 0o700 });
    close(this.#folder);
    giveToOwnerOfFolder(this.#folder);
  }

  get file(): string {
    return join(this.#folder, 'snapshot.sqlite');
  }

  /** Says on disk which name is about to be published. */
  async announce(name: string): Promise<void> {
    const announced = join(this.#root, name);
    renameSync(this.#folder, announced);
    this.#folder = announced;
    await syncFolder(this.#root);
  }

  /** By now the backup is there, or an error says why not: what is left stops nothing, and the next run clears it. */
  [Symbol.dispose](): void {
    try {
      rmSync(this.#folder, { recursive: true, force: true });
    } catch (error) {
      const reason = errnoCode(error) ?? String(error);
      this.#warn(`${this.#folder} can't be removed (${reason}); the next run tries again.`);
    }
  }
}

/** Nobody else may look into it, also where the folder above is open. */
function close(folder: string): void {
  try {
    chmodSync(folder, 0o700);
  } catch (error) {
    // Another user's, who lets us work in it: what we make there has its own mode.
    if (errnoCode(error) !== 'EPERM') throw error;
  }
}

export async function publish(
  catalog: Catalog,
  staging: Staging,
  verified: VerifiedSnapshot,
  manifest: Manifest,
): Promise<void> {
  await staging.announce(manifest.name);
  const file = openSync(staging.file, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  chmodSync(staging.file, 0o600);
  giveToOwnerOfFolder(staging.file);
  const published = join(catalog.folder, manifest.name);
  renameSync(staging.file, published);
  try {
    await syncFolder(catalog.folder);
    const { size, mtimeNs } = statSync(published, { bigint: true });
    if (Number(size) !== verified.sizeBytes) {
      throw new BackupError('VERIFY_FAILED', 'the published file has another size than the verified one', {
        hint: 'Something else writes to the backup folder; give the backups a folder of their own.',
      });
    }
    await catalog.writeManifest({ ...manifest, published: { modifiedNs: String(mtimeNs) } });
  } catch (error) {
    // Without its manifest (the disk is full) it would be listed as foreign and never be pruned.
    rmSync(published, { force: true });
    throw error;
  }
}

/** Two pins in one millisecond, or a clock that jumped back, must not share a name. */
export function freeName(folder: string, moment: Date): string {
  const isTaken = (entry: string) => lstatSync(join(folder, entry), { throwIfNoEntry: false }) !== undefined;
  for (let at = moment.getTime(); ; at++) {
    const name = nameBackup(new Date(at));
    if (!isTaken(name) && !isTaken(manifestName(name))) return name;
  }
}

/**
 * Above all that is known, in the folder and at any target, and not below the second of its moment, counted from 1970: so
 * a machine built anew, whose older backups are at a target that can't be asked, most often goes on behind their numbers.
 *
 * @param highestKnown at targets, as they were listed last.
 */
export function nextSequence(
  backups: readonly { readonly manifest: Manifest | null }[],
  moment: Date,
  highestKnown = 0,
): number {
  const numbers = backups.flatMap((backup) => backup.manifest?.sequence ?? []);
  const next = Math.max(highestKnown + 1, Math.floor(moment.getTime() / 1_000), ...numbers.map((number) => number + 1));
  // A number that nobody can have made must not make a manifest that nobody can read.
  return Math.min(Math.max(1, next), Number.MAX_SAFE_INTEGER);
}
