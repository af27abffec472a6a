/** What people change at a target: a copy is removed, pinned, annotated or checked, the place is claimed. */
import type { JobMap } from '../../engine/process/protocol.ts';
import { leftToBucket } from '../../engine/store/s3/stored-as.ts';
import type { ClaimedRemote } from '../../engine/stories/hold-target.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import { BackupError } from '../../words/errors.ts';
import type { Listings } from './listings.ts';
import { type Said, sayThere } from './said.ts';
import type { TargetContext } from './target-context.ts';
import type { Uploads } from './uploads.ts';

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
   * Removes one backup there, verified; it is not uploaded again. An upload of it that is going is ended.
   *
   * @param why who removes it, as the end of a sentence: `by ada`.
   */
  async remove(name: string, why: string): Promise<void> {
    const { known, state, access, address, lifecycleDays } = this.#context;
    const { uploads } = this.#rooms;
    if (lifecycleDays !== null) throw leftToBucket(address);
    const before = uploads.states().get(name);
    if (uploads.isUploading(name)) {
      known.noteRemoved(name, why);
      await uploads.cancel(name);
    }
    try {
      await this.#context.job<'remove-remote'>({ kind: 'remove-remote', name, ...access });
    } catch (error) {
      // What of it is there is not known: the next upload looks.
      if (before === undefined) state.forgetUpload(name);
      else state.setUpload(before);
      throw error;
    }
    known.removed(name, why);
  }

  /**
   * Makes this installation the writer there, because a person said that it is the same database; what waits is uploaded.
   *
   * @param claim what makes the place this database's; null if it is, or is of nobody.
   * @throws BackupError S3_*.
   */
  async claim(claim: JobMap['claim-remote']['request']['claim']): Promise<ClaimedRemote> {
    const { service, target, access, writing } = this.#context;
    const claimed = await this.#context.job<'claim-remote'>({
      ...{ kind: 'claim-remote', target, folder: service.catalog.folder, claim },
      ...{ ...access, ...writing.request() },
    });
    writing.claimed();
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

  /** What a check of the copy there found. */
  recordVerification(name: string, verification: Manifest['verification'], facts: Manifest['facts'] | null): void {
    const { known, parts } = this.#context;
    const entry = known.entries().get(name);
    if (!entry) return;
    const manifest = entry.manifest && facts ? { ...entry.manifest, facts } : entry.manifest;
    known.replace({ ...entry, manifest, verification });
    parts.onChange();
  }
}
