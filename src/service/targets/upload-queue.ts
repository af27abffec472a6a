/**
 * Brings local backups to S3, one at a time, oldest first, each in a job of its own beside the schedule. What fails is
 * tried again at the next backup or after a growing, jittered delay, until it is stored or pruned. A local backup is
 * never given up because S3 is down.
 */
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { BackupError, says } from '../../words/errors.ts';
import type { TargetState, UploadOutcome } from '../state/target-state.ts';

const RETRY_FIRST_MS = 30_000;
const RETRY_LONGEST_MS = 3_600_000;

interface UploadQueueOptions {
  /** Those of our database in the folder, newest first. */
  readonly backups: () => Promise<readonly Backup[]>;
  readonly state: TargetState;
  readonly now: () => Date;
  /** Uploads one backup, or says why there is nothing to do; throws BackupError. */
  readonly upload: (backup: Backup) => Promise<UploadOutcome>;
  readonly isEnabled: () => boolean;
  readonly onChange: () => void;
}

export class UploadQueue {
  readonly #options: UploadQueueOptions;
  #working: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;
  #current: string | null = null;

  constructor(options: UploadQueueOptions) {
    this.#options = options;
  }

  /** The backup that is being uploaded now. */
  get current(): string | null {
    return this.#current;
  }

  /** Backups of ours that S3 does not have yet, oldest first. */
  async waiting(): Promise<readonly Backup[]> {
    const uploads = this.#options.state.uploads();
    const backups = await this.#options.backups();
    const isWaiting = ({ name }: Backup) => (uploads.get(name)?.status ?? 'failed') === 'failed';
    return backups.filter((backup) => backup.manifest && !backup.fault && isWaiting(backup)).reverse();
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

  /** True when that backup is stored at S3, as far as we saw. */
  isStored(name: string): boolean {
    return this.#options.state.uploads().get(name)?.status === 'stored';
  }

  /** Ends the waiting for a next try; what is going goes on, and nothing after it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#working;
    const { state } = this.#options;
    // Nobody tries then: a time that passes would be a promise that nobody keeps.
    if (state.waiting.nextTryAt) state.waiting = { ...state.waiting, nextTryAt: null };
  }

  resume(): void {
    this.#stopped = false;
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    // Each at most once a pass: a local file that is itself at fault must not hold up the others.
    const tried = new Set<string>();
    let failure: BackupError | null = null;
    while (!this.#stopped && this.#options.isEnabled()) {
      const backup = (await this.waiting()).find((candidate) => !tried.has(candidate.name));
      if (!backup) break;
      tried.add(backup.name);
      const error = await this.#place(backup);
      if (error === null) continue;
      failure = error;
      // Its file may be another user's, for instance, or its name be taken at the target.
      if (!says(error.code, 'another-backup-may-do')) break;
    }
    if (failure === null) this.#options.state.waiting = { nextTryAt: null, error: null };
    else if (failure.code !== 'ABORTED') this.#retryLater(failure);
    if (tried.size > 0) this.#options.onChange();
  }

  async #place(backup: Backup): Promise<BackupError | null> {
    const { state, now, onChange } = this.#options;
    this.#current = backup.name;
    try {
      const outcome = await this.#options.upload(backup);
      state.setUpload({ backup: backup.name, at: now(), ...outcome });
      state.waiting = { nextTryAt: null, error: null };
      this.#failures = 0;
      return null;
    } catch (error) {
      const known = BackupError.from(error);
      // Retention removed it meanwhile: there is nothing left to upload, and no reason to wait.
      if (known.code === 'NO_BACKUP') return null;
      // Stopped because a person deleted it: what else waits goes on.
      if (known.code === 'ABORTED') return state.uploads().get(backup.name)?.status === 'removed' ? null : known;
      state.setUpload({ backup: backup.name, status: 'failed', at: now(), error: known.toJSON() });
      return known;
    } finally {
      this.#current = null;
      onChange();
    }
  }

  #retryLater(failure: BackupError): void {
    const { state, now } = this.#options;
    const error = failure.toJSON();
    if (this.#stopped) {
      state.waiting = { nextTryAt: null, error };
      return;
    }
    const delayMs = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** this.#failures++) * (0.75 + Math.random() / 2);
    state.waiting = { nextTryAt: new Date(now().getTime() + delayMs), error };
    this.#timer = setTimeout(() => void this.run(), delayMs);
    this.#timer.unref();
  }
}
