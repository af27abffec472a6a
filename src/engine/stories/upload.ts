/**
 * The story of one placement at a target: the file, sealed on the way; a look at what was stored; then its manifest, which
 * commits it; then remote retention, which removes only what our own manifests name. Runs in a job of its own, so it
 * never delays a snapshot.
 *
 * The manifest there says how its own artifact is sealed, so settings may change: what is stored stays as it is. Both are
 * create-only; what is replaced is the file of an upload that was killed before its manifest, and a manifest that can't be
 * read.
 */
import { createHash, type Hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import {
  artifactName,
  FORM_BYTES,
  formOf,
  formOfSeal,
  seal,
  sealedBytesMax,
  sealName,
  sealOf,
} from '../format/seal.ts';
import { manifestName, ownerOf } from '../format/names.ts';
import { type Backup, Catalog } from '../catalog/folder-catalog.ts';
import { renewIdentity } from '../catalog/own-target.ts';
import { formatManifest, type Manifest } from '../format/manifest.ts';
import { listByBackup, readRemoteManifest, toListing } from '../catalog/store-catalog.ts';
import { BackupError, says } from '../../words/errors.ts';
import { holdTarget } from './hold-target.ts';
import { isToBeRenewed } from '../store/lifecycle.ts';
import { lookForPruning, pruneRemote, removeKeys } from '../catalog/prune-store.ts';
import { listAgain, prepareUpload, type UploadOrder } from './own-upload.ts';
import { takeLock, uploadLock } from '../disk/lock.ts';
import { alreadyThere, bytesOf, getBytes, isNotThere, isPermanent, type ObjectStore } from '../store/store.ts';
import { lifecycleDaysOf, openTarget, type TargetStore } from '../store/kinds.ts';
import type { Holding } from '../writer/writer.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';
import type { UploadRequest, Uploaded } from './upload-request.ts';

const PROGRESS_EVERY_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** An unfinished upload that is older was left by a job that was killed. */
const UNFINISHED_MS_MAX = 24 * 3_600_000;

/** @throws BackupError FOREIGN_PLACE, PLACE_TAKEN, CLONED, S3_*, NO_BACKUP, VERIFY_FAILED when the local file is not what its manifest says, ABORTED. */
export async function uploadBackup(request: UploadRequest, context: StoryContext): Promise<Uploaded> {
  const catalog = new Catalog(request.folder);
  await findVerified(catalog, request.name);
  const store = openTarget(request.access, request.prefix);
  try {
    // Two that upload one backup would leave the file of one beside the manifest of the other. Who comes second finds it stored.
    const lock = { waitMs: Number.POSITIVE_INFINITY, signal: context.signal, warn: warnIn(context) };
    using _lock = await takeLock(join(request.folder, uploadLock(request.target)), lock);
    context.onEvent({ type: 'step', name: 'upload' });
    const order = await prepareUpload(store, catalog, request, context);
    const holding = await holdTarget(store, request, context);
    const source = await findVerified(catalog, request.name);
    const stored =
      (await findStored(store, source.manifest, context)) ??
      (await place(store, source, { ...request, order }, context));
    await confirm(store, stored, context);
    if (!isLeftToBucket(request)) await removeOtherSealings(store, stored, context);
    context.onEvent({ type: 'step', name: 'prune' });
    return {
      key: request.prefix === '' ? stored.artifact.file : `${request.prefix}/${stored.artifact.file}`,
      sealing: sealName(stored.artifact),
      renumbered: order.renumbered,
      ...(await tidyTarget(store, { ...request, holding }, order, context)),
    };
  } finally {
    store.close();
  }
}

/** Looks it up anew: another process may have changed its manifest while we waited. */
async function findVerified(catalog: Catalog, name: string): Promise<VerifiedBackup> {
  const backup = await catalog.find(name);
  if (backup.manifest) return { ...backup, manifest: backup.manifest };
  throw new BackupError('BAD_BACKUP', `${name} has no readable manifest`, {
    hint: 'Adopt it first; then it is uploaded.',
  });
}

/** The manifest there of the same database, when its artifact is there too, however it was sealed. */
async function findStored(store: ObjectStore, manifest: Manifest, context: StoryContext): Promise<Manifest | null> {
  const remote = await findRemoteManifest(store, manifest.name, context);
  if (remote?.database.sha256 !== manifest.database.sha256) return null;
  const head = await store.head(remote.artifact.file, { signal: context.signal });
  return head?.sizeBytes === remote.artifact.sizeBytes ? remote : null;
}

async function place(
  store: ObjectStore,
  backup: VerifiedBackup,
  request: UploadRequest & { readonly order: UploadOrder },
  context: StoryContext,
): Promise<Manifest> {
  const { sealing } = request;
  const options = { signal: context.signal };
  const file = artifactName(backup.name, sealing);
  const isLeftOver = await isThereWithoutManifest(store, file, backup.manifest, request.order, context);
  const hash = createHash('sha256');
  const sealed = digested(seal(fileStream(backup, context), sealing), hash);
  const contentType = file === backup.name ? 'application/vnd.sqlite3' : 'application/octet-stream';
  const bound = { sizeBytes: sealedBytesMax(backup.sizeBytes, sealing) };
  const { sizeBytes } = await store
    .put(file, sealed, { ...options, ...bound, contentType, ifAbsent: !isLeftOver })
    .catch(async (error: unknown) => {
      if (isLeftOver && isRefusal(error)) throw nameTaken(file, store, error);
      // Stored, but without the encryption or the lock asked for: it must not stay, and no manifest names it.
      const isOurs = !isLeftOver && isPermanent(error) && BackupError.from(error).code !== 'TARGET_EXISTS';
      if (isOurs) await store.delete(file, options).catch(() => {});
      throw error;
    });
  const artifact = { file, sizeBytes, sha256: hash.digest('hex'), ...sealOf(sealing) };
  const manifest: Manifest = { ...backup.manifest, artifact };
  await checkForm(store, manifest, context);
  await putManifest(store, manifest, context);
  return manifest;
}

/**
 * A file of that name that belongs to no whole backup: of an upload that was killed before its manifest, or of a backup
 * whose manifest or file was spoiled.
 *
 * @throws BackupError TARGET_EXISTS where another database has a backup of that name.
 */
async function isThereWithoutManifest(
  store: ObjectStore,
  file: string,
  { name, database }: Manifest,
  { before }: UploadOrder,
  { signal }: StoryContext,
): Promise<boolean> {
  const listed = before?.entries.find((entry) => entry.name === name);
  if (listed?.manifest && listed.manifest.database.sha256 !== database.sha256) throw alreadyThere(name, store.place);
  const maybe = before === null || listed !== undefined || before.unnamed.includes(file);
  return maybe && (await store.head(file, { signal })) !== null;
}

/** Nothing readable stands under its name, as we found before. */
async function putManifest(store: ObjectStore, manifest: Manifest, { signal }: StoryContext): Promise<void> {
  const name = manifestName(manifest.name);
  const put = (ifAbsent: boolean) =>
    store.put(name, bytesOf(formatManifest(manifest)), { signal, ifAbsent, contentType: 'application/json' });
  try {
    await put(true);
  } catch (error) {
    if (BackupError.from(error).code !== 'TARGET_EXISTS') throw error;
    await put(false).catch((refused: unknown) => {
      throw isRefusal(refused) ? nameTaken(name, store, refused) : refused;
    });
  }
}

/** Servers and policies that let nothing be replaced say so in several ways. */
function isRefusal(error: unknown): boolean {
  return says(BackupError.from(error).code, 'not-replaced');
}

function nameTaken(key: string, store: ObjectStore, cause: unknown): BackupError {
  return new BackupError(
    'TARGET_EXISTS',
    `there is already a "${key}" in ${store.place}, which is not a complete backup and may not be replaced`,
    {
      hint: 'An interrupted upload left it, or somebody else wrote it. There is nothing to do: the next backup has another name.',
      cause,
    },
  );
}

function isLeftToBucket({ access }: Pick<UploadRequest, 'access'>): boolean {
  return lifecycleDaysOf(access) !== null;
}

/** Reads back how the object begins: nobody must believe in an encryption that did not happen. */
async function checkForm(store: ObjectStore, { artifact }: Manifest, context: StoryContext): Promise<void> {
  const range = { to: FORM_BYTES - 1, limitBytes: FORM_BYTES, signal: context.signal };
  const form = formOf(await getBytes(store, artifact.file, range));
  const wanted = formOfSeal(artifact);
  if (form === wanted) return;
  // Without a manifest it counts as nothing; but what lies open there must not stay.
  const left = await store.delete(artifact.file, { signal: context.signal }).then(
    () => 'it was removed',
    (error: unknown) => `it is still there (${BackupError.from(error).message})`,
  );
  throw new BackupError(
    store.words.codes.mismatch,
    `${artifact.file} in ${store.place} does not begin like ${wanted}${form === 'unknown' ? '' : ` but like ${form}`}; ${left}`,
    { hint: 'Something on the way changed what was uploaded. The local backup is verified.' },
  );
}

/** Null when there is none that can be read: then it is written anew. */
async function findRemoteManifest(store: ObjectStore, name: string, context: StoryContext): Promise<Manifest | null> {
  try {
    return await readRemoteManifest(store, name, context);
  } catch (error) {
    if (isNotThere(error)) return null;
    if (error instanceof BackupError && (error.code === 'BAD_BACKUP' || error.code === 'S3_ARCHIVED')) return null;
    throw error;
  }
}

async function confirm(store: ObjectStore, { artifact }: Manifest, context: StoryContext): Promise<void> {
  const head = await store.head(artifact.file, { signal: context.signal });
  if (head?.sizeBytes === artifact.sizeBytes) return;
  throw new BackupError(
    store.words.codes.mismatch,
    `${artifact.file} in ${store.place} has ${head?.sizeBytes ?? 'no'} bytes, not ${artifact.sizeBytes}`,
    {
      hint: 'It is uploaded again; the local backup is verified.',
    },
  );
}

type VerifiedBackup = Backup & { readonly manifest: Manifest };

/** The file's bytes, refused at their end when they are not what was verified: the upload is then abandoned. */
async function* fileStream(backup: VerifiedBackup, context: StoryContext): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  // One buffer, used again: those of a read stream would lie about until they are collected.
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  await using file = await open(backup.path);
  let done = 0;
  let told = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    done += bytesRead;
    if (done - told >= PROGRESS_EVERY_BYTES) {
      told = done;
      context.onEvent({ type: 'bytes', done, total: backup.sizeBytes });
    }
    yield chunk;
  }
  if (hash.digest('hex') === backup.manifest.artifact.sha256) return;
  throw new BackupError('VERIFY_FAILED', `${backup.name} is not the file that its manifest describes`, {
    hint: 'It was changed after it was made; it is not uploaded. Verify it, and check the disk.',
  });
}

