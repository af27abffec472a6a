/** Merges and removes beside the capture, one thing at a time. A fault is told with the next status, and tried again. */
import { BackupError } from '../../words/errors.ts';
import { dueMerges, mergeOne } from './compact.ts';
import { planKeep } from './keep.ts';
import type { LocalStream } from './local-stream.ts';
import { markedTxids, readMarks } from './marks.ts';
import type { StreamHead } from './capture.ts';
import { diskRoom } from '../disk/share.ts';
import { saveSums } from './sums-file.ts';

export interface UpkeepPolicy {
  /** How long each level is kept, from 0 on, in milliseconds. */
  readonly windowsMs: readonly number[];
  /** What the stream may take; null for a quarter of what is free. */
  readonly bytesMax: number | null;
}

const EVERY_MS = 10_000;
const FREE_SHARE = 1 / 4;
/** The checksums of a large database are written seldom. */
const SAVE_SUMS_MS = 60 * 60 * 1_000;

export class Upkeep {
  readonly #stream: LocalStream;
  readonly #policy: UpkeepPolicy;
  readonly #now: () => Date;
  readonly #abort = new AbortController();
  #running: Promise<void> | null = null;
  #nextMs = 0;
  #savedMs = performance.now();
  #fault: BackupError | null = null;
  #isOver = false;

  constructor(stream: LocalStream, policy: UpkeepPolicy, now: () => Date) {
    this.#stream = stream;
    this.#policy = policy;
    this.#now = now;
  }

  get fault(): BackupError | null {
    return this.#fault;
  }

  /** The stream is larger than it may be, and nothing more can be removed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Begins what is due, if nothing runs. */
  look(head: StreamHead): void {
    if (this.#running !== null || performance.now() < this.#nextMs) return;
    this.#nextMs = performance.now() + EVERY_MS;
    if (performance.now() - this.#savedMs > SAVE_SUMS_MS) {
      this.#savedMs = performance.now();
      saveSums(this.#stream.folder, head);
    }
    this.#running = this.#run()
      .then(
        () => {
          this.#fault = null;
        },
        (error: unknown) => {
          if (!this.#abort.signal.aborted) this.#fault = BackupError.from(error);
        },
      )
      .finally(() => {
        this.#running = null;
      });
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const marks = markedTxids(readMarks(this.#stream.folder));
    for (let due = dueMerges(this.#stream, marks, this.#now()); due.length > 0;) {
      const [first] = due;
      if (first === undefined) break;
      await mergeOne(this.#stream, first, signal);
      due = dueMerges(this.#stream, marks, this.#now());
    }
    const sizeBytes = this.#stream.sizeBytes;
    const bytesMax = this.#policy.bytesMax ?? (diskRoom(this.#stream.folder).freeBytes + sizeBytes) * FREE_SHARE;
    const { remove, isOver } = planKeep(this.#stream.segments, marks, { ...this.#policy, bytesMax }, this.#now());
    this.#isOver = isOver;
    this.#stream.remove(remove);
  }
}
