/**
 * The pinned copy: one consistent file of a database in use, at the speed of `cp`.
 *
 * Under the pin nobody can move pages newer than the pin into the main file, and the log can restart at most once, when
 * everything before it already was in the main file. So the log is copied first (again if its header changed in
 * between), then the main file. Every page that changes in the main file while it is copied is in the frames that we
 * hold, and SQLite itself replays them when it opens the copy; frames after the pin only move the copy to a later
 * commit, never to half of one.
 *
 * The copy is paced: a burst of dirty pages makes the writer's own fsync wait (p99.9 of 128 ms beside an unpaced copy,
 * 20 ms with a `fdatasync` every 8 MB, at about 15 % of the copy's speed).
 */
import {
  closeSync,
  constants,
  copyFileSync,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { BackupError, errnoCode } from '../errors.ts';
import { FollowingDigest } from './digest.ts';
import { contentBytes } from './header.ts';
import { openWith, pragma } from './library.ts';
import type { PinnedDatabase } from './live-database.ts';
import { renewFirstChecksum, renewFirstChecksumOf } from './page-checksum.ts';
import { clone } from './reflink.ts';
import { endsAt, lastCommit, type LogEnd, readLogHeader, readSalts } from './wal.ts';

const flush = promisify(fdatasync);

/** How the copy was made; a clone shares its blocks with the database until one of the two changes. */
export type CopyMethod = 'pinned-copy' | 'pinned-clone' | 'vacuum-into';

declare const consistent: unique symbol;

/** A consistent copy of one moment, in staging, not yet judged. */
export interface Snapshot {
  readonly [consistent]: true;
  readonly path: string;
  readonly sizeBytes: number;
}

export interface PinnedSnapshot extends Snapshot {
  readonly method: CopyMethod;
  /** The newest commit of the log that is in the copy; null where it needed none. */
  readonly logEnd: LogEnd | null;
  /** Digest of the file, where it could be taken while the file was written. */
  readonly sha256?: Promise<string>;
}

export interface SnapshotOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (bytesDone: number, bytesTotal: number) => void;
  /** Bytes between two `fdatasync`; 0 for none. */
  readonly paceBytes?: number;
  /** Leaves the pin to its owner: as long as it is held, the log keeps everything that is committed. */
  readonly keepPin?: boolean;
}

const PACE_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** Once is possible for a pin; more would mean that the pin does not hold. */
const WAL_COPIES_MAX = 3;

/**
 * Copies the pinned database to `destination` (must not exist) and releases the pin.
 *
 * @throws BackupError DISK_FULL, NO_PERMISSION, DB_CHANGED, ABORTED, INTERNAL.
 */
export async function takeSnapshot(
  pinned: PinnedDatabase,
  destination: string,
  options: SnapshotOptions,
): Promise<PinnedSnapshot> {
  let copied: Copied = { method: 'vacuum-into', isSingleFile: false };
  try {
    if (pinned.mayCopy) copied = await copyUnderPin(pinned, destination, options);
    else pinned.vacuumInto(destination);
    checkSameFile(pinned);
  } finally {
    if (!options.keepPin) pinned[Symbol.dispose]();
  }
  options.signal.throwIfAborted();
  const { isSingleFile, ...how } = copied;
  const logEnd = isSingleFile ? pinned.merged : makeSingleFile(destination);
  return { path: destination, sizeBytes: statSync(destination).size, logEnd, ...how } as PinnedSnapshot; // the brand
}

/**
 * A backup and the log that went on from it, as one file at `destination` (must not exist). Both are left as they are.
 * The log ends with a commit: a part of it could bring back older pages than the backup has.
 *
 * @throws BackupError VERIFY_FAILED when the log can't be replayed to its end.
 */
