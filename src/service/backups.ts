/**
 * The backups of the folder and those that are at other targets alone, as one list, newest first. What is in the folder
 * is looked up there at each call; what is elsewhere is as of the last listing there.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Backup, type Catalog, inOrder } from '../engine/catalog/catalog.ts';
import { otherOf, type Ownership } from '../engine/catalog/identity.ts';
import { BackupError } from '../engine/errors.ts';
import { isVerified } from '../engine/retention.ts';
import { isHere, type KnownBackup, toBackupItem } from './backup-item.ts';
import type { BackupItem, TargetName } from './model.ts';
import type { FetchOptions } from './downloads.ts';
import type { Offsite, OffsiteBackup } from './offsite.ts';
import { openBackup } from './opened-backup.ts';
import type { Places } from './places.ts';
import { targetWord } from './remote-targets.ts';
import type { Removal } from './run-history.ts';
import type { Runs } from './runs.ts';
import type { FromTarget, OpenedBackup } from './service-port.ts';

export interface BackupsOptions {
  readonly catalog: Catalog;
  /** Never opened here, under whatever name it is planted. */
  readonly databasePath: string;
  /** Of each configured target beside the folder. */
  readonly offsites: () => readonly Offsite[];
  /** The folder, as configured. */
  readonly folder: string;
  readonly runs: Runs;
  readonly places: Pick<Places, 'folder'>;
  /** What is known of a backup that is gone. */
  readonly removal: (name: string) => Removal | null;
}

export class Backups {
  readonly #options: BackupsOptions;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** @throws BackupError BAD_REQUEST where none of that name is configured. */
  requireOffsite(target: TargetName): Offsite {
    const offsites = this.#options.offsites();
    const offsite = offsites.find((candidate) => candidate.target === target);
    if (offsite) return offsite;
    if (target === 's3') {
      throw new BackupError('BAD_REQUEST', 'no S3 target is configured', {
        hint: 'Set S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment, then restart.',
      });
    }
    const names = ['local', ...offsites.map((candidate) => candidate.target)];
    throw new BackupError('BAD_REQUEST', `there is no target ${target}`, { hint: `There is ${names.join(', ')}.` });
  }

  /** All of the folder, and what is at other targets alone, as far as they are on; those of other databases too. */
  async everywhere(): Promise<readonly KnownBackup[]> {
    const local = await this.#here();
    const offsites = this.#options.offsites().filter(({ isEnabled }) => isEnabled);
    const [only, ...others] = offsites;
    const here = new Set(local.map(({ name }) => name));
    const elsewhere = others.length === 0 ? (only?.backups ?? []) : bestCopies(offsites);
    const ownerships = new Map(offsites.map((offsite) => [offsite.target, offsite.ownership]));
    const marked = elsewhere.map((backup) => marking(backup, ownerships.get(backup.target)));
    return inOrder<KnownBackup>([...local, ...marked.filter(({ name }) => !here.has(name))]);
  }

  /** What is at one target, of other databases too; another than the folder is asked anew. */
  async at(target: TargetName): Promise<readonly KnownBackup[]> {
    if (target === 'local') return await this.#here();
    const offsite = this.requireOffsite(target);
    await offsite.refresh();
    const { ownership } = offsite;
    return offsite.backups.map((backup) => marking(backup, ownership));
  }

