/**
 * The stories of a rescue: its plan, the rescue itself, its undoing, and what is kept of earlier ones. Each runs in a job's own
 * process. A rescue looks twice: once before the mark or the safety backup is made, so that nothing is made for a plan that no
 * longer holds, and once more right before it writes.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BackupError, says } from '../../words/errors.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import type { FolderRetention } from '../catalog/retention.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { isLocked, takeLock } from '../disk/lock.ts';
import { CONTINUOUS_FOLDER, LOCK_FILE } from '../format/names.ts';
import { planRescue, rescueRows } from '../inside/rescue.ts';
import type { PlannedRescue, RescueWish } from '../inside/rescue-plan.ts';
import {
  newRescueId,
  readRecords,
  removeRescue,
  requireRecord,
  RESCUES_LOCK,
  type RescueRecord,
  rescuesFolder,
  sweepRescues,
  writeRecord,
} from '../inside/rescue-record.ts';
import { settleInterrupted, undoRescue, type UndoneRescue } from '../inside/rescue-undo.ts';
import { REPLICATOR_LOCK } from '../replication/pause.ts';
import type { DatabaseSelf } from '../writer/self.ts';
import { type BackupPurpose, makeBackupUnderPin, pinForBackup } from './backup.ts';
import { checkSource, checkStillTheSame, refuseUnfitSource } from './check-source.ts';
import { unsafe } from './held-database.ts';
import { mark } from './moments.ts';

interface RescueSource {
  readonly databasePath: string;
  /** The folder of the backups. */
  readonly folder: string;
  /** A file that nobody writes to. */
  readonly source: string;
  readonly sourceName: string;
  /** Where the rows were last as they are wanted; null if nobody says so. */
  readonly since: string | null;
  readonly wish: RescueWish;
}

export interface RescuePlanRequest extends RescueSource {
  readonly kind: 'rescue-plan';
}

export interface RescueRequest extends RescueSource {
  readonly kind: 'rescue';
  /** What the plan said; null if nobody looked at one. */
  readonly expected: string | null;
  /** Null if nothing says it. */
  readonly sha256: string | null;
  readonly user: string | null;
  readonly markWaitMs: number;
  readonly lockWaitMs: number;
  readonly retention: FolderRetention;
  readonly self: DatabaseSelf;
  readonly highestKnown: number;
}

export interface Rescued {
  readonly record: RescueRecord;
  /** What was made before anything was written: a mark, or a safety backup. */
  readonly mark: string | null;
  readonly safetyBackup: string | null;
}

export interface UndoRescueRequest {
  readonly kind: 'rescue-undo';
  readonly databasePath: string;
  readonly folder: string;
  readonly id: string;
  readonly lockWaitMs: number;
}

export interface RescuesRequest {
  readonly kind: 'rescues';
  readonly databasePath: string;
  readonly folder: string;
  readonly lockWaitMs: number;
}

/** @throws BackupError BAD_REQUEST, VERIFY_FAILED, ENCODING_DIFFERS, DB_*, DISK_FULL, NO_PERMISSION. */
export function planRescueStory(request: RescuePlanRequest): PlannedRescue {
  refuseUnfit(request);
  return planRescue({ ...request, folder: rescuesFolder(request.folder) });
}

/** @throws BackupError as `planRescueStory`; DB_CHANGED, RESTORE_SAFETY_FAILED, BUSY, ABORTED: nothing was written. */
export async function rescueStory(request: RescueRequest, context: StoryContext): Promise<Rescued> {
  context.onEvent({ type: 'step', name: 'check' });
  refuseUnfit(request);
  const checked = await checkSource(request);
  const folder = rescuesFolder(request.folder);
  const files = { ...request, folder };
  using _lock = await lockRescues(folder, request, context);
  await settle(folder, request, context);
  refuseOther(planRescue(files), request);
  context.signal.throwIfAborted();

  context.onEvent({ type: 'step', name: 'safety' });
  const id = newRescueId(context.now());
  const made = await makeSafe(id, request, context);
  context.signal.throwIfAborted();

  // From here on a stop is ignored: it is all or nothing, and short.
  context.onEvent({ type: 'step', name: 'place' });
  checkStillTheSame(request, checked);
  const record = rescueRows({ ...files, id, at: context.now() });
  return { record, ...made };
}

function refuseUnfit(request: RescueSource): void {
  refuseUnfitSource({ ...request, sha256: null });
  const { since, databasePath } = request;
  if (since !== null) refuseUnfitSource({ source: since, sourceName: basename(since), databasePath, sha256: null });
}

/** Says so before anything is made for it. What blocks is said when it is tried. */
function refuseOther({ expected }: PlannedRescue, request: RescueRequest): void {
  if (request.expected === null || request.expected === expected) return;
  throw new BackupError('DB_CHANGED', 'the rows of the database are not as they were when the rescue was planned', {
    hint: 'Nothing was written. Look at the new plan.',
  });
}

