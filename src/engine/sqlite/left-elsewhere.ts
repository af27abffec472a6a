/**
 * Finds what a program that ended left beside another name of the same database: a log with commits in it, or the journal
 * of an interrupted transaction. SQLite looks for both beside the name that it opens, so under our name the commits
 * are missing, and half of the transaction is there.
 *
 * Names in other folders are unknown to anybody; `sharing.ts` warns of those.
 */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { blockThread } from './busy.ts';
import { fileLocks } from './file-locks.ts';
import { notShared } from './not-shared.ts';

/** A live writer's journal is there until it commits; where nobody shows locks, it is given this long. */
const LOOKS = 3;
const LOOK_AGAIN_MS = 30;

/** @throws BackupError DB_NOT_SHARED when another name of the file at this real path has a log or a hot journal. */
export function refuseLeftElsewhere(path: string): void {
  let found = findLeftElsewhere(path);
  for (let looks = 1; looks < LOOKS && found !== null; looks++) {
    blockThread(LOOK_AGAIN_MS);
    found = findLeftElsewhere(path);
  }
  if (found === null) return;
  const { name, left } = found;
  const what = left.endsWith('-wal') ? 'commits that are not in the file' : 'an interrupted transaction';
  throw notShared(
    `${name} is another name of ${path}, and ${left} has ${what}: a backup of ${path} would miss that`,
    `Copy ${name} and ${left} to a safe folder first, while no running program has them open. If nothing has written to the file under another name since, opening it once as ${name} completes what was begun: start the app, or run \`sqlite3 ${name} 'PRAGMA quick_check'\`. Otherwise open the copies and compare them. Then use one name everywhere, also in DATABASE_URL.`,
  );
}

function findLeftElsewhere(path: string): { name: string; left: string } | null {
  for (const name of otherNames(path)) {
    if (sizeOf(`${name}-wal`) > 0) return { name, left: `${name}-wal` };
    if (isHotLooking(`${name}-journal`) && !hasWriter(path)) return { name, left: `${name}-journal` };
  }
  return null;
}

/** Hard links in the same folder. */
function otherNames(path: string): readonly string[] {
  const ours = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (ours === undefined || ours.nlink < 2n) return [];
  const folder = dirname(path);
  return readdirSync(folder)
    .map((entry) => join(folder, entry))
    .filter((name) => {
      const other = statSync(name, { bigint: true, throwIfNoEntry: false });
      return name !== path && other?.ino === ours.ino && other.dev === ours.dev;
    });
}

/** https://sqlite.org/lockingv3.html#hot_journals: one that starts with a zero was finished (PERSIST). */
function isHotLooking(journal: string): boolean {
  if (sizeOf(journal) === 0) return false;
  try {
    const descriptor = openSync(journal, 'r');
    try {
      const first = Buffer.alloc(1);
      return readSync(descriptor, first, 0, 1, 0) === 1 && first[0] !== 0;
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // It was deleted as its transaction ended; one that may not be read counts as hot.
    return sizeOf(journal) > 0;
  }
}

/** https://sqlite.org/src/file/src/os.h: the byte that a connection locks before it writes its journal. */
const RESERVED_BYTE = 0x40000001;

/**
 * Does somebody hold the lock of writers, as far as the kernel shows? Then the journal is theirs. Once a writer keeps readers
 * out, it holds the bytes around that one too, and the kernel shows them as one range.
 */
function hasWriter(path: string): boolean {
  const inode = statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
  const locks = fileLocks(String(inode)) ?? [];
  return locks.some(({ isOfWriter, from, to }) => isOfWriter && from <= RESERVED_BYTE && to >= RESERVED_BYTE);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
