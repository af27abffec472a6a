/**
 * The story of one backup: lock, room, pin, copy, verify, publish, prune. Runs in a job's own process. Killed anywhere,
 * it leaves only a staging folder that the next run removes.
 */
import { existsSync, readdirSync, realpathSync, rmSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isBackupName, isEntryOfOurs, LOCK_FILE, manifestName, STAGING_FOLDER } from '../format/names.ts';
import { ArrivalsFolder } from '../catalog/arrivals.ts';
import { type Backup, Catalog } from '../catalog/folder-catalog.ts';
import { otherOf } from '../catalog/identity.ts';
import { diskFull, explainFolderError, freeBytes } from '../disk/folder-error.ts';
import { type LossMark, type Manifest, MANIFEST_FORMAT, verificationOf, versions } from '../format/manifest.ts';
import { publishAsOwn, requireOwnFolder } from '../catalog/own-folder.ts';
import { setAside } from '../disk/aside.ts';
import { giveBack } from '../disk/owner.ts';
import { DISK_RESERVE_BYTES } from '../disk/share.ts';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { mergeLeftLateLogs } from './late-commits.ts';
import { lossOf, type LossQuestion } from './mark-loss.ts';
import { prune } from '../catalog/prune-folder.ts';
import { freeName, nextSequence, publish, Staging } from '../catalog/publish.ts';
import { takeLock } from '../disk/lock.ts';
import { type DatabaseSelf, selfOf } from '../writer/self.ts';
import { checkLiveDatabase } from '../sqlite/judge-live.ts';
import { DAMAGED_HINT, type PinnedDatabase, pinDatabase } from '../sqlite/live-database.ts';
import { type CopyMethod, type Snapshot, takeSnapshot } from '../sqlite/snapshot.ts';
import { removeDeadMoments } from '../replication/moment-place.ts';
import { removeDeadPlacements } from '../sqlite/place.ts';
import { doubtsAbout } from '../sqlite/sharing.ts';
import { resolveDatabase, stampDatabase } from '../sqlite/stamp.ts';
import { type VerifiedSnapshot, verifySnapshot } from '../sqlite/verify.ts';
import type { LogEnd } from '../sqlite/wal.ts';
import type { Trigger } from '../../words/run.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';
import type { FolderRetention } from '../catalog/retention.ts';
import type { Remarks } from '../sqlite/rules.ts';

export interface BackupRequest {
  readonly kind: 'backup';
  readonly databasePath: string;
  readonly folder: string;
  readonly verify: 'quick' | 'full';
  readonly trigger: Trigger;
  readonly user: string | null;
  readonly note: string | null;
  readonly retention: FolderRetention;
  /** How long to wait for another run on the same folder. */
  readonly lockWaitMs: number;
  /** How long to wait for a connection that holds the database exclusively; half a minute by default. */
  readonly pinTimeoutMs?: number;
  /** While commits are captured, the replicator alone checkpoints. */
  readonly checkpoint?: 'none';
  /** Whether to compare with the backup before, to see if much was lost; left out: no comparison. */
  readonly loss?: LossQuestion;
  /** Left out, the path of the database tells it. */
  readonly self?: DatabaseSelf;
  /** The highest sequence of this database at any target, as it was listed last. */
  readonly highestKnown?: number;
}

export interface MadeBackup extends Remarks {
  readonly name: string;
  readonly sizeBytes: number;
  readonly removed: readonly string[];
  readonly loss: LossMark | null;
}

/** @throws BackupError FOREIGN_PLACE, BUSY, DB_*, NOT_SQLITE, DISK_FULL, FOLDER_MISSING, NO_PERMISSION, VERIFY_FAILED, ABORTED. */
export async function makeBackup(request: BackupRequest, context: StoryContext): Promise<MadeBackup> {
  const catalog = new Catalog(request.folder);
  await catalog.prepare();
  try {
    const path = join(request.folder, LOCK_FILE);
    const lock = { waitMs: request.lockWaitMs, signal: context.signal, warn: warnIn(context) };
    using _lock = await takeLock(path, lock);
    return await makeBackupUnderLock(catalog, request, context);
  } catch (error) {
    // Errors of the database were explained where it was opened.
    throw explainFolderError(error, request.folder, { neededBytes: () => roomFor(request.databasePath, context) });
  }
}

