/**
 * Compares the live file with what was captured, a few pages at each look, all of them at least once a day. Under the pin a
 * page that has no frame in the log lies in the main file as it was captured last.
 *
 * A page that differs is judged: if the stream's own copy of it is what was captured, the file was changed by something
 * that is no commit, and is damaged; else the stream is at fault.
 */
import { readSync } from 'node:fs';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { lockPageOf } from '../format/ltx/header.ts';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import type { Capture } from './capture.ts';
import type { LocalStream } from './local-stream.ts';
import { type PageSums, sumPage } from './page-sums.ts';
import { planStream } from './plan.ts';
import { SegmentReader } from './segment.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;
const PAGES_LEAST = 16;
/** More at one look would be felt. */
const PAGES_MOST = 4_096;

export type Untrue =
  /** The page of the live file is not what was committed. */
  | { readonly at: 'file'; readonly page: number; readonly error: BackupError }
  /** The page of the stream is not what was captured. */
  | { readonly at: 'stream'; readonly page: number };

const ANEW =
  'The stream begins anew with all pages. Moments before may be wrong: a restore of one says so. Check the disk that holds the backups.';

/** The stream is at fault. */
export function streamUntrue(page: number, path: string): BackupError {
  return new BackupError('STREAM_UNTRUE', `page ${page} of the stream is not what was committed to ${path}`, {
    hint: ANEW,
  });
}

/** A segment that leads to the newest moment is at fault, or is not there. */
export function segmentUntrue(cause: BackupError, path: string): BackupError {
  return new BackupError(
    'STREAM_UNTRUE',
    `a segment of the stream of ${path} is damaged or missing: ${cause.message}`,
    {
      hint: ANEW,
      cause,
    },
  );
}

export class Witness {
  readonly #database: FollowedDatabase;
  readonly #stream: LocalStream;
  readonly #page: Buffer;
  #next = 1;
  #inLog: ReadonlySet<number> = new Set();
  /** What was found last is looked at again each time: a commit may have written the page anew. */
  #found: Untrue | null;
  #lookedMs = performance.now();

  /** @param damage what was found before, perhaps by another process. */
  constructor(
    database: FollowedDatabase,
    stream: LocalStream,
    damage: { readonly page: number; readonly error: ErrorBody } | null,
  ) {
    this.#database = database;
    this.#stream = stream;
    this.#page = Buffer.allocUnsafeSlow(database.pageSize);
    this.#found = damage && { at: 'file', page: damage.page, error: BackupError.fromJSON(damage.error) };
  }

  /** To be called when all is captured. @returns null when all that was looked at is true. */
  look(capture: Capture): Untrue | null {
    const { sums } = capture.head;
    this.#inLog = capture.pagesInLog();
    const now = performance.now();
    const share = Math.ceil((sums.pages * (now - this.#lookedMs)) / DAY_MS);
    this.#lookedMs = now;
    const count = Math.min(sums.pages, PAGES_MOST, Math.max(PAGES_LEAST, share));
    // In the log it may be the copy that was merged before the damage: the next log shows it again.
    const isLeft =
      this.#found !== null && (this.#inLog.has(this.#found.page) || !this.#isTrue(this.#found.page, capture));
    if (isLeft) return this.#found;
    this.#found = null;
    for (let looked = 0; looked < count; looked++) {
      if (this.#next > sums.pages) this.#next = 1;
      const number = this.#next++;
      if (this.#isTrue(number, capture)) continue;
      const untrue = this.#judge(number, capture);
      this.#found = untrue;
      return untrue;
    }
    return null;
  }

  #isTrue(number: number, capture: Capture): boolean {
    const { sums } = capture.head;
    if (number > sums.pages || number === lockPageOf(sums.pageSize) || this.#inLog.has(number)) return true;
    // Once more, for a read that failed by halves.
    return (
      isAsCaptured(this.#database, number, sums, this.#page) || isAsCaptured(this.#database, number, sums, this.#page)
    );
  }

  #judge(number: number, capture: Capture): Untrue {
    const { path } = this.#database;
    if (isStreamTrue(number, capture, this.#stream)) {
      const table = this.#database.tableOfPage(number);
      const where = table === null ? '' : ` (${table})`;
      const error = new BackupError('DB_DAMAGED', `page ${number}${where} of ${path} is not what was committed`, {
        hint: `The file was changed by something that is no program of SQLite, or by the disk. The last captured moment is true: \`velist-backup restore latest --in-place\` brings it back while the app is stopped.`,
      });
      return { at: 'file', page: number, error };
    }
    return { at: 'stream', page: number };
  }
}

/** Is the page in the main file the one that was captured? */
export function isAsCaptured(
  { main, pageSize }: FollowedDatabase,
  number: number,
  sums: PageSums,
  page: Buffer = Buffer.allocUnsafeSlow(pageSize),
): boolean {
  const words = new Uint32Array(2);
  page.fill(0, readSync(main, page, 0, pageSize, (number - 1) * pageSize));
  sumPage(page, words, 0);
  return sums.isSame(number, words);
}

/** Is the newest copy of the page that a restore would take the one that was captured? */
function isStreamTrue(number: number, { head }: Capture, { segments }: LocalStream): boolean {
  const plan = planStream({ txid: head.txid }, { segments, bases: [] });
  if (plan.outcome !== 'found') return false;
  const words = new Uint32Array(2);
  try {
    for (const { path } of plan.segments.toReversed()) {
      using segment = new SegmentReader(path);
      let isFound = false;
      for (; segment.page !== null; segment.advance()) {
        if (segment.page.number !== number) continue;
        sumPage(segment.page.bytes, words, 0);
        isFound = true;
      }
      segment.end();
      if (isFound) return head.sums.isSame(number, words);
    }
  } catch {
    // A segment that can't be read proves nothing for the stream.
  }
  return false;
}
