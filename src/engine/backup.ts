/**
 * The story of one backup: lock, room, pin, copy, verify, publish, prune. Runs in a job's own process.
 *
 * Killed anywhere, it leaves no backup and no half file under a backup's name, only a staging folder that the next run
 * removes. The order of the last steps is what makes that true: the staging folder takes the backup's name before the
 * file does, so a file without manifest beside such a folder is known to be nobody's.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isBackupName, LOCK_FILE, nameBackup, STAGING_FOLDER } from './catalog/artifact.ts';
import { Catalog, syncFolder } from './catalog/catalog.ts';
import { explainFolderError } from './catalog/folder-error.ts';
import { MANIFEST_FORMAT, type Manifest, versions } from './catalog/manifest.ts';
import { BackupError } from './errors.ts';
import type { BackupRequest, MadeBackup, StoryContext } from './jobs/protocol.ts';
import { prune } from './prune.ts';
import { takeLock } from './run-lock.ts';
import { checkLiveDatabase, type PinnedDatabase, pinDatabase } from './sqlite/live-database.ts';
import { type CopyMethod, type LogEnd, type Snapshot, takeSnapshot } from './sqlite/snapshot.ts';
import { removeDeadPlacements } from './sqlite/place.ts';
import { type DatabaseStamp, resolveDatabase, stampDatabase } from './sqlite/stamp.ts';
import { type VerifiedSnapshot, verifySnapshot } from './sqlite/verify.ts';

/** Kept free beyond what a copy needs, so that a backup never takes the last byte from the app. */
const DISK_RESERVE_BYTES = 16 * 1024 * 1024;

/** @throws BackupError BUSY, DB_*, NOT_SQLITE, DISK_FULL, FOLDER_MISSING, NO_PERMISSION, VERIFY_FAILED, ABORTED. */
export async function makeBackup(request: BackupRequest, context: StoryContext): Promise<MadeBackup> {
  const catalog = new Catalog(request.folder);
  await catalog.prepare();
  try {
    const path = join(request.folder, LOCK_FILE);
    using _lock = await takeLock(path, { waitMs: request.lockWaitMs, signal: context.signal });
    return await makeBackupUnderLock(catalog, request, context);
  } catch (error) {
    // What concerns the database was explained where it was opened.
    throw explainFolderError(error, request.folder);
  }
}

/** What a backup is made for, whoever holds the lock. */
export type BackupPurpose = Omit<BackupRequest, 'kind' | 'folder' | 'lockWaitMs'>;

/** As `makeBackup`, for a story that already holds the folder's lock. */
export async function makeBackupUnderLock(
  catalog: Catalog,
  purpose: BackupPurpose,
  context: StoryContext,
): Promise<MadeBackup> {
  const pinned = await pinForBackup(catalog, purpose, context);
  const { made } = await makeBackupUnderPin(catalog, pinned, purpose, context, { keepPin: false });
  return made;
}

/** Clears what killed runs left, makes sure there is room, and pins the database. Needs the lock. */
export async function pinForBackup(
  catalog: Catalog,
  purpose: BackupPurpose,
  context: StoryContext,
): Promise<PinnedDatabase> {
  await removeLeftovers(catalog, purpose.databasePath);
  checkRoom(catalog.folder, purpose.databasePath, context);
  context.onEvent({ type: 'step', name: 'checkpoint' });
  return pinDatabase(purpose.databasePath, { now: context.now, timeoutMs: purpose.pinTimeoutMs });
}

export interface UnderPin {
  readonly keepPin: boolean;
  /** A later moment of the same log, and when that was; the moment of the pin by default. */
  readonly later?: { readonly frame: number; readonly at: Date };
}