/** What a backup is made for, whoever holds the lock. */
export interface BackupPurpose extends Omit<BackupRequest, 'kind' | 'folder' | 'lockWaitMs'> {
  /** The folder may be another database's: a safety backup is made there all the same. */
  readonly mayBeForeign?: boolean;
  /** For a safety backup: what takes the place of the database. */
  readonly replacedBy?: string;
  /** If the database was taken out of its mode for the moment: its usual mode. */
  readonly usualMode?: string;
}

/** As `makeBackup`, for a story that already holds the folder's lock. */
async function makeBackupUnderLock(
  catalog: Catalog,
  purpose: BackupPurpose,
  context: StoryContext,
): Promise<MadeBackup> {
  using pinned = await pinForBackup(catalog, purpose, context);
  const { made } = await makeBackupUnderPin(catalog, pinned, purpose, context, { keepPin: false });
  return made;
}

/**
 * Makes sure that the folder is not another database's, clears what killed runs left, makes sure that there is room,
 * and pins the database. The caller holds the lock.
 */
export async function pinForBackup(
  catalog: Catalog,
  purpose: BackupPurpose,
  context: StoryContext,
): Promise<PinnedDatabase> {
  await clearTheWay(catalog, purpose, context);
  for (const { what, why, fix } of doubtsAbout(resolveDatabase(purpose.databasePath)))
    warnIn(context)(`The database ${what}. ${why} ${fix}`);
  return pinDatabase(purpose.databasePath, {
    now: context.now,
    timeoutMs: purpose.pinTimeoutMs,
    checkpoint: purpose.checkpoint,
  });
}

/** All of `pinForBackup` but the pin. */
export async function clearTheWay(catalog: Catalog, purpose: BackupPurpose, context: StoryContext): Promise<void> {
  await requireOwnFolder(catalog, purposeSelf(purpose), purpose);
  await removeLeftovers(catalog, purpose.databasePath, context);
  checkRoom(catalog.folder, purpose.databasePath, context);
  context.onEvent({ type: 'step', name: 'checkpoint' });
}

/** Copy, verify, publish, prune: the story from the pin on. Releases the pin after the copy, unless told to keep it. */
export async function makeBackupUnderPin(
  catalog: Catalog,
  pinned: PinnedDatabase,
  purpose: BackupPurpose,
  context: StoryContext,
  { keepPin }: { readonly keepPin: boolean },
): Promise<{ readonly made: MadeBackup; readonly logEnd: LogEnd | null }> {
  using staging = new Staging(catalog.folder, warnIn(context));
  const name = freeName(catalog.folder, pinned.pinnedAt);
  const { log } = pinned;
  context.onEvent({ type: 'pinned', backup: name, ...(log && { log: { salts: log.salts, frames: log.frames } }) });

  context.onEvent({ type: 'step', name: 'copy' });
  const snapshot = await takeSnapshot(pinned, staging.file, {
    signal: context.signal,
    onProgress: (done, total) => context.onEvent({ type: 'bytes', done, total }),
    keepPin,
  });

  context.onEvent({ type: 'step', name: 'verify' });
  const verified = await judge(snapshot, purpose, context);
  context.signal.throwIfAborted();

  context.onEvent({ type: 'step', name: 'publish' });
  const self = purposeSelf(purpose);
  const owned = await requireOwnFolder(catalog, self, purpose);
  const earlier = owned.backups;
  const sequence = nextSequence(earlier, pinned.pinnedAt, purpose.highestKnown);
  const described = describe(name, sequence, snapshot.method, pinned, verified, purpose);
  const own = earlier.filter((backup) => otherOf(owned.ownership, backup) === null);
  const loss = purpose.loss ? lossOf(described, own, purpose.loss) : null;
  const manifest = { ...described, ...(loss && { loss }), ...madeAfter(described, earlier) };
  const databaseId = await publishAsOwn(catalog.folder, owned, self, {
    now: context.now(),
    publish: (id) => publish(catalog, staging, verified, { ...manifest, ...origin(id, self) }),
  });

  context.onEvent({ type: 'step', name: 'prune' });
  const removed =
    purpose.trigger === 'safety' ? [] : await prune(catalog, { ...self, databaseId }, purpose.retention, context);
  const { sizeBytes, content, unchecked } = verified;
  return { made: { name, sizeBytes, removed, loss, content, unchecked }, logEnd: snapshot.logEnd };
}

