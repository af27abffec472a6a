/**
 * The story of one restore: check the backup, make a safety backup of what is there, put the backup in its place, prove
 * the result. Runs in a job's own process. Nothing is changed before the safety backup exists; a restore to a new file
 * changes nothing that exists.
 */
import { existsSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type BackupPurpose, makeBackupUnderPin, pinForBackup } from './backup.ts';
import { LOCK_FILE } from './catalog/artifact.ts';
import { Catalog } from './catalog/catalog.ts';
import { BackupError, type ErrorCode } from './errors.ts';
import {
  type JobEvent,
  type PlanFacts,
  type PlanRequest,
  type Restored,
  type RestoreRequest,
  type StoryContext,
  warnIn,
} from './jobs/protocol.ts';
import { mergeLateLog, saveLateCommits } from './late-commits.ts';
import { takeLock } from './run-lock.ts';
import { checkLiveDatabase, countRows, pinDatabase, type PinnedDatabase, pragma } from './sqlite/live-database.ts';
import { BRING_BACK } from './sqlite/missing.ts';
import { holdersOfRemoved } from './sqlite/open-files.ts';
import {
  placeAsNewFile,
  placeOffline,
  placeOnline,
  placeOverUnreadable,
  placeWhereMissing,
  refuseWhatIsThere,
} from './sqlite/place.ts';
import { isLiveFile, resolveDatabase, stampDatabase, stampText } from './sqlite/stamp.ts';
import { openUnwritten, verifyFile } from './sqlite/verify.ts';
import type { LogEnd } from './sqlite/wal.ts';

/**
 * @throws BackupError FOREIGN_PLACE, VERIFY_FAILED, DB_CHANGED, RESTORE_SAFETY_FAILED, RESTORE_IN_USE, PAGE_SIZE_DIFFERS, NOT_WAL,
 * UNSUPPORTED, TARGET_EXISTS, DB_MISSING, GONE, BUSY, DISK_FULL, NO_PERMISSION, ABORTED: in all of these nothing was
 * changed, unless the message begins with what was placed. DB_DAMAGED: the result did not pass; the error names the safety
 * backup.
 */
export async function restoreDatabase(request: RestoreRequest, context: StoryContext): Promise<Restored> {
  context.onEvent({ type: 'step', name: 'check' });
  const checked = await checkSource(request);
  context.signal.throwIfAborted();
  if (request.mode === 'file') return await restoreToFile(request, context);

  const catalog = new Catalog(request.folder);
  await catalog.prepare();
  const lock = { waitMs: request.lockWaitMs, signal: context.signal, warn: warnIn(context) };
  using _lock = await takeLock(join(request.folder, LOCK_FILE), lock);
  checkExpected(request, context);
  const replaced = await replace(catalog, checked, request, context);
  const safetyBackup =
    replaced.safetyBackup && (await mergeAfterPlacing(catalog, replaced.safetyBackup, request, context));

  context.onEvent({ type: 'step', name: 'prove' });
  proveResult(request, { ...replaced, safetyBackup });
  return { path: request.databasePath, mode: request.mode, safetyBackup, setAside: replaced.setAside };
}

interface Replaced {
  readonly safetyBackup: string | null;
  readonly setAside: string | null;
}

