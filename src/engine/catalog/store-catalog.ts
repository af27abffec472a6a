/**
 * What a target holds, by the manifests there: an object without one is no backup. A manifest is read once and known
 * by its ETag from then on, so that a listing costs a page per thousand objects and little else.
 *
 * One that can't be read, or whose file is not there, is a backup with a fault; it never hides the others. Only a target
 * that does not answer fails the whole listing: nobody must take silence for an empty bucket.
 */
import { BackupError, says } from '../../words/errors.ts';
import { getBytes, isNotThere, type ListedObject, type ObjectStore } from '../store/store.ts';
import { backupMoment, manifestName, ownerOf } from '../format/names.ts';
import type { Backup } from './folder-catalog.ts';
import { NO_IDENTITY, type PlaceIdentity } from './identity.ts';
import { type Manifest, parseManifest } from '../format/manifest.ts';

const MANIFEST_BYTES_MAX = 1024 * 1024;
/** Limits what one listing reads, because it lies in memory here and with whoever asked. The next listing reads the rest. */
const READ_BYTES_MAX = 64 * 1024 * 1024;
const READERS_MAX = 8;
/** Each may have taken its retries; so many say that the target is at fault and not a manifest. */
const UNREAD_MAX = 8;

/** A backup at a target. `sizeBytes` is that of the database that it becomes. */
export type RemoteBackup = Omit<Backup, 'path'> & {
  /** Class of storage that its file has to be brought back from before it can be read; null for one that can be read. */
  readonly archive?: string | null;
};

/** What planning needs of a manifest: small, because it travels to each job. */
type ManifestFacts = Pick<
  Manifest,
  | 'name'
  | 'sequence'
  | 'source'
  | 'trigger'
  | 'pinned'
  | 'verification'
  | 'database'
  | 'artifact'
  | 'databaseId'
  | 'madeAfter'
  | 'arrived'
  | 'madeBy'
  | 'loss'
> &
  // Only for a place without a record: there it tells several databases of one name apart.
  Partial<Pick<Manifest, 'stamp'>>;

export interface KnownManifest {
  readonly etag: string;
  readonly manifest: ManifestFacts;
}

export interface RemoteEntry {
  readonly name: string;
  /** The manifest's: it is the same as long as this is. Empty when it must be read again. */
  readonly etag: string;
  readonly manifest: ManifestFacts | null;
  /** Why this can't be relied on. */
  readonly fault: string | null;
  /** Class of storage that its file has to be brought back from before it can be read. */
  readonly archive?: string | null;
}

export interface RemoteCatalog {
  readonly entries: readonly RemoteEntry[];
  /** The manifests that were not known. */
  readonly read: readonly Manifest[];
  /** Files with the name of a backup that has no manifest: an upload that is going or was killed, or not ours. */
  readonly unnamed: readonly string[];
}

export interface RemoteOptions {
  readonly signal: AbortSignal;
}

/** @throws BackupError S3_* when the target does not answer, ABORTED. */
export async function listRemote(
  store: ObjectStore,
  { known = [], signal }: RemoteOptions & { readonly known?: readonly KnownManifest[] },
): Promise<RemoteCatalog> {
  const knownByName = new Map(known.map((one) => [one.manifest.name, one]));
  const found = await listByBackup(store, 'backup-', { signal });
  const entries: RemoteEntry[] = [];
  const read: Manifest[] = [];
  const unnamed: string[] = [];
  let unread = 0;
  let readBytes = 0;

  async function look(name: string, objects: readonly ListedObject[]): Promise<void> {
    const listed = objects.find(({ key }) => key === manifestName(name));
    if (listed === undefined) {
      unnamed.push(...objects.map(({ key }) => key));
      return;
    }
    const before = knownByName.get(name);
    const add = (etag: string, manifest: ManifestFacts) =>
      entries.push({ name, etag, manifest, fault: faultOf(manifest, objects), archive: archiveOf(manifest, objects) });
    if (before?.etag === listed.etag) {
      add(listed.etag, before.manifest);
      return;
    }
    if (readBytes >= READ_BYTES_MAX) {
      entries.push({ name, etag: '', manifest: null, fault: 'its manifest has not been read yet', archive: null });
      return;
    }
    readBytes += Math.min(listed.sizeBytes, MANIFEST_BYTES_MAX);
    try {
      const manifest = await readRemoteManifest(store, name, { signal });
      read.push(manifest);
      add(listed.etag, manifest);
    } catch (error) {
      const known = BackupError.from(error);
      if (isNotThere(known)) return; // removed since it was listed
      const isOfThisOne = known.code === 'BAD_BACKUP' || known.code === 'S3_ARCHIVED';
      if (!isOfThisOne && (known.code === 'ABORTED' || says(known.code, 'whole-target') || ++unread > UNREAD_MAX))
        throw known;
      // What is no manifest is none as long as it is the same; one that could not be read is read again.
      const etag = known.code === 'BAD_BACKUP' ? listed.etag : '';
      entries.push({ name, etag, manifest: null, fault: known.message, archive: listed.archive ?? null });
    }
  }

  // The newest first: what is left for the next listing is what is needed least.
  const pending = [...found].reverse().values();
  const reader = async () => {
    for (const [name, objects] of pending) await look(name, objects);
  };
  await Promise.all(Array.from({ length: READERS_MAX }, reader));
  return { entries, read, unnamed: unnamed.sort() };
}