/** A clock that was set back must not make a safety backup look old, or retention removes it with its undo. */
function madeAfter(
  { trigger, createdAt }: Manifest,
  earlier: readonly Pick<Backup, 'createdAt' | 'manifest'>[],
): Pick<Manifest, 'madeAfter'> {
  const newest = Math.max(0, ...earlier.flatMap((one) => (one.manifest ? one.createdAt.getTime() : [])));
  if (trigger !== 'safety' || newest <= Date.parse(createdAt)) return {};
  return { madeAfter: new Date(newest).toISOString() };
}

function origin(databaseId: string, { maker }: DatabaseSelf): Pick<Manifest, 'databaseId' | 'madeBy'> {
  return { databaseId, ...(maker && { madeBy: maker }) };
}

function purposeSelf({ self, databasePath }: BackupPurpose): DatabaseSelf {
  return self ?? selfOf(databasePath);
}

/**
 * Removes what killed runs left: staging folders, and the file that one of them was about to publish; files from elsewhere
 * that nobody asked for any more; ends what a killed
 * online restore began. What can't be removed (root's run left it, it is protected) is told and stops nothing. Needs the lock.
 */
async function removeLeftovers(catalog: Catalog, databasePath: string, context: StoryContext): Promise<void> {
  refuseDatabaseInStaging(catalog, databasePath);
  removeDeadPlacements(databasePath);
  giveBack(catalog.folder, { isOurs: isEntryOfOurs });
  const unpublished = await catalog.unpublished();
  const remove = (entry: string) => removeOrWarn(join(catalog.folder, entry), context);
  const entries = new Set(readdirSync(catalog.folder));
  for (const name of unpublished) if (entries.has(name) && !entries.has(manifestName(name))) remove(name);
  if ([...entries].some(isUnplaced)) await removeUnplaced(catalog, context);
  for (const entry of entries) {
    // A removal deletes the file first; if it was killed then, it left the manifest.
    const name = entry.replace(/\.json$/, '');
    const orphan = name !== entry && !entries.has(name) && isBackupName(name);
    if (orphan) remove(entry);
  }
  clearStaging(join(catalog.folder, STAGING_FOLDER), context);
  removeDeadMoments(catalog.folder);
  new ArrivalsFolder(catalog.folder).sweep(context.now(), warnIn(context));
  await mergeLeftLateLogs(catalog, context);
}

const isUnplaced = (entry: string) => entry.startsWith('.backup-') && entry.endsWith('.tmp');

/** Manifests are changed without the folder's lock: what lies there while nobody may change one was left. */
async function removeUnplaced(catalog: Catalog, context: StoryContext): Promise<void> {
  try {
    using _lock = await catalog.lockManifests();
    for (const entry of readdirSync(catalog.folder).filter(isUnplaced))
      removeOrWarn(join(catalog.folder, entry), context);
  } catch (error) {
    if (BackupError.from(error).code !== 'BUSY') throw error;
  }
}

function removeOrWarn(path: string, context: StoryContext): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return;
    warnIn(context)(
      `${path} was left by a run that was killed, and can't be removed (${errnoCode(error) ?? String(error)}).`,
    );
  }
}

function clearStaging(staging: string, context: StoryContext): void {
  try {
    rmSync(staging, { recursive: true, force: true });
  } catch {
    const aside = setAside(staging);
    warnIn(context)(`${staging} can't be cleared by this user; it was moved to ${aside}, which may be removed.`);
  }
}

