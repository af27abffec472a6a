/**
 * The story of one restore: check the backup, make a safety backup of what is there, put the backup in its place, prove
 * the result. Runs in a job's own process. Nothing is changed before the safety backup exists; a restore to a new file
 * changes nothing that exists.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { type BackupPurpose, clearTheWay, makeBackupUnderPin } from './backup.ts';
import { CONTINUOUS_FOLDER, LOCK_FILE } from '../format/names.ts';
import { type Backup, Catalog } from '../catalog/folder-catalog.ts';
import { otherOf } from '../catalog/identity.ts';
import { lookAtFolder } from '../catalog/own-folder.ts';
import { BackupError, says } from '../../words/errors.ts';
import {
  changedMeanwhile,
  checkContent,
  type Checked,
  checkSource,
  checkStillTheSame,
  identityOf,
  refuseUnfitSource,
} from './check-source.ts';
import { type HeldDatabase, holdDatabase, unsafe } from './held-database.ts';
import { mergeLateLog } from './late-commits.ts';
import { takeLock } from '../disk/lock.ts';
import { restReplicator } from '../replication/rest-replicator.ts';
import { selfOf } from '../writer/self.ts';
import { readHeaderOf } from '../sqlite/header.ts';
import { checkLiveDatabase } from '../sqlite/judge-live.ts';
import { pragma } from '../sqlite/library.ts';
import { type CountedRows, countRows } from '../sqlite/count-rows.ts';
import { lookForPlan } from '../sqlite/look.ts';
import { BRING_BACK } from '../sqlite/missing.ts';
import { refuseWhileInUse, refuseWhileOpen, whoHasOpen } from '../sqlite/open-files.ts';
import { hasPageChecksums, renewFirstChecksumOf } from '../sqlite/page-checksum.ts';
import {
  placeOverUnreadable,
  placeThroughSqlite,
  placeWhereMissing,
  refuseWhatIsThere,
  stageNewFile,
} from '../sqlite/place.ts';
import { resolveDatabase, stampDatabase, stampText } from '../sqlite/stamp.ts';
import { askFile } from '../sqlite/verify.ts';
import type { LogEnd } from '../sqlite/wal.ts';
import { type JobEvent, type StoryContext, warnIn } from '../../words/story.ts';
import type { PlanFacts, PlanRequest, RestoreRequest, Restored } from './restore-request.ts';

/**
 * @throws BackupError FOREIGN_PLACE, VERIFY_FAILED, DB_CHANGED, RESTORE_SAFETY_FAILED, RESTORE_IN_USE, PAGE_SIZE_DIFFERS,
 * ENCODING_DIFFERS, UNSUPPORTED, TARGET_EXISTS, DB_MISSING, GONE, BUSY, DISK_FULL, NO_PERMISSION, ABORTED: in all of these
 * nothing was changed, unless the message begins with what was placed. DB_DAMAGED: the result did not pass; the error names
 * the safety backup.
 */
export async function restoreDatabase(request: RestoreRequest, context: StoryContext): Promise<Restored> {
  context.onEvent({ type: 'step', name: 'check' });
  if (request.mode === 'file') return await restoreToFile(request, context);
  const checked = await checkSource(request);
  context.signal.throwIfAborted();

  const catalog = new Catalog(request.folder);
  await catalog.prepare();
  const lock = { waitMs: request.lockWaitMs, signal: context.signal, warn: warnIn(context) };
  using _lock = await takeLock(join(request.folder, LOCK_FILE), lock);
  checkExpected(request, context);
  // What is in place of the database afterwards is another file.
  using _rest = request.mode === 'online' ? null : await restReplicator(request.folder, request.user, context);
  if (request.mode === 'offline') await refuseWhileInUse(request.databasePath);
  const replaced = await replace(catalog, checked, request, context);
  const safetyBackup =
    replaced.safetyBackup && (await mergeAfterPlacing(catalog, replaced.safetyBackup, request, context));

  // SQLite writes no checksum of page 1.
  if (request.mode === 'offline') renewFirstChecksumOf(request.databasePath);
  context.onEvent({ type: 'step', name: 'prove' });
  proveResult(request, { ...replaced, safetyBackup });
  return { path: request.databasePath, mode: request.mode, safetyBackup, setAside: replaced.setAside };
}

