/**
 * The story of one backup that comes back from a target: download, digest, unseal, digest, SQLite's own check, place. Runs in
 * a job of its own. Nothing appears under the name asked for before all of that has passed.
 *
 * What was downloaded stays when the job is stopped, killed or cut off: the next one goes on behind its last byte, as long
 * as the object is the same. A wrong or missing private key costs no second download either. It lies in a private folder of
 * the user's own (`kept-downloads.ts`), under the digest of its content.
 *
 * What it becomes is opened and checked in a fresh folder beside the place asked for, whoever may write there.
 */
import {
  constants,
  copyFileSync,
  createReadStream,
  existsSync,
  linkSync,
  lstatSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isPlain, plainCopy, unseal } from '../format/seal.ts';
import { syncFolder } from '../disk/sync-folder.ts';
import { freeBytes, inMegabytes } from '../disk/folder-error.ts';
import type { Manifest } from '../format/manifest.ts';
import { readRemoteManifest } from '../catalog/store-catalog.ts';
import { targetWord } from '../../words/target-word.ts';
import { BackupError, errnoCode, traitsOf } from '../../words/errors.ts';
import { prepareOwnFolder } from '../disk/aside.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { folderForDownload } from '../disk/kept-downloads.ts';
import { PartialFile } from '../disk/partial-file.ts';
import { isLocked, takeLock } from '../disk/lock.ts';
import { FreshFolder, removeDeadFolders } from '../sqlite/fresh-folder.ts';
import { checkDatabase, checkDigest } from './check-fetched.ts';
import { aborted, isNotThere, isPermanent, type ObjectStore } from '../store/store.ts';
import { openTarget, type TargetAccess } from '../store/kinds.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

export interface FetchRequest {
  readonly kind: 'fetch';
  /** How the command line calls the target, for what an error advises. */
  readonly target: string;
  readonly name: string;
  readonly prefix: string;
  readonly access: TargetAccess;
  /** Private keys for a sealed artifact; empty when there are none. */
  readonly identities: readonly string[];
  /** Copies there are encrypted: a copy that is not may come from anybody. */
  readonly refusePlain?: boolean;
  /** Folder for a download that may be interrupted, to resume from; null: one of the user's own. */
  readonly staging: string | null;
  /** The plain database; must not exist. */
  readonly to: string;
  readonly lockWaitMs: number;
}

export interface Fetched {
  readonly path: string;
  /** As it stands at the target. */
  readonly manifest: Manifest;
}

/** Kept free beyond what is needed, so that a download never takes the last byte from the app. */
const DISK_RESERVE_BYTES = 16 * 1024 * 1024;
const PROGRESS_EVERY_BYTES = 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** An interrupted download is resumed within a day, or not at all. */
const FORGOTTEN_MS = 24 * 3_600_000;
/** In a row, with next to nothing between them; each has the store's own retries behind it. Then the next call goes on. */
const FRUITLESS_TRIES_MAX = 4;
const RETRY_FIRST_MS = 1_000;
/** A resumed download that is not what was stored is made again once: its first half may be from before a power cut. */
const DOWNLOADS_MAX = 2;

/**
 * @throws BackupError NO_BACKUP, BAD_BACKUP, PLAIN_COPY, BAD_REQUEST without the right private key, VERIFY_FAILED when what is
 * stored is not what its manifest says, TARGET_EXISTS, DISK_FULL, BUSY, S3_*, ABORTED: nothing was placed.
 */
