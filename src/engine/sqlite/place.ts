/**
 * Puts a verified file where a database is, or where one shall be. Three ways, each all or nothing:
 *
 * - a new file: a folder of its own beside it, fsync, link, fsync of the folder; an existing file is never touched;
 * - over a database, in use or not: through SQLite's backup API, one transaction that other connections see at once. The
 *   file stays the same file, so an app that has it open, seen or unseen, reads the restored rows or is told to wait; it
 *   never goes on with a deleted file, and no old log or journal comes to lie beside a new one;
 * - over something that SQLite can't read: its files are moved aside, the log before the main file.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { backup, type DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { copyDurably, copyPrivately, flush, flushNow } from './copy-durably.ts';
import { FreshFolder, removeDeadFolders } from './fresh-folder.ts';
import { addFreePage, readHeaderOf, sayRollbackMode } from './header.ts';
import { openElsewhere, pragma, sqliteCode } from './library.ts';
import { explainLiveError, isLocked } from './live-database.ts';
import { leadsNowhere, thereIsAFile } from './missing.ts';
import { refuseWhileOpen } from './open-files.ts';
import { giveToOwnerOf } from './owner.ts';
import { giveModeBack } from './out-of-wal.ts';
import { leftoverOf, resolveDatabase, sideFiles } from './stamp.ts';
import { holdStaging, mayBeOurs, parseStaged, removeIfAllowed, stagedName, whenAlone } from './staged.ts';
import { syncFolderNow, syncNewFolder } from '../disk/sync-folder.ts';
import { openUnwritten } from './verify.ts';

/**
 * The size of one step. All steps are one transaction, and the lock is held from the first to the last; between the first
 * two is the moment to save what was committed so far. A step stays in SQLite's cache of 2 MB: in a rollback mode the main
 * file is then still as it was, and in WAL mode the log's last commit is near its end. 200 MB take as long in such steps as
 * in one.
 */
const STEP_PAGES_MAX = 256;
const STEP_BYTES_MAX = 1024 * 1024;
const PLACE_TIMEOUT_MS = 30_000;
const PLACE_RETRY_MS = 10;
/**
 * How long we try again at once in a rollback mode, where writers leave gaps of far less than a millisecond: beside up to
 * three of them, or three readers without a pause, the lock was ours after 5 to 990 ms; with 10 ms between the attempts it
 * took 10 s or failed.
 */
const PLACE_EAGER_MS = 5_000;

/** A whole copy that has no name yet. Without `place` it is removed. */
interface StagedFile extends Disposable {
  readonly path: string;
  /** The disk writes it beside other work, so that `place` has less to wait for. */
  flush(): Promise<void>;
  /** From then on it is durable. @throws BackupError TARGET_EXISTS, DISK_FULL, NO_PERMISSION. */
  place(): void;
}

/** @throws BackupError TARGET_EXISTS, DISK_FULL, NO_PERMISSION. */
export function stageNewFile(
  source: string,
  destination: string,
  { journalMode, ownedAsFolder = false }: { readonly journalMode?: 'wal'; readonly ownedAsFolder?: boolean } = {},
): StagedFile {
  refuseTaken(destination);
  removeDead(dirname(destination), (name) => name === basename(destination));
  removeDeadFolders(dirname(destination));
  const fresh = FreshFolder.beside(destination);
  const path = fresh.at('database');
  try {
    copyPrivately(source, path);
    if (journalMode) setJournalMode(path, journalMode);
    if (ownedAsFolder) giveToOwnerOf(dirname(destination), path);
  } catch (error) {
    fresh[Symbol.dispose]();
    throw explainLiveError(error, { databasePath: destination, timeoutMs: 0 });
  }
  const place = () => {
    try {
      flushNow(path);
      // link fails where rename would overwrite.
      linkSync(path, destination);
    } catch (error) {
      refuseTaken(destination, error);
      throw explainLiveError(error, { databasePath: destination, timeoutMs: 0 });
    }
    syncPlaced(destination, 'Nothing was overwritten');
  };
  return { path, place, flush: () => flush(path), [Symbol.dispose]: () => fresh[Symbol.dispose]() };
}

function refuseTaken(destination: string, cause?: unknown): void {
  if (!lstatSync(destination, { throwIfNoEntry: false })) return;
  throw new BackupError('TARGET_EXISTS', `${destination} already exists`, {
    hint: 'Choose another name; a restore to a new file overwrites nothing.',
    cause,
  });
}

/**
 * Replaces a database, also while others use it. In WAL mode they go on reading meanwhile and wait with their writes; in a
 * rollback mode they wait with both.
 *
 * @param onLocked is called when nobody else can commit any more and nothing is replaced yet. When it throws, nothing
 * will be. Called again where SQLite had to begin anew.
 * @throws BackupError DB_BUSY, DB_MISSING, DISK_FULL, NO_PERMISSION, and what `onLocked` throws: nothing was replaced.
 */
