/**
 * Moments with a name, in one file beside the stream. They are kept as long as the stream reaches back: until the longest of its
 * windows is over. Whoever makes a mark writes its name; the replicator, which looks at
 * the file at each pass, captures up to then and writes down the moment. Without a replicator the newest moment is meant.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errnoCode } from '../../words/errors.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';

const FILE = 'marks.json';

const markSchema = z.object({
  name: z.string(),
  /** When it was asked for. */
  at: z.string(),
  /** The moment, in 16 hex digits; null as long as it was not captured. */
  bookmark: z.string().nullable(),
});

export type Mark = z.infer<typeof markSchema>;

/** Oldest first; none for a file that is not there. @throws Error for one that can't be read. */
export function readMarks(folder: string): readonly Mark[] {
  try {
    return z.array(markSchema).parse(JSON.parse(readFileSync(join(folder, FILE), 'utf8')));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Needs the lock of the marks. */
export function writeMarks(folder: string, marks: readonly Mark[]): void {
  const path = join(folder, FILE);
  writeFileSync(`${path}.tmp`, JSON.stringify(marks, null, 2), { mode: 0o600 });
  giveToOwnerOfFolder(`${path}.tmp`);
  renameSync(`${path}.tmp`, path);
}

/** One that waits for its capture is no older than its request, and stays. */
export function isExpired({ at, bookmark }: Mark, windowsMs: readonly number[], now: Date): boolean {
  return bookmark !== null && Date.parse(at) < now.getTime() - Math.max(...windowsMs);
}

export const MARKS_LOCK = '.marks.lock';

export function markedTxids(marks: readonly Mark[]): ReadonlySet<bigint> {
  return new Set(marks.flatMap(({ bookmark }) => (bookmark === null ? [] : [BigInt(`0x${bookmark}`)])));
}