export async function fetchBackup(request: FetchRequest, context: StoryContext): Promise<Fetched> {
  refuseExisting(request.to);
  const store = openTarget(request.access, request.prefix);
  try {
    context.onEvent({ type: 'step', name: 'fetch' });
    const manifest = await findManifest(store, request, context);
    if (request.refusePlain && isPlain(manifest)) throw plainCopy(request.name, request.target);
    refuseWithoutIdentity(manifest, request);
    if (request.staging !== null) prepareOwnFolder(request.staging, warnIn(context));
    makePrivateFolder(dirname(request.to));
    removeDeadFolders(dirname(request.to));
    const kept = request.staging ?? folderForDownload(request.to, { sizeBytes: manifest.artifact.sizeBytes });
    using fresh = FreshFolder.beside(request.to);
    if (kept === null) {
      await fetchInto(store, manifest, { request, fresh, partial: new PartialFile(fresh.at('download')) }, context);
    } else {
      makePrivateFolder(kept);
      removeForgotten(kept, context);
      await fetchKept(store, manifest, { request, fresh, kept }, context);
      removeIfEmpty(kept);
    }
    return { path: request.to, manifest };
  } finally {
    store.close();
  }
}

async function fetchKept(
  store: ObjectStore,
  manifest: Manifest,
  { request, fresh, kept }: { readonly request: FetchRequest; readonly fresh: FreshFolder; readonly kept: string },
  context: StoryContext,
): Promise<void> {
  const named = (suffix: string) => join(kept, manifest.artifact.sha256 + suffix);
  const lockPath = named('.lock');
  const lock = { waitMs: request.lockWaitMs, signal: context.signal, warn: warnIn(context) };
  using _lock = await takeLock(lockPath, lock);
  try {
    await fetchInto(store, manifest, { request, fresh, partial: new PartialFile(named('.part')) }, context);
  } finally {
    rmSync(lockPath, { force: true });
  }
}

interface Into {
  readonly request: FetchRequest;
  readonly fresh: FreshFolder;
  readonly partial: PartialFile;
}

async function fetchInto(
  store: ObjectStore,
  manifest: Manifest,
  { request, fresh, partial }: Into,
  context: StoryContext,
): Promise<void> {
  const opened = fresh.at('database');
  try {
    await download(store, manifest, { partial, to: request.to }, context);
    context.onEvent({ type: 'step', name: 'check' });
    const { identities, target } = request;
    await openArtifact(manifest, { from: partial.path, to: opened, identities, target }, context);
    await checkDatabase(manifest, opened, target);
    context.signal.throwIfAborted();
    context.onEvent({ type: 'step', name: 'place' });
    await place(opened, request.to);
    partial.remove();
  } catch (error) {
    // A copy that is damaged at its source is of no use to the next try.
    if (error instanceof BackupError && error.code === 'VERIFY_FAILED') partial.remove();
    throw error;
  }
}

async function findManifest(
  store: ObjectStore,
  { name, target }: FetchRequest,
  context: StoryContext,
): Promise<Manifest> {
  try {
    return await readRemoteManifest(store, name, context);
  } catch (error) {
    if (!isNotThere(error)) throw error;
    throw new BackupError('NO_BACKUP', `there is no backup ${name} in ${store.place}`, {
      hint: `List what is there: velist-backup list --target ${target}.`,
      cause: error,
    });
  }
}

/** Before the first byte: who has no key waits for no download. */
function refuseWithoutIdentity({ name, artifact }: Manifest, { identities, target }: FetchRequest): void {
  if (artifact.encryption === 'none' || identities.length > 0) return;
  const what = `${name} is encrypted on ${targetWord(target)}, and the private key is not on this server`;
  const hint = `On a machine that has the key: velist-backup restore ${name} --from ${target} --to restored.sqlite --identity key.txt`;
  throw new BackupError('BAD_REQUEST', what, { hint });
}

