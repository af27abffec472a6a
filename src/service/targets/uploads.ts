/**
 * Brings local backups to a target, one at a time, oldest first, each in a job of its own beside the schedule. What fails
 * is tried again at the next backup or after a growing, jittered delay, until it is stored or pruned. A local backup is
 * never given up because the target is down.
 */
import { join } from 'node:path';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { isLocked, uploadLock } from '../../engine/disk/lock.ts';
import { PLAIN } from '../../engine/format/seal.ts';
import type { Uploaded } from '../../engine/stories/upload-request.ts';
import { BackupError, type ErrorBody, says } from '../../words/errors.ts';
import type { UploadState } from '../state/target-state.ts';
import type { Began } from './known-place.ts';
import type { Listings } from './listings.ts';
import type { TargetContext } from './target-context.ts';
import type { TargetRetention } from './target-retention.ts';

const RETRY_FIRST_MS = 30_000;
const RETRY_LONGEST_MS = 3_600_000;

interface UploadsRooms {
  readonly listings: Listings;
  readonly retention: TargetRetention;
}

interface CurrentUpload {
  readonly name: string;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

export class Uploads {
  readonly #context: TargetContext;
  readonly #rooms: UploadsRooms;
  #working: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;
  #current: CurrentUpload | null = null;
  /** Backups of which the first upload is under way, or the very next thing. */
  readonly #coming = new Set<string>();

  constructor(context: TargetContext, rooms: UploadsRooms) {
    this.#context = context;
    this.#rooms = rooms;
  }

  // ── what is known ──

  states(): ReadonlyMap<string, UploadState> {
    this.#context.known.sync();
    return this.#context.state.uploads();
  }

  /** When what waits is tried next, and why the target can't be used at present. */
  get nextTry(): { readonly nextTryAt: Date | null; readonly error: ErrorBody | null } {
    const { known, state } = this.#context;
    known.sync();
    const { nextTryAt, error } = state.waiting;
    return { nextTryAt, error: error ?? known.listError };
  }

  /** Backups of ours that the target does not have yet, oldest first. */
  async waiting(): Promise<readonly Backup[]> {
    const backups = await this.#context.ownHere();
    const uploads = this.#context.state.uploads();
    const isWaiting = ({ name }: Backup) => (uploads.get(name)?.status ?? 'failed') === 'failed';
    return backups.filter((backup) => backup.manifest && !backup.fault && isWaiting(backup)).reverse();
  }

  /** An object of its name is there that is no backup and may not be replaced; another name can be stored. */
  isBlocked(name: string): boolean {
    const upload = this.states().get(name);
    return this.#context.isEnabled && upload?.status === 'failed' && upload.error.code === 'TARGET_EXISTS';
  }

  isUploading(name: string): boolean {
    return this.#current?.name === name;
  }

  /** Its upload is going, or the very next thing. */
  isComing(name: string): boolean {
    return this.#coming.has(name) || this.isUploading(name);
  }

  /** Another process is uploading, the command line or the app; which backup it does not say. */
  isBusyElsewhere(): boolean {
    const { service, target } = this.#context;
    return this.#current === null && isLocked(join(service.catalog.folder, uploadLock(target)));
  }

  // ── the queue ──