export function replayLog(backup: string, log: string, destination: string): Snapshot {
  const end = lastCommit(log);
  if (end?.bytes !== statSync(log).size) throw cannotReplay(log, end);
  copyFileSync(backup, destination, constants.COPYFILE_FICLONE);
  copyFileSync(log, `${destination}-wal`, constants.COPYFILE_FICLONE);
  if (makeSingleFile(destination)?.frame !== end.frame) throw cannotReplay(log, end);
  return { path: destination, sizeBytes: statSync(destination).size } as Snapshot; // the brand
}

/** A whole database in rollback mode that nobody writes to, as one file at `destination` (must not exist). */
export function copyWhole(database: string, destination: string): Snapshot {
  copyFileSync(database, destination, constants.COPYFILE_FICLONE);
  return { path: destination, sizeBytes: statSync(destination).size } as Snapshot; // the brand
}

function cannotReplay(log: string, end: LogEnd | null): BackupError {
  return new BackupError(
    'VERIFY_FAILED',
    `${log} can't be replayed to its end; it is good up to frame ${end?.frame ?? 0}`,
    {
      hint: 'It was damaged or changed after it was written; check the disk.',
    },
  );
}

interface Copied {
  readonly method: CopyMethod;
  /** Nothing is left to be replayed into it. */
  readonly isSingleFile: boolean;
  readonly sha256?: Promise<string>;
}

async function copyUnderPin(pin: PinnedDatabase, destination: string, options: SnapshotOptions): Promise<Copied> {
  const isSingleFile = isAllInMainFile(pin);
  if (pin.journalMode === 'wal' && !isSingleFile) await copyLog(`${pin.path}-wal`, `${destination}-wal`, options);
  if (await clone(pin.path, destination)) {
    if (isSingleFile) leaveWalMode(destination);
    return { method: 'pinned-clone', isSingleFile };
  }
  if (!isSingleFile) {
    await copyDescriptor(pin.descriptor, destination, options);
    return { method: 'pinned-copy', isSingleFile };
  }
  const digest = new FollowingDigest(destination);
  try {
    await copyDescriptor(pin.descriptor, destination, {
      ...options,
      change: sayRollbackMode,
      onWritten: (bytes) => digest.follow(bytes),
    });
    return { method: 'pinned-copy', isSingleFile, sha256: digest.end() };
  } catch (error) {
    digest[Symbol.dispose]();
    throw error;
  }
}

/**
 * Without commits that are in the log alone nobody can change the main file under the pin: what is committed from now
 * on lies behind the pin. So the log is not needed, and the copy is final as it is written.
 */
function isAllInMainFile(pin: PinnedDatabase): boolean {
  if (fstatSync(pin.descriptor).size !== pin.pages * pin.pageSize) return false;
  if (pin.journalMode !== 'wal') return true;
  return pin.merged !== null && endsAt(`${pin.path}-wal`, pin.merged);
}

/** https://sqlite.org/fileformat2.html#file_format_version_numbers: 1 is a rollback journal, 2 is WAL. */
const FORMAT_VERSIONS_AT = 18;
const ROLLBACK_MODE = Buffer.from([1, 1]);

function sayRollbackMode(chunk: Buffer, position: number): void {
  if (position !== 0) return;
  ROLLBACK_MODE.copy(chunk, FORMAT_VERSIONS_AT);
  renewFirstChecksum(chunk);
}

function leaveWalMode(path: string): void {
  const file = openSync(path, 'r+');
  try {
    writeSync(file, ROLLBACK_MODE, 0, ROLLBACK_MODE.length, FORMAT_VERSIONS_AT);
  } finally {
    closeSync(file);
  }
  renewFirstChecksumOf(path);
}

/** Its log was read by name: had another database taken that name meanwhile, the copy would be of both. */
function checkSameFile(pin: PinnedDatabase): void {
  const pinned = fstatSync(pin.descriptor, { bigint: true });
  const now = statSync(pin.path, { bigint: true, throwIfNoEntry: false });
  if (now?.ino === pinned.ino && now.dev === pinned.dev) return;
  throw new BackupError('DB_CHANGED', `${pin.path} was moved away or replaced while it was copied`, {
    hint: 'The copy was dropped; nothing else was changed. The next run backs up the file that is there then.',
  });
}

