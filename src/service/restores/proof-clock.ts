/** Ends a drill whose last step takes too long. */
import type { JobAsked } from '../runs/jobs.ts';
import { BackupError } from '../../words/errors.ts';

/** A statement that never ends would hold its process, and the lock of drills, for ever. */
const PROVE_MAX_MS = 10 * 60_000;

export class ProofClock implements Disposable {
  readonly #maxMs: number;
  readonly #late = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(maxMs = PROVE_MAX_MS) {
    this.#maxMs = maxMs;
  }

  /** What the job is asked, with this clock's word. */
  around({ signal, onEvent }: JobAsked): JobAsked {
    return {
      signal: signal ? AbortSignal.any([signal, this.#late.signal]) : this.#late.signal,
      onEvent: (event) => {
        onEvent?.(event);
        if (event.type === 'step' && event.name === 'prove')
          this.#timer ??= setTimeout(() => this.#late.abort(), this.#maxMs);
      },
    };
  }

  /** @throws BackupError DRILL_FAILED if it ended the job. */
  throwIfLate(): void {
    if (!this.#late.signal.aborted) return;
    throw new BackupError('DRILL_FAILED', `the assertions took longer than ${this.#maxMs / 1_000} s and were ended`, {
      hint: 'Simplify the statements of BACKUP_DRILL_SQL, or give their tables an index; what was restored was sound.',
    });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
