/**
 * Backups whose file was written to after it was published are verified by themselves: one at each planned run, the newest
 * first. A folder that was copied to another disk without its times is right again some runs later, and nobody has to
 * press a button for each; a file that something spoiled is found before it is needed.
 */
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { BackupError } from '../../words/errors.ts';
import { isUnsure } from '../../engine/catalog/retention.ts';
import type { Log } from '../log.ts';
import type { BackupItem } from '../backups/shown-backup.ts';

interface ChangedFilesOptions {
  /** Backups of this database in the folder, newest first. */
  readonly backups: () => Promise<readonly Backup[]>;
  readonly verify: (name: string, signal: AbortSignal) => Promise<BackupItem>;
  readonly log: Log;
}

export class ChangedFiles {
  readonly #options: ChangedFilesOptions;
  #abort = new AbortController();
  #going: Promise<void> | null = null;

  constructor(options: ChangedFilesOptions) {
    this.#options = options;
  }

  /** Beside the runs; nothing while one is being verified. */
  verifyOne(): void {
    this.#going ??= this.#verify().finally(() => {
      this.#going = null;
    });
  }

  /** Resolves when none is being verified. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#going;
    this.#abort = new AbortController();
  }

  async #verify(): Promise<void> {
    const { backups, verify, log } = this.#options;
    try {
      const changed = (await backups()).find(isUnsure);
      if (!changed) return;
      const { verification } = await verify(changed.name, this.#abort.signal);
      if (verification.state === 'damaged')
        log('error', `Changed after it was published, and damaged: ${changed.name}: ${verification.detail}.`);
      else log('info', `Changed after it was published, and as it was: ${changed.name}.`);
    } catch (error) {
      // A folder that can't be listed is told by the run itself.
      const { code, message } = BackupError.from(error);
      if (code !== 'ABORTED' && code !== 'FOLDER_MISSING')
        log('warn', `A backup whose file was changed could not be verified: ${message}.`);
    }
  }
}
