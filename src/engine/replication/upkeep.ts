/**
 * Merges and removes beside the capture, one thing at a time. A fault is told with the next status, and tried again. A
 * segment that is damaged is told for good: it holds up no other merge, and nothing goes because of it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import { dueMerges, type Merge, mergeOne } from './compact.ts';
import { isFreshStart, planKeep } from './keep.ts';
import type { LocalStream } from './local-stream.ts';
import { isExpired, type Mark, markedTxids, MARKS_LOCK, readMarks, writeMarks } from './marks.ts';
import type { StreamHead } from './capture.ts';
import { takeLock } from '../disk/lock.ts';
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
const OVER =
  'The stream takes more than it may (BACKUP_CONTINUOUS_LOCAL_MAX, or a quarter of the free disk), and all of it is still needed.';
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
  /** Merges that failed because of a segment of theirs, with why. */
  readonly #broken = new Map<string, { readonly from: Merge['from']; readonly error: BackupError }>();
  /** The stream is larger than it may be, and nothing more can be removed. */
  #isOver = false;

  constructor(stream: LocalStream, policy: UpkeepPolicy, now: () => Date) {
    this.#stream = stream;
    this.#policy = policy;
    this.#now = now;
  }

  /** What should be known, in whole sentences. */
  warnings(): readonly string[] {
    const fault = this.#fault;
    const broken = this.#broken.values().next().value?.error;
    return [
      ...(broken ? [`A part of what was captured cannot be merged, and stays: ${broken.message}. ${broken.hint}`] : []),
      ...(fault ? [`What was captured cannot be merged or removed: ${fault.message}. ${fault.hint}`] : []),
      ...(this.#isOver ? [OVER] : []),
    ];
  }

  /** Why the newest moment can't be trusted: a segment that leads to it is damaged, or gone. Null as far as is known. */
  damage(): BackupError | null {
    const start = this.#stream.segments.findLast(isFreshStart)?.maxTxid ?? 0n;
    const leads = [...this.#broken.values()].find(({ from }) => from.some(({ maxTxid }) => maxTxid > start));
    return leads?.error ?? null;
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

  /** Resolves when what runs has ended. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.ended();
  }

  async #run(): Promise<void> {
    const marks = markedTxids(await this.#livingMarks());
    const fault = await this.#mergeDue(marks);
    const sizeBytes = this.#stream.sizeBytes;
    const bytesMax = this.#policy.bytesMax ?? (diskRoom(this.#stream.folder).freeBytes + sizeBytes) * FREE_SHARE;
    const policy = { ...this.#policy, bytesMax };
    const doubted = new Set([...this.#broken.values()].flatMap(({ from }) => from.map(({ path }) => path)));
    const { remove, isOver } = planKeep(this.#stream.segments, marks, policy, this.#now(), doubted);
    this.#isOver = isOver;
    this.#stream.remove(remove);
    const gone = new Set(remove.map(({ path }) => path));
    for (const [key, { from }] of this.#broken) if (from.every(({ path }) => gone.has(path))) this.#broken.delete(key);
    if (fault !== null) throw fault;
  }

  /** @returns why no more can be merged for now; null when all is, but for what is broken. */
  async #mergeDue(marks: ReadonlySet<bigint>): Promise<BackupError | null> {
    const { signal } = this.#abort;
    const isPossible = (merge: Merge) => !this.#broken.has(keyOf(merge));
    for (;;) {
      const merges = dueMerges(this.#stream, marks, this.#now(), isPossible);
      if (merges.length === 0) return null;
      for (const merge of merges) {
        try {
          await mergeOne(this.#stream, merge, signal);
        } catch (error) {
          signal.throwIfAborted();
          const known = BackupError.from(error);
          const isBroken = known.code === 'BAD_BACKUP' || merge.from.some(({ path }) => !existsSync(path));
          if (!isBroken) return known;
          this.#broken.set(keyOf(merge), { from: merge.from, error: known });
        }
      }
    }
  }

  /** Forgets the marks to which the stream need not reach back any more, before what they held is removed. */
  async #livingMarks(): Promise<readonly Mark[]> {
    const { folder } = this.#stream;
    const isLiving = (mark: Mark) => !isExpired(mark, this.#policy.windowsMs, this.#now());
    if (readMarks(folder).every(isLiving)) return readMarks(folder);
    using _lock = await takeLock(join(folder, MARKS_LOCK), { waitMs: 5_000, signal: this.#abort.signal });
    const living = readMarks(folder).filter(isLiving);
    writeMarks(folder, living);
    return living;
  }
}

function keyOf({ level, from }: Merge): string {
  return [level, ...from.map(({ path }) => path)].join(' ');
}