export async function placeThroughSqlite(
  source: string,
  databasePath: string,
  { isWal, onLocked }: { readonly isWal: boolean; readonly onLocked: () => void },
): Promise<void> {
  using form = stageForm(source, databasePath, isWal);
  await replacePages(form?.path ?? source, databasePath, { isWal, onLocked });
}

interface StagedForm extends Disposable {
  readonly path: string;
}

/** A copy that SQLite can copy as we need it; null when the source is so already. */
function stageForm(source: string, databasePath: string, isWal: boolean): StagedForm | null {
  const header = readHeaderOf(source);
  const pages = pragmaOf(openUnwritten(source), 'page_count');
  // SQLite takes the mode over from the source, unless the database is in WAL mode itself.
  const changesMode = header?.isWal === true && !isWal;
  if (pages > 1 && !changesMode) return null;
  const staging = holdStaging(databasePath);
  let path: string | undefined;
  const remove = () => {
    if (path !== undefined) discard(path);
    staging[Symbol.dispose]();
  };
  try {
    path = stage(source, databasePath, 'placing');
    adaptForm(path, { changesMode, isOnePage: pages === 1 });
    return { path, [Symbol.dispose]: remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function adaptForm(path: string, { changesMode, isOnePage }: { changesMode: boolean; isOnePage: boolean }): void {
  const file = openSync(path, 'r+');
  try {
    if (changesMode) sayRollbackMode(file);
    // One page would be one step, and leave no moment between.
    if (isOnePage) addFreePage(file);
  } finally {
    closeSync(file);
  }
}

async function replacePages(
  source: string,
  databasePath: string,
  { isWal, onLocked }: { readonly isWal: boolean; readonly onLocked: () => void },
): Promise<void> {
  const from = openUnwritten(source);
  const [pages, pageSize] = [Number(pragma(from, 'page_count')), Number(pragma(from, 'page_size'))];
  const rate = Math.max(1, Math.min(STEP_PAGES_MAX, Math.floor(STEP_BYTES_MAX / pageSize), pages - 1));
  const startedMs = performance.now();
  try {
    for (;;) {
      let told = false;
      const progress = () => {
        if (!told) onLocked();
        told = true;
      };
      try {
        // The backup API would make a new file.
        resolveDatabase(databasePath);
        await backup(from, databasePath, { rate, progress });
        return;
      } catch (error) {
        if (error instanceof BackupError) throw error;
        if (!isBusy(error)) throw explainLiveError(error, { databasePath, timeoutMs: PLACE_TIMEOUT_MS });
        const waitedMs = performance.now() - startedMs;
        if (waitedMs >= PLACE_TIMEOUT_MS) throw stayedBusy(error);
        await (isWal || waitedMs > PLACE_EAGER_MS ? sleep(PLACE_RETRY_MS) : nextTurn());
      }
    }
  } finally {
    from.close();
  }
}

function stayedBusy(cause: unknown): BackupError {
  return new BackupError('DB_BUSY', `the database was busy for ${PLACE_TIMEOUT_MS / 1_000} s`, {
    hint: 'Nothing was changed. Another program has a long write or, without WAL, a long read in progress. End it, then try again.',
    cause,
  });
}

/**
 * Replaces a database that can't be opened: its files are moved aside, never removed.
 *
 * @returns the name of the old main file.
 * @throws BackupError RESTORE_IN_USE, DISK_FULL, NO_PERMISSION, INTERNAL: all is as it was, unless the message begins with
 * what was placed.
 */
export function placeOverUnreadable(source: string, databasePath: string, options: { now: Date }): string {
  refuseWhileOpen(databasePath);
  using _staging = holdStaging(databasePath);
  const temporary = stage(source, databasePath);
  const setAside = `${databasePath}.damaged-${options.now.toISOString().replaceAll(/[:.]/g, '-')}`;
  const undo: (() => void)[] = [() => discard(temporary)];
  try {
    setJournalMode(temporary, 'wal');
    giveSameRights(temporary, databasePath);
    // A second name, not a move: were we killed here, an app that finds no file would begin an empty one.
    linkSync(databasePath, setAside);
    undo.push(() => unlinkSync(setAside));
    for (const suffix of sideFiles.filter((end) => existsSync(databasePath + end))) {
      renameSync(databasePath + suffix, setAside + suffix);
      undo.push(() => renameSync(setAside + suffix, databasePath + suffix));
    }
    renameSync(temporary, databasePath);
  } catch (error) {
    undoSteps(undo);
    throw explainLiveError(error, { databasePath, timeoutMs: 0 });
  }
  syncPlaced(databasePath, `The old files are at ${setAside}`);
  return setAside;
}

/** The last step first. One that can't be taken back ends it: what lies aside is then still there. */
function undoSteps(steps: (() => void)[]): void {
  try {
    for (const step of steps.reverse()) step();
  } catch {
    // The error that brought us here matters more.
  }
}

/** Makes a rename durable that nobody can take back any more. */
function syncPlaced(path: string, whereOldIs: string): void {
  try {
    syncFolderNow(dirname(path));
  } catch (error) {
    const { code, message } = BackupError.from(error);
    throw new BackupError(
      code,
      `${path} was put in place, but its folder could not be written to the disk: ${message}`,
      {
        hint: `${whereOldIs}. A power cut may undo it; check whether the disk is failing.`,
        cause: error,
      },
    );
  }
}

/**
 * A database that is not there: the file becomes it. Its folder, which may be missing on a new machine, is made.
 *
 * @param journalMode of the database that the file is a backup of; null when that is not known.
 * @throws BackupError TARGET_EXISTS when there is a database by now; DB_MISSING when its name is a link to nothing;
 * RESTORE_IN_USE when a part of one lies there.
 */
export function placeWhereMissing(source: string, databasePath: string, journalMode: string | null = null): void {
  refuseWhatIsThere(databasePath);
  const left = leftoverOf(databasePath);
  if (left && !existsSync(databasePath)) {
    throw new BackupError('RESTORE_IN_USE', `${left} is there without its database`, {
      hint: 'It would be replayed into the restored file. Move it away, then try again.',
    });
  }
  makeFolderOf(databasePath);
  const isWal = journalMode === null || journalMode === 'wal';
  try {
    using staged = stageNewFile(source, databasePath, { ...(isWal && { journalMode: 'wal' }), ownedAsFolder: true });
    staged.place();
  } catch (error) {
    throw error instanceof BackupError && error.code === 'TARGET_EXISTS' ? thereIsAFile(databasePath, error) : error;
  }
}

/** @throws BackupError TARGET_EXISTS, DB_MISSING for a link to nothing. */
export function refuseWhatIsThere(databasePath: string): void {
  if (existsSync(databasePath)) throw thereIsAFile(databasePath);
  if (lstatSync(databasePath, { throwIfNoEntry: false })) throw leadsNowhere(databasePath);
}

/**
 * Removes what killed restores left beside a database. One that was to replace its database offline may have taken it out
 * of WAL mode; that is put right first.
 */
export function removeDeadPlacements(databasePath: string): void {
  if (!existsSync(dirname(databasePath))) return;
  removeDead(dirname(databasePath), () => true);
  removeDeadFolders(dirname(databasePath));
}

function removeDead(folder: string, isMeant: (destination: string) => boolean): void {
  const found = readdirSync(folder).map((entry) => parseStaged(entry)?.destination);
  for (const destination of new Set(found)) {
    if (destination === undefined || !isMeant(destination)) continue;
    whenAlone(join(folder, destination), () => removeStaged(folder, destination));
  }
}

/** Looks anew, since a restore may have staged and removed something before we were alone. */
function removeStaged(folder: string, destination: string): void {
  for (const entry of readdirSync(folder)) {
    const found = parseStaged(entry);
    if (found?.destination !== destination || found.isLock) continue;
    const staged = join(folder, entry);
    if (!mayBeOurs(staged)) continue;
    const isNote = found.what === 'restoring' && !found.isSideFile;
    if (!isNote || giveModeBack(staged, join(folder, destination))) removeIfAllowed(staged);
  }
}

/** The whole file under a temporary name beside its destination, durable. A reflink where the file system has them. */
function stage(source: string, destination: string, what: 'restoring' | 'placing' = 'restoring'): string {
  const temporary = stagedName(destination, what);
  try {
    copyDurably(source, temporary);
    return temporary;
  } catch (error) {
    if (errnoCode(error instanceof Error ? error.cause : null) !== 'EEXIST') discard(temporary);
    throw error;
  }
}

/** Removes a staged file and what SQLite left beside it. */
function discard(temporary: string): void {
  for (const suffix of ['', ...sideFiles]) removeIfAllowed(temporary + suffix);
}

/** The mode is in the file's header, so a file from elsewhere may bring another than the database had. */
function setJournalMode(path: string, mode: string): void {
  const file = openElsewhere(path, 'mode=rw');
  try {
    file.exec(`PRAGMA journal_mode = ${mode === 'wal' ? 'WAL' : 'DELETE'}`);
  } finally {
    file.close();
  }
}

/** Each folder that is made gets the owner of the one above it. */
function makeFolderOf(path: string): void {
  const first = mkdirSync(dirname(path), { recursive: true });
  if (first === undefined) return;
  const made = dirname(path).slice(first.length).split('/').filter(Boolean);
  for (let folder = first; ; folder = join(folder, made.shift() ?? '')) {
    giveToOwnerOf(dirname(folder), folder);
    syncNewFolder(folder);
    if (made.length === 0) return;
  }
}

/** File mode and, where we may give a file away, owner: an app must be able to open what root restored. */
function giveSameRights(path: string, model: string): void {
  const { mode, uid, gid } = statSync(model);
  chmodSync(path, mode & 0o777);
  if (process.getuid?.() === 0) chownSync(path, uid, gid);
}

function pragmaOf(file: DatabaseSync, name: string): number {
  try {
    return Number(pragma(file, name));
  } finally {
    file.close();
  }
}

/** A backup step that found the database locked ends as "not an error", code 0, in `node:sqlite` of Bun and of Node. */
function isBusy(error: unknown): boolean {
  return isLocked(error) || sqliteCode(error) === 0;
}