async function download(
  store: ObjectStore,
  manifest: Manifest,
  { partial, to }: { readonly partial: PartialFile; readonly to: string },
  context: StoryContext,
): Promise<void> {
  const { file, sizeBytes, sha256 } = manifest.artifact;
  for (let downloads = 1; ; downloads++) {
    const head = await store.head(file, { signal: context.signal });
    if (head?.sizeBytes !== sizeBytes) {
      throw new BackupError(
        'VERIFY_FAILED',
        `${file} in ${store.place} has ${head?.sizeBytes ?? 'no'} bytes, but its manifest says ${sizeBytes}`,
        { hint: 'It was changed or removed after it was stored; use another backup.' },
      );
    }
    const haveBytes = partial.resume(head.etag, { sizeBytes });
    checkRooms({ partial, to }, manifest, haveBytes);
    if ((await receive(store, manifest, { partial, from: haveBytes }, context)) === sha256) return;
    partial.remove();
    if (haveBytes > 0 && downloads < DOWNLOADS_MAX) continue;
    throw new BackupError('VERIFY_FAILED', `${file} in ${store.place} is not what was stored: its digest differs`, {
      hint: 'It was changed after it was stored, or on the way here. Nothing was restored; use another backup.',
    });
  }
}

/** Appends the rest of the object; the digest of all of it. */
async function receive(
  store: ObjectStore,
  { artifact }: Manifest,
  { partial, from }: { readonly partial: PartialFile; readonly from: number },
  context: StoryContext,
): Promise<string> {
  const hash = createHash('sha256');
  const progress = countBytes(artifact.sizeBytes, context);
  for await (const chunk of readChunks(partial.path, { bytes: from })) hash.update(chunk);
  progress(from);
  await using file = await partial.open();
  giveToOwnerOfFolder(partial.path);
  let position = from;
  let tries = 0;
  while (position < artifact.sizeBytes) {
    const before = position;
    try {
      for await (const chunk of store.get(artifact.file, { from: position, signal: context.signal })) {
        if (position + chunk.length > artifact.sizeBytes) throw longer(artifact, store);
        await append(file, chunk);
        hash.update(chunk);
        position += chunk.length;
        progress(position);
      }
      break;
    } catch (error) {
      tries = position - before >= PROGRESS_EVERY_BYTES ? 1 : tries + 1;
      // At the start the first error is the answer: the settings may be wrong.
      const isHopeless = isPermanent(error) || context.signal.aborted || !isFromStore(error);
      if (isHopeless || position === 0 || tries >= FRUITLESS_TRIES_MAX) throw error;
      await sleep(RETRY_FIRST_MS * 2 ** tries, undefined, { signal: context.signal }).catch((reason: unknown) => {
        throw aborted(reason);
      });
    }
  }
  return hash.digest('hex');
}

/** The disk must not fill with bytes that no manifest announced. */
function longer({ file, sizeBytes }: Manifest['artifact'], store: ObjectStore): BackupError {
  const what = `${file} in ${store.place} has more than the ${sizeBytes} bytes of its manifest`;
  return new BackupError('VERIFY_FAILED', what, { hint: 'It was changed after it was stored; use another backup.' });
}

/** A full disk is no fault of the connection. */
function isFromStore(error: unknown): boolean {
  return error instanceof BackupError && traitsOf(error.code).blames === 'target';
}

async function append(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
}

interface Opening {
  readonly from: string;
  readonly to: string;
  readonly identities: readonly string[];
  readonly target: string;
}

/** From the artifact, whose digest was right, to the plain database. */
async function openArtifact(
  manifest: Manifest,
  { from, to, identities, target }: Opening,
  context: StoryContext,
): Promise<void> {
  const { artifact, database } = manifest;
  if (isStoredAsIs(manifest)) return takePlain(from, to);
  const hash = createHash('sha256');
  const progress = countBytes(database.sizeBytes, context);
  await using file = await open(to, 'wx', 0o600);
  let sizeBytes = 0;
  for await (const chunk of unseal(readChunks(from), artifact, identities)) {
    context.signal.throwIfAborted();
    sizeBytes += chunk.length;
    // Checked before the disk is full of something that is not a backup.
    if (sizeBytes > database.sizeBytes) break;
    await append(file, chunk);
    hash.update(chunk);
    progress(sizeBytes);
  }
  checkDigest(manifest, { sizeBytes, hash }, target);
  await file.sync();
}

