/**
 * Where the log can't be proven to go on, the database itself is read once under the pin, and the pages that differ from
 * the newest captured moment become the next segment. Without checksums to compare with, all of them do, and a segment with
 * all pages stands beside it as the base of what follows.
 *
 * Pages that have frames in the log are taken from there, the others from the main file, which no checkpoint can change
 * for them under the pin. A log of which all is merged may begin anew under us, and the main file alone has everything.
 */
import { readSync } from 'node:fs';
import { BackupError } from '../../words/errors.ts';
import { type LtxHeader, lockPageOf } from '../format/ltx/header.ts';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { isAllMerged } from '../sqlite/wal-index.ts';
import { encodePages, saltsText, type StreamHead } from './capture.ts';
import type { LocalStream } from './local-stream.ts';
import { beginOfLog, type LogPosition, readLogTail } from './log-tail.ts';
import { PageSums, sumPage } from './page-sums.ts';
import { SNAPSHOT_LEVEL } from './plan.ts';
import { positionFields } from './position.ts';
import { inTurns } from './rest.ts';

/** The newest moment that the stream holds; without checksums there is nothing to compare with. */
interface Before {
  readonly txid: bigint;
  readonly at: Date;
  readonly tag: number;
  readonly state: bigint;
  readonly sums: PageSums | null;
}

interface Rebased {
  readonly head: StreamHead;
  readonly changedPages: number;
  readonly isWhole: boolean;
}

interface Moment {
  readonly position: LogPosition | null;
  readonly pages: number;
  readonly frames: ReadonlyMap<number, number>;
}

const LOOKS_MAX = 20;
const PAGES_PER_STEP = 64;

/** Needs a pin that was just taken, or moved. @throws BackupError; system errors. Then the stream is as it was. */
export async function rebase(
  database: FollowedDatabase,
  stream: LocalStream,
  before: Before,
  { now, signal }: { readonly now: () => Date; readonly signal?: AbortSignal },
): Promise<Rebased> {
  const moment = lookAtLog(database);
  const at = new Date(Math.max(now().getTime(), before.at.getTime()));
  const known = before.sums?.pageSize === database.pageSize ? before.sums : null;
  const readPage = pageReader(database, moment);
  const words = await inTurns(sumAll(moment.pages, readPage, database.pageSize), signal);
  const sums = PageSums.of(database.pageSize, words);
  const txid = before.txid + 1n;
  const header: LtxHeader = {
    ...{ pageSize: database.pageSize, commitPages: moment.pages, minTxid: txid, maxTxid: txid, at },
    ...{ preChecksum: null, stateBefore: before.state, stateAfter: sums.state, tag: before.tag },
    ...positionFields(moment.position),
  };
  const changed = [...(known === null ? allPages(moment.pages, database.pageSize) : changedPages(known, sums))];
  // The whole one first, so that what follows always has a base.
  if (known === null) {
    const whole = { ...header, minTxid: 1n, stateBefore: 0n };
    const base = stream.write(SNAPSHOT_LEVEL, whole, (encoder) => encodePages(changed, readPage, encoder));
    await stream.add(await inTurns(base, signal));
  }
  const written = await inTurns(
    stream.write(0, header, (encoder) => encodePages(changed, readPage, encoder)),
    signal,
  );
  await stream.add(written);
  const head = { txid, at, position: moment.position, sums, tag: before.tag };
  return { head, changedPages: changed.length, isWhole: known === null };
}

function lookAtLog(database: FollowedDatabase): Moment {
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const index = database.index();
    const none = new Map<number, number>();
    if (index.frames === 0) {
      const pages = database.pinnedPages;
      // A commit between the two is for the next look.
      if (database.index().frames === 0) return { position: null, pages, frames: none };
      continue;
    }
    const begin = beginOfLog(database.log);
    if (begin === null || saltsText(begin) !== index.salts) continue;
    if (isAllMerged(index)) {
      const position = { ...begin, frames: index.frames, checksum: index.checksum };
      return { position, pages: index.pages, frames: none };
    }
    const tail = readLogTail(database.log, begin, index.frames);
    if (tail !== null) return { position: tail.position, pages: tail.commitPages, frames: tail.pages };
  }
  throw new BackupError('DB_NOT_SHARED', `the log of ${database.path} is not whole up to the end of its index`, {
    hint: 'Nothing was captured. See whether something writes to the log, or the disk is failing; make a backup, which checks the database.',
  });
}

function pageReader(database: FollowedDatabase, { frames }: Moment): (number: number) => Buffer {
  const { pageSize } = database;
  const bytes = Buffer.allocUnsafeSlow(pageSize);
  return (number) => {
    const frame = frames.get(number);
    const [file, place] = frame === undefined ? [database.main, (number - 1) * pageSize] : [database.log, frame];
    const read = readSync(file, bytes, 0, pageSize, place);
    // The main file may end before a page of zeros that nobody wrote yet.
    if (read < pageSize) bytes.fill(0, read);
    return bytes;
  };
}

function* sumAll(pages: number, readPage: (number: number) => Buffer, pageSize: number) {
  const words = new Uint32Array(2 * pages);
  for (let number = 1; number <= pages; number++) {
    if (number !== lockPageOf(pageSize)) sumPage(readPage(number), words, 2 * (number - 1));
    if (number % PAGES_PER_STEP === 0) yield;
  }
  return words;
}

function* allPages(pages: number, pageSize: number): Generator<number, void> {
  for (let number = 1; number <= pages; number++) if (number !== lockPageOf(pageSize)) yield number;
}

/** The first one always, so that a segment has a page. */
function* changedPages(before: PageSums, after: PageSums): Generator<number, void> {
  for (const number of allPages(after.pages, after.pageSize))
    if (number === 1 || !before.isSame(number, after.words, 2 * (number - 1))) yield number;
}

/** Tells one stream from another. */
export function newTag(): number {
  return 1 + Math.floor(Math.random() * 0xffff_fffe);
}