  async #here(): Promise<readonly (Backup & Pick<KnownBackup, 'other'>)[]> {
    const backups = await this.#options.catalog.list();
    const { ownership } = this.#options.places.folder(backups);
    return backups.map((backup) => marking(backup, ownership));
  }

  /**
   * @param here names of the backups in the folder.
   * @param among all, newest first, where `backups` are only some of them.
   */
  toItems(
    backups: readonly KnownBackup[],
    here: ReadonlySet<string>,
    among: readonly KnownBackup[] = backups,
  ): readonly BackupItem[] {
    const before = beforeEach(among);
    const { folder } = this.#options;
    const offsites = this.#options.offsites().map((offsite) => ({ offsite, uploads: offsite.uploadStates() }));
    return backups.map((backup) =>
      toBackupItem(backup, {
        isLocal: here.has(backup.name),
        before: before.get(backup.name) ?? null,
        folder,
        remotes: offsites.map(({ offsite, uploads }) => ({
          target: offsite.target,
          address: offsite.address,
          isEnabled: offsite.isEnabled,
          host: hostOf(offsite),
          remote: offsite.find(backup.name),
          upload: uploads.get(backup.name),
        })),
      }),
    );
  }

  async namesHere(): Promise<ReadonlySet<string>> {
    return new Set((await this.#options.catalog.list()).map(({ name }) => name));
  }

  /**
   * The backup in the folder, else the best copy elsewhere; `from` says which is meant.
   *
   * @throws BackupError BAD_NAME, NO_BACKUP, GONE where it is known who removed it.
   */
  async find(name: string, from?: TargetName): Promise<KnownBackup> {
    const { catalog, offsites } = this.#options;
    if (from !== undefined && from !== 'local') return await this.#findRemote(name, from);
    try {
      const found = await catalog.find(name);
      return marking(found, this.#options.places.folder(await catalog.list()).ownership);
    } catch (error) {
      const remote = from === undefined ? bestCopy(offsites(), name) : null;
      if (BackupError.from(error).code !== 'NO_BACKUP') throw error;
      if (remote) return marking(remote, this.requireOffsite(remote.target).ownership);
      throw this.#gone(name) ?? error;
    }
  }

  async #findRemote(name: string, target: TargetName): Promise<KnownBackup> {
    const offsite = this.requireOffsite(target);
    if (!offsite.find(name)) await offsite.refresh();
    const found = offsite.find(name);
    if (found) return marking(found, offsite.ownership);
    const { status, why, at } = offsite.uploadStates().get(name) ?? {};
    if (status === 'removed' && why && at) {
      throw new BackupError(
        'GONE',
        `${name} is no longer on ${targetWord(target)}: it was removed ${why} at ${at.toISOString()}`,
        {
          hint: 'List the backups to see where it still is.',
        },
      );
    }
    throw (
      this.#gone(name) ??
      new BackupError('NO_BACKUP', `there is no backup ${name} on ${targetWord(target)}`, {
        hint: `It may have been removed by retention; list what is there with --target ${target}.`,
      })
    );
  }

  #gone(name: string): BackupError | null {
    const removal = this.#options.removal(name);
    if (!removal) return null;
    return new BackupError(
      'GONE',
      `${name} no longer exists: it was removed ${removal.why} at ${removal.at.toISOString()}`,
      {
        hint: 'List the backups to see what is left.',
      },
    );
  }

  /** The bytes of the plain database; one that is elsewhere alone is fetched first. */
  async open(backup: KnownBackup, options: Pick<FromTarget, 'allowPlain'> = {}): Promise<OpenedBackup> {
    const sha256 = backup.fault ? null : (backup.manifest?.database.sha256 ?? null);
    if (isHere(backup)) return await openBackup({ file: await this.#openFile(backup), sha256, isTimeOfBytes: true });
    const path = await this.path(backup, options);
    return await openBackup({ file: await open(path, 'r'), sha256, isTimeOfBytes: false });
  }

  /** Where it can be read, by a job: a file that is a backup and nothing planted. */
  async path(backup: KnownBackup, options: FromTarget & { readonly user?: string } = {}): Promise<string> {
    if (!isHere(backup)) return await this.#fetchAsRun(backup, options);
    await (await this.#openFile(backup)).close();
    return resolve(backup.path);
  }

  /** A run of its own, because it takes its time and proves the copy there. */
  async #fetchAsRun(
    { name, sizeBytes, target }: OffsiteBackup,
    { user = null, identity, allowPlain, onProgress }: FromTarget & { readonly user?: string | null },
  ): Promise<string> {
    const { runs } = this.#options;
    const run = runs.begin({ kind: 'verify', user, backup: name, weights: { fetch: 90, check: 10 } });
    run.listen(onProgress);
    const { downloads } = this.requireOffsite(target);
    const fetchHere = (given: FetchOptions) => downloads.fetchHere(name, { ...given, identity, allowPlain });
    try {
      const path = await runs.fetching(run, fetchHere, 'all steps');
      runs.record(run.end({ result: 'success', backup: name, sizeBytes }));
      return path;
    } catch (error) {
      const known = BackupError.from(error);
      runs.record(run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', backup: name, error: known }));
      throw known;
    }
  }

  async #openFile(backup: Backup): Promise<FileHandle> {
    const { catalog, databasePath } = this.#options;
    return await catalog.open(backup, { databasePath });
  }
}

/** By the name of each backup, the one of the same database before it. A foreign file is of nobody known. */
function beforeEach(backups: readonly KnownBackup[]): ReadonlyMap<string, KnownBackup> {
  const before = new Map<string, KnownBackup>();
  const newer = new Map<string, string>();
  for (const backup of backups) {
    const of = backup.manifest?.databaseId ?? backup.manifest?.source.name;
    if (of === undefined) continue;
    const waiting = newer.get(of);
    if (waiting !== undefined) before.set(waiting, backup);
    newer.set(of, backup.name);
  }
  return before;
}

/** Adds whose it is, if not ours. */
function marking<Kind extends Backup | OffsiteBackup>(
  backup: Kind,
  ownership: Ownership | undefined,
): Kind & Pick<KnownBackup, 'other'> {
  const other = ownership && otherOf(ownership, backup);
  return other ? { ...backup, other } : backup;
}

/** Each backup once, whichever targets hold it. */
function bestCopies(offsites: readonly Offsite[]): readonly OffsiteBackup[] {
  const names = new Set(offsites.flatMap(({ backups }) => backups.map(({ name }) => name)));
  return [...names].flatMap((name) => bestCopy(offsites, name) ?? []);
}

function hostOf({ access: { s3 } }: Offsite): string {
  return s3.endpoint?.replaceAll(/^https?:\/\/|[:/].*$/g, '') ?? '';
}

/**
 * The copy to rely on: one that is taken without a word more, a good one before a damaged one, then one that can be read at once, then of a target that answered
 * when it was last asked.
 */
function bestCopy(offsites: readonly Offsite[], name: string): OffsiteBackup | null {
  const copies = offsites.flatMap((offsite) => {
    const copy = offsite.find(name);
    if (!copy) return [];
    const faults = [
      ...[offsite.refuses(copy) ? 8 : 0, isVerified(copy) ? 0 : 4],
      ...[copy.archive ? 2 : 0, offsite.waiting.error === null ? 0 : 1],
    ];
    return [{ copy, faults: faults.reduce((sum, fault) => sum + fault) }];
  });
  return copies.sort((a, b) => a.faults - b.faults)[0]?.copy ?? null;
}
