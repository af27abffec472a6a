/**
 * The story of one placement at S3: the file, then its manifest, which commits it; then remote retention, which removes
 * only what our own manifests name. Runs in a job of its own, so it never delays a snapshot.
 */
import { createReadStream } from 'node:fs';
import { createHash } from 'node:crypto';
import { isBackupName, manifestName } from './catalog/artifact.ts';
import { type Backup, Catalog } from './catalog/catalog.ts';
import { formatManifest, type Manifest, parseManifest } from './catalog/manifest.ts';
import { BackupError } from './errors.ts';
import type { RemoveRemoteRequest, StoryContext, Uploaded, UploadRequest } from './jobs/protocol.ts';
import { getBytes, isNotThere, type ObjectStore } from './targets/object-store.ts';
import { createS3Store } from './targets/s3-store.ts';

const MANIFEST_BYTES_MAX = 1024 * 1024;
const PROGRESS_EVERY_BYTES = 4 * 1024 * 1024;

/** @throws BackupError S3_*, NO_BACKUP, VERIFY_FAILED when the local file is not what its manifest says, ABORTED. */
export async function uploadBackup(request: UploadRequest, context: StoryContext): Promise<Uploaded> {
  const backup = await new Catalog(request.folder).find(request.name);
  if (!backup.manifest) {
    throw new BackupError('BAD_BACKUP', `${request.name} has no readable manifest`, {
      hint: 'Adopt it first; only then is it uploaded.',
    });
  }
  const store = createS3Store({ ...request.s3, prefix: request.prefix });
  try {
    context.onEvent({ type: 'step', name: 'upload' });
    const options = { signal: context.signal };
    if (!(await isStored(store, backup.manifest, context))) {
      await store.put(backup.name, fileStream(backup, backup.manifest, context), {
        ...options,
        sizeBytes: backup.sizeBytes,
        contentType: 'application/vnd.sqlite3',
      });
      await store.put(manifestName(backup.name), bytesOf(formatManifest(backup.manifest)), {
        ...options,
        contentType: 'application/json',
      });
    }
    await confirm(store, backup.manifest, context);
    context.onEvent({ type: 'step', name: 'prune' });
    return {
      key: `${request.prefix}/${backup.name}`,
      removed: await pruneRemote(store, backup.manifest, request.keep, context),
    };
  } finally {
    store.close();
  }
}

/** Removes one backup from S3, the manifest first, and looks that it is gone. Not there is fine. */
export async function removeRemote(request: RemoveRemoteRequest, context: StoryContext): Promise<null> {
  const store = createS3Store({ ...request.s3, prefix: request.prefix });
  try {
    await removeObject(store, request.name, context);
  } finally {
    store.close();
  }
  return null;
}

async function isStored(store: ObjectStore, manifest: Manifest, context: StoryContext): Promise<boolean> {
  const remote = await readRemoteManifest(store, manifest.name, context);
  const head = remote && (await store.head(manifest.name, { signal: context.signal }));
  return remote?.artifact.sha256 === manifest.artifact.sha256 && head?.sizeBytes === manifest.artifact.sizeBytes;
}

async function readRemoteManifest(store: ObjectStore, name: string, context: StoryContext): Promise<Manifest | null> {
  try {
    const bytes = await getBytes(store, manifestName(name), { limitBytes: MANIFEST_BYTES_MAX, signal: context.signal });
    return parseManifest(new TextDecoder().decode(bytes), name);
  } catch (error) {
    if (isNotThere(error) || (error instanceof BackupError && error.code === 'BAD_BACKUP')) return null;
    throw error;
  }
}

async function confirm(store: ObjectStore, manifest: Manifest, context: StoryContext): Promise<void> {
  const head = await store.head(manifest.name, { signal: context.signal });
  if (head?.sizeBytes === manifest.artifact.sizeBytes) return;
  throw new BackupError(
    'S3_MISMATCH',
    `the copy of ${manifest.name} in ${store.place} has ${head?.sizeBytes ?? 'no'} bytes, not ${manifest.artifact.sizeBytes}`,
    {
      hint: 'It is uploaded again; the local backup is verified.',
    },
  );
}

/** The file's bytes, refused at their end when they are not what was verified: the upload is then abandoned. */
async function* fileStream(backup: Backup, manifest: Manifest, context: StoryContext): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let done = 0;
  let told = 0;
  for await (const chunk of createReadStream(backup.path, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    done += chunk.length;
    if (done - told >= PROGRESS_EVERY_BYTES) {
      told = done;
      context.onEvent({ type: 'bytes', done, total: backup.sizeBytes });
    }
    yield chunk;
  }
  if (hash.digest('hex') === manifest.artifact.sha256) return;
  throw new BackupError('VERIFY_FAILED', `${backup.name} is not the file that its manifest describes`, {
    hint: 'It was changed after it was made; it is not uploaded. Verify it, and check the disk.',
  });
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

async function pruneRemote(
  store: ObjectStore,
  uploaded: Manifest,
  keep: number,
  context: StoryContext,
): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { key } of store.list('backup-', { signal: context.signal })) {
    const name = key.replace(/\.json$/, '');
    if (key.endsWith('.json') && isBackupName(name)) names.push(name);
  }
  // Names sort by time, unless the clock went back; then the numbers in the manifests say what is newest. Pins and
  // safety backups are read from the manifests of the candidates alone.
  names.sort();
  const inTime = names.at(-1) === uploaded.name;
  const oldestFirst = inTime || names.length <= keep ? names : await inSequence(store, names, context);
  const candidates = oldestFirst.slice(0, Math.max(0, names.length - keep));
  const removed: string[] = [];
  for (const name of candidates) {
    const manifest = await readRemoteManifest(store, name, context);
    if (!manifest || manifest.pinned || manifest.trigger === 'safety') continue;
    await removeObject(store, name, context);
    removed.push(name);
  }
  return removed;
}

async function inSequence(store: ObjectStore, names: readonly string[], context: StoryContext) {
  const numbered: { readonly name: string; readonly sequence: number }[] = [];
  for (const name of names) {
    const manifest = await readRemoteManifest(store, name, context);
    numbered.push({ name, sequence: manifest?.sequence ?? 0 });
  }
  return numbered.sort((a, b) => a.sequence - b.sequence).map(({ name }) => name);
}

async function removeObject(store: ObjectStore, name: string, context: StoryContext): Promise<void> {
  const options = { signal: context.signal };
  for (const key of [manifestName(name), name]) {
    await store.delete(key, options);
    if ((await store.head(key, options)) === null) continue;
    throw new BackupError('S3_FAILED', `${key} is still in ${store.place} after it was deleted`, {
      hint: 'The bucket may keep deleted objects (object lock), or the key may lack DeleteObject.',
    });
  }
}
