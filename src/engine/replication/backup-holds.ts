/**
 * Has a backup end exactly at a captured moment: nothing is captured from before its pin until it is known where the log
 * ended then, and then exactly up to there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Capture, LogEnd } from './capture.ts';
import { bookmarkOf } from './segment.ts';

/** A moment that is exactly what a backup holds. */
interface CutMoment {
  readonly bookmark: string;
  readonly state: bigint;
  readonly tag: number;
  /** Fields of the first page, in hex digits. */
  readonly header: string;
}

/** A backup pins within it, or is no witness. */
const HOLD_MS = 5_000;
const LOOK_MS = 10;

export class BackupHolds {
  readonly #wake: () => void;
  #wanted: (() => void)[] = [];
  #cut: { readonly end: LogEnd; readonly resolve: (moment: CutMoment | null) => void } | null = null;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get areWanted(): boolean {
    return this.#wanted.length > 0;
  }

  /** Nothing is captured from when it resolves until `cut`, or for a few seconds. */
  hold(): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted.push(resolve);
      this.#wake();
    });
  }

  /** Captures exactly up to there. Null where that can't be: no moment is what the backup holds. */
  cut(end: LogEnd): Promise<CutMoment | null> {
    return new Promise((resolve) => {
      this.#cut?.resolve(null);
      this.#cut = { end, resolve };
      this.#wake();
    });
  }

  /** To be called between two captures. */
  async serve(capture: Capture, signal: AbortSignal): Promise<void> {
    if (!this.areWanted) return this.#answer(null);
    this.#answer(null);
    for (const resolve of this.#wanted.splice(0)) resolve();
    const untilMs = performance.now() + HOLD_MS;
    while (this.#cut === null && performance.now() < untilMs && !signal.aborted) await sleep(LOOK_MS);
    const end = this.#endAsked();
    if (end !== null) this.#answer(await momentAt(capture, end));
  }

  #endAsked(): LogEnd | null {
    return this.#cut?.end ?? null;
  }

  #answer(moment: CutMoment | null): void {
    this.#cut?.resolve(moment);
    this.#cut = null;
  }
}

async function momentAt(capture: Capture, end: LogEnd): Promise<CutMoment | null> {
  if (!(await capture.captureTo(end))) return null;
  const { sums, tag, txid } = capture.head;
  return { bookmark: bookmarkOf(txid), state: sums.state, tag, header: capture.headerFields().toString('hex') };
}
