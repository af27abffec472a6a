/**
 * Whose the folder and the targets are, and which database we are ourselves. What is known lies in the places and in the
 * installation's own file; here it is put together at each look, because a claim by another process changes it.
 *
 * Looking writes nothing. An id is given with the first backup: by the folder, else as the installation knows it, else by a
 * target that has a database of our name, else at random.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OWNER_FILE, RECORD_FILE } from '../../engine/format/names.ts';
import type { Catalog } from '../../engine/catalog/folder-catalog.ts';
import { type FileStamp, isUnchanged, stampOf } from '../../engine/disk/file-stamp.ts';
import { isSameDatabase, judgePlace, type PlaceIdentity, type Sourced } from '../../engine/catalog/identity.ts';
import { lookAtFolder, type OwnedFolder, readFolderIdentity } from '../../engine/catalog/own-folder.ts';
import { BackupError } from '../../words/errors.ts';
import {
  changeInstallation,
  type Installation,
  installationPath,
  makerOf,
  readInstallation,
} from '../../engine/writer/installation.ts';
import { type DatabaseSelf, selfOf } from '../../engine/writer/self.ts';
import type { StoreWords } from '../../engine/store/store.ts';
import type { Log } from '../log.ts';
import { ofList } from '../of-list.ts';
import { OfThisTurn } from '../state/of-this-turn.ts';
import type { KnownPlace } from './known-place.ts';

/** As much of a target as is asked here. */
export interface AskedTarget {
  readonly isEnabled: boolean;
  readonly words: StoreWords;
  readonly known: Pick<KnownPlace, 'ownershipFor' | 'identity'>;
  readonly refresh: () => Promise<void>;
}

interface PlacesOptions {
  /** Absolute. */
  readonly database: string;
  /** Where that leads. */
  readonly realPath: () => string;
  readonly catalog: Catalog;
  readonly statePath: string;
  /** The configured targets beside the folder. */
  readonly remotes: () => readonly AskedTarget[];
  readonly log: Log;
  readonly now: () => Date;
}

/** A target that does not answer must not hold up the first backup for longer. */
const FIRST_CONTACT_MS = 10_000;

interface Known {
  readonly self: DatabaseSelf;
  /** Digests of the paths at which this database was. */
  readonly paths: readonly string[];
  /** The folder's record names another database. */
  readonly isForeign: boolean;
}

type GivenId = Pick<DatabaseSelf, 'databaseId' | 'isProvisional'>;