/** Copy, verify, publish, prune: the story from the pin on. Releases the pin unless told to keep it. */
export async function makeBackupUnderPin(
  catalog: Catalog,
  pinned: PinnedDatabase,
  purpose: BackupPurpose,
  context: StoryContext,
  { keepPin, later }: UnderPin,
): Promise<{ readonly made: MadeBackup; readonly logEnd: LogEnd | null }> {
  using staging = new Staging(catalog.folder);
  let copying: Promise<Snapshot> | undefined;
  try {
    const at = later?.at ?? pinned.pinnedAt;
    const name = await freeName(catalog, at);
    context.onEvent({ type: 'pinned', backup: name });

    context.onEvent({ type: 'step', name: 'copy' });
    copying = takeSnapshot(pinned, staging.file, {
      signal: context.signal,
      onProgress: (done, total) => context.onEvent({ type: 'bytes', done, total }),
      keepPin,
      untilFrame: later?.frame,
    });
    const snapshot = await copying;

    context.onEvent({ type: 'step', name: 'verify' });
    const verified = await judge(snapshot, purpose, context);
    context.signal.throwIfAborted();

    context.onEvent({ type: 'step', name: 'publish' });
    const sequence = nextSequence(await catalog.list());
    const moment = { at, stamp: later ? null : pinned.stamp, method: snapshot.method };
    await publish(catalog, staging, verified, describe(name, sequence, moment, pinned, verified, purpose));

    context.onEvent({ type: 'step', name: 'prune' });
    const removed = purpose.trigger === 'safety' ? [] : await prune(catalog, purpose.retention, context);
    return { made: { name, sizeBytes: verified.sizeBytes, removed }, logEnd: snapshot.logEnd };
  } catch (error) {
    // Once copying began it releases the pin itself.
    if (!keepPin && !copying) pinned[Symbol.dispose]();
    throw error;
  }
}

/**
 * Removes what killed runs left: staging folders, and the file that one of them was about to publish. Needs the lock.
 */
export async function removeLeftovers(catalog: Catalog, databasePath: string): Promise<void> {
  refuseDatabaseInStaging(catalog, databasePath);
  removeDeadPlacements(databasePath);
  const unpublished = await catalog.unpublished();
  for (const backup of await listWithoutManifest(catalog.folder)) {
    if (unpublished.has(backup)) unlinkSync(join(catalog.folder, backup));
  }
  for (const entry of readdirSync(catalog.folder)) {
    if (entry.startsWith('.backup-') && entry.endsWith('.tmp')) rmSync(join(catalog.folder, entry), { force: true });
    // A removal takes the file first; killed then, it left the manifest.
    const name = entry.replace(/\.json$/, '');
    const orphan = name !== entry && isBackupName(name) && !existsSync(join(catalog.folder, name));
    if (orphan) rmSync(join(catalog.folder, entry), { force: true });
  }
  rmSync(join(catalog.folder, STAGING_FOLDER), { recursive: true, force: true });
}

/** The staging folder is cleared at each run; a database in it would be cleared away too. */
function refuseDatabaseInStaging(catalog: Catalog, databasePath: string): void {
  const staging = join(catalog.folder, STAGING_FOLDER);
  if (!existsSync(staging) || !existsSync(databasePath)) return;
  if (!`${resolveDatabase(databasePath)}/`.startsWith(`${realpathSync(staging)}/`)) return;
  throw new BackupError('BAD_CONFIG', `the database ${databasePath} lies in the staging folder of the backups`, {
    hint: 'Move it to another folder: what lies in .staging is removed at each run.',
  });
}

async function listWithoutManifest(folder: string): Promise<readonly string[]> {
  const entries = new Set(readdirSync(folder));
  return [...entries].filter((entry) => isBackupName(entry) && !entries.has(`${entry}.json`));
}

/** The folder in which one run works; on the same file system as the backups, so that a rename publishes. */
class Staging {
  #folder: string;
  readonly #root: string;

