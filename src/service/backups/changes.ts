/** What people do with backups that are there: pin, note, the word on a loss, deletion; at every place that holds a copy. */
import { isLiveFile } from '../../engine/sqlite/stamp.ts';
import { leftToBucket } from '../../engine/store/s3/stored-as.ts';
import { BackupError } from '../../words/errors.ts';
import { requireShortNote } from '../../words/note.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { currentActor } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import type { Said } from '../targets/said.ts';
import { isHere, isOwn, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { Removals } from './removals.ts';

interface ChangesParts {
  readonly backups: Backups;
  readonly targets: RemoteTargets;
  readonly removals: Removals;
  /** It is about to be deleted: the loss that it shows goes on to the next one. */
  readonly onDelete: (filename: string) => Promise<void>;
}

interface DeleteOptions {
  /** Left out: all copies. */
  readonly target?: TargetName;
  readonly user?: string;
}

interface Removing extends Pick<DeleteOptions, 'target'> {
  readonly remotes: readonly RemoteTarget[];
  readonly why: string;
}

export class Changes {
  readonly #context: ServiceContext;
  readonly #parts: ChangesParts;

  constructor(context: ServiceContext, parts: ChangesParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /**
   * Pin, note, or the word on its loss; what is not given stays.
   *
   * @throws BackupError BAD_REQUEST for a note that is too long; then nothing was changed.
   */
  async change(filename: string, change: Partial<Said>): Promise<void> {
    const { catalog, emit } = this.#context;
    const { backups, targets } = this.#parts;
    requireShortNote(change.note);
    if (isHere(await backups.find(filename))) {
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      await catalog.changeManifest(filename, (manifest) => ({ ...manifest, ...given }));
      await this.#changeElsewhere(filename, change);
    } else {
      const holders = targets.all.filter((remote) => remote.find(filename));
      const changeable = holders.filter(({ lifecycleDays }) => lifecycleDays === null);
      // If there is none, the first holder says why.
      const changed = changeable.length > 0 ? changeable : holders;
      await eachOf(changed, 'it was changed', (remote) => remote.changes.say(filename, change));
    }
    emit({ type: 'status' });
  }

  async markBeforeMigration(filename: string): Promise<void> {
    await this.#context.catalog.changeManifest(filename, (manifest) => ({ ...manifest, beforeMigration: true }));
  }

  async unpinEarlierMigrations(except: string | null): Promise<void> {
    const own = (await this.#parts.backups.at('local')).filter(isOwn);
    for (const { name, manifest } of own.filter(isHere))
      if (manifest?.beforeMigration && manifest.pinned && name !== except) await this.change(name, { pinned: false });
  }

  /** A backup that is here too: pins are passed on with the next look, the word on a loss before retention acts on it here. */
  async #changeElsewhere(filename: string, change: Partial<Said>): Promise<void> {
    const { targets } = this.#parts;
    if (!change.loss) {
      for (const remote of targets.all) remote.backupChanged();
      return;
    }
    const holders = targets.enabled.filter((remote) => remote.lifecycleDays === null && remote.find(filename));
    await eachOf(holders, 'it was written', (remote) => remote.changes.say(filename, change)).catch(
      (error: unknown) => {
        const known = BackupError.from(error);
        this.#context.log('warn', `What was said of ${filename} is noted here: ${known.message}. It is retried.`);
      },
    );
  }

  async delete(filename: string, options: DeleteOptions): Promise<void> {
    const act = { act: 'delete', subject: filename, target: options.target ?? null } as const;
    await this.#context.audit.carry(act, () => this.#delete(filename, options), {
      actor: currentActor(options.user),
      done: (left) => ({ ...act, detail: left.length > 0 ? `still on ${left.join(', ')}` : null }),
    });
  }

  /** @returns the targets on which a copy stays, because removal is left to the bucket. */
  async #delete(filename: string, { target, user }: DeleteOptions): Promise<readonly TargetName[]> {
    const { log, emit, database } = this.#context;
    const { backups, removals } = this.#parts;
    const backup = await backups.find(filename, target);
    if (isHere(backup) && isLiveFile(backup.path, database.path)) {
      throw new BackupError('BAD_BACKUP', `${filename} is the live database itself, under the name of a backup`, {
        hint: 'It is not deleted. Move the database out of the backup folder.',
      });
    }
    const holders = this.#holders(filename, target);
    // If a target is named, it refuses; of all copies those go that we may remove.
    const remotes = target === undefined ? holders.filter(({ lifecycleDays }) => lifecycleDays === null) : holders;
    const left = holders.filter((remote) => !remotes.includes(remote));
    if (left.length > 0 && remotes.length === 0 && !isHere(backup)) throw leftToBucket(left[0]?.address ?? '');
    const why = user ? `by ${user}` : 'by hand';
    await this.#remove(backup, { target, remotes, why });
    if (isHere(backup)) removals.note(filename, why);
    else removals.noteIfGone(filename, why);
    log('info', `Deleted: ${filename}${target ? ` (${target})` : ''}${user ? ` by ${user}` : ''}`);
    const stored = left.filter((remote) => remote.find(filename));
    for (const { target: where, removal } of stored)
      log('info', `Still on ${targetWord(where)}: ${filename}; ${removal}.`);
    emit({ type: 'status' });
    return stored.map((remote) => remote.target);
  }

  /** Elsewhere first: what can't be removed there stays here as well. */
  async #remove(backup: KnownBackup, { target, remotes, why }: Removing): Promise<void> {
    const { targets, onDelete } = this.#parts;
    // While it is deleted at one target, another one that never had it must not begin to upload it.
    const told = new Set(target === undefined ? [...targets.enabled, ...remotes] : remotes);
    const removals = new Map(
      [...told].map((remote) => [remote, remote.changes.announceRemoval(backup.name, why)] as const),
    );
    try {
      if (target === undefined || isHere(backup)) await onDelete(backup.name);
      await eachOf(remotes, 'it was deleted', async (remote) => await removals.get(remote)?.carryOut());
      if (isHere(backup)) await this.#context.catalog.remove(backup);
    } finally {
      for (const removal of removals.values()) removal.end();
    }
  }

  /** Targets that hold a copy, or are about to. */
  #holders(filename: string, target: TargetName | undefined): readonly RemoteTarget[] {
    const { backups, targets } = this.#parts;
    if (target === 'local') return [];
    if (target !== undefined) return [backups.requireRemote(target)];
    return targets.all.filter((remote) => {
      const upload = remote.uploads.states().get(filename);
      return remote.find(filename) || remote.uploads.isUploading(filename) || (upload && upload.status !== 'removed');
    });
  }
}

/**
 * At each of them, whatever becomes of the others; the error of the first that failed says at which it was done.
 *
 * @param done what is true then: `it was deleted`.
 */
async function eachOf(
  remotes: readonly RemoteTarget[],
  done: string,
  work: (remote: RemoteTarget) => Promise<void>,
): Promise<void> {
  const ended = await Promise.allSettled(remotes.map(work));
  const failed = ended.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return;
  const error = BackupError.from(failed.reason);
  const there = remotes.filter((_, index) => ended[index]?.status === 'fulfilled').map((one) => targetWord(one.target));
  if (there.length === 0) throw error;
  throw new BackupError(error.code, `${error.message}; on ${there.join(' and ')} ${done}`, {
    hint: error.hint,
    cause: error,
  });
}