/** The staging folder is cleared at each run; a database in it would be cleared away too. */
function refuseDatabaseInStaging(catalog: Catalog, databasePath: string): void {
  const staging = join(catalog.folder, STAGING_FOLDER);
  if (!existsSync(staging) || !existsSync(databasePath)) return;
  if (!`${resolveDatabase(databasePath)}/`.startsWith(`${realpathSync(staging)}/`)) return;
  throw new BackupError('BAD_CONFIG', `the database ${databasePath} is in the staging folder of the backups`, {
    hint: 'Move it to another folder: everything in .staging is removed at each run.',
  });
}

/** A bad copy of a sound database is dropped; a bad database is reported as such, and nothing is pruned. */
async function judge(
  snapshot: Snapshot,
  request: Pick<BackupRequest, 'databasePath' | 'verify'>,
  context: StoryContext,
): Promise<VerifiedSnapshot> {
  try {
    return await verifySnapshot(snapshot, { method: request.verify, now: context.now });
  } catch (error) {
    // A copy that failed for want of disk or folder says nothing about the database.
    if (!(error instanceof BackupError) || error.code !== 'VERIFY_FAILED') throw error;
    const complaint = complaintAboutLive(request);
    if (complaint === null || complaint === NOBODY_COULD_LOOK) {
      throw new BackupError('VERIFY_FAILED', `the new backup was dropped: ${error.message}`, {
        hint:
          complaint === null
            ? 'Nothing wrong was found in the live database, so the disk is most likely at fault: check it. Earlier backups are unchanged.'
            : 'The live database itself could not be checked, so nothing is known about it. Earlier backups are unchanged; the next run tries again.',
        cause: error,
      });
    }
    throw new BackupError(
      'DB_DAMAGED',
      `the live database ${request.databasePath} fails its integrity check: ${complaint}`,
      {
        hint: DAMAGED_HINT,
        cause: error,
      },
    );
  }
}

const NOBODY_COULD_LOOK = Symbol('nobody could look');

function complaintAboutLive({
  databasePath,
  verify,
}: Pick<BackupRequest, 'databasePath' | 'verify'>): string | null | typeof NOBODY_COULD_LOOK {
  try {
    return checkLiveDatabase(databasePath, verify);
  } catch {
    // Busy, or gone meanwhile: being unable to look proves nothing against it.
    return NOBODY_COULD_LOOK;
  }
}

function checkRoom(folder: string, databasePath: string, context: StoryContext): void {
  const neededBytes = roomFor(databasePath, context);
  if (freeBytes(folder) < neededBytes) throw diskFull(folder, { neededBytes });
}

/** The copy can't be larger than main file and log together. */
function roomFor(databasePath: string, context: StoryContext): number {
  const stamp = stampDatabase(databasePath, { nowMs: context.now().getTime() });
  return stamp.main.sizeBytes + (stamp.wal?.sizeBytes ?? 0) + DISK_RESERVE_BYTES;
}

function describe(
  name: string,
  sequence: number,
  method: CopyMethod,
  pinned: PinnedDatabase,
  verified: VerifiedSnapshot,
  request: Pick<BackupPurpose, 'databasePath' | 'trigger' | 'user' | 'note' | 'replacedBy' | 'usualMode'>,
): Manifest {
  const { sizeBytes, pageSize, pages, sha256, facts } = verified;
  return {
    format: MANIFEST_FORMAT,
    name,
    sequence,
    createdAt: pinned.pinnedAt.toISOString(),
    source: { name: basename(request.databasePath), journalMode: request.usualMode ?? pinned.journalMode },
    database: { sizeBytes, pageSize, pages, sha256 },
    artifact: { file: name, sizeBytes, sha256, compression: 'none', encryption: 'none' },
    verification: verificationOf(verified.method, verified.verifiedAt, verified),
    trigger: request.trigger,
    user: request.user,
    pinned: false,
    note: request.note,
    copy: { method, checkpoint: pinned.checkpoint },
    stamp: pinned.stamp,
    versions: versions(sqliteVersion()),
    ...(facts && { facts }),
    ...(request.replacedBy !== undefined && { replacedBy: request.replacedBy }),
  };
}

export function sqliteVersion(): string {
  const memory = new DatabaseSync(':memory:');
  try {
    return String(memory.prepare('SELECT sqlite_version() AS version').get()?.version);
  } finally {
    memory.close();
  }
}