/** Where the database is pinned meanwhile, the pin is released at the end. */
async function replace(
  catalog: Catalog,
  checked: Checked,
  request: RestoreRequest,
  context: StoryContext,
): Promise<Replaced> {
  context.onEvent({ type: 'step', name: 'safety' });
  using safety = await makeSafetyBackup(catalog, request, context);
  checkStillThere(request);
  checkStillTheSame(request, checked);
  context.signal.throwIfAborted();

  // From here on no stop is heard: placing is all or nothing.
  context.onEvent({ type: 'step', name: 'place' });
  const replaced = { safetyBackup: safety.backup, setAside: await place(safety, request, context) };
  if (identityOf(request.source) === checked.identity) return replaced;
  throw placedBut(request, 'its file was changed while it was placed', changedMeanwhile(request), {
    hint: `What is in the database now was checked by nobody. ${whereOldIs(replaced)}. Restore that, or another backup.`,
  });
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
    throw placedBut(request, 'the safety backup does not yet hold what was committed last', error, {
      hint: `That is kept beside ${safetyBackup}, and the next backup adds it. The result was not checked.`,
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
  return new BackupError(reason.code, `${request.sourceName} was placed, but ${what}: ${reason.message}`, {
    hint,
    cause: reason,
  });
}

/** What a restore dialog shows: both files counted, neither changed. */
export function planRestoreFacts(request: PlanRequest, context: StoryContext): PlanFacts {
  const { databasePath, backupPath } = request;
  return { ...liveFacts(request, context), heldBy: holdersOfRemoved(databasePath), backup: backupFacts(backupPath) };
}

/** Counting rows for a dialog may take this long. */
const COUNT_DEADLINE_MS = 2_000;
const PLAN_PIN_TIMEOUT_MS = 2_000;

function liveFacts(request: PlanRequest, context: StoryContext): Pick<PlanFacts, 'live' | 'liveComplaint'> {
  try {
    using pinned = pinDatabase(request.databasePath, { now: context.now, timeoutMs: PLAN_PIN_TIMEOUT_MS });
    const rows = pinned.tablesAndRows({ deadlineMs: COUNT_DEADLINE_MS });
    const { pageSize, schemaVersion, journalMode } = pinned;
    const live = { pageSize, schemaVersion, journalMode, rows: rows && Object.fromEntries(rows) };
    return { live, liveComplaint: null };
  } catch (error) {
    return { live: null, liveComplaint: BackupError.from(error).message };
  }
}

function backupFacts(path: string): PlanFacts['backup'] {
  const file = openUnwritten(path);
  try {
    const rows = countRows(file, { deadlineMs: COUNT_DEADLINE_MS });
    return {
      pageSize: Number(pragma(file, 'page_size')),
      schemaVersion: Number(pragma(file, 'user_version')),
      rows: rows && Object.fromEntries(rows),
    };
  } finally {
    file.close();
  }
}

/** A file that was found good. */
interface Checked {
  /** Any other file, and any change of this one, has another. */
  readonly identity: string;
}

/** @throws BackupError BAD_BACKUP, VERIFY_FAILED: it is not a file to restore from. */
export async function checkSource(
  request: Pick<RestoreRequest, 'source' | 'sourceName' | 'sha256' | 'databasePath'>,
): Promise<Checked> {
  if (isLiveFile(request.source, request.databasePath)) {
    throw new BackupError('BAD_BACKUP', `${request.sourceName} is the live database itself`, {
      hint: 'Name a backup instead.',
    });
  }
  if ((statSync(`${request.source}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw new BackupError(
      'BAD_BACKUP',
      `${request.sourceName} has a log beside it, ${request.sourceName}-wal, that is part of it`,
      {
        hint: 'What is in the log would be lost. Open and close the file with SQLite once, so that it is merged.',
      },
    );
  }
  const identity = identityOf(request.source);
  const { sha256 } = await verifyFile(request.source, { method: 'quick' });
  if (request.sha256 !== null && sha256 !== request.sha256) {
    throw new BackupError('VERIFY_FAILED', `${request.sourceName} is not the file that its manifest describes`, {
      hint: 'It was changed after it was made. Use another backup.',
    });
  }
  return { identity };
}

/** The time of its last change can't be set by a program, unlike that of its last write. */
function identityOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found ? [found.dev, found.ino, found.size, found.ctimeNs].join(' ') : 'gone';
}

/** Minutes may pass between the check and the placing, while the safety backup is made. */
function checkStillTheSame(request: RestoreRequest, { identity }: Checked): void {
  if (identityOf(request.source) !== identity) throw changedMeanwhile(request);
}

function changedMeanwhile({ sourceName }: RestoreRequest): BackupError {
  return new BackupError('VERIFY_FAILED', `${sourceName} was changed or exchanged after it was checked`, {
    hint: 'Nothing was changed. Something else writes into the backup folder; verify the backup again.',
  });
}

async function restoreToFile(request: RestoreRequest, context: StoryContext): Promise<Restored> {
  if (request.to === null)
    throw new BackupError('BAD_REQUEST', 'a restore to a new file needs its path', { hint: 'Name it with `to`.' });
  const destination = resolve(request.to);
  context.onEvent({ type: 'step', name: 'place' });
  placeAsNewFile(request.source, destination, { ownedAsFolder: true });
  context.onEvent({ type: 'step', name: 'prove' });
  const { sha256 } = await verifyFile(destination, { method: 'quick' });
  if (request.sha256 !== null && sha256 !== request.sha256) {
    rmSync(destination, { force: true });
    throw changedMeanwhile(request);
  }
  return { path: destination, mode: 'file', safetyBackup: null, setAside: null };
}

function checkExpected(request: RestoreRequest, context: StoryContext): void {
  if (request.expected === null) return;
  if (stampText(stampDatabase(request.databasePath, { nowMs: context.now().getTime() })) === request.expected) return;
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
  /** Online, the database stays pinned until it was replaced, so that its log keeps what is committed meanwhile. */
  readonly held: Held | null;
}

interface Held {
  readonly pinned: PinnedDatabase;
  readonly logEnd: LogEnd | null;
}

const unreadable: ReadonlySet<ErrorCode> = new Set(['NOT_SQLITE', 'DB_DAMAGED', 'DB_EMPTY']);
const refusals: ReadonlySet<ErrorCode> = new Set(['ABORTED', 'NOT_WAL', 'UNSUPPORTED', 'FOREIGN_PLACE']);

/** Offline, a database that can't be backed up is not lost: its files are set aside instead. */
async function makeSafetyBackup(catalog: Catalog, request: RestoreRequest, context: StoryContext): Promise<Safety> {
  const quiet = quietly(context);
  let pinned: PinnedDatabase | undefined;
  const nothing = { backup: null, held: null, [Symbol.dispose]: () => {} };
  if (request.mode === 'missing') {
    refuseWhatIsThere(request.databasePath);
    return { ...nothing, because: 'missing' };
  }
  try {
    pinned = await pinForBackup(catalog, safetyPurpose(request), quiet);
    const keepPin = request.mode === 'online';
    if (keepPin) refuseWithoutLog(pinned);
    const { made, logEnd } = await makeBackupUnderPin(catalog, pinned, safetyPurpose(request), quiet, { keepPin });
    const held = keepPin ? { pinned, logEnd } : null;
    return { backup: made.name, because: null, held, [Symbol.dispose]: () => held?.pinned[Symbol.dispose]() };
  } catch (error) {
    pinned?.[Symbol.dispose]();
    const reason = BackupError.from(error);
    if (refusals.has(reason.code)) throw reason;
    if (request.mode === 'offline' && reason.code === 'DB_MISSING') return { ...nothing, because: 'missing' };
    if (request.mode === 'offline' && unreadable.has(reason.code)) return { ...nothing, because: 'unreadable' };
    throw new BackupError(
      'RESTORE_SAFETY_FAILED',
      `the safety copy could not be made, so nothing was changed: ${reason.message}`,
      {
        hint: unreadable.has(reason.code)
          ? 'Stop the app and restore offline: the damaged files are then set aside.'
          : reason.code === 'DB_MISSING'
            ? BRING_BACK
            : reason.hint,
        cause: reason,
      },
    );
  }
}

/** Without a log that can be relied on, nothing keeps what is committed between the safety backup and the replacement. */
function refuseWithoutLog(pinned: PinnedDatabase): void {
  if (pinned.journalMode !== 'wal') {
    throw new BackupError(
      'NOT_WAL',
      `${pinned.path} is not in WAL mode, so it can not be replaced while it is in use`,
      {
        hint: 'Nothing was changed. Stop the app and restore offline, or let the app switch to WAL mode first.',
      },
    );
  }
  if (!pinned.mayCopy) {
    throw new BackupError(
      'UNSUPPORTED',
      `${pinned.path} lies on a network file system, so it can not be replaced while it is in use`,
      { hint: 'Nothing was changed. Stop the app and restore offline.' },
    );
  }
}

function safetyPurpose(request: RestoreRequest): BackupPurpose {
  return {
    databasePath: request.databasePath,
    verify: 'quick',
    trigger: 'safety',
    user: request.user,
    note: `Before restoring ${request.sourceName}`,
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
  const path = resolveDatabase(request.databasePath);
  if (safety.backup === null) return placeOverUnreadable(request.source, path, { now: context.now() });
  const { backup, held } = safety;
  if (held) await placeOnline(request.source, path, { onLocked: () => keepLateCommits(request.folder, backup, held) });
  else placeOffline(request.source, path);
  return null;
}

function keepLateCommits(folder: string, safetyBackup: string, held: Held): void {
  try {
    saveLateCommits(folder, safetyBackup, { databasePath: held.pinned.path, logEnd: held.logEnd });
  } catch (error) {
    const reason = BackupError.from(error);
    throw new BackupError(
      'RESTORE_SAFETY_FAILED',
      `what was committed after the safety backup could not be saved, so nothing was changed: ${reason.message}`,
      { hint: reason.hint, cause: reason },
    );
  }
}
