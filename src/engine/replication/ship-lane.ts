/**
 * One thing after the other, for as long as there is something to do; then it sleeps until it is woken. What fails is tried
 * again after a delay that grows, with jitter: nothing is left out, so what waits goes on in its order.
 */
import { BackupError, errnoCode } from '../../words/errors.ts';

const RETRY_MS = 1_000;
const RETRY_MS_MAX = 60_000;

interface LaneContext {
  readonly signal: AbortSignal;
  readonly onFailed: (error: BackupError) => void;
  /** How long to wait at least after that failure. */
  readonly delayMs: (error: BackupError) => number;
}

export class ShipLane {
  readonly ended: Promise<void>;
  readonly #step: () => Promise<boolean>;
  readonly #context: LaneContext;
  #news = 0;
  #wake: () => void = () => {};
  #hurry: () => void = () => {};

  /** @param step does one thing, and answers whether there was any. */
  constructor(step: () => Promise<boolean>, context: LaneContext) {
    this.#step = step;
    this.#context = context;
    const onAbort = () => {
      this.wake();
      this.hurry();
    };
    context.signal.addEventListener('abort', onAbort, { once: true });
    // What begins is to be known before the first step.
    this.ended = Promise.resolve().then(() => this.#run());
  }

  /** There may be something to do. */
  wake(): void {
    this.#news += 1;
    this.#wake();
  }

  /** What failed may go well by now: it is tried again at once. */
  hurry(): void {
    this.#hurry();
  }

  async #run(): Promise<void> {
    const { signal, onFailed, delayMs: atLeast } = this.#context;
    let delayMs = RETRY_MS;
    let wasGone = false;
    while (!signal.aborted) {
      const seen = this.#news;
      try {
        const isMore = await this.#step();
        [delayMs, wasGone] = [RETRY_MS, false];
        if (!isMore && seen === this.#news) await this.#sleep();
      } catch (error) {
        if (signal.aborted) return;
        // A segment that was merged away meanwhile has its place taken by a coarser one.
        if (errnoCode(error) === 'ENOENT' && !wasGone) {
          wasGone = true;
          continue;
        }
        const known = BackupError.from(error);
        onFailed(known);
        const waitMs = Math.max(delayMs, atLeast(known)) * (0.75 + Math.random() / 2);
        await this.#delay(waitMs);
        delayMs = Math.min(2 * delayMs, RETRY_MS_MAX);
      }
    }
  }

  async #delay(ms: number): Promise<void> {
    if (this.#context.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hurry = resolve;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
  }

  async #sleep(): Promise<void> {
    if (this.#context.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
