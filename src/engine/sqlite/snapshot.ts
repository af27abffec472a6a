/**
 * The pinned copy: one consistent file of a database in use, at the speed of `cp`.
 *
 * Under the pin nobody can move pages newer than the pin into the main file. The log's index says at which frame the pin
 * ends, and how many of its frames are in the main file. If all are, the main file stands still, and it alone is copied.
 * Else the log can't restart either: it is copied up to the pin, then the main file. Every page that changes in the main
 * file meanwhile is in the frames that we hold, and SQLite itself replays them when it opens the copy. Frames behind the
 * pin are left out: they may belong to a commit that failed.
 */
import { closeSync, constants, copyFileSync, fstatSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { BackupError } from '../../words/errors.ts';
import { FollowingDigest } from './digest.ts';
import { contentBytes } from './header.ts';
import { refuseLeftElsewhere } from './left-elsewhere.ts';
import { openElsewhere, pragma } from './library.ts';
import type { PinnedDatabase } from './live-database.ts';
import { isLogOf, logBytes, openLog } from './log-file.ts';
import { LOOK_FOR_ANOTHER_NAME, notShared } from './not-shared.ts';
import { refuseOtherLog } from './other-log.ts';
import { copyDescriptor, type PacedOptions } from './paced-copy.ts';
import { renewFirstChecksum, renewFirstChecksumOf } from './page-checksum.ts';
import { clone } from './reflink.ts';
import { lastCommit, type LogEnd } from './wal.ts';
import { isAllMerged } from './wal-index.ts';

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
  /** Where the log ended at the pin; null in a mode without one. */
  readonly logEnd: LogEnd | null;
  /** Digest of the file, where it could be taken while the file was written. */
  readonly sha256?: Promise<string>;
}

interface SnapshotOptions extends PacedOptions {
  /** Leaves the pin to its owner: as long as it is held, the log keeps everything that is committed. */
  readonly keepPin?: boolean;
}

/**
 * Copies the pinned database to `destination` (must not exist) and releases the pin.
 *
 * @throws BackupError DISK_FULL, NO_PERMISSION, DB_CHANGED, DB_NOT_SHARED, VERIFY_FAILED, ABORTED.
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
    // Programs that came meanwhile. In a rollback mode there is one lock for all names, but a journal for each.
    if (pinned.log) refuseOtherLog(pinned.path);
    else refuseLeftElsewhere(pinned.path);
  } finally {
    if (!options.keepPin) pinned[Symbol.dispose]();
  }
  options.signal.throwIfAborted();
  const { isSingleFile, ...how } = copied;
  const frames = copied.method !== 'vacuum-into' && needsLog(pinned) ? (pinned.log?.frames ?? 0) : 0;
  if (!isSingleFile && makeSingleFile(destination) !== frames) throw cannotReplay(`${pinned.path}-wal`);
  const logEnd = pinned.log && { salts: pinned.log.salts, frame: pinned.log.frames };
  return { path: destination, sizeBytes: statSync(destination).size, logEnd, ...how } as PinnedSnapshot; // the brand
}

/** Nothing that exists there is overwritten, not even a link. */
const COPY = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;

/**
 * A backup and the log that went on from it, as one file at `destination` (must not exist). Both are left as they are.
 * The log ends with a commit: a part of it could bring back older pages than the backup has.
 *
 * @throws BackupError VERIFY_FAILED when the log can't be replayed to its end.
 */
export function replayLog(backup: string, log: string, destination: string): Snapshot {
  const end = lastCommit(log);
  if (end?.bytes !== statSync(log).size) throw cannotReplay(log);
  copyFileSync(backup, destination, COPY);
  copyFileSync(log, `${destination}-wal`, COPY);
  if (makeSingleFile(destination) !== end.frame) throw cannotReplay(log);
  return { path: destination, sizeBytes: statSync(destination).size } as Snapshot; // the brand
}

/** A whole database in rollback mode that nobody writes to, as one file at `destination` (must not exist). */
export function copyWhole(database: string, destination: string): Snapshot {
  copyFileSync(database, destination, COPY);
  return { path: destination, sizeBytes: statSync(destination).size } as Snapshot; // the brand
}

