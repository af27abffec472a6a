/**
 * Has a backup end exactly at a captured moment: nothing is captured from before its pin until it is known where the log
 * ended then, and then exactly up to there. Whoever asks is answered, or refused as soon as nothing is captured any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../words/errors.ts';
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

interface Cut {
  readonly end: LogEnd;
  readonly resolve: (moment: CutMoment | null) => void;
}

type Cutting = Pick<Capture, 'captureTo' | 'head' | 'headerFields'>;

/** A backup pins within it, or is no witness. */
const HOLD_MS = 5_000;
const LOOK_MS = 10;

export class BackupHolds {
  readonly #wake: () => void;
  #isServed = false;
  #wanted: { readonly resolve: () => void; readonly reject: (error: BackupError) => void }[] = [];
  #cut: Cut | null = null;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  get areWanted(): boolean {
    return this.#wanted.length > 0;
  }

  /** They are served from now on; once it is disposed, whoever waits and whoever asks is refused. */
  open(): Disposable {
    this.#isServed = true;
    return {
      [Symbol.dispose]: () => {
        this.#isServed = false;
        for (const { reject } of this.#wanted.splice(0)) reject(notServed());
        this.#takeCut()?.resolve(null);
      },
    };
  }

  /** Nothing is captured from when it resolves until `cut`, or for a few seconds. @throws BackupError NOT_DURABLE */
  hold(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#isServed) return reject(notServed());
      this.#wanted.push({ resolve, reject });
      this.#wake();
    });
  }

  /** Captures exactly up to there. Null where that can't be: no moment is what the backup holds. */
  cut(end: LogEnd): Promise<CutMoment | null> {
    return new Promise((resolve) => {
      this.#takeCut()?.resolve(null);
      if (!this.#isServed) return resolve(null);
      this.#cut = { end, resolve };
      this.#wake();
    });
  }

  /** To be called between two captures. @throws what the capture throws; then the cut is answered all the same. */
  async serve(capture: Cutting, signal: AbortSignal): Promise<void> {
    // One that comes when nothing is held any more.
    this.#takeCut()?.resolve(null);
    if (!this.areWanted) return;
    for (const { resolve } of this.#wanted.splice(0)) resolve();
    const untilMs = performance.now() + HOLD_MS;
    while (this.#cut === null && performance.now() < untilMs && !signal.aborted) await sleep(LOOK_MS);
    const cut = this.#takeCut();
    if (cut === null) return;
    let moment: CutMoment | null = null;
    try {
      moment = await momentAt(capture, cut.end);
    } finally {
      cut.resolve(moment);
    }
  }

  #takeCut(): Cut | null {
    const cut = this.#cut;
    this.#cut = null;
    return cut;
  }
}

async function momentAt(capture: Cutting, end: LogEnd): Promise<CutMoment | null> {
  if (!(await capture.captureTo(end))) return null;
  const { sums, tag, txid } = capture.head;
  return { bookmark: bookmarkOf(txid), state: sums.state, tag, header: capture.headerFields().toString('hex') };
}

function notServed(): BackupError {
  return new BackupError('NOT_DURABLE', 'commits are not captured now', {
    hint: 'See the status of the stream. The backup is made all the same.',
  });
}