interface Replaced {
  readonly safetyBackup: string | null;
  readonly setAside: string | null;
}

/** Whatever holds the database meanwhile is released at the end. */
async function replace(
  catalog: Catalog,
  checked: Checked,
  request: RestoreRequest,
  context: StoryContext,
): Promise<Replaced> {
  context.onEvent({ type: 'step', name: 'safety' });
  using safety = await makeSafetyBackup(catalog, request, context);
  let setAside: string | null;
  try {
    checkStillThere(request);
    checkStillTheSame(request, checked);
    context.signal.throwIfAborted();

    // From here on a stop is ignored: the replacement is all or nothing.
    context.onEvent({ type: 'step', name: 'place' });
    setAside = await place(safety, request, context);
  } catch (error) {
    if (safety.backup && !mayBePlaced(error)) await withdrawUndo(catalog, [safety.backup]);
    throw error;
  }
  // The last undo would not bring back what was here a moment ago.
  if (safety.backup === null) await withdrawUndo(catalog, await undoable(catalog, request));
  const replaced = { safetyBackup: safety.backup, setAside };
  if (identityOf(request.source) === checked.identity) return replaced;
  throw placedBut(request, 'its file was changed while it was being put in place', changedMeanwhile(request), {
    hint: `The database as it is now was not checked. ${whereOldIs(replaced)}. Restore that, or another backup.`,
  });
}

async function undoable(catalog: Catalog, { self, databasePath }: RestoreRequest): Promise<readonly string[]> {
  const backups = await catalog.list();
  const { ownership } = lookAtFolder(catalog.folder, self ?? selfOf(databasePath), backups);
  const isUndoable = (backup: Backup) =>
    backup.manifest?.replacedBy !== undefined && otherOf(ownership, backup) === null;
  return backups.filter(isUndoable).map(({ name }) => name);
}

async function withdrawUndo(catalog: Catalog, safetyBackups: readonly string[]): Promise<void> {
  for (const name of safetyBackups) {
    try {
      await catalog.changeManifest(name, ({ replacedBy: _, ...manifest }) => manifest);
    } catch {
      // One undo too many does no harm: it shows its plan like any other. The error that brought us here matters more.
    }
  }
}

async function mergeAfterPlacing(
  catalog: Catalog,
  safetyBackup: string,
  request: RestoreRequest,
  context: StoryContext,
): Promise<string> {
  try {
    return await mergeLateLog(catalog, safetyBackup, context);
  } catch (error) {
    throw placedBut(request, 'the safety backup does not yet contain the last commits', error, {
      hint: `They are kept beside ${safetyBackup}, and the next backup adds them. The result was not checked.`,
    });
  }
}

function proveResult(request: RestoreRequest, replaced: Replaced): void {
  let complaint: string | null;
  try {
    complaint = checkLiveDatabase(request.databasePath);
  } catch (error) {
    throw placedBut(request, 'the result was not checked', error, {
      hint: `Make a backup when the database is free: that checks all of it. ${whereOldIs(replaced)}.`,
    });
  }
  if (complaint === null) return;
  throw new BackupError('DB_DAMAGED', `the restored database fails its check: ${complaint}`, {
    hint: `${whereOldIs(replaced)}. Restore that, or another backup.`,
  });
}

function whereOldIs({ safetyBackup, setAside }: Replaced): string {
  if (safetyBackup) return `What was there before is safe in ${safetyBackup}`;
  return setAside ? `The old files are at ${setAside}` : 'There was nothing before';
}

/** Something after the replacement failed; the backup is in its place. */
function placedBut(
  request: RestoreRequest,
  what: string,
  error: unknown,
  { hint }: { readonly hint: string },
): BackupError {
  const reason = BackupError.from(error);
  return new BackupError(reason.code, `${request.sourceName} was put in place, but ${what}: ${reason.message}`, {
    hint,
    cause: reason,
  });
}