async function* digested(source: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
}

type After = Pick<Uploaded, 'listing' | 'removed' | 'survived' | 'complaint'>;

/** Lists, prunes and sweeps. The backup is stored by now: what fails here is told and fails nothing. */
async function tidyTarget(
  store: TargetStore,
  request: UploadRequest & { readonly holding: Holding | null },
  order: UploadOrder,
  context: StoryContext,
): Promise<After> {
  try {
    const { retention, holding, folder, target } = request;
    const catalog = await listAgain(store, order, request.known, { signal: context.signal });
    const whose = await lookForPruning(store, catalog, { ...request, owned: order.owned }, context);
    const { removed, survived } = retention
      ? await pruneRemote(store, catalog.entries, { retention, holding, folder, target, ...whose }, context)
      : { removed: [], survived: [] };
    const lifecycleDays = lifecycleDaysOf(request.access);
    if (lifecycleDays !== null) {
      const isOld = (storedAt: Date) => isToBeRenewed(storedAt, lifecycleDays, context.now());
      await renewIdentity(store, isOld, { signal: context.signal }).catch((error: unknown) => {
        if (BackupError.from(error).code === 'ABORTED') throw error;
      });
    }
    const olderThan = new Date(context.now().getTime() - UNFINISHED_MS_MAX);
    await store.sweepUploads({ olderThan, isOurs: (key) => ownerOf(key) !== null, signal: context.signal });
    return { listing: toListing(catalog, { ...whose, without: removed }), removed, survived, complaint: null };
  } catch (error) {
    const known = BackupError.from(error);
    if (known.code === 'ABORTED') throw known;
    return { listing: null, removed: [], survived: [], complaint: known.message };
  }
}

/** What an upload of this backup left that was killed before its manifest, sealed in another way or not at all. */
async function removeOtherSealings(store: ObjectStore, uploaded: Manifest, context: StoryContext): Promise<void> {
  const current = [manifestName(uploaded.name), uploaded.artifact.file];
  const found = await listByBackup(store, uploaded.name, context);
  const leftOver = (found.get(uploaded.name) ?? []).map(({ key }) => key).filter((key) => !current.includes(key));
  await removeKeys(store, leftOver, context);
}
