/**
 * What an upload looks at first: that the target and the backup are of this database, and that the backup's number is above
 * what the target holds.
 */
import type { Backup, Catalog } from '../catalog/folder-catalog.ts';
import { judgePlace, otherOf } from '../catalog/identity.ts';
import { lookAtFolder } from '../catalog/own-folder.ts';
import { type OwnedTarget, requireOwnTarget, withClaims } from '../catalog/own-target.ts';
import { type KnownManifest, listRemote, type RemoteCatalog, type RemoteOptions } from '../catalog/store-catalog.ts';
import { BackupError } from '../../words/errors.ts';
import { numberBehind } from '../catalog/renumber.ts';
import type { DatabaseSelf } from '../writer/self.ts';
import { whereOf } from '../store/kinds.ts';
import type { ObjectStore } from '../store/store.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';
import type { UploadRequest } from './upload-request.ts';

export interface UploadOrder {
  /** Null if the request does not say which database it is. */
  readonly owned: OwnedTarget | null;
  readonly renumbered: number;
  /** What the target held before; null if nobody looked. */
  readonly before: RemoteCatalog | null;
}

/**
 * Needs the lock of uploads to that target.
 *
 * @throws BackupError FOREIGN_PLACE, BAD_CONFIG, S3_*, ABORTED
 */
export async function prepareUpload(
  store: ObjectStore,
  catalog: Catalog,
  request: UploadRequest,
  context: StoryContext,
): Promise<UploadOrder> {
  const { self, name, target, access, prefix, identity: lastSeen = null } = request;
  if (self === undefined) return { owned: null, renumbered: 0, before: null };
  await requireOwnBackup(catalog, name, self);
  let before: RemoteCatalog | null = null;
  const list = async () => {
    before ??= await listRemote(store, { known: request.known, signal: context.signal });
    return before.entries;
  };
  const now = context.now();
  const place = whereOf(access, prefix);
  const asked = { signal: context.signal, before: lastSeen };
  const owned = await requireOwnTarget(store, self, { ...asked, target, place, now, list });
  const there = await list();
  const identity = await withClaims(store, owned.identity, self, there, { ...asked, before: owned.identity });
  const ownership = judgePlace('target', identity, self, there);
  const oursThere = there.filter((entry) => otherOf(ownership, entry) === null);
  const ours = async () => await ownBackups(catalog, self);
  const renumbered = await numberBehind(catalog, name, oursThere, {
    ours,
    signal: context.signal,
    warn: warnIn(context),
  });
  return { owned: { ownership, identity }, renumbered, before };
}

/** The queue offers none of another database; a folder may change hands between two looks. */
async function requireOwnBackup(catalog: Catalog, name: string, self: DatabaseSelf): Promise<void> {
  if ((await ownBackups(catalog, self)).some((backup) => backup.name === name)) return;
  throw new BackupError('FOREIGN_PLACE', `${name} is a backup of another database, not of ${self.name}`, {
    hint: 'It was not uploaded. The service of its own database does that.',
  });
}

/** Newest first. */
async function ownBackups(catalog: Catalog, self: DatabaseSelf): Promise<readonly Backup[]> {
  const backups = await catalog.list();
  const { ownership } = lookAtFolder(catalog.folder, self, backups);
  return backups.filter((backup) => otherOf(ownership, backup) === null);
}

/** What is there after the upload; a manifest that was read before it is not read again. */
export async function listAgain(
  store: ObjectStore,
  { before }: UploadOrder,
  known: readonly KnownManifest[],
  options: RemoteOptions,
): Promise<RemoteCatalog> {
  if (before === null) return await listRemote(store, { known, ...options });
  const readBefore = before.entries.flatMap(({ etag, manifest }) =>
    etag !== '' && manifest ? [{ etag, manifest }] : [],
  );
  const after = await listRemote(store, { known: readBefore, ...options });
  const names = new Set(after.read.map(({ name }) => name));
  return { ...after, read: [...before.read.filter(({ name }) => !names.has(name)), ...after.read] };
}
