/**
 * Brings local backups to S3, one at a time, oldest first, each in a job of its own beside the schedule. What fails is
 * tried again at the next backup or after a growing, jittered delay, until it is stored or pruned. A local backup is
 * never given up because S3 is down.
 */
import type { SealName } from '../engine/artifact.ts';
import type { Backup, Catalog } from '../engine/catalog/catalog.ts';
import { BackupError, type ErrorBody } from '../engine/errors.ts';
import type { RunHistory } from './run-history.ts';

const RETRY_FIRST_MS = 30_000;
const RETRY_LONGEST_MS = 3_600_000;

export interface UploadQueueOptions {
  readonly catalog: Catalog;
  readonly history: RunHistory;
  readonly now: () => Date;
  /** Uploads one backup; throws BackupError. */
  readonly upload: (backup: Backup) => Promise<SealName | null>;
  readonly isEnabled: () => boolean;
  readonly onChange: () => void;
}

export class UploadQueue {
  readonly #options: UploadQueueOptions;
  #working: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #stopped = false;
  nextTryAt: Date | null = null;
  lastError: ErrorBody | null = null;

  constructor(options: UploadQueueOptions) {
    this.#options = options;
  }

  /** Backups of ours that S3 does not have yet, oldest first. */
  async waiting(): Promise<readonly Backup[]> {
    const uploads = this.#options.history.uploads();
    const backups = await this.#options.catalog.list();
    return backups
      .filter((backup) => backup.manifest && !backup.fault && uploads.get(backup.name)?.status !== 'stored')
      .reverse();
  }

  /** Tries everything that waits, now. Resolves when all is stored or the first one failed; never rejects. */
  async run(): Promise<void> {
    while (this.#working) await this.#working;
    if (this.#stopped) return;
    this.#working = this.#drain()
      .catch((error: unknown) => {
        // The backup folder can't be listed; it may be back at the next try.
        this.lastError = BackupError.from(error).toJSON();
        this.#retryLater();
      })
      .finally(() => {
        this.#working = null;
      });
    await this.#working;
  }

  /** True when that backup is stored at S3, as far as we saw. */
  isStored(name: string): boolean {
    return this.#options.history.uploads().get(name)?.status === 'stored';
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#working;
  }

  resume(): void {
    this.#stopped = false;
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#timer);
    this.nextTryAt = null;
    // Each at most once a pass: a local file that is itself at fault must not hold up the others.
    const tried = new Set<string>();
    let failed = false;
    while (!this.#stopped && this.#options.isEnabled()) {
      const backup = (await this.waiting()).find((candidate) => !tried.has(candidate.name));
      if (!backup) break;
      tried.add(backup.name);
      const error = await this.#place(backup);
      if (error === null) continue;
      failed = true;
      if (!isLocalFault(error)) break;
    }
    if (failed) this.#retryLater();
  }

  async #place(backup: Backup): Promise<BackupError | null> {
    const { history, now, onChange } = this.#options;
    try {
      const sealing = await this.#options.upload(backup);
      history.setUpload({ backup: backup.name, status: 'stored', at: now(), sealing, error: null });
      this.#failures = 0;
      this.lastError = null;
      return null;
    } catch (error) {
      const known = BackupError.from(error);
      // Retention removed it meanwhile: there is nothing left to upload, and no reason to wait.
      if (known.code === 'NO_BACKUP' || known.code === 'GONE') return null;
      if (known.code === 'ABORTED') return known;
      history.setUpload({ backup: backup.name, status: 'failed', at: now(), sealing: null, error: known.toJSON() });
      this.lastError = known.toJSON();
      return known;
    } finally {
      onChange();
    }
  }

  #retryLater(): void {
    if (this.#stopped) return;
    const delayMs = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** this.#failures++) * (0.75 + Math.random() / 2);
    this.nextTryAt = new Date(this.#options.now().getTime() + delayMs);
    this.#timer = setTimeout(() => void this.run(), delayMs);
    this.#timer.unref();
  }
}

function isLocalFault(error: BackupError): boolean {
  return error.code === 'VERIFY_FAILED' || error.code === 'BAD_BACKUP';
}
