/** What people change at a target: a copy is removed, pinned, annotated or checked, the place is claimed. */
import type { JobMap } from '../../engine/process/protocol.ts';
import { leftToBucket } from '../../engine/store/s3/stored-as.ts';
import type { ClaimedRemote } from '../../engine/stories/hold-target.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import { BackupError } from '../../words/errors.ts';
import type { TargetBackup } from '../backups/backup-item.ts';
import type { Listings } from './listings.ts';
import { type Said, sayThere } from './said.ts';
import type { TargetContext } from './target-context.ts';
import type { Uploads } from './uploads.ts';

interface AnnouncedRemoval {
  readonly carryOut: () => Promise<void>;
  /** Brings back what was known before, unless it was carried out. */
  readonly end: () => void;
}

interface ChangesRooms {
  readonly listings: Listings;
  readonly uploads: Uploads;
}

export class TargetChanges {
  readonly #context: TargetContext;
  readonly #rooms: ChangesRooms;

  constructor(context: TargetContext, rooms: ChangesRooms) {
    this.#context = context;
    this.#rooms = rooms;
  }

  /**
   * A backup is about to be removed there: from now on it is not uploaded.
   *
   * @param why who removes it, as the end of a sentence: `by ada`.
   */
  announceRemoval(name: string, why: string): AnnouncedRemoval {
    const { known, state } = this.#context;
    const began = known.begin();
    const before = this.#rooms.uploads.states().get(name);
    let isDone = false;
    known.noteRemoved(name, why);
    return {
      carryOut: async () => {
        await this.#remove(name);
        isDone = true;
        if (known.isStill(began)) known.removed(name, why);
      },
      end: () => {
        if (isDone || !known.isStill(began)) return;
        // The next look says what of it is there.
        if (before === undefined) state.forgetUpload(name);
        else state.setUpload(before);
      },
    };
  }

  /** Verified. An upload of it that is going is ended. */
  async #remove(name: string): Promise<void> {
    const { access, address, lifecycleDays } = this.#context;
    if (lifecycleDays !== null) throw leftToBucket(address);
    await this.#rooms.uploads.cancel(name);
    await this.#context.job<'remove-remote'>({ kind: 'remove-remote', name, ...access });
  }

  /**
   * Makes this installation the writer there, because a person said that it is the same database; what waits is uploaded.
   *
   * @param claim what makes the place this database's; null if it is, or is of nobody.
   * @throws BackupError S3_*.
   */
  async claim(claim: JobMap['claim-remote']['request']['claim']): Promise<ClaimedRemote> {
    const { service, target, access, writing, known } = this.#context;
    const began = known.begin();
    const claimed = await this.#context.job<'claim-remote'>({
      ...{ kind: 'claim-remote', target, folder: service.catalog.folder, claim },
      ...{ ...access, ...writing.request() },
    });
    if (!known.isStill(began)) return claimed;
    writing.claimed();
    if (claimed.identity) known.noteIdentity(claimed.identity);
    if (service.isStarted) void this.#rooms.uploads.run();
    return claimed;
  }

  /** What people say of a backup that is at this target alone. */
  async say(name: string, change: Partial<Said>): Promise<void> {
    const { known, word, words, lifecycleDays } = this.#context;
    const manifest = known.entries().get(name)?.manifest;
    if (lifecycleDays !== null) {
      throw new BackupError('UNSUPPORTED', `the manifest of ${name} on ${word} is written once, with its upload`, {
        hint: 'BACKUP_S3_RETENTION=bucket: nothing there is replaced. Pin or annotate the backup in the folder instead.',
      });
    }
    if (!manifest) {
      throw new BackupError('BAD_BACKUP', `${name} has no readable manifest on ${word}`, {
        hint: `Look at it in the ${words.noun}.`,
      });
    }
    const { pinned = manifest.pinned, note = manifest.note, loss = manifest.loss } = change;
    await sayThere(this.#context, name, { pinned, note, loss });
    await this.#rooms.listings.refresh();
  }

  /** What a check of the copy there found, unless another one is there now. */
  recordVerification(
    { name, place, manifest: checked }: TargetBackup,
    verification: Manifest['verification'],
    facts: Manifest['facts'] | null,
  ): void {
    const { known, parts } = this.#context;
    const entry = known.entries().get(name);
    if (!entry || known.sync() !== place || entry.manifest?.artifact.sha256 !== checked?.artifact.sha256) return;
    const manifest = entry.manifest && facts ? { ...entry.manifest, facts } : entry.manifest;
    known.replace({ ...entry, manifest, verification });
    parts.onChange();
  }
}
