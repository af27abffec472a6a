/**
 * The backups of the folder and those that are at other targets alone, as one list, newest first. What is in the folder
 * is looked up there at each call; what is elsewhere is as of the last listing there.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { otherOf, type Ownership } from '../../engine/catalog/identity.ts';
import { BackupError } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { oneOfEach, type PlannedPlace, planRestore } from '../../engine/restore-points/plan.ts';
import { archiveHoursOf } from '../../engine/store/kinds.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { hereOf, isHere, type KnownBackup, type TargetBackup, type RemoteFacts, toBackupItem } from './backup-item.ts';
import type { BackupItem } from './shown-backup.ts';
import type { FetchOptions } from '../targets/downloads.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import { ofList } from '../of-list.ts';
import { openBackup } from './opened-backup.ts';
import type { FromTarget, ListOptions, OpenedBackup } from '../service-port.ts';

interface ShownItem {
  readonly before: KnownBackup | null;
  readonly isLocal: boolean;
  readonly item: BackupItem;
}

interface ShownItems {
  readonly backups: readonly KnownBackup[];
  readonly here: ReadonlySet<string>;
  readonly items: readonly BackupItem[];
}

interface MarkedBackups {
  readonly backups: readonly Backup[];
  readonly ownership: Ownership;
  readonly copies: readonly (Backup & Pick<KnownBackup, 'other'>)[];
}

export class Backups {
  readonly #context: ServiceContext;
  readonly #targets: RemoteTargets;
  /** Items of backups in the folder: each holds for as long as the catalog gives the same backup, and the same before it. */
  readonly #shown = new WeakMap<KnownBackup, ShownItem>();
  #items: ShownItems | null = null;
  #marked: MarkedBackups | null = null;

  constructor(context: ServiceContext, targets: RemoteTargets) {
    this.#context = context;
    this.#targets = targets;
  }

  /** @throws BackupError BAD_REQUEST if none of that name is configured. */
  requireRemote(target: TargetName): RemoteTarget {
    return this.#targets.require(target);
  }

  /** Newest first, as they are shown. */
  async list({ target, recent = false, onSilent }: ListOptions): Promise<readonly BackupItem[]> {
    if (recent && target === undefined)
      for (const { remote, error } of await this.#targets.lookRecently()) onSilent?.(remote.target, error);
    const backups = target ? await this.at(target) : await this.everywhere();
    const isRemote = target !== undefined && target !== 'local';
    const here = isRemote ? namesOf(await this.#context.catalog.list()) : namesOf(hereOf(backups));
    return this.toItems(backups, here);
  }

  /** One of them, as it is shown. */
  async item(filename: string): Promise<BackupItem> {
    return await this.toItem(await this.find(filename));
  }

  async toItem(backup: KnownBackup): Promise<BackupItem> {
    const all = await this.everywhere();
    const [item] = this.toItems([backup], namesOf(hereOf(all)), all);
    if (item) return item;
    throw new BackupError('GONE', `${backup.name} was removed a moment ago`, { hint: 'List the backups again.' });
  }

  /** Is there something that a missing database can be brought back from, or was there? */
  async wereMade(): Promise<boolean> {
    if (this.#context.state.lastMade() !== null) return true;
    const backups = await this.everywhere().catch(() => []);
    return backups.some(({ manifest }) => manifest !== null);
  }

  /** All of the folder, and what is at other targets alone, as far as they are on; those of other databases too. */
  async everywhere(): Promise<readonly KnownBackup[]> {
    return oneOfEach(await this.places());
  }

  /** What is at one target, of other databases too; another than the folder is asked anew. */
  async at(target: TargetName): Promise<readonly KnownBackup[]> {
    return (await this.placeAt(target)).copies;
  }

  /** The folder, and the targets that are on as they were listed last: what a restore is planned from. */
  async places(): Promise<readonly PlannedPlace<KnownBackup>[]> {
    return this.placesWith(await this.#context.catalog.list());
  }

  /** The same, with what the folder holds. */
  placesWith(backups: readonly Backup[]): readonly PlannedPlace<KnownBackup>[] {
    return [this.#here(backups), ...this.#targets.enabled.map(placeOf)];
  }

  /** One place; another than the folder is asked anew. */
  async placeAt(target: TargetName): Promise<PlannedPlace<KnownBackup>> {
    if (target === 'local') return this.#here(await this.#context.catalog.list());
    const remote = this.requireRemote(target);
    await remote.refresh();
    return placeOf(remote);
  }

  #here(backups: readonly Backup[]): PlannedPlace<Backup & Pick<KnownBackup, 'other'>> {
    const { ownership } = this.#context.places.folder(backups);
    if (this.#marked?.backups !== backups || this.#marked.ownership !== ownership)
      this.#marked = { backups, ownership, copies: backups.map((backup) => marking(backup, ownership)) };
    return { target: 'local', word: 'local', copies: this.#marked.copies };
  }

  /**
   * @param here names of the backups in the folder.
   * @param siblings all, newest first, where `backups` are only some of them.
   */
  toItems(
    backups: readonly KnownBackup[],
    here: ReadonlySet<string>,
    siblings: readonly KnownBackup[] = backups,
  ): readonly BackupItem[] {
    // What is at a target is known anew with each listing there.
    if (this.#targets.all.length > 0) return this.#toItems(backups, here, siblings);
    const shown = this.#items;
    if (shown?.backups === backups && shown.here === here && backups === siblings) return shown.items;
    const items = this.#toItems(backups, here, siblings);
    if (backups === siblings) this.#items = { backups, here, items };
    return items;
  }

  #toItems(
    backups: readonly KnownBackup[],
    here: ReadonlySet<string>,
    siblings: readonly KnownBackup[],
  ): readonly BackupItem[] {
    const before = beforeEach(siblings);
    const { folder } = this.#context;
    const remotes = this.#targets.all.map((remote) => ({ remote, uploads: remote.uploads.states() }));
    return backups.map((backup) => {
      const facts = { isLocal: here.has(backup.name), before: before.get(backup.name) ?? null };
      const shown = remotes.length === 0 ? this.#shown.get(backup) : undefined;
      if (shown?.before === facts.before && shown.isLocal === facts.isLocal) return shown.item;
      const item = toBackupItem(backup, {
        ...{ ...facts, folder: folder.named },
        remotes: remotes.map(({ remote, uploads }) => ({
          target: remote.target,
          address: remote.address,
          isEnabled: remote.isEnabled,
          ...lookedUp(remote, backup.name),
          upload: uploads.get(backup.name),
        })),
      });
      if (remotes.length === 0) this.#shown.set(backup, { ...facts, item });
      return item;
    });
  }

  /**
   * The backup in the folder, else the best copy elsewhere; `from` says which is meant.
   *
   * @throws BackupError BAD_NAME, NO_BACKUP, GONE where it is known who removed it.
   */
  async find(name: string, from?: TargetName): Promise<KnownBackup> {
    const { catalog, places } = this.#context;
    if (from !== undefined && from !== 'local') return await this.#findRemote(name, from);
    try {
      const found = await catalog.find(name);
      return marking(found, places.folder(await catalog.list()).ownership);
    } catch (error) {
      if (BackupError.from(error).code !== 'NO_BACKUP') throw error;
      const wish = { point: { backup: name }, purpose: 'restore' } as const;
      const remotes = from === undefined ? this.#targets.all.map(placeOf) : [];
      const { chosen } = planRestore(wish, remotes, { now: this.#context.now() });
      if (chosen) return chosen.copy;
      throw this.#gone(name) ?? error;
    }
  }

  async #findRemote(name: string, target: TargetName): Promise<KnownBackup> {
    const remote = this.requireRemote(target);
    if (!remote.find(name)) await remote.refresh();
    const found = remote.find(name);
    if (found) return marking(found, remote.ownership);
    const upload = remote.uploads.states().get(name);
    if (upload?.status === 'removed' && upload.why) {
      throw new BackupError(
        'GONE',
        `${name} is no longer on ${targetWord(target)}: it was removed ${upload.why} at ${upload.at.toISOString()}`,
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
    const removal = this.#context.state.history.removal(name);
    if (!removal) return null;
    return new BackupError(
      'GONE',
      `${name} no longer exists: it was removed ${removal.why} at ${removal.at.toISOString()}`,
      {
        hint: 'List the backups to see what is left.',
      },
    );
  }

  /** Recorded when its bytes are asked for, not when somebody only asks how many there are. */
  async openForDownload(filename: string, options: Pick<FromTarget, 'allowPlain'>): Promise<OpenedBackup> {
    const { audit } = this.#context;
    const act = { act: 'download', subject: filename } as const;
    try {
      const opened = await this.open(await this.find(filename), options);
      const { sizeBytes, etag, modifiedAt } = opened;
      const stream = (from: number, to: number) => {
        const isPart = from > 0 || to < sizeBytes - 1;
        audit.add({ ...act, detail: isPart ? `bytes ${from} to ${to} of ${sizeBytes}` : null });
        return opened.stream(from, to);
      };
      return { sizeBytes, etag, modifiedAt, stream, close: () => opened.close() };
    } catch (error) {
      audit.failed(act, error);
      throw error;
    }
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
    { name, sizeBytes, target }: TargetBackup,
    { user = null, identity, allowPlain, onProgress }: FromTarget & { readonly user?: string | null },
  ): Promise<string> {
    const { runs } = this.#context;
    const { downloads } = this.requireRemote(target);
    const fetchHere = (given: FetchOptions) => downloads.fetchHere(name, { ...given, identity, allowPlain });
    return await runs.carry(
      { kind: 'verify', user, backup: name, sizeBytes, weights: { fetch: 90, check: 10 }, onProgress },
      async (run) => await runs.fetching(run, fetchHere, 'all steps'),
    );
  }

  async #openFile(backup: Backup): Promise<FileHandle> {
    const { catalog, database } = this.#context;
    return await catalog.open(backup, { databasePath: database.path });
  }
}

/** By the name of each backup, the one of the same database before it. A foreign file is of nobody known. */
const beforeEach = ofList((backups: readonly KnownBackup[]): ReadonlyMap<string, KnownBackup> => {
  const before = new Map<string, KnownBackup>();
  const newer = new Map<string, string>();
  for (const backup of backups) {
    const of = backup.manifest?.databaseId ?? backup.manifest?.source.name;
    if (of === undefined || backup.manifest?.arrived) continue;
    const waiting = newer.get(of);
    if (waiting !== undefined) before.set(waiting, backup);
    newer.set(of, backup.name);
  }
  return before;
});

/** Adds whose it is, if not ours. */
function marking<Kind extends Backup | TargetBackup>(
  backup: Kind,
  ownership: Ownership | undefined,
): Kind & Pick<KnownBackup, 'other'> {
  const other = ownership && otherOf(ownership, backup);
  return other ? { ...backup, other } : backup;
}

/** What was seen at a target when it was listed last. */
export function placeOf(remote: RemoteTarget): PlannedPlace<KnownBackup> {
  const { target, isSealed, ownership, uploads } = remote;
  const copies = remote.backups.map((backup) => marking(backup, ownership));
  return { target, word: targetWord(target), copies, isSealed, hadError: uploads.nextTry.error !== null };
}

function lookedUp(remote: RemoteTarget, name: string): Pick<RemoteFacts, 'remote' | 'takes'> {
  const backup = remote.find(name);
  return { remote: backup, takes: archiveHoursOf(remote.access.access, backup?.archive) };
}

export const namesOf = ofList(
  (backups: readonly Pick<KnownBackup, 'name'>[]): ReadonlySet<string> => new Set(backups.map(({ name }) => name)),
);