async function copyLog(from: string, to: string, options: SnapshotOptions): Promise<void> {
  for (let copies = 0; copies < WAL_COPIES_MAX; copies++) {
    let log: number;
    try {
      // Reading the log is safe: SQLite holds no lock on it.
      log = openSync(from, 'r');
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return;
      throw error;
    }
    try {
      const before = readLogHeader(log);
      // What is there now holds everything up to the pin; a fast writer would keep us copying for long.
      const untilBytes = fstatSync(log).size;
      await copyDescriptor(log, to, { ...options, untilBytes, onProgress: () => {} });
      if (before.equals(readLogHeader(log))) return;
      unlinkSync(to);
    } finally {
      closeSync(log);
    }
  }
  throw new BackupError('INTERNAL', 'the write-ahead log restarted more than once under a pin', {
    hint: 'Locks do not hold on this file system; put the database on a local disk.',
  });
}

/** Copies the bytes of an open file, or its first so many, to a new one. Leaves `from` open. */
async function copyDescriptor(
  from: number,
  destination: string,
  options: SnapshotOptions & {
    untilBytes?: number;
    /** Changes what was read before it is written. */
    change?: (chunk: Buffer, position: number) => void;
    onWritten?: (bytes: number) => void;
  },
): Promise<void> {
  const paceBytes = options.paceBytes ?? PACE_BYTES;
  const totalBytes = fstatSync(from).size;
  const untilBytes = options.untilBytes ?? Number.POSITIVE_INFINITY;
  const to = openSync(destination, 'wx', 0o600);
  let flushing: Promise<void> = Promise.resolve();
  try {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    let unsynced = 0;
    for (let done = 0; ;) {
      const length = readSync(from, chunk, 0, Math.min(CHUNK_BYTES, untilBytes - done), done);
      if (length === 0) break;
      options.change?.(chunk, done);
      writeWhole(to, chunk, length, done);
      done += length;
      options.onWritten?.(done);
      unsynced += length;
      if (paceBytes > 0 && unsynced >= paceBytes) {
        // One stretch is flushed while the next is copied; never more than two are dirty.
        await flushing;
        flushing = flush(to);
        unsynced = 0;
        options.onProgress(done, Math.max(done, totalBytes));
        options.signal.throwIfAborted();
      }
    }
    await flushing;
  } finally {
    // Not closed under a flush that is still going: its descriptor's number could be another file's by then.
    await flushing.catch(() => {});
    closeSync(to);
  }
}

function writeWhole(to: number, chunk: Buffer, length: number, position: number): void {
  for (let written = 0; written < length;) {
    written += writeSync(to, chunk, written, length - written, position + written);
  }
}

/**
 * SQLite replays the copied log into the copy, then one file is left. Durability comes with publishing.
 *
 * @returns how far it replayed: the log's last frame may have been copied while it was written.
 */
function makeSingleFile(path: string): LogEnd | null {
  const salts = readSalts(`${path}-wal`);
  const copy = openWith(path, 'mode=rw');
  try {
    copy.exec('PRAGMA synchronous = OFF');
    // Its row counts the frames that SQLite found valid.
    const frame = Number(copy.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()?.['log']);
    const mode = pragma(copy, 'journal_mode = DELETE');
    if (mode !== 'delete') {
      throw new BackupError('VERIFY_FAILED', `the copy stayed in journal mode ${String(mode)}`, {
        hint: 'Try again; if it persists, run a check of the disk.',
      });
    }
    return frame <= 0 ? null : { salts, frame };
  } finally {
    copy.close();
    cutToPages(path);
    renewFirstChecksumOf(path);
  }
}

/** SQLite shortens a file only after the commit that lets it: killed there, an app leaves one that is longer than its pages. */
function cutToPages(path: string): void {
  const file = openSync(path, 'r+');
  try {
    const bytes = contentBytes(file);
    if (bytes < fstatSync(file).size) ftruncateSync(file, bytes);
  } finally {
    closeSync(file);
  }
}
