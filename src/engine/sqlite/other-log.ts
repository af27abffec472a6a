/**
 * Finds programs that work with another log of the same database than the one that a connection of ours would find.
 *
 * SQLite finds the log and its index by the name that the database was opened with. So a hard link, a mount of the single
 * file, or a log that somebody removed under its app gives two programs two logs, and each misses what the other commits.
 * On Linux /proc shows it: a connection in WAL mode holds a lock on its index, and that is not the file that lies beside
 * our name. A descriptor without a lock is no connection: a process that was forked from one has those too.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupError } from '../../words/errors.ts';
import { blockThread } from './busy.ts';
import { refuseLeftElsewhere } from './left-elsewhere.ts';
import { notShared } from './not-shared.ts';
import { linkOf, nameOf, namesOf, processes } from './open-files.ts';

interface OtherLog {
  readonly pid: number;
  /** Name of the database as that program opened it. */
  readonly name: string;
  /** Its log or index was removed; false if it lies elsewhere. */
  readonly isRemoved: boolean;
  /** The program's own descriptors of the database and of its log. */
  readonly main: string;
  readonly log: string | null;
}

/** A database that is being closed, or leaves WAL mode, shows removed files for a moment. */
const LOOKS = 3;
const LOOK_AGAIN_MS = 30;

/**
 * @throws BackupError DB_NOT_SHARED when another program is seen to use another log of the database at this real path, or
 *   left one there, or a hot journal.
 */
export function refuseOtherLog(path: string): void {
  let found = findOtherLogs(path);
  for (let looks = 1; looks < LOOKS && found.length > 0; looks++) {
    blockThread(LOOK_AGAIN_MS);
    const pids = new Set(found.map(({ pid }) => pid));
    found = findOtherLogs(path).filter(({ pid }) => pids.has(pid));
  }
  const [first] = found;
  if (first) throw first.isRemoved ? logRemoved(path, first, found) : logElsewhere(path, first);
  refuseLeftElsewhere(path);
}

/**
 * Works as far as /proc shows what others have open: not on macOS, not for other containers and, without rights, not
 * for other users.
 */
export function findOtherLogs(path: string): readonly OtherLog[] {
  const main = existsSync('/proc/self/fdinfo') ? identityOf(path) : null;
  if (main === null) return [];
  const ours = { main, log: identityOf(`${path}-wal`), index: identityOf(`${path}-shm`) };
  return processes().flatMap((pid) => (pid === process.pid ? [] : (otherLogOf(pid, ours) ?? [])));
}

interface Ours {
  readonly main: string;
  readonly log: string | null;
  readonly index: string | null;
}

interface Opened {
  readonly descriptor: string;
  readonly name: string;
  readonly isRemoved: boolean;
}

const REMOVED = ' (deleted)';

function otherLogOf(pid: number, ours: Ours): OtherLog | null {
  const opened = openedBy(pid);
  for (const index of opened.filter(({ name }) => name.endsWith('-shm'))) {
    const name = index.name.slice(0, -'-shm'.length);
    const main = mainOf(name, opened, ours);
    if (main === null || !holdsLock(pid, index)) continue;
    const logs = opened.filter((one) => one.name === `${name}-wal`);
    const other = isOther(index, ours.index) ? index : otherLogAmong(logs, opened, ours);
    if (other === null) continue;
    const log = other === index ? (logs.find(({ isRemoved }) => isRemoved === index.isRemoved) ?? logs[0]) : other;
    return { pid, name, isRemoved: other.isRemoved, main: main.descriptor, log: log?.descriptor ?? null };
  }
  return null;
}

/** The database that this index belongs to, when it is ours: by its name, or by its file where it was renamed. */
function mainOf(name: string, opened: readonly Opened[], { main }: Ours): Opened | null {
  const named = opened.filter((one) => one.name === name);
  const candidates = named.length > 0 ? named : opened.filter((one) => !/-(wal|shm|journal)$/.test(one.name));
  return candidates.find(({ descriptor }) => identityOf(descriptor) === main) ?? null;
}

/** The index is ours. A log that was inherited from before came with an index that is not. */
function otherLogAmong(logs: readonly Opened[], opened: readonly Opened[], ours: Ours): Opened | null {
  const isInherited = opened.some(
    ({ name, descriptor }) => name.endsWith('-shm') && identityOf(descriptor) !== ours.index,
  );
  return isInherited ? null : (logs.find((log) => isOther(log, ours.log)) ?? null);
}

function isOther({ descriptor }: Opened, ours: string | null): boolean {
  const identity = identityOf(descriptor);
  return identity !== null && identity !== ours;
}

/** Nothing if the process has no log open, may not be looked at, or has ended. */
function openedBy(pid: number): readonly Opened[] {
  const folder = `/proc/${pid}/fd`;
  try {
    const opened = readdirSync(folder).flatMap((entry) => {
      const descriptor = join(folder, entry);
      const link = linkOf(descriptor);
      if (link === null || !link.startsWith('/')) return [];
      const isRemoved = link.endsWith(REMOVED);
      return [{ descriptor, name: isRemoved ? link.slice(0, -REMOVED.length) : link, isRemoved }];
    });
    return opened.some(({ name }) => name.endsWith('-shm')) ? opened : [];
  } catch {
    return [];
  }
}

/** https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html */
function holdsLock(pid: number, { descriptor }: Opened): boolean {
  try {
    return /^lock:/m.test(readFileSync(descriptor.replace(`/proc/${pid}/fd/`, `/proc/${pid}/fdinfo/`), 'utf8'));
  } catch {
    return false;
  }
}

/** Null for what is gone. `stat` opens nothing. */
function identityOf(path: string): string | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

function logElsewhere(path: string, { pid, name }: OtherLog): BackupError {
  return notShared(
    `${namesOf([{ pid, name: nameOf(pid) }])} has ${path} open as ${name}, and uses a different log from the one that a backup would read`,
    `Everything that program commits is in ${name}-wal, which a backup of ${path} does not see. Run backups where ${name} is, and set DATABASE_URL to it; in a container, mount its whole folder. Before you change a mount or a name, let the app close the database itself, so that its log is merged, and check that ${name}-wal is gone or empty: while it has bytes, it holds commits that are nowhere else.`,
  );
}

/** Stopped, it can't write while its files are copied; nor may another program that works with the same files. */
function logRemoved(path: string, { main, log }: OtherLog, all: readonly OtherLog[]): BackupError {
  const pids = all.map(({ pid }) => pid);
  const holders = namesOf(pids.map((pid) => ({ pid, name: nameOf(pid) })));
  const copies = `cp ${main} rescued.sqlite; cp ${log ?? '(its -wal descriptor)'} rescued.sqlite-wal`;
  const [verb, them] = pids.length === 1 ? ['works', 'that program'] : ['work', 'those programs'];
  return notShared(
    `${holders} ${verb} with -wal or -shm files of ${path} that were removed: the newest commits may be nowhere else`,
    `Don't stop ${them} before the rows are saved. This saves them, and changes nothing: \`kill -STOP ${pids.join(' ')}; ${copies}; kill -CONT ${pids.join(' ')}\`. Then \`sqlite3 rescued.sqlite 'PRAGMA integrity_check'\` reads both. Find out what removes such files, and end it, before the app starts again.`,
  );
}