async function makeSafe(
  id: string,
  request: RescueRequest,
  context: StoryContext,
): Promise<Pick<Rescued, 'mark' | 'safetyBackup'>> {
  const stream = join(request.folder, CONTINUOUS_FOLDER);
  // Without a replicator a mark would name an older moment.
  if (existsSync(stream) && isLocked(join(stream, REPLICATOR_LOCK))) {
    try {
      const name = `before rescue ${id}`;
      const { markWaitMs: waitMs } = request;
      const made = await mark({ kind: 'mark', folder: stream, name, waitMs }, context);
      return { mark: made.name, safetyBackup: null };
    } catch (error) {
      context.signal.throwIfAborted();
      warnIn(context)(`No mark could be made before the rescue, so a backup is: ${BackupError.from(error).message}.`);
    }
  }
  return { mark: null, safetyBackup: await makeSafetyBackup(request, context) };
}

async function makeSafetyBackup(request: RescueRequest, context: StoryContext): Promise<string> {
  const { databasePath, user, sourceName, retention, self, highestKnown } = request;
  const purpose: BackupPurpose = {
    ...{ databasePath, user, retention, self, highestKnown },
    ...({ verify: 'quick', trigger: 'safety', mayBeForeign: true } as const),
    note: `Before rows were rescued from ${sourceName}`,
  };
  const quiet: StoryContext = {
    ...context,
    onEvent: (event) => (event.type === 'bytes' || event.type === 'warning') && context.onEvent(event),
  };
  try {
    const catalog = new Catalog(request.folder);
    await catalog.prepare();
    const lock = { waitMs: request.lockWaitMs, signal: context.signal, warn: warnIn(context) };
    using _lock = await takeLock(join(request.folder, LOCK_FILE), lock);
    using pinned = await pinForBackup(catalog, purpose, quiet);
    const { made } = await makeBackupUnderPin(catalog, pinned, purpose, quiet, { keepPin: false });
    return made.name;
  } catch (error) {
    const reason = BackupError.from(error);
    if (says(reason.code, 'no-restore') || reason.code === 'BUSY') throw reason;
    throw unsafe('the safety copy could not be made', reason);
  }
}

/** @throws BackupError NO_BACKUP, NOTHING_TO_UNDO, DB_CHANGED, BUSY, DB_*, DISK_FULL: nothing was written. */
export async function undoRescueStory(request: UndoRescueRequest, context: StoryContext): Promise<UndoneRescue> {
  context.onEvent({ type: 'step', name: 'check' });
  const folder = rescuesFolder(request.folder);
  requireRecord(folder, request.id);
  using _lock = await lockRescues(folder, request, context);
  await settle(folder, request, context);
  const record = requireRecord(folder, request.id);
  context.signal.throwIfAborted();
  context.onEvent({ type: 'step', name: 'place' });
  return undoRescue({ databasePath: request.databasePath, folder, record, at: context.now() });
}

/** The newest first, of the last 30 days. One that is being written just now is not among them. */
export async function listRescues(request: RescuesRequest, context: StoryContext): Promise<readonly RescueRecord[]> {
  const folder = rescuesFolder(request.folder);
  if (!existsSync(folder)) return [];
  if (readRecords(folder).every(isSettled)) return readRecords(folder);
  try {
    using _lock = await lockRescues(folder, { lockWaitMs: 0 }, context);
    await settle(folder, request, context);
  } catch (error) {
    // Somebody writes just now, or the database can't be opened: that is no reason not to list the others.
    if (context.signal.aborted) throw error;
  }
  return readRecords(folder).filter(isSettled);
}

const isSettled = ({ state }: RescueRecord) => state === 'written' || state === 'undone';

async function lockRescues(
  folder: string,
  { lockWaitMs }: { readonly lockWaitMs: number },
  context: StoryContext,
): Promise<Disposable> {
  makePrivateFolder(folder);
  return await takeLock(join(folder, RESCUES_LOCK), {
    waitMs: lockWaitMs,
    signal: context.signal,
    warn: warnIn(context),
  });
}

/** What a process left that ended around its commit is told apart by the rows; what is too old goes. Needs the lock. */
async function settle(
  folder: string,
  { databasePath }: Pick<RescuesRequest, 'databasePath'>,
  context: StoryContext,
): Promise<void> {
  sweepRescues(folder, context.now());
  for (const record of readRecords(folder)) {
    if (isSettled(record)) continue;
    const settled = settleInterrupted({ databasePath, folder, record, at: context.now() });
    if (settled !== null) writeRecord(folder, settled);
    else removeRescue(folder, record.id);
    const what = record.state === 'undoing' ? 'undoing of the rescue' : 'rescue';
    const isDone = settled !== null && settled.state === (record.state === 'undoing' ? 'undone' : 'written');
    warnIn(context)(
      `The ${what} ${record.id} was interrupted: ${isDone ? 'its rows are written' : 'nothing of it was written'}.`,
    );
  }
}
