/**
 * The backups of the folder and those that are at S3 alone, as one list, newest first. What is in the folder is looked
 * up there at each call; what is at S3 is as of its last listing.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Backup, type Catalog, inOrder } from '../engine/catalog/catalog.ts';
import type { RemoteBackup } from '../engine/catalog/remote-catalog.ts';
import { BackupError } from '../engine/errors.ts';
import { isHere, type ItemFacts, type KnownBackup, toBackupItem } from './backup-item.ts';
import type { BackupItem, TargetName } from './model.ts';
import type { FetchOptions } from './downloads.ts';
import type { Offsite } from './offsite.ts';
import { openBackup } from './opened-backup.ts';
import type { Removal } from './run-history.ts';
import type { Runs } from './runs.ts';
import type { FromTarget, OpenedBackup } from './service-port.ts';

export interface BackupsOptions {
  readonly catalog: Catalog;
  /** Never opened here, under whatever name it is planted. */
  readonly databasePath: string;
  /** Null where no S3 is configured. */
  readonly offsite: () => Offsite | null;
  readonly isS3Enabled: () => boolean;
  /** How the places of the copies are called, as configured. */
  readonly places: () => ItemFacts['places'];
  readonly runs: Runs;
  /** What is known of a backup that is gone. */
  readonly removal: (name: string) => Removal | null;
}

export class Backups {
  readonly #options: BackupsOptions;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** @throws BackupError BAD_REQUEST where none is configured. */
  requireOffsite(): Offsite {
    const offsite = this.#options.offsite();
    if (offsite) return offsite;
    throw new BackupError('BAD_REQUEST', 'no S3 target is configured', {
      hint: 'Set S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment, then restart.',
    });
  }

  /** Of the folder and, while S3 is on, of what is there alone. */
  async everywhere(): Promise<readonly KnownBackup[]> {
    const { catalog, offsite, isS3Enabled } = this.#options;
    const local = await catalog.list();
    const here = new Set(local.map(({ name }) => name));
    const remote = isS3Enabled() ? (offsite()?.backups ?? []) : [];
    return inOrder<KnownBackup>([...local, ...remote.filter(({ name }) => !here.has(name))]);
  }

  /** What is at one target; S3 is asked anew. */
  async at(target: TargetName): Promise<readonly KnownBackup[]> {
    if (target === 'local') return await this.#options.catalog.list();
    const offsite = this.requireOffsite();
    await offsite.refresh();
    return offsite.backups;
  }

  /** @param here names of the backups in the folder. */
  toItems(backups: readonly KnownBackup[], here: ReadonlySet<string>): readonly BackupItem[] {
    const offsite = this.#options.offsite();
    const uploads = offsite?.uploadStates();
    const s3Enabled = this.#options.isS3Enabled();
    const places = this.#options.places();
    return backups.map((backup) =>
      toBackupItem(backup, {
        isLocal: here.has(backup.name),
        remote: offsite?.find(backup.name) ?? undefined,
        upload: uploads?.get(backup.name),
        s3Enabled,
        places,
      }),
    );
  }

  async namesHere(): Promise<ReadonlySet<string>> {
    return new Set((await this.#options.catalog.list()).map(({ name }) => name));
  }

  /**
   * The backup in the folder, else the one at S3; `from` says which is meant.
   *
   * @throws BackupError BAD_NAME, NO_BACKUP, GONE where it is known who removed it.
   */
  async find(name: string, from?: TargetName): Promise<KnownBackup> {
    const { catalog, offsite } = this.#options;
    if (from === 's3') return await this.#findRemote(name);
    try {
      return await catalog.find(name);
    } catch (error) {
      const remote = from === undefined ? offsite()?.find(name) : null;
      if (BackupError.from(error).code !== 'NO_BACKUP') throw error;
      if (remote) return remote;
      throw this.#gone(name) ?? error;
    }
  }

  async #findRemote(name: string): Promise<RemoteBackup> {
    const offsite = this.requireOffsite();
    if (!offsite.find(name)) await offsite.refresh();
    const found = offsite.find(name);
    if (found) return found;
    throw (
      this.#gone(name) ??
      new BackupError('NO_BACKUP', `there is no backup ${name} on S3`, {
        hint: 'It may have been removed by retention; list what is there with --target s3.',
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

  /** The bytes of the plain database; one that is at S3 alone is fetched first. */
  async open(backup: KnownBackup): Promise<OpenedBackup> {
    const sha256 = backup.fault ? null : (backup.manifest?.database.sha256 ?? null);
    if (isHere(backup)) return await openBackup({ open: () => this.#openFile(backup), sha256 });
    const path = await this.path(backup);
    return await openBackup({ open: () => open(path, 'r'), sha256 });
  }

  /** Where it can be read, by a job: a file that is a backup and nothing planted. */
  async path(backup: KnownBackup, options: FromTarget & { readonly user?: string } = {}): Promise<string> {
    if (!isHere(backup)) return await this.#fetchAsRun(backup, options);
    await (await this.#openFile(backup)).close();
    return resolve(backup.path);
  }

  /** A run of its own, because it takes its time and proves the copy at S3. */
  async #fetchAsRun(
    { name, sizeBytes }: RemoteBackup,
    { user = null, identity, onProgress }: FromTarget & { readonly user?: string | null },
  ): Promise<string> {
    const { runs } = this.#options;
    const run = runs.begin({ kind: 'verify', user, backup: name, weights: { fetch: 90, check: 10 } });
    run.listen(onProgress);
    const fetchHere = (given: FetchOptions) => this.requireOffsite().downloads.fetchHere(name, { ...given, identity });
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