  /** Uploads what waits, that backup too; whether it is stored then. */
  async now(name: string): Promise<boolean> {
    this.#coming.add(name);
    // Behind others it is not on its way yet.
    const waiting = await this.waiting().catch(() => []);
    if (waiting.length > 1) this.#coming.delete(name);
    await this.run().finally(() => this.#coming.delete(name));
    return this.#context.state.uploads().get(name)?.status === 'stored';
  }

  /** Tries everything that waits, now. Resolves when all is stored or the first one failed; never rejects. */
  async run(): Promise<void> {
    while (this.#working) await this.#working;
    if (this.#stopped) return;
    this.#working = this.#drain()
      .catch((error: unknown) => {
        // The backup folder can't be listed; it may be back at the next try.
        this.#retryLater(BackupError.from(error));
      })
      .finally(() => {
        this.#working = null;
      });
    await this.#working;
  }

  /**
   * The target answers: what waits because it did not is tried at once, instead of after its delay; so is what has no next
   * try. Never rejects.
   *
   * @param wasSilent it could not be listed before.
   */
  async targetAnswers({ wasSilent }: { readonly wasSilent: boolean }): Promise<void> {
    const { state, service } = this.#context;
    const { nextTryAt, error } = state.waiting;
    if (nextTryAt !== null && !wasSilent && !(error && says(error.code, 'whole-target'))) return;
    // A folder that can't be listed is told by the run that needs it.
    const waiting = await this.waiting().catch(() => []);
    if (waiting.length > 0 && service.isStarted) await this.run();
  }

  /** Ends the waiting for a next try; what is going goes on, and nothing after it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#working;
    const { state } = this.#context;
    // Nobody tries then: a time that passes would be a promise that nobody keeps.
    if (state.waiting.nextTryAt) state.waiting = { ...state.waiting, nextTryAt: null };
  }

  resume(): void {
    this.#stopped = false;
  }

  /** Ends the upload of that backup, if it is the one that is going. */
  async cancel(name: string): Promise<void> {
    if (this.#current?.name !== name) return;
    this.#current.abort.abort();
    await this.#current.ended;
  }

  /** Asked again after each wait: the service is stopped and the target switched off at any moment. */
  get #mayBegin(): boolean {
    return !this.#stopped && this.#context.isEnabled;
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    // Each at most once a pass: a local file that is itself at fault must not hold up the others.
    const tried = new Set<string>();
    let failure: BackupError | null = null;
    while (this.#mayBegin) {
      const backup = (await this.waiting()).find((candidate) => !tried.has(candidate.name));
      if (!backup || !this.#mayBegin) break;
      tried.add(backup.name);
      const error = await this.#place(backup);
      if (error === null) continue;
      failure = error;
      // Its file may be another user's, for instance, or its name be taken at the target.
      if (!says(error.code, 'another-backup-may-do')) break;
    }
    if (failure === null) this.#context.state.waiting = { nextTryAt: null, error: null };
    else if (failure.code !== 'ABORTED') this.#retryLater(failure);
    if (tried.size > 0) this.#context.parts.onChange();
  }

  async #place(backup: Backup): Promise<BackupError | null> {
    const { state, service, parts, known } = this.#context;
    const { name } = backup;
    // By retention or a person, also since it was found waiting: what else waits goes on.
    const isRemoved = () => state.uploads().get(name)?.status === 'removed';
    if (isRemoved()) return null;
    const began = known.begin();
    const abort = new AbortController();
    const ended = Promise.withResolvers<void>();
    this.#current = { name, abort, ended: ended.promise };
    try {
      const { sealing } = await this.#upload(backup, { began, signal: abort.signal });
      this.#requireStill(began);
      if (!isRemoved()) state.setUpload({ backup: name, at: service.now(), status: 'stored', sealing });
      return null;
    } catch (error) {
      if (!known.isStill(began)) return this.#moved();
      const failure = BackupError.from(error);
      // Retention removed it from the folder meanwhile: there is nothing left to upload, and no reason to wait.
      if (says(failure.code, 'not-there') || isRemoved()) return null;
      if (failure.code === 'ABORTED') return failure;
      state.setUpload({ backup: name, status: 'failed', at: service.now(), error: failure.toJSON() });
      return failure;
    } finally {
      this.#current = null;
      ended.resolve();
      parts.onChange();
    }
  }

  #retryLater(failure: BackupError): void {
    const { state, service } = this.#context;
    const error = failure.toJSON();
    if (this.#stopped) {
      state.waiting = { nextTryAt: null, error };
      return;
    }
    const delayMs = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** this.#failures++) * (0.75 + Math.random() / 2);
    state.waiting = { nextTryAt: new Date(service.now().getTime() + delayMs), error };
    this.#timer = setTimeout(() => void this.run(), delayMs);
    this.#timer.unref();
  }

  // ── one upload ──

  async #upload(
    backup: Backup,
    { began, signal }: { readonly began: Began; readonly signal: AbortSignal },
  ): Promise<Uploaded> {
    const { service, target, word, writing } = this.#context;
    const { log, runs } = service;
    writing.refuse();
    const asked = {
      ...({ kind: 'upload', trigger: 'schedule', weights: { upload: 95, prune: 5 } } as const),
      ...{ backup: backup.name, sizeBytes: backup.sizeBytes, target },
      onFailed: (error: BackupError) => {
        if (error.code !== 'ABORTED')
          log('warn', `Not uploaded to ${word}: ${backup.name}: ${error.message}. ${error.hint}`);
        return error;
      },
    };
    const done = await runs.carry(asked, async (run) => {
      // Before anything is said of this installation.
      await service.places.selfToWrite();
      if (!this.#mayBegin)
        throw new BackupError('ABORTED', 'the run was stopped', { hint: 'It is uploaded after the next start.' });
      this.#requireStill(began);
      const uploaded = await this.#job(backup, { signal, onEvent: run.onEvent });
      this.#requireStill(began);
      this.#note(uploaded);
      return uploaded;
    });
    if (done.listing) {
      await this.#rooms.listings.take(done.listing, began);
      await this.#context.learnId(done.listing.identity);
    }
    return done;
  }

  /** Before the listing, by which the copy counts as stored. */
  #note(done: Uploaded): void {
    const { service, word, state } = this.#context;
    const { log } = service;
    log('info', `Uploaded to ${word}: ${done.key}`);
    state.waiting = { nextTryAt: null, error: null };
    this.#failures = 0;
    this.#rooms.retention.noteDone(done);
    if (done.renumbered > 0) log('warn', renumbered(done.renumbered, word));
    if (done.complaint) log('warn', `After the upload ${word} could not be listed: ${done.complaint}.`);
  }

  #requireStill(began: Began): void {
    if (!this.#context.known.isStill(began)) throw this.#moved();
  }

  #moved(): BackupError {
    return new BackupError('ABORTED', `the path on ${this.#context.word} was changed meanwhile`, {
      hint: 'It is uploaded there.',
    });
  }

  async #job(backup: Backup, given: Parameters<TargetContext['job']>[1]): Promise<Uploaded> {
    const { service, target, access, writing, known, choice } = this.#context;
    return await this.#context.job<'upload'>(
      {
        ...{ kind: 'upload', target, folder: service.catalog.folder, name: backup.name, ...access },
        ...{ ...writing.request(), sealing: choice.access.sealing ?? PLAIN },
        ...{ retention: this.#rooms.retention.policy(), known: known.toKnow(), identity: known.identity },
      },
      given,
    );
  }
}

function renumbered(count: number, word: string): string {
  const which = count === 1 ? 'A backup that was not there yet got' : `${count} backups that were not there yet got`;
  return `${which} a higher number: ${word} held higher ones than this machine knew.`;
}