/** What a restore dialog shows: both files counted, neither changed. */
export function planRestoreFacts({ databasePath, backupPath, backupRows }: PlanRequest): PlanFacts {
  const backup = backupFacts(backupPath, backupRows ?? null);
  const deadlineMs = backupRows ? COUNT_DEADLINE_MS : COUNT_DEADLINE_MS / 2;
  return { ...liveFacts(databasePath, deadlineMs), open: whoHasOpen(databasePath), backup };
}

/** Counting rows for a dialog may take this long, in both together: a plan answers within 2 seconds. */
const COUNT_DEADLINE_MS = 1_500;

function liveFacts(databasePath: string, deadlineMs: number): Pick<PlanFacts, 'live' | 'liveComplaint'> {
  try {
    return { live: lookForPlan(databasePath, { deadlineMs }), liveComplaint: null };
  } catch (error) {
    return { live: null, liveComplaint: BackupError.from(error).toJSON() };
  }
}

/** @throws BackupError VERIFY_FAILED for anything but a database. */
function backupFacts(path: string, rows: CountedRows | null): PlanFacts['backup'] {
  try {
    return factsOf(path, rows);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackupError('VERIFY_FAILED', `${basename(path)} can't be read: ${reason}`, {
      hint: 'Nothing was changed. Use another backup.',
      cause,
    });
  }
}

function factsOf(path: string, known: CountedRows | null): PlanFacts['backup'] {
  const encoding = readHeaderOf(path)?.encoding ?? null;
  return askFile(path, (file) => {
    return {
      pageSize: Number(pragma(file, 'page_size')),
      schemaVersion: Number(pragma(file, 'user_version')),
      encoding,
      hasPageChecksums: hasPageChecksums(path),
      rows: known ?? countRows(file, { deadlineMs: COUNT_DEADLINE_MS / 2 }),
    };
  });
}

/** The copy is checked before it gets its name: that tells a damaged backup as well as a damaged copy. */
async function restoreToFile(request: RestoreRequest, context: StoryContext): Promise<Restored> {
  if (request.to === null)
    throw new BackupError('BAD_REQUEST', 'a restore to a new file needs its path', { hint: 'Name it with `to`.' });
  const destination = resolve(request.to);
  refuseUnfitSource(request);
  using staged = stageNewFile(request.source, destination, { ownedAsFolder: true });
  context.signal.throwIfAborted();
  await Promise.all([staged.flush(), checkContent(staged.path, request)]);
  context.signal.throwIfAborted();
  context.onEvent({ type: 'step', name: 'place' });
  staged.place();
  return { path: destination, mode: 'file', safetyBackup: null, setAside: null };
}

function checkExpected(request: RestoreRequest, context: StoryContext): void {
  if (request.expected === null) return;
  if (stampText(stampDatabase(request.databasePath, { nowMs: context.now().getTime() })) === request.expected) return;
  // What is in use changes again before the next try. A stream of ours is none: it rests for a restore.
  if (request.mode === 'offline' && !existsSync(join(request.folder, CONTINUOUS_FOLDER)))
    refuseWhileOpen(request.databasePath);
  throw new BackupError('DB_CHANGED', 'the database changed since the restore was planned', {
    hint: 'Look at the new plan; what was written meanwhile would be set aside too.',
  });
}

/** Another run may have removed it while we waited for the lock, or ended what a killed restore began. */
function checkStillThere(request: RestoreRequest): void {
  if (existsSync(request.source)) return;
  throw new BackupError('GONE', `${request.sourceName} was removed a moment ago`, {
    hint: 'Nothing was changed. List the backups again; a safety backup may have been replaced by one that holds more.',
  });
}

interface Safety extends Disposable {
  readonly backup: string | null;
  /** Why there is no safety backup: nothing to lose, or nothing that could be read. */
  readonly because: 'missing' | 'unreadable' | null;
  /** Held until it was replaced, so that what is committed meanwhile is not lost. */
  readonly held: (HeldDatabase & { readonly logEnd: LogEnd | null }) | null;
}