function cannotReplay(log: string): BackupError {
  const good = lastCommit(log)?.frame ?? 0;
  return new BackupError('VERIFY_FAILED', `${log} can't be replayed to its end; it is good up to frame ${good}`, {
    hint: 'It was damaged or changed after it was written; check the disk.',
  });
}

interface Copied {
  readonly method: CopyMethod;
  /** Nothing is left to be replayed into it. */
  readonly isSingleFile: boolean;
  readonly sha256?: Promise<string>;
}

async function copyUnderPin(pin: PinnedDatabase, destination: string, options: SnapshotOptions): Promise<Copied> {
  if (needsLog(pin)) {
    await copyLog(pin, `${destination}-wal`, options);
    return await copyMain(pin, destination, options);
  }
  // Nobody may write to the main file then: what is committed from now on lies behind the pin.
  const copied = await copyMain(pin, destination, options);
  if (isUnwritten(pin)) return copied;
  throw notShared(`${pin.path} was written to by a program that does not respect our lock`, LOOK_FOR_ANOTHER_NAME);
}

/** False when the main file has everything: in a rollback mode, and when all of the log is merged. */
function needsLog({ log }: PinnedDatabase): boolean {
  return log !== null && !isAllMerged(log);
}

function isUnwritten({ descriptor, stamp: { main } }: PinnedDatabase): boolean {
  const { size, mtimeNs } = fstatSync(descriptor, { bigint: true });
  return Number(size) === main.sizeBytes && String(mtimeNs) === main.modifiedNs;
}

async function copyMain(pin: PinnedDatabase, destination: string, options: SnapshotOptions): Promise<Copied> {
  const isSingleFile = !needsLog(pin) && fstatSync(pin.descriptor).size === pin.pages * pin.pageSize;
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
    const sha256 = digest.end();
    // Nobody waits for it when the copy is dropped.
    sha256.catch(() => {});
    return { method: 'pinned-copy', isSingleFile, sha256 };
  } catch (error) {
    digest[Symbol.dispose]();
    throw error;
  }
}

/** The log up to the pin. It can't restart before the pin ends, and what lies behind may belong to a commit that failed. */
async function copyLog(pin: PinnedDatabase, to: string, options: SnapshotOptions): Promise<void> {
  if (pin.log === null) return;
  const log = openLog(pin.path, pin.log);
  try {
    const untilBytes = logBytes(pin.log, pin.pageSize);
    await copyDescriptor(log, to, { ...options, untilBytes, onProgress: () => {} });
    if (isLogOf(log, pin.log)) return;
  } finally {
    closeSync(log);
  }
  throw notShared(`the log of ${pin.path} restarted under a pin that forbids it`, LOOK_FOR_ANOTHER_NAME);
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

/** Its log was read by name: if another database had taken that name meanwhile, the copy would mix both. */
function checkSameFile(pin: PinnedDatabase): void {
  const pinned = fstatSync(pin.descriptor, { bigint: true });
  const now = statSync(pin.path, { bigint: true, throwIfNoEntry: false });
  if (now?.ino === pinned.ino && now.dev === pinned.dev) return;
  throw new BackupError('DB_CHANGED', `${pin.path} was moved away or replaced while it was copied`, {
    hint: 'The copy was dropped; nothing else was changed. The next run backs up the file that is there then.',
  });
}

/**
 * SQLite replays the copied log into the copy, then one file is left. Durability comes with publishing.
 *
 * @returns how many frames it found valid; 0 without a log.
 */
function makeSingleFile(path: string): number {
  const copy = openElsewhere(path, 'mode=rw');
  try {
    copy.exec('PRAGMA synchronous = OFF');
    const frames = Number(copy.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()?.['log']);
    const mode = pragma(copy, 'journal_mode = DELETE');
    if (mode !== 'delete') {
      throw new BackupError('VERIFY_FAILED', `the copy stayed in journal mode ${String(mode)}`, {
        hint: 'Try again; if it happens again, check the disk.',
      });
    }
    return Math.max(0, frames);
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
