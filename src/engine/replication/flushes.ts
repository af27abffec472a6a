/** Those who wait until all that was committed before their call is captured: one capture answers all of them. */
import { BackupError } from '../../words/errors.ts';
import type { Captured } from './capture.ts';
import type { StreamStatus } from './status.ts';

interface Flush {
  readonly resolve: (captured: Captured) => void;
  readonly reject: (error: unknown) => void;
}

export class Flushes {
  #waiting: Flush[] = [];

  get areWanted(): boolean {
    return this.#waiting.length > 0;
  }

  add(): Promise<Captured> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Those that came before a capture; what comes meanwhile waits for the next one. */
  take(): readonly Flush[] {
    return this.#waiting.splice(0);
  }

  /** The capture did not come to its end. */
  putBack(flushes: readonly Flush[]): void {
    this.#waiting.unshift(...flushes);
  }

  refuse(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

export function notCapturing({ phase, error }: StreamStatus): BackupError {
  return new BackupError('NOT_DURABLE', `commits are not captured now (${error?.message ?? phase})`, {
    hint: error?.hint ?? 'See the status of the stream; `velist-backup resume` ends a pause.',
  });
}