function isStoredAsIs({ artifact }: Manifest): boolean {
  return artifact.compression === 'none' && artifact.encryption === 'none';
}

/** On another disk it is copied. */
function takePlain(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (errnoCode(error) === 'EEXIST') throw error;
    copyFileSync(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  }
}

async function place(opened: string, to: string): Promise<void> {
  await using file = await open(opened, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0));
  await file.chmod(0o600);
  // Root restores for whichever user may make files in that folder.
  const { uid, gid } = statSync(dirname(to));
  if (process.getuid?.() === 0) {
    await file.chown(uid, gid).catch((error: unknown) => {
      // A network file system that maps root to nobody.
      if (errnoCode(error) !== 'EPERM') throw error;
    });
  }
  await file.sync();
  try {
    // link fails where rename would overwrite.
    linkSync(opened, to);
  } catch (error) {
    if (errnoCode(error) === 'EEXIST') refuseExisting(to);
    throw error;
  }
  await syncFolder(dirname(to));
}

function refuseExisting(path: string): void {
  // Also a link to nothing, which somebody may have left there.
  if (!lstatSync(path, { throwIfNoEntry: false })) return;
  throw new BackupError('TARGET_EXISTS', `${path} already exists`, {
    hint: 'Choose another name; a restore to a new file overwrites nothing.',
  });
}

/** Room for the rest of the artifact and, where it is sealed or lies on another disk, for the database. */
function checkRooms(
  { partial, to }: { partial: PartialFile; to: string },
  manifest: Manifest,
  haveBytes: number,
): void {
  const { artifact, database } = manifest;
  const [kept, asked] = [dirname(partial.path), dirname(to)];
  const isOneDisk = statSync(kept).dev === statSync(asked).dev;
  const restBytes = artifact.sizeBytes - haveBytes + DISK_RESERVE_BYTES;
  const openedBytes = isStoredAsIs(manifest) && isOneDisk ? 0 : database.sizeBytes;
  checkRoom(asked, isOneDisk ? restBytes + openedBytes : openedBytes + DISK_RESERVE_BYTES);
  if (!isOneDisk) checkRoom(kept, restBytes);
}

function checkRoom(folder: string, neededBytes: number): void {
  const free = freeBytes(folder);
  if (free >= neededBytes) return;
  throw new BackupError(
    'DISK_FULL',
    `the disk with ${folder} is full: ${inMegabytes(neededBytes)} needed, ${inMegabytes(free)} free`,
    { hint: 'Free space on that disk, or name a place on another one with --to.' },
  );
}

function countBytes(total: number, context: StoryContext): (done: number) => void {
  let told = Number.NEGATIVE_INFINITY;
  return (done) => {
    if (done - told < PROGRESS_EVERY_BYTES && done < total) return;
    told = done;
    context.onEvent({ type: 'bytes', done, total });
  };
}

async function* readChunks(path: string, options: { readonly bytes?: number } = {}): AsyncGenerator<Uint8Array> {
  if (options.bytes === 0) return;
  const end = options.bytes === undefined ? undefined : options.bytes - 1;
  yield* createReadStream(path, { highWaterMark: CHUNK_BYTES, end }) as AsyncIterable<Buffer>;
}

/** Downloads that nobody went on with, and what killed jobs left beside them. A lock that somebody holds stays. */
function removeForgotten(folder: string, context: StoryContext): void {
  const suffixes = ['.part', '.part.etag', '.opened', '.lock'];
  const touchedMs = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  for (const entry of readdirSync(folder)) {
    const suffix = suffixes.findLast((candidate) => entry.endsWith(candidate));
    if (suffix === undefined) continue;
    const download = join(folder, entry.slice(0, -suffix.length));
    const newestMs = Math.max(...suffixes.map((other) => touchedMs(download + other)));
    if (context.now().getTime() - newestMs <= FORGOTTEN_MS || isLocked(`${download}.lock`)) continue;
    rmSync(join(folder, entry), { force: true });
  }
}

function removeIfEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}
