/**
 * Compares what was captured with the log itself before the log may begin anew: each page as its newest frame has it, found
 * by the headers of the frames alone and not by what the capture made of them. A page that was committed and not captured
 * is a fault of the stream, and known as one here; in the main file it would look like damage later.
 */
import { readSync } from 'node:fs';
import { FRAME_HEADER_BYTES, WAL_HEADER_BYTES } from '../sqlite/wal.ts';
import { isStillThere, type LogPosition } from './log-tail.ts';
import { Lost } from './lost.ts';
import { type PageSums, sumPage } from './page-sums.ts';

/** The stream does not have a page as it was committed. */
export class NotCaptured extends Lost {
  readonly page: number;

  constructor(page: number) {
    super('the stream was not what was committed');
    this.page = page;
  }
}

export class LogProof {
  readonly #log: number;
  readonly #words = new Uint32Array(2);
  /** Up to here it is proven; null before the first time, when all of the log is compared. */
  #proven: LogPosition | null = null;

  constructor(log: number) {
    this.#log = log;
  }

  /** What lies before was taken from the main file, which is the truth for it. */
  startAt(position: LogPosition | null): void {
    this.#proven = position;
  }

  /**
   * To be called under the pin, when all up to there is captured.
   *
   * @throws NotCaptured
   */
  prove(position: LogPosition | null, sums: PageSums): void {
    if (position === null || position === this.#proven || !isStillThere(this.#log, position)) return;
    const isSameLog = this.#proven?.salts.every((salt, index) => salt === position.salts[index]);
    const provenFrames = isSameLog ? (this.#proven?.frames ?? 0) : 0;
    const frame = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + position.pageSize);
    // A bit for each page.
    const seen = new Uint8Array((sums.pages >>> 3) + 1);
    let missed: number | null = null;
    // The newest of each page comes first.
    for (let index = position.frames - 1; index >= provenFrames; index--) {
      readSync(this.#log, frame, 0, frame.length, WAL_HEADER_BYTES + index * frame.length);
      const number = frame.readUInt32BE(0);
      const [place, bit] = [number >>> 3, 1 << (number & 7)];
      if (number > sums.pages || ((seen[place] ?? 0) & bit) !== 0) continue;
      seen[place] = (seen[place] ?? 0) | bit;
      if (!this.#isCaptured(number, frame.subarray(FRAME_HEADER_BYTES), sums)) missed ??= number;
    }
    // A log that began anew meanwhile says nothing.
    if (!isStillThere(this.#log, position)) return;
    if (missed !== null) throw new NotCaptured(missed);
    this.#proven = position;
  }

  /** As `prove`, for pages that were copied from the log up to there. */
  proveCopies(copies: ReadonlyMap<number, Buffer>, position: LogPosition, sums: PageSums): void {
    for (const [number, page] of copies) if (!this.#isCaptured(number, page, sums)) throw new NotCaptured(number);
    this.#proven = position;
  }

  #isCaptured(number: number, page: Buffer, sums: PageSums): boolean {
    if (number > sums.pages) return true;
    sumPage(page, this.#words, 0);
    return sums.isSame(number, this.#words);
  }
}
