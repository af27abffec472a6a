/**
 * A database whose file is gone after it was backed up. All that is left of it are its backups, so nothing is removed
 * meanwhile; one line of the run log says when it began, and not each tick; and whoever looks sees the file come back.
 */
import { statSync } from 'node:fs';
import { BackupError, errnoCode, type ErrorBody } from '../../words/errors.ts';
import { BRING_BACK } from '../../engine/sqlite/missing.ts';
import type { Run } from '../../words/run.ts';

export { BRING_BACK, NOTHING_TO_UNDO } from '../../engine/sqlite/missing.ts';

/** A file that we may not look at is not missing: the run that fails for it says what is wrong. */
export function isMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return errnoCode(error) === 'ENOTDIR';
  }
}

/** Why retention stands still, in words for its plan. */
export function missingHold(name: string): string {
  return `held: ${name} is missing, nothing is removed until it is back`;
}

/** What the engine can't know: that there is something to bring back. */
export function withWayBack(error: BackupError): BackupError {
  if (error.code !== 'DB_MISSING') return error;
  const hint = `Check DATABASE_URL, or the path in the configuration. If the file is lost: ${BRING_BACK}`;
  return new BackupError('DB_MISSING', error.message, { hint, cause: error });
}

/** The run failed for a missing file, and so did the one before it: it says nothing new. */
export function saysItAgain(error: ErrorBody | null, last: Run | undefined): boolean {
  return error?.code === 'DB_MISSING' && last?.result === 'failed' && last.error?.code === 'DB_MISSING';
}

const LOOK_EVERY_MS = 10_000;

/** Looks for the file now and then while somebody listens, also where no schedule does. By `stat` alone. */
export class DatabaseWatch {
  readonly #path: string;
  readonly #onChange: () => void;
  #timer: NodeJS.Timeout | undefined;
  #wasMissing = false;

  constructor(path: string, onChange: () => void) {
    this.#path = path;
    this.#onChange = onChange;
  }

  begin(): void {
    if (this.#timer !== undefined) return;
    this.#wasMissing = isMissing(this.#path);
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const missing = isMissing(this.#path);
    if (missing === this.#wasMissing) return;
    this.#wasMissing = missing;
    this.#onChange();
  }
}
