/**
 * One target, as its rooms know it: how it is configured now, what is known of it, and its jobs, which end with it. Each
 * target has its own state and its own jobs, so one that is slow or gone holds up no other.
 */
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { otherOf, type Ownership, type PlaceIdentity } from '../../engine/catalog/identity.ts';
import { lookAtFolder } from '../../engine/catalog/own-folder.ts';
import type { JobKind, JobMap } from '../../engine/process/protocol.ts';
import { lifecycleDaysOf, stateKeyOf, whereOf, wordsOf } from '../../engine/store/kinds.ts';
import type { StoreWords } from '../../engine/store/store.ts';
import { idsOf } from '../../engine/writer/self.ts';
import { BackupError } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import type { ServiceContext } from '../context.ts';
import type { Retention } from '../protection/retention.ts';
import type { Rhythm } from '../runs/rhythm.ts';
import { folderInState } from '../state/state-database.ts';
import { TargetState } from '../state/target-state.ts';
import { writerSelf } from './database-self.ts';
import type { FetchOptions } from './downloads.ts';
import { type Heartbeats, tickMs } from './heartbeats.ts';
import { KnownPlace } from './known-place.ts';
import type { TargetSetup } from './targets.ts';
import { Writing } from './writing.ts';

/** One of the configuration; path and switch of `s3` may change. */
export interface TargetChoice {
  readonly target: TargetName;
  readonly access: TargetSetup;
  readonly prefix: () => string;
  readonly isEnabled: () => boolean;
}

/** What all targets of a service share. */
export interface TargetParts {
  readonly heartbeats: Heartbeats;
  readonly rhythm: Rhythm;
  readonly retention: Retention;
  /** The place has an id that we did not know, and its name is ours. */
  readonly takeId: (databaseId: string) => Promise<void>;
  /** A copy was removed there. */
  readonly onGone: (name: string, why: string) => void;
  /** What is there, or known of it, changed. */
  readonly onChange: () => void;
}

export class TargetContext {
  readonly service: ServiceContext;
  readonly choice: TargetChoice;
  readonly parts: TargetParts;
  readonly state: TargetState;
  readonly known: KnownPlace;
  readonly writing: Writing;
  readonly #aborts = new Set<AbortController>();
  #isStopping = false;

  /** @param onFree no other machine writes there any more: what waits may be tried again. */
  constructor(service: ServiceContext, choice: TargetChoice, parts: TargetParts, onFree: () => void) {
    this.service = service;
    this.choice = choice;
    this.parts = parts;
    const { target, access, prefix, isEnabled } = choice;
    const { log, now, catalog, statePath, waits, places, emit } = service;
    const { heartbeats, rhythm, onChange } = parts;
    this.state = new TargetState(statePath, {
      warn: (message) => log('warn', message),
      folder: folderInState(statePath, catalog.folder),
    });
    const placeNow = () => stateKeyOf(access, prefix());
    this.known = new KnownPlace({ target, state: this.state, placeNow, now });
    this.writing = new Writing({
      ...{ target, access, prefix, isEnabled, state: this.state, heartbeats, log, now, emit, onChange, onFree },
      self: () => writerSelf(places.self, statePath),
      everyMs: () => waits.tickMs ?? tickMs(rhythm.gapMinutes().longest),
      isStarted: () => service.isStarted,
      hasUploaded: () => service.state.history.hasUploaded(target),
    });
  }

  get target(): TargetName {
    return this.choice.target;
  }

  /** How messages call it. */
  get word(): string {
    return targetWord(this.target);
  }

  /** How sentences speak of a target of that kind. */
  get words(): StoreWords {
    return wordsOf(this.choice.access);
  }

  /** Such as `s3://bucket/path`. */
  get address(): string {
    return whereOf(this.choice.access, this.choice.prefix());
  }

  get isEnabled(): boolean {
    return this.choice.isEnabled();
  }

  /** What a job is told to reach it. */
  get access(): { readonly prefix: string; readonly access: TargetSetup } {
    return { prefix: this.choice.prefix(), access: this.choice.access };
  }

  /** After so many days a rule of the bucket removes a copy; null if we remove what retention does not keep. */
  get lifecycleDays(): number | null {
    return lifecycleDaysOf(this.choice.access);
  }

  /** Says who removes copies there, if we do not. */
  get removal(): string {
    return `removal is left to the bucket, after ${this.lifecycleDays} days`;
  }

  /** Says whose the place is, by the last look. */
  get ownership(): Ownership {
    return this.known.ownershipFor(this.service.places.self);
  }

  /** From the first contact on, the id of the place is ours. */
  async learnId({ record }: PlaceIdentity): Promise<void> {
    const { service, parts, ownership } = this;
    if (record === null || ownership.owner !== 'ours' || idsOf(service.places.self).includes(record.id)) return;
    try {
      await parts.takeId(record.id);
    } catch (error) {
      // The next contact tries again.
      service.log('warn', `The id of the database was not recorded: ${BackupError.from(error).message}.`);
    }
  }

  /** The backups of our database in the folder, newest first. */
  async ownHere(): Promise<readonly Backup[]> {
    const { catalog, places } = this.service;
    const backups = await catalog.list();
    const { ownership } = lookAtFolder(catalog.folder, places.self, backups);
    return backups.filter((backup) => otherOf(ownership, backup) === null);
  }

  /**
   * Ends with `abortJobs`, or with the caller's own signal.
   *
   * @throws BackupError ABORTED between `abortJobs` and `allowJobs`; and as the job.
   */
  async job<Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    { signal, onEvent }: Pick<FetchOptions, 'signal' | 'onEvent'> = {},
  ): Promise<JobMap[Kind]['result']> {
    if (this.#isStopping) {
      throw new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again whenever you like.' });
    }
    const abort = new AbortController();
    const stop = () => abort.abort();
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) abort.abort();
    this.#aborts.add(abort);
    try {
      return await this.service.jobs.run<Kind>(request, {
        signal: abort.signal,
        onEvent: (event) => (event.type === 'writer' ? this.writing.onEvent(event.news) : onEvent?.(event)),
      });
    } finally {
      this.#aborts.delete(abort);
      signal?.removeEventListener('abort', stop);
    }
  }

  allowJobs(): void {
    this.#isStopping = false;
  }

  /** What is about to begin ends, too, until `allowJobs`. */
  abortJobs(): void {
    this.#isStopping = true;
    for (const abort of this.#aborts) abort.abort();
  }
}