/** @throws BackupError GONE, BAD_BACKUP for one that is unreadable or not its own backup's, S3_*. */
export async function readRemoteManifest(store: ObjectStore, name: string, options: RemoteOptions): Promise<Manifest> {
  const bytes = await getBytes(store, manifestName(name), { limitBytes: MANIFEST_BYTES_MAX, ...options }).catch(
    (error: unknown) => {
      if (!(error instanceof BackupError) || error.code !== 'BAD_REQUEST') throw error;
      throw new BackupError('BAD_BACKUP', `the manifest ${name}.json is far too large`, {
        hint: 'It was not written by this program; remove it.',
        cause: error,
      });
    },
  );
  return parseManifest(new TextDecoder().decode(bytes), name);
}

/** What is there of each backup: manifest and artifacts, however they are sealed. */
export async function listByBackup(
  store: ObjectStore,
  prefix: string,
  options: RemoteOptions,
): Promise<ReadonlyMap<string, readonly ListedObject[]>> {
  const found = new Map<string, ListedObject[]>();
  for await (const object of store.list(prefix, options)) {
    const name = ownerOf(object.key);
    if (name === null) continue;
    const objects = found.get(name);
    if (objects) objects.push(object);
    else found.set(name, [object]);
  }
  return found;
}

/** What a job tells its parent: the parent knows the manifests that were not read again. */
export interface RemoteListing {
  readonly entries: readonly Omit<RemoteEntry, 'manifest'>[];
  readonly read: readonly Manifest[];
  readonly unnamed: readonly string[];
  /** Whose the place is. */
  readonly identity: PlaceIdentity;
}

/** @param without backups that were removed after they were listed. */
export function toListing(
  catalog: RemoteCatalog,
  {
    identity = NO_IDENTITY,
    without = [],
  }: { readonly identity?: PlaceIdentity; readonly without?: readonly string[] } = {},
): RemoteListing {
  const gone = new Set(without);
  return {
    entries: catalog.entries
      .filter(({ name }) => !gone.has(name))
      .map(({ name, etag, fault, archive }) => ({ name, etag, fault, archive })),
    read: catalog.read.filter(({ name }) => !gone.has(name)),
    unnamed: catalog.unnamed,
    identity,
  };
}

/** An entry as a backup; `manifest` is the whole one where it is known. */
export function toRemoteBackup(
  entry: Pick<RemoteBackup, 'name' | 'fault' | 'archive'> & { readonly manifest: Manifest | null },
): RemoteBackup {
  const { name, manifest, fault, archive } = entry;
  const sizeBytes = manifest?.database.sizeBytes ?? 0;
  return { name, manifest, fault, archive, sizeBytes, createdAt: momentOf(name) };
}

export function momentOf(name: string): Date {
  const moment = backupMoment(name);
  if (moment === null) throw new Error(`${name} is not the name of a backup`); // listings hold no other
  return moment;
}

function archiveOf({ artifact }: ManifestFacts, objects: readonly ListedObject[]): string | null {
  return objects.find(({ key }) => key === artifact.file)?.archive ?? null;
}

/** A block of zstd opens to 128 KiB at most, and takes 4 bytes at least (RFC 8878, 3.1.1.2). */
const EXPANSION_MAX = 32_768;

function faultOf({ artifact, database }: ManifestFacts, objects: readonly ListedObject[]): string | null {
  const file = objects.find(({ key }) => key === artifact.file);
  if (file === undefined) return 'its file is not there';
  if (file.sizeBytes !== artifact.sizeBytes)
    return `its file has ${file.sizeBytes} bytes, but its manifest says ${artifact.sizeBytes}`;
  // Nobody must make room for what can't come of it.
  const opensToMax = artifact.sizeBytes * (artifact.compression === 'zstd' ? EXPANSION_MAX : 1);
  if (database.sizeBytes <= opensToMax) return null;
  return `its file of ${file.sizeBytes} bytes can't hold the ${database.sizeBytes} that its manifest says`;
}
