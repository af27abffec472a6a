/**
 * Moves the clock of this process: whoever asks for the time without being handed a clock (the S3 server of the tests,
 * the client's signatures) lives at the moment that was set, and goes on from there.
 */
const TrueDate = Date;

export interface MovedClock extends Disposable {
  readonly shiftMs: number;
  set(at: Date): void;
  advance(ms: number): void;
  /** As the operating system has it, for processes of their own. */
  reset(): void;
}

/** Until it is disposed of; one at a time. */
export function moveClock(): MovedClock {
  let shiftMs = 0;
  globalThis.Date = class extends TrueDate {
    constructor(...values: [] | [string | number | Date]) {
      if (values.length === 0) super(TrueDate.now() + shiftMs);
      // The types know none of the many forms that it is called in; they all go through.
      else super(...(values as [string]));
    }
    static override now() {
      return TrueDate.now() + shiftMs;
    }
  } as DateConstructor;
  return {
    get shiftMs() {
      return shiftMs;
    },
    set(at) {
      shiftMs = at.getTime() - TrueDate.now();
    },
    advance(ms) {
      shiftMs += ms;
    },
    reset() {
      shiftMs = 0;
    },
    [Symbol.dispose]() {
      globalThis.Date = TrueDate;
    },
  };
}
