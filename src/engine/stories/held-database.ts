/**
 * A live database from its safety backup to its replacement, so that nothing that is committed in between is lost.
 *
 * In WAL mode it stays pinned, and its log keeps all of it. In a rollback mode a pin would keep the replacement from its
 * lock: there a mark tells, once that lock is held, whether anything was committed. Offline, it is taken out of WAL mode
 * first, which SQLite refuses as long as anybody is connected.
 */
import { hasPageChecksums } from '../sqlite/page-checksum.ts';
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import { BackupError } from '../../words/errors.ts';
import { saveLateCommits, saveLateCopy } from './late-commits.ts';
import { commitMark, readHeader, readHeaderOf } from '../sqlite/header.ts';
import { pinDatabase, type PinnedDatabase } from '../sqlite/live-database.ts';
import { refuseWhileOpen } from '../sqlite/open-files.ts';
import { leaveWal } from '../sqlite/out-of-wal.ts';
import { resolveDatabase } from '../sqlite/stamp.ts';
import type { LogEnd } from '../sqlite/wal.ts';
import type { RestoreRequest } from './restore-request.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

export interface HeldDatabase extends Disposable {
  /** Its real path. */
  readonly path: string;
  readonly pinned: PinnedDatabase;
  readonly isWal: boolean;
  /** The mode that it has when it is not held. */
  readonly usualMode: string;
  /** To be called when nobody else can commit any more and nothing is replaced yet. */
  keepLateCommits(safetyBackup: string, logEnd: LogEnd | null): void;
}

/** @throws BackupError as `pinDatabase` does; RESTORE_IN_USE, DB_CHANGED, PAGE_SIZE_DIFFERS, ENCODING_DIFFERS, UNSUPPORTED. */
export function holdDatabase(request: RestoreRequest, context: StoryContext): HeldDatabase {
  const path = resolveDatabase(request.databasePath);
  const onLeft = () =>
    warnIn(context)(
      `${path} was in WAL mode, and stays in rollback mode until the next backup or restore: its mode could not be changed back (it is busy, or its disk is full).`,
    );
  const outOfWal = request.mode === 'offline' ? leaveWal(path, onLeft) : null;
  let pinned: PinnedDatabase | undefined;
  let descriptor: number | undefined;
  const letGo = () => {
    // The connection first: closing a descriptor of the file drops its locks.
    pinned?.[Symbol.dispose]();
    if (descriptor !== undefined) closeSync(descriptor);
    outOfWal?.[Symbol.dispose]();
  };
  try {
    pinned = pinDatabase(path, { now: context.now });
    descriptor = openSync(path, 'r');
    const isWal = readHeader(descriptor)?.isWal === true;
    if (isWal !== (pinned.journalMode === 'wal') || !isSameFile(descriptor, pinned.descriptor)) throw changed(path);
    if (request.mode === 'online') refuseInUse(pinned, isWal, request);
    const held = pinned;
    const watched = { path, descriptor, mark: commitMark(descriptor) };
    return {
      ...{ path, pinned, isWal },
      usualMode: outOfWal?.wasWal ? 'wal' : pinned.journalMode,
      keepLateCommits(safetyBackup, logEnd) {
        const { folder } = request;
        if (isWal) return explained(() => saveLateCommits(folder, safetyBackup, { pinned: held, logEnd }));
        if (request.mode === 'offline') refuseWhileOpen(path);
        if (hasCommits(watched)) explained(() => saveLateCopy(folder, safetyBackup, watched.descriptor));
      },
      [Symbol.dispose]: letGo,
    };
  } catch (error) {
    letGo();
    throw error;
  }
}

/** @throws BackupError DB_CHANGED when the mark says nothing: the file is another one, or keeps a log by now. */
function hasCommits({ path, descriptor, mark }: { path: string; descriptor: number; mark: string }): boolean {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  const held = fstatSync(descriptor, { bigint: true });
  // A log holds commits that the main file does not show.
  if (found?.ino !== held.ino || found.dev !== held.dev || readHeader(descriptor)?.isWal !== false) throw changed(path);
  return commitMark(descriptor) !== mark;
}

function isSameFile(a: number, b: number): boolean {
  const [one, other] = [fstatSync(a, { bigint: true }), fstatSync(b, { bigint: true })];
  return one.ino === other.ino && one.dev === other.dev;
}

function changed(path: string): BackupError {
  return new BackupError('DB_CHANGED', `${path} was replaced or changed its journal mode a moment ago`, {
    hint: 'Nothing was changed by the restore. Try again.',
  });
}

/** Refuses what SQLite, or an app that has the database open, can't bear. */
function refuseInUse(pinned: PinnedDatabase, isWal: boolean, { source }: RestoreRequest): void {
  const backup = readHeaderOf(source);
  const how = { hint: 'Nothing was changed. Stop the app and restore offline: `--in-place` on the command line.' };
  if (!pinned.mayCopy) {
    throw new BackupError(
      'UNSUPPORTED',
      `${pinned.path} is on a network file system, so it cannot be replaced while it is in use`,
      how,
    );
  }
  if (hasPageChecksums(source)) {
    throw new BackupError('UNSUPPORTED', 'the backup has page checksums (cksumvfs), but SQLite here writes none', how);
  }
  if (isWal && backup?.pageSize !== pinned.pageSize) {
    throw new BackupError(
      'PAGE_SIZE_DIFFERS',
      `the backup has pages of ${backup?.pageSize} bytes, the database in use has pages of ${pinned.pageSize}`,
      how,
    );
  }
  if (backup?.encoding && pinned.encoding && backup.encoding !== pinned.encoding) {
    throw new BackupError(
      'ENCODING_DIFFERS',
      `the backup stores its text as ${backup.encoding}, the database in use as ${pinned.encoding}`,
      how,
    );
  }
}

function explained(save: () => void): void {
  try {
    save();
  } catch (error) {
    throw unsafe('what was committed after the safety backup could not be saved', BackupError.from(error));
  }
}

/** Nothing was changed, because what is there now could not be saved. A full disk keeps its own code. */
export function unsafe(what: string, reason: BackupError, hint: string = reason.hint): BackupError {
  const code = reason.code === 'DISK_FULL' ? 'DISK_FULL' : 'RESTORE_SAFETY_FAILED';
  return new BackupError(code, `${what}, so nothing was changed: ${reason.message}`, { hint, cause: reason });
}