  constructor(backupsFolder: string) {
    this.#root = join(backupsFolder, STAGING_FOLDER);
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    chmodSync(this.#root, 0o700);
    this.#folder = join(this.#root, `run-${process.pid}`);
    mkdirSync(this.#folder, { mode: 0o700 });
    chmodSync(this.#folder, 0o700);
  }

  get file(): string {
    return join(this.#folder, 'snapshot.sqlite');
  }

  /** Says on disk which name is about to be published. */
  async announce(name: string): Promise<void> {
    const announced = join(this.#root, name);
    renameSync(this.#folder, announced);
    this.#folder = announced;
    await syncFolder(this.#root);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function publish(
  catalog: Catalog,
  staging: Staging,
  verified: VerifiedSnapshot,
  manifest: Manifest,
): Promise<void> {
  await staging.announce(manifest.name);
  const file = openSync(staging.file, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  chmodSync(staging.file, 0o600);
  const published = join(catalog.folder, manifest.name);
  renameSync(staging.file, published);
  try {
    await syncFolder(catalog.folder);
    if (statSync(published).size !== verified.sizeBytes) {
      throw new BackupError('VERIFY_FAILED', 'the published file has another size than the verified one', {
        hint: 'Something else writes into the backup folder; give it one of its own.',
      });
    }
    await catalog.writeManifest(manifest);
  } catch (error) {
    // Without its manifest (the disk is full) it would be listed as foreign and never be pruned.
    rmSync(published, { force: true });
    throw error;
  }
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
    const complaint = complaintAboutLive(request.databasePath);
    if (complaint === null) throw error;
    throw new BackupError(
      'DB_DAMAGED',
      `the live database ${request.databasePath} fails its integrity check: ${complaint}`,
      {
        hint: 'No old backup is removed until this is solved. Restore the newest good backup.',
        cause: error,
      },
    );
  }
}

function complaintAboutLive(databasePath: string): string | null {
  try {
    return checkLiveDatabase(databasePath);
  } catch {
    // Busy, or gone meanwhile: that it could not be looked at is no proof against it.
    return null;
  }
}

function checkRoom(folder: string, databasePath: string, context: StoryContext): void {
  const stamp = stampDatabase(databasePath, { nowMs: context.now().getTime() });
  const neededBytes = stamp.main.sizeBytes + (stamp.wal?.sizeBytes ?? 0) + DISK_RESERVE_BYTES;
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = Number(bavail) * Number(bsize);
  if (freeBytes >= neededBytes) return;
  throw new BackupError(
    'DISK_FULL',
    `the disk with ${folder} is full: ${inMegabytes(neededBytes)} needed, ${inMegabytes(freeBytes)} free`,
    {
      hint: 'Free space on that disk or lower the retention; existing backups were not touched.',
    },
  );
}

function inMegabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** Two pins in one millisecond, or a clock that jumped back, must not share a name. */
async function freeName(catalog: Catalog, moment: Date): Promise<string> {
  const taken = new Set((await catalog.list()).map((backup) => backup.name));
  const entries = new Set(readdirSync(catalog.folder));
  for (let at = moment.getTime(); ; at++) {
    const name = nameBackup(new Date(at));
    if (!taken.has(name) && !entries.has(name) && !entries.has(`${name}.json`)) return name;
  }
}

function nextSequence(backups: readonly { readonly manifest: Manifest | null }[]): number {
  return 1 + Math.max(0, ...backups.map((backup) => backup.manifest?.sequence ?? 0));
}

function describe(
  name: string,
  sequence: number,
  moment: { readonly at: Date; readonly stamp: DatabaseStamp | null; readonly method: CopyMethod },
  pinned: PinnedDatabase,
  verified: VerifiedSnapshot,
  request: Pick<BackupRequest, 'databasePath' | 'trigger' | 'user' | 'note'>,
): Manifest {
  const { sizeBytes, pageSize, pages, sha256 } = verified;
  return {
    format: MANIFEST_FORMAT,
    name,
    sequence,
    createdAt: moment.at.toISOString(),
    source: { name: basename(request.databasePath), journalMode: pinned.journalMode },
    database: { sizeBytes, pageSize, pages, sha256 },
    artifact: { file: name, sizeBytes, sha256, compression: 'none', encryption: 'none' },
    verification: { method: verified.method, at: verified.verifiedAt.toISOString(), complaint: null },
    trigger: request.trigger,
    user: request.user,
    pinned: false,
    note: request.note,
    copy: { method: moment.method, checkpoint: pinned.checkpoint },
    stamp: moment.stamp,
    versions: versions(sqliteVersion()),
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
