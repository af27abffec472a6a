/**
 * Whether a log goes on from where the stream ends, after a time in which nobody held it. It does in three cases, and each
 * is a proof:
 *
 * - the log is the same, and its frame at that position has the same checksum, which covers all before it;
 * - at the end of our last run all of the log was merged, and the main file was not written since: then nothing was merged
 *   since, so whatever was committed lies in the log that is there, and its header says that it came behind that position;
 * - the same, and there is no log: the last program closed it in order, and none has written since.
 *
 * Anything less is no proof. Frames of the old log that are still there and fit have misled others: a log can grow, be merged and
 * begin anew, and its new frames may stop short of the old ones.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { BackupError } from '../../words/errors.ts';
import { writePrivateJson } from '../disk/private-json.ts';
import { saltsText } from './capture.ts';
import type { LocalStream } from './local-stream.ts';
import { beginOfLog, followsOn, isStillThere, type LogPosition } from './log-tail.ts';
import { headerOver } from './merge.ts';
import { planStream } from './plan.ts';
import { bookmarkOf } from './segment.ts';

const FILE = 'drained.json';

const word = z.number().int().min(0).max(0xffff_ffff);
const noteSchema = z.object({
  /** The newest segment then. */
  txid: z.string(),
  position: z
    .object({
      salts: z.tuple([word, word]).readonly(),
      frames: z.number().int().min(0),
      checksum: z.tuple([word, word]).readonly(),
      pageSize: z.number().int(),
    })
    .nullable(),
  /** What the main file was: inode, size and times. */
  stamp: z.string(),
});
/** All of the log was merged at that position, and the main file was as its stamp says. */
type DrainedNote = z.infer<typeof noteSchema>;

export function writeDrainedNote(folder: string, note: DrainedNote): void {
  // One that a power cut spoiled proves nothing, and the database is compared.
  writePrivateJson(join(folder, FILE), note, { isFlushed: false });
}

export function removeDrainedNote(folder: string): void {
  rmSync(join(folder, FILE), { force: true });
}

function readDrainedNote(folder: string): DrainedNote | null {
  try {
    return noteSchema.parse(JSON.parse(readFileSync(join(folder, FILE), 'utf8')));
  } catch {
    // Not there, or cut off by a crash: then it proves nothing.
    return null;
  }
}

/**
 * Where to go on; undefined if nothing proves it. Needs a pin that was just taken.
 *
 * @param position of the newest segment.
 */
export function provenPosition(
  folder: string,
  database: FollowedDatabase,
  { txid, position }: { readonly txid: string; readonly position: LogPosition | null },
): LogPosition | null | undefined {
  const index = database.index();
  const begin = beginOfLog(database.log);
  const isSameLog = position !== null && index.frames >= position.frames && saltsText(position) === index.salts;
  if (isSameLog && isStillThere(database.log, position)) return position;
  const note = readDrainedNote(folder);
  if (note?.txid !== txid || note.stamp !== database.stamp()) return undefined;
  if (index.frames === 0 && begin === null) return null;
  if (note.position === null || begin === null || saltsText(begin) !== index.salts) return undefined;
  return followsOn(begin, note.position) ? begin : undefined;
}

/**
 * Whether the segments lead to the newest moment, by their names and headers alone. A stream that looks broken is listed
 * once more, for a read that failed just once.
 *
 * @param toldTxid the newest moment that was ever told.
 * @returns the newest that there ever was, and why it cannot be reached, if so.
 */
export function followChain(stream: LocalStream, toldTxid: bigint) {
  if (faultOf(stream, toldTxid) !== null) stream.refresh();
  const newestTxid = stream.newest?.maxTxid ?? 0n;
  return { lastTxid: newestTxid < toldTxid ? toldTxid : newestTxid, fault: faultOf(stream, toldTxid) };
}

function faultOf({ segments, newest }: LocalStream, toldTxid: bigint): BackupError | null {
  if (newest === null) return toldTxid > 0n ? missingBehind(null) : null;
  const plan = planStream({ txid: newest.maxTxid }, { segments, bases: [] });
  if (plan.outcome === 'none') return missingBehind(plan.before);
  if (plan.outcome === 'gap') return missingBehind(plan.txid);
  try {
    headerOver(plan.segments.map(({ header }) => header));
  } catch (error) {
    return BackupError.from(error);
  }
  return newest.maxTxid < toldTxid ? missingBehind(newest.maxTxid) : null;
}

function missingBehind(txid: bigint | null): BackupError {
  const what = txid === null ? 'none has all pages' : `none goes on from ${bookmarkOf(txid)}`;
  return new BackupError('BAD_BACKUP', what, { hint: 'Find out who removed it.' });
}
