/**
 * The story of one placement at S3: the file, sealed on the way; a look at what was stored; then its manifest, which
 * commits it; then remote retention, which removes only what our own manifests name. Runs in a job of its own, so it
 * never delays a snapshot.
 *
 * The manifest there says how its own artifact is sealed, so settings may change: what is stored stays as it is.
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
  type Sealing,
} from './artifact.ts';
import { manifestName, ownerOf } from './catalog/artifact.ts';
import { type Backup, Catalog } from './catalog/catalog.ts';
import { formatManifest, type Manifest } from './catalog/manifest.ts';
import { listByBackup, readRemoteManifest, toListing } from './catalog/remote-catalog.ts';
import { BackupError } from './errors.ts';
import { holdTarget } from './hold-target.ts';
import { type StoryContext, type Uploaded, type UploadRequest, warnIn } from './jobs/protocol.ts';
import { lookForPruning, pruneRemote, removeKeys } from './prune-remote.ts';
import { listAgain, prepareUpload, type UploadOrder } from './own-upload.ts';
import { takeLock, uploadLock } from './run-lock.ts';
import { bytesOf, getBytes, isNotThere, isPermanent, type ObjectStore } from './targets/object-store.ts';
import { createS3Store, type S3Store } from './targets/s3-store.ts';
import type { Holding } from './writer.ts';

const PROGRESS_EVERY_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** An unfinished upload that is older was left by a job that was killed. */
const UNFINISHED_MAX_MS = 24 * 3_600_000;

/** @throws BackupError FOREIGN_PLACE, PLACE_TAKEN, CLONED, S3_*, NO_BACKUP, VERIFY_FAILED when the local file is not what its manifest says, ABORTED. */
export async function uploadBackup(request: UploadRequest, context: StoryContext): Promise<Uploaded> {
  const catalog = new Catalog(request.folder);
  await findVerified(catalog, request.name);
  const store = createS3Store({ ...request.s3, prefix: request.prefix });
  try {
    // Two that upload one backup would leave the file of one beside the manifest of the other. Who comes second finds it stored.
    const lock = { waitMs: Number.POSITIVE_INFINITY, signal: context.signal, warn: warnIn(context) };
    using _lock = await takeLock(join(request.folder, uploadLock(request.target)), lock);
    context.onEvent({ type: 'step', name: 'upload' });
    const order = await prepareUpload(store, catalog, request, context);
    const holding = await holdTarget(store, request, context);
    const source = await findVerified(catalog, request.name);
    const stored =
      (await findStored(store, source.manifest, context)) ?? (await place(store, source, request.sealing, context));
    await confirm(store, stored, context);
    await removeOtherSealings(store, stored, context);
    context.onEvent({ type: 'step', name: 'prune' });
    return {
      key: `${request.prefix}/${stored.artifact.file}`,
      sealing: sealName(stored.artifact),
      renumbered: order.renumbered,
      ...(await lookAround(store, { ...request, holding }, order, context)),
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
    hint: 'Adopt it first; only then is it uploaded.',
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
  sealing: Sealing,
  context: StoryContext,
): Promise<Manifest> {
  const options = { signal: context.signal };
  const file = artifactName(backup.name, sealing);
  const hash = createHash('sha256');
  const sealed = digested(seal(fileStream(backup, context), sealing), hash);
  const contentType = file === backup.name ? 'application/vnd.sqlite3' : 'application/octet-stream';
  const bound = { sizeBytes: sealedBytesMax(backup.sizeBytes, sealing) };
  const { sizeBytes } = await store
    .put(file, sealed, { ...options, ...bound, contentType })
    .catch(async (error: unknown) => {
      // Stored, but without the encryption or the lock asked for: it must not stay, and no manifest names it.
      if (isPermanent(error)) await store.delete(file, options).catch(() => {});
      throw error;
    });
  const artifact = { file, sizeBytes, sha256: hash.digest('hex'), ...sealOf(sealing) };
  const manifest: Manifest = { ...backup.manifest, artifact };
  await checkForm(store, manifest, context);
  await store.put(manifestName(backup.name), bytesOf(formatManifest(manifest)), {
    ...options,
    contentType: 'application/json',
  });
  return manifest;
}

/** Reads back how the object begins: nobody must believe in an encryption that did not happen. */
async function checkForm(store: ObjectStore, { artifact }: Manifest, context: StoryContext): Promise<void> {
  const range = { to: FORM_BYTES - 1, limitBytes: FORM_BYTES, signal: context.signal };
  const form = formOf(await getBytes(store, artifact.file, range));
  const wanted = formOfSeal(artifact);
  if (form === wanted) return;
  // Without a manifest it counts as nothing; but what lies open there must not stay.
  await store.delete(artifact.file, { signal: context.signal });
  throw new BackupError(
    'S3_MISMATCH',
    `${artifact.file} in ${store.place} does not begin like ${wanted}${form === 'unknown' ? '' : ` but like ${form}`}; it was removed`,
    { hint: 'The server, or a proxy before it, changed what was uploaded. The local backup is verified.' },
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
    'S3_MISMATCH',
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
async function lookAround(
  store: S3Store,
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
    const olderThan = new Date(context.now().getTime() - UNFINISHED_MAX_MS);
    await store.sweepUploads({ olderThan, isOurs: (key) => ownerOf(key) !== null, signal: context.signal });
    return { listing: toListing(catalog, { ...whose, without: removed }), removed, survived, complaint: null };
  } catch (error) {
    const known = BackupError.from(error);
    if (known.code === 'ABORTED') throw known;
    return { listing: null, removed: [], survived: [], complaint: known.message };
  }
}

/** Of an upload of this backup that was killed before its manifest, and sealed in another way: perhaps not at all. */
async function removeOtherSealings(store: ObjectStore, uploaded: Manifest, context: StoryContext): Promise<void> {
  const current = [manifestName(uploaded.name), uploaded.artifact.file];
  const found = await listByBackup(store, uploaded.name, context);
  const leftOver = (found.get(uploaded.name) ?? []).map(({ key }) => key).filter((key) => !current.includes(key));
  await removeKeys(store, leftOver, context);
}