export class Places {
  readonly #options: PlacesOptions;
  readonly #installationPath: string;
  #base: { readonly path: string; readonly self: DatabaseSelf } | null = null;
  /** As the files of `#files` were. */
  #seen: { readonly base: DatabaseSelf; readonly stamps: readonly FileStamp[]; readonly known: Known } | null = null;
  readonly #files: readonly string[];
  #folder: { readonly known: Known; readonly ownedBy: (backups: readonly Sourced[]) => OwnedFolder } | null = null;
  readonly #now = new OfThisTurn(() => this.#lookAgain());
  /** Stands in for the installation's file where that can't be written. */
  #installation: Installation | null = null;
  #complained = false;
  /** The id of a first backup is being decided; whoever asks meanwhile gets the same. */
  #giving: Promise<GivenId> | null = null;
  #random: string | null = null;

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#installationPath = installationPath(options.statePath);
    const { folder } = options.catalog;
    this.#files = [this.#installationPath, join(folder, RECORD_FILE), join(folder, OWNER_FILE)];
  }

  /** Which database we are, as far as it is known. */
  get self(): DatabaseSelf {
    return this.#known().self;
  }

  /** Digests of the paths at which this database is and was, by the claims of the folder. */
  get paths(): readonly string[] {
    return this.#known().paths;
  }

  /** True if the folder's record names another database: what else lies there is not ours either. */
  get isForeign(): boolean {
    return this.#known().isForeign;
  }

  /** @param backups of the folder, newest first. */
  folder(backups: readonly Sourced[]): OwnedFolder {
    const known = this.#known();
    // What is known is another object as soon as a record in the folder is another one.
    if (this.#folder?.known !== known) {
      const { folder } = this.#options.catalog;
      this.#folder = { known, ownedBy: ofList((list) => lookAtFolder(folder, known.self, list)) };
    }
    return this.#folder.ownedBy(backups);
  }

  /** What a job that writes needs: the id of the installation too, and an id of our own wherever there will be a backup. */
  async selfToWrite(): Promise<DatabaseSelf> {
    await this.#change((installation) => installation);
    const { self, isForeign } = this;
    if (self.databaseId !== null || isForeign || !existsSync(this.#options.database)) return self;
    this.#giving ??= this.#giveId(self).finally(() => {
      this.#giving = null;
    });
    return { ...self, ...(await this.#giving) };
  }

  /** A backup of ours was made under this id. */
  async note(databaseId: string): Promise<void> {
    const { pathDigest } = this.self;
    await this.#change((installation) => ({
      ...installation,
      databases: { ...installation.databases, [pathDigest]: databaseId },
    }));
  }

  /** The database may have been given its id by that backup. */
  async noteIdOf(name: string): Promise<void> {
    try {
      const { databaseId } = (await this.#options.catalog.find(name)).manifest ?? {};
      if (databaseId !== undefined) await this.note(databaseId);
    } catch (error) {
      this.#options.log('warn', `The id of the database was not recorded: ${BackupError.from(error).message}.`);
    }
  }

  /** What was brought back here is that database from now on, also where nobody knew its id here. */
  async restored(databaseId: string | undefined): Promise<void> {
    if (databaseId !== undefined && this.self.databaseId === null) await this.note(databaseId);
  }

  async #giveId(self: DatabaseSelf): Promise<GivenId> {
    // A folder that can't be listed is told by the run itself.
    const backups = await this.#options.catalog.list().catch(() => []);
    const { owner, id } = this.folder(backups).ownership;
    if (owner === 'ours' && id !== null) return { databaseId: id, isProvisional: false };
    const { found, isComplete } = await this.#askTargets(self);
    this.#random ??= randomUUID();
    return { databaseId: found ?? this.#random, isProvisional: found === null && !isComplete };
  }

  /** The first contact: a target may know this very database, whose state was lost. */
  async #askTargets(self: DatabaseSelf): Promise<{ readonly found: string | null; readonly isComplete: boolean }> {
    let asked: readonly AskedTarget[];
    try {
      asked = this.#options.remotes().filter(({ isEnabled }) => isEnabled);
    } catch {
      // Targets that can't be used must not fail a local backup; the upload says why.
      return { found: null, isComplete: false };
    }
    const answers = await Promise.all(asked.map((remote) => this.#ask(remote, self)));
    const found = answers.find((answer) => answer !== 'silent' && answer !== null) ?? null;
    return { found, isComplete: !answers.includes('silent') };
  }

  async #ask(remote: AskedTarget, self: DatabaseSelf): Promise<string | null> {
    try {
      await refreshWithinMs(remote, FIRST_CONTACT_MS);
    } catch {
      // The log says why, and the upload that follows.
      return 'silent';
    }
    const { owner, id } = remote.known.ownershipFor(self);
    const { record = null, claims = [] } = remote.known.identity ?? {};
    if (owner !== 'ours' || (record !== null && !isSameDatabase(claims.at(-1) ?? record, self))) return null;
    return id;
  }

  #known(): Known {
    return this.#now.get();
  }

  #lookAgain(): Known {
    const { database, realPath } = this.#options;
    const path = realPath();
    if (this.#base?.path !== path) this.#base = { path, self: selfOf(database, path) };
    const base = this.#base.self;
    const seen = this.#seen;
    if (seen?.base === base && this.#files.every((file, index) => isUnchanged(file, seen.stamps[index] ?? null)))
      return seen.known;
    // Before they are read: what changes meanwhile is found at the next look.
    const stamps = this.#files.map(stampOf);
    const known = this.#look(base);
    this.#seen = { base, stamps, known };
    return known;
  }

  #look(base: DatabaseSelf): Known {
    const installation = this.#readInstallation();
    const start: DatabaseSelf = {
      ...base,
      databaseId: installation?.databases[base.pathDigest] ?? null,
      maker: installation && makerOf(installation),
      installationPath: this.#installationPath,
    };
    const identity = readFolderIdentity(this.#options.catalog.folder);
    const ownership = judgePlace('folder', identity, start, []);
    if (identity.record === null || ownership.owner !== 'ours')
      return { self: start, paths: [base.pathDigest], isForeign: ownership.owner === 'foreign' };
    const { id, ids } = ownership;
    const formerIds = ids.filter((one) => one !== id);
    const isProvisional = identity.record.provisional === true && identity.claims.length === 0;
    const self = { ...start, databaseId: id, formerIds, isProvisional };
    return { self, paths: pathsOf(identity, base.pathDigest), isForeign: false };
  }

  #readInstallation(): Installation | null {
    try {
      return readInstallation(this.#installationPath) ?? this.#installation;
    } catch (error) {
      this.#complain(error);
      return this.#installation;
    }
  }

  /** If it can't be written, backups go on, and the log says so once. */
  async #change(change: (installation: Installation) => Installation): Promise<void> {
    const { now, log } = this.#options;
    const warn = (message: string) => log('warn', message);
    try {
      this.#installation = await changeInstallation(this.#installationPath, change, { now, warn });
    } catch (error) {
      this.#complain(error);
      this.#installation = change(this.#installation ?? newInMemory(now()));
    }
    this.#seen = null;
    this.#now.drop();
  }

  #complain(error: unknown): void {
    if (this.#complained) return;
    this.#complained = true;
    const { message, hint } = BackupError.from(error);
    this.#options.log('warn', `The identity of this installation could not be recorded: ${message}. ${hint}`);
  }
}

function newInMemory(now: Date): Installation {
  const format = 'velist-backup-installation/1';
  return { format, id: randomUUID(), createdAt: now.toISOString(), databases: {}, places: {}, taking: {} };
}

function pathsOf({ record, claims }: PlaceIdentity, own: string): readonly string[] {
  return [...new Set([own, ...[record, ...claims].flatMap((one) => one?.path ?? [])])];
}

/** @throws BackupError S3_UNREACHABLE, or what stands for it, when the look takes longer; it goes on. */
export async function refreshWithinMs(remote: Pick<AskedTarget, 'words' | 'refresh'>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(noAnswer(remote.words, ms)), ms);
  });
  try {
    await Promise.race([remote.refresh(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function noAnswer({ codes, silent }: StoreWords, ms: number): BackupError {
  return new BackupError(codes.silent, `there was no answer within ${ms / 1_000} s`, { hint: silent });
}
