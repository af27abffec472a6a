/**
 * What was committed becomes segments, and the stream stays one chain: each segment begins at the state at which the one
 * before ended. What can't be proven to go on from there is `Lost`; then the database is compared page by page
 * (`rebase.ts`). Nothing is guessed.
 */
import { readSync } from 'node:fs';
import type { LtxEncoder } from '../format/ltx/encoder.ts';
import { type LtxHeader, lockPageOf } from '../format/ltx/header.ts';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { pageFrames } from '../sqlite/wal.ts';
import { isAllMerged, type LogIndex } from '../sqlite/wal-index.ts';
import type { LocalSegment, LocalStream } from './local-stream.ts';
import { LogProof } from './log-proof.ts';
import { beginOfLog, followsOn, isStillThere, type LogPosition, type LogTail, readLogTail } from './log-tail.ts';
import { Lost } from './lost.ts';
import { type PageSums, sumPage } from './page-sums.ts';
import { positionFields, readHeaderFields } from './position.ts';
import { inTurns } from './rest.ts';
import { bookmarkOf } from './segment.ts';

/** The newest moment of the stream, and what is known of it. */
export interface StreamHead {
  readonly txid: bigint;
  readonly at: Date;
  /** Null for a log to which nothing was written yet. */
  readonly position: LogPosition | null;
  readonly sums: PageSums;
  readonly tag: number;
}

/** A tail that was read to its end, and is not written yet. */
interface ReadTail {
  readonly tail: LogTail;
  readonly from: number;
  readonly at: Date;
  /** Copies of its pages, if the log may begin anew before they are written. */
  readonly copies: Copies | null;
  /** What was known before it was read. */
  readonly before: { readonly position: LogPosition | null; readonly mayBeginAnew: boolean };
}

type Copies = ReadonlyMap<number, Buffer>;

/** An end of the log, as a pin sees it. */
export interface LogEnd {
  readonly salts: string;
  readonly frames: number;
}

/** How often to look again when a log begins anew just while we look. */
const LOOKS_MAX = 20;
const PAGES_PER_STEP = 64;
/** What is held in memory while the pin moves. */
const COPIED_BYTES_MAX = 16 * 1024 * 1024;
const NONE: ReadonlySet<number> = new Set();

class TailTooLong extends Error {}

export class Capture {
  readonly #database: FollowedDatabase;
  readonly #stream: LocalStream;
  readonly #now: () => Date;
  #head: StreamHead;
  /** Position up to which the log was read; the head follows once that is written. */
  #read: LogPosition | null;
  #waiting: ReadTail[] = [];
  readonly #proof: LogProof;
  /** Pages with frames in the log as it is now. */
  readonly #inLog = new Set<number>();
  /** The pin was taken at this position: should the log begin anew, nothing lies between. */
  #mayBeginAnew = false;

  constructor(database: FollowedDatabase, stream: LocalStream, head: StreamHead, now: () => Date) {
    this.#database = database;
    this.#stream = stream;
    this.#head = head;
    this.#read = head.position;
    this.#proof = new LogProof(database.log);
    this.#now = now;
  }

