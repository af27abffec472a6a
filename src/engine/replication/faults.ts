/**
 * What is known to be untrue, of the live file and of the stream. It outlives a pause and the process: damage that was
 * forgotten would be captured by the next comparison, as if it had been committed.
 */
import type { BackupError } from '../../words/errors.ts';
import type { StreamStatus } from './status.ts';
import type { ToldStatus } from './told-status.ts';

export class Faults {
  readonly #status: ToldStatus;
  readonly #now: () => Date;
  /** The stream begins anew with all pages before anything else is captured. */
  #isStreamUntrue: boolean;

  constructor(status: ToldStatus, now: () => Date) {
    this.#status = status;
    this.#now = now;
    this.#isStreamUntrue = status.now.untrue?.at === 'stream';
  }

  get isStreamUntrue(): boolean {
    return this.#isStreamUntrue;
  }

  /** Null as long as the file is what was committed, as far as is known. */
  get damage(): StreamStatus['damage'] {
    return this.#status.now.damage;
  }

  noteDamage(damage: { readonly page: number; readonly file: string }, error: BackupError): void {
    const { untrue } = this.#status.now;
    const since = this.damage !== null && untrue?.at === 'file' ? untrue.since : this.#now().toISOString();
    const body = error.toJSON();
    this.#status.tell({ untrue: { at: 'file', since, error: body }, damage: { ...damage, error: body } });
  }

  noteStream(error: BackupError): void {
    const { untrue } = this.#status.now;
    // One that was answered by a new beginning is another.
    const since = this.#isStreamUntrue && untrue?.at === 'stream' ? untrue.since : this.#now().toISOString();
    this.#isStreamUntrue = true;
    this.#status.tell({ untrue: { at: 'stream', since, error: error.toJSON() } });
  }

  /** The page is what was committed again, or the file is another. */
  endDamage(): void {
    if (this.damage === null) return;
    const { untrue } = this.#status.now;
    this.#status.tell({ untrue: untrue?.at === 'file' ? null : untrue, damage: null });
  }

  /** With all pages. The fault stays told until the next rest. */
  noteBeganAnew(): void {
    this.#isStreamUntrue = false;
  }

  /** What of it is to be told while the capture rests. */
  untrueAtRest(): StreamStatus['untrue'] {
    const { untrue } = this.#status.now;
    return untrue?.at === 'stream' && !this.#isStreamUntrue ? null : untrue;
  }
}
