/**
 * Moments with a name, in one file beside the stream. They are kept as long as the stream reaches back: until the longest of its
 * windows is over. Whoever makes a mark writes its name; the replicator, which looks at
 * the file at each pass, captures up to then and writes down the moment. Without a replicator the newest moment is meant.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { takeLock } from '../disk/lock.ts';
import { writePrivateJson } from '../disk/private-json.ts';

const FILE = 'marks.json';

const markSchema = z.object({
  name: z.string(),
  /** When it was asked for. */
  at: z.string(),
  /** The moment, in 16 hex digits; null as long as it was not captured. */
  bookmark: z.string().nullable(),
});

export type Mark = z.infer<typeof markSchema>;

/** Oldest first; none for a file that is not there. @throws BackupError BAD_BACKUP for one that can't be read. */
export function readMarks(folder: string): readonly Mark[] {
  const path = join(folder, FILE);
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return [];
    return parseMarks(readFileSync(path, 'utf8'));
  } catch (cause) {
    if (errnoCode(cause) === 'ENOENT') return [];
    throw new BackupError('BAD_BACKUP', `the marks in ${path} cannot be read (${errnoCode(cause) ?? 'damaged'})`, {
      hint: 'Correct the file, or bring an earlier one back. Until then no captured moment is removed, and commits are captured as before.',
      cause,
    });
  }
}

/** @throws for what are no marks. */
export function parseMarks(text: string): readonly Mark[] {
  return z.array(markSchema).parse(JSON.parse(text));
}

/** As `readMarks`; none for a file that can't be read, which the upkeep of the stream reports. */
export function readableMarks(folder: string): readonly Mark[] {
  try {
    return readMarks(folder);
  } catch {
    return [];
  }
}

/** Those that were asked for and name no moment yet. To be read before the capture that they are to name. */
export function pendingMarks(folder: string): readonly Mark[] {
  return readableMarks(folder).filter(({ bookmark }) => bookmark === null);
}

/**
 * Writes down what was captured for them, and for none that came since: that may be older than what it means. While somebody
 * else writes there they stay pending, because no capture waits for a mark.
 */
export async function nameMoment(
  folder: string,
  pending: readonly Mark[],
  bookmark: string,
  signal: AbortSignal,
): Promise<void> {
  using lock = await takeLock(join(folder, MARKS_LOCK), { waitMs: 0, signal }).catch(noneIfBusy);
  if (lock === null) return;
  const isMeant = (mark: Mark) => pending.some(({ name, at }) => name === mark.name && at === mark.at);
  writeMarks(
    folder,
    readMarks(folder).map((mark) => ({ ...mark, bookmark: mark.bookmark ?? (isMeant(mark) ? bookmark : null) })),
  );
}

function noneIfBusy(error: unknown): null {
  if (error instanceof BackupError && error.code === 'BUSY') return null;
  throw error;
}

/** Needs the lock of the marks. */
export function writeMarks(folder: string, marks: readonly Mark[]): void {
  writePrivateJson(join(folder, FILE), marks);
}

/** One that waits for its capture is no older than its request, and stays. */
export function isExpired({ at, bookmark }: Mark, windowsMs: readonly number[], now: Date): boolean {
  return bookmark !== null && Date.parse(at) < now.getTime() - Math.max(...windowsMs);
}

export const MARKS_LOCK = '.marks.lock';

export function markedTxids(marks: readonly Mark[]): ReadonlySet<bigint> {
  return new Set(marks.flatMap(({ bookmark }) => (bookmark === null ? [] : [BigInt(`0x${bookmark}`)])));
}