/** Offline, a database that can't be backed up is not lost: its files are set aside instead. */
async function makeSafetyBackup(catalog: Catalog, request: RestoreRequest, context: StoryContext): Promise<Safety> {
  const quiet = quietly(context);
  const nothing = { backup: null, held: null, [Symbol.dispose]: () => {} };
  if (request.mode === 'missing') {
    refuseWhatIsThere(request.databasePath);
    return { ...nothing, because: 'missing' };
  }
  const purpose = safetyPurpose(request);
  let held: HeldDatabase | undefined;
  try {
    await clearTheWay(catalog, purpose, quiet);
    checkStillThere(request);
    held = holdDatabase(request, context);
    const { pinned, isWal, usualMode } = held;
    const { made, logEnd } = await makeBackupUnderPin(catalog, pinned, { ...purpose, usualMode }, quiet, {
      keepPin: isWal,
    });
    return { backup: made.name, because: null, held: { ...held, logEnd }, [Symbol.dispose]: held[Symbol.dispose] };
  } catch (error) {
    held?.[Symbol.dispose]();
    const reason = BackupError.from(error);
    if (says(reason.code, 'no-restore')) throw reason;
    if (request.mode === 'offline' && reason.code === 'DB_MISSING') return { ...nothing, because: 'missing' };
    if (request.mode === 'offline' && says(reason.code, 'unreadable-database'))
      return { ...nothing, because: 'unreadable' };
    throw unsafe('the safety copy could not be made', reason, wayOut(reason));
  }
}

function wayOut({ code, hint }: BackupError): string {
  if (says(code, 'unreadable-database'))
    return 'Stop the app and restore offline: the damaged files are then set aside.';
  return code === 'DB_MISSING' ? BRING_BACK : hint;
}

function safetyPurpose(request: RestoreRequest): BackupPurpose {
  return {
    databasePath: request.databasePath,
    verify: 'quick',
    trigger: 'safety',
    user: request.user,
    note: `Before restoring ${request.sourceName}`,
    replacedBy: request.sourceName,
    retention: request.retention,
    mayBeForeign: request.fromOther ?? false,
    ...(request.self && { self: request.self }),
    ...(request.highestKnown !== undefined && { highestKnown: request.highestKnown }),
  };
}

/** The steps of a safety backup are one step of the restore. */
function quietly(context: StoryContext): StoryContext {
  const isHeard = (type: JobEvent['type']) => type === 'bytes' || type === 'warning';
  return { ...context, onEvent: (event) => isHeard(event.type) && context.onEvent(event) };
}

async function place(safety: Safety, request: RestoreRequest, context: StoryContext): Promise<string | null> {
  if (safety.backup === null && safety.because === 'missing') {
    const databasePath = resolve(request.databasePath);
    placeWhereMissing(request.source, databasePath, request.journalMode ?? null);
    return null;
  }
  if (safety.backup === null || safety.held === null) {
    return placeOverUnreadable(request.source, resolveDatabase(request.databasePath), { now: context.now() });
  }
  const { backup, held } = safety;
  let isLocked = false;
  const onLocked = () => {
    held.keepLateCommits(backup, held.logEnd);
    isLocked = true;
  };
  try {
    await placeThroughSqlite(request.source, held.path, { isWal: held.isWal, onLocked });
    return null;
  } catch (error) {
    throw isLocked ? cutShort(request, backup, BackupError.from(error)) : error;
  }
}

function cutShort({ sourceName, databasePath }: RestoreRequest, backup: string, reason: BackupError): BackupError {
  // In any other case a write may have failed that the disk holds all the same.
  if (says(reason.code, 'taken-back')) return reason;
  const message = `${basename(databasePath)} now holds either what was there before or ${sourceName}: putting it in place failed: ${reason.message}`;
  return new MayBePlaced(reason.code, message, {
    hint: `What was there before is safe in ${backup}, and \`velist-backup undo\` brings it back. Check whether the disk is failing.`,
    cause: reason,
  });
}

class MayBePlaced extends BackupError {}

const mayBePlaced = (error: unknown): boolean => error instanceof MayBePlaced;
