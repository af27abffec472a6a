/**
 * Which locks of files somebody holds, by the system's list: it names those of files that we may not open, too, and of
 * processes of other containers without their number. https://man7.org/linux/man-pages/man5/proc_locks.5.html
 */
import { readFileSync } from 'node:fs';

interface FileLock {
  readonly isOfWriter: boolean;
  readonly pid: number;
  /** Number of the file, as text: it may be larger than a number of JavaScript. */
  readonly inode: string;
  /** Bytes, both inclusive. */
  readonly from: number;
  readonly to: number;
}

/** A line with an arrow is of somebody who waits. */
const LINE = /^\d+: +\w+ +\S+ +(\w+) +(-?\d+) +\S+:(\d+) +(\d+) +(\d+|EOF)\s*$/gm;

/** Null if there is no such list (macOS), or a sandbox hides it. */
export function fileLocks(inode: string): readonly FileLock[] | null {
  try {
    return locksIn(readFileSync('/proc/locks', 'utf8')).filter((lock) => lock.inode === inode);
  } catch {
    return null;
  }
}

export function locksIn(list: string): readonly FileLock[] {
  return [...list.matchAll(LINE)].map(([, access, pid, inode = '', from, to]) => ({
    ...{ isOfWriter: access === 'WRITE', pid: Number(pid), inode, from: Number(from) },
    to: to === 'EOF' ? Number.POSITIVE_INFINITY : Number(to),
  }));
}