  /**
   * Pages with frames in the log, so that the main file may hold older ones.
   *
   * @throws NotCaptured: what the main file was given is compared with the log first.
   */
  pagesInLog(): ReadonlySet<number> {
    const index = this.#database.index();
    const isAllInMain = isAllMerged(index) && this.#isOf(index) && index.frames === this.#read?.frames;
    if (!isAllInMain) return this.#inLog;
    if (this.#waiting.length === 0) this.#proof.prove(this.#head.position, this.#head.sums);
    return NONE;
  }

  get head(): StreamHead {
    return this.#head;
  }

  /** The pin was just taken, and the position proven. */
  startAt(position: LogPosition | null): void {
    this.#read = position;
    if (isAllMerged(this.#database.index())) this.#proof.startAt(position);
    if (position !== null)
      for (const number of pageFrames(this.#database.log, position.frames).keys()) this.#inLog.add(number);
    this.#mayBeginAnew = true;
  }

  /**
   * Captures all that is committed. To be called by one at a time.
   *
   * @returns null when nothing is new.
   * @throws Lost; BackupError; system errors. Then the stream is as it was.
   */
  async capture(signal?: AbortSignal): Promise<LocalSegment | null> {
    if (this.#waiting.length === 0) this.#readTail({ mayWait: false });
    return await this.#writeWaiting(signal);
  }

  async #writeWaiting(signal?: AbortSignal): Promise<LocalSegment | null> {
    let newest: LocalSegment | null = null;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        newest = await this.#write(next, signal);
        this.#waiting.shift();
      } catch (error) {
        // It lies in the log still, and is read again.
        if (next.copies === null) this.#forget(next);
        throw error;
      }
    }
    return newest;
  }

  /**
   * Captures exactly up to that end of the log.
   *
   * @returns false where more is captured already, or the log is another.
   */
  async captureTo(end: LogEnd): Promise<boolean> {
    if (this.#waiting.length > 0) await this.capture();
    this.#readTail({ mayWait: false, end });
    const isThere = this.#read !== null && saltsText(this.#read) === end.salts && this.#read.frames === end.frames;
    await this.#writeWaiting();
    return isThere;
  }

  /** What the first page has, at the newest captured moment, in fields that a backup has otherwise. */
  headerFields(): Buffer {
    const { log, main, pageSize } = this.#database;
    const page = Buffer.alloc(pageSize);
    const isInLog = this.#read !== null && this.pagesInLog().has(1);
    const frame = isInLog ? pageFrames(log, this.#read?.frames ?? 0).get(1) : undefined;
    readSync(frame === undefined ? main : log, page, 0, pageSize, frame ?? 0);
    return readHeaderFields(page);
  }

  #forget({ before }: ReadTail): void {
    this.#waiting = [];
    this.#read = before.position;
    this.#mayBeginAnew = before.mayBeginAnew;
  }

  /**
   * Moves the pin to the end of the log. What came since the last capture is read before the old pin is gone, and written
   * by the next `capture`, as one segment however often the pin moved.
   *
   * @returns false when a capture must come first: what is read now is kept in memory, and would be too much.
   * @throws NotCaptured: what was captured is compared with the log while it is held.
   */
  movePin(): boolean {
    this.#proveWritten();
    try {
      this.#database.movePin(() => this.#readTail({ mayWait: true }));
    } catch (error) {
      if (error instanceof TailTooLong) return false;
      throw error;
    }
    this.#mayBeginAnew = true;
    return true;
  }

  /** As `FollowedDatabase.drain`; throws as `movePin` does. */
  drain(framesMax: number, whenDrained: (() => void) | null = null): { readonly isDrained: boolean } | null {
    this.#proveWritten();
    const drained = this.#database.drain(() => this.#readTail({ mayWait: true }), framesMax, whenDrained);
    if (drained !== null) this.#mayBeginAnew = true;
    return drained;
  }

  #proveWritten(): void {
    if (this.#waiting.some(({ copies }) => copies === null)) throw new Error('the pin moves once all is written');
    // Copies are compared once they are written.
    if (this.#waiting.length === 0) this.#proof.prove(this.#head.position, this.#head.sums);
  }

  /** @param mayWait its pages are copied: the log may begin anew before they are written. */
  #readTail({ mayWait, end }: { readonly mayWait: boolean; readonly end?: LogEnd }): void {
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const index = this.#database.index();
      const at = later(this.#now(), this.#waiting.at(-1)?.at ?? this.#head.at);
      const from = this.#from(index);
      if (from === 'again') continue;
      const untilFrames = end?.salts === index.salts ? Math.min(end.frames, index.frames) : index.frames;
      if (from === null || from.frames >= untilFrames) return;
      const last = this.#waiting.at(-1);
      const heldPages = (last?.copies?.size ?? 0) + untilFrames - from.frames;
      if (mayWait && heldPages * from.pageSize > COPIED_BYTES_MAX) throw new TailTooLong();
      const tail = readLogTail(this.#database.log, from, untilFrames);
      if (tail === null) continue;
      const copies = mayWait ? copyPages(this.#database.log, tail.position, from.frames) : null;
      const before = { position: this.#read, mayBeginAnew: this.#mayBeginAnew };
      // Consumed without a new beginning: what lies behind is a log that goes on, until the next pin.
      this.#mayBeginAnew = false;
      if (from.frames === 0) this.#inLog.clear();
      for (const number of tail.pages.keys()) this.#inLog.add(number);
      this.#read = tail.position;
      const read: ReadTail = { tail, from: from.frames, at, copies, before };
      if (last?.copies && copies) this.#waiting.splice(-1, 1, joined(last, last.copies, read, copies));
      else this.#waiting.push(read);
      return;
    }
    throw new Lost('the log was not whole up to the end of its index');
  }

  /** Where in the log to go on. Null while a log that begins anew has nothing in it. */
  #from(index: LogIndex): LogPosition | null | 'again' {
    const read = this.#read;
    if (read !== null && this.#isOf(index)) {
      if (index.frames < read.frames) throw new Lost(`the log ends before frame ${read.frames}`);
      if (isStillThere(this.#database.log, read)) return read;
      if (this.#isOf(this.#database.index())) throw new Lost(`frame ${read.frames} of the log is another`);
      return 'again';
    }
    if (index.frames === 0) return null;
    if (!this.#mayBeginAnew) throw new Lost('the log began anew while it was not held');
    const begin = beginOfLog(this.#database.log);
    if (begin === null || saltsText(begin) !== index.salts) return 'again';
    if (read !== null && !followsOn(begin, read)) throw new Lost('the log is not the one that follows');
    return begin;
  }

  #isOf(index: LogIndex): boolean {
    return this.#read !== null && saltsText(this.#read) === index.salts;
  }

  async #write(read: ReadTail, signal?: AbortSignal): Promise<LocalSegment> {
    const { tail, from, at } = read;
    const { pageSize } = this.#database;
    const { sums, txid, tag } = this.#head;
    const bytes = Buffer.allocUnsafeSlow(pageSize);
    const readPage = (number: number) => {
      const copy = read.copies?.get(number);
      if (copy === undefined) readSync(this.#database.log, bytes, 0, pageSize, tail.pages.get(number) ?? 0);
      return copy ?? bytes;
    };
    const numbers = [...tail.pages.keys()].sort((a, b) => a - b);
    refuseMissing(tail, sums.pages);
    const change = await inTurns(sumChange(numbers, readPage, sums, tail.commitPages), signal);
    const next = txid + 1n;
    const header: LtxHeader = {
      ...{ pageSize, commitPages: tail.commitPages, minTxid: next, maxTxid: next, at, preChecksum: null, tag },
      ...{ stateBefore: sums.state, stateAfter: change.stateAfter, ...positionFields(tail.position, from) },
    };
    const written = await inTurns(
      this.#stream.write(0, header, (encoder) => encodePages(change.numbers, readPage, encoder)),
      signal,
    );
    // A log that began anew meanwhile would have been read in part.
    if (read.copies === null && !isStillThere(this.#database.log, tail.position)) {
      written[Symbol.dispose]();
      throw new Lost(`the log began anew while ${bookmarkOf(next)} was captured`);
    }
    const segment = await this.#stream.add(written);
    sums.accept(change);
    this.#head = { ...this.#head, txid: next, at, position: tail.position };
    if (read.copies !== null) this.#proof.proveCopies(read.copies, tail.position, sums);
    return segment;
  }
}

/** Pages by which the database grew are in the log; where one is not, frames were lost. */
function refuseMissing({ pages, commitPages, position }: LogTail, pagesBefore: number): void {
  for (let number = pagesBefore + 1; number <= commitPages; number++)
    if (!pages.has(number) && number !== lockPageOf(position.pageSize)) throw new Lost(`page ${number} is in no frame`);
}

/** Two tails of which the second goes on behind the first, as one. */
function joined(first: ReadTail, firstCopies: Copies, second: ReadTail, secondCopies: Copies): ReadTail {
  refuseMissing(second.tail, first.tail.commitPages);
  const { commitPages, commits } = second.tail;
  const pages = new Map([...first.tail.pages, ...second.tail.pages].filter(([number]) => number <= commitPages));
  return {
    tail: { ...second.tail, commits: first.tail.commits + commits, pages },
    // A log that began anew was read from its beginning.
    from: second.from === 0 ? 0 : first.from,
    at: second.at,
    copies: new Map([...firstCopies, ...secondCopies]),
    before: first.before,
  };
}

/** Pages that were written as they were before are left out, but for the first: a segment has at least one. */
function* sumChange(numbers: readonly number[], readPage: (number: number) => Buffer, before: PageSums, pages: number) {
  const changed: number[] = [];
  const sums = new Uint32Array(2 * numbers.length);
  for (const [index, number] of numbers.entries()) {
    const at = 2 * changed.length;
    sumPage(readPage(number), sums, at);
    const isLast = index === numbers.length - 1;
    if (!before.isSame(number, sums, at) || (isLast && changed.length === 0)) changed.push(number);
    if (index % PAGES_PER_STEP === 0) yield;
  }
  return before.change(changed, sums.subarray(0, 2 * changed.length), pages);
}

export function* encodePages(
  numbers: Iterable<number>,
  readPage: (number: number) => Buffer,
  encoder: Pick<LtxEncoder, 'page'>,
): Generator<void, void> {
  let done = 0;
  for (const number of numbers) {
    encoder.page(number, readPage(number));
    if (++done % PAGES_PER_STEP === 0) yield;
  }
}

/** The newest of each page behind `after` and up to the position, whatever the tail takes them to be. */
function copyPages(log: number, { frames, pageSize }: LogPosition, after: number): Copies {
  const pages = pageFrames(log, frames, after);
  const copies = Buffer.allocUnsafeSlow(pages.size * pageSize);
  const copied = new Map<number, Buffer>();
  for (const [number, place] of pages) {
    const copy = copies.subarray(pageSize * copied.size, pageSize * (copied.size + 1));
    readSync(log, copy, 0, pageSize, place);
    copied.set(number, copy);
  }
  return copied;
}

export function saltsText({ salts }: Pick<LogPosition, 'salts'>): string {
  return salts.map((salt) => salt.toString(16).padStart(8, '0')).join('');
}

function later(one: Date, other: Date): Date {
  return one < other ? other : one;
}

/** A moment, as those who wait for it are told. */
export interface Captured {
  readonly bookmark: string;
  readonly at: Date;
}

export function capturedBy({ head }: Pick<Capture, 'head'>): Captured {
  return { bookmark: bookmarkOf(head.txid), at: head.at };
}

/** The same, as a status has it. */
export function newestOf({ txid, at }: StreamHead): { readonly bookmark: string; readonly at: string } {
  return { bookmark: bookmarkOf(txid), at: at.toISOString() };
}
