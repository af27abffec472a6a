/** What is done at a target with backups that are there already: look, change pin and note, prune, remove. Each a job of its own. */
import { join } from 'node:path';
import { manifestName } from '../format/names.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import { NO_IDENTITY, type PlaceIdentity } from '../catalog/identity.ts';
import { formatManifest, type LossMark } from '../format/manifest.ts';
import { claimTarget, readTargetIdentity, requireOwnTarget, withClaims } from '../catalog/own-target.ts';
import {
  type KnownManifest,
  listByBackup,
  listRemote,
  readRemoteManifest,
  type RemoteCatalog,
  type RemoteListing,
  toListing,
} from '../catalog/store-catalog.ts';
import { type ClaimedRemote, type ClaimRemoteRequest, claimWriting, holdTarget, seeTarget } from './hold-target.ts';
import { BackupError } from '../../words/errors.ts';
import {
  lockRemoteManifests,
  lookForPruning,
  type PrunedRemote,
  pruneRemote,
  type PruneRemoteRequest,
  removeKeys,
} from '../catalog/prune-store.ts';
import { takeLock, uploadLock } from '../disk/lock.ts';
import { idsOf } from '../writer/self.ts';
import { bytesOf, type ObjectStore } from '../store/store.ts';
import { openTarget, type TargetAccess, type TargetStore, whereOf } from '../store/kinds.ts';
import type { WritingRequest } from '../writer/writing.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

export interface RemoveRemoteRequest {
  readonly kind: 'remove-remote';
  readonly name: string;
  readonly prefix: string;
  readonly access: TargetAccess;
}

export interface ChangeRemoteRequest extends WritingRequest {
  readonly kind: 'change-remote';
  readonly name: string;
  /** The folder of the backups: its lock keeps retention away meanwhile. */
  readonly folder: string;
  readonly target: string;
  readonly prefix: string;
  readonly access: TargetAccess;
  readonly pinned: boolean;
  readonly note: string | null;
  /** Left out: as it is there. */
  readonly loss?: LossMark;
}

export interface ListRemoteRequest extends WritingRequest {
  readonly kind: 'list-remote';
  readonly prefix: string;
  readonly access: TargetAccess;
  readonly known: readonly KnownManifest[];
  /** Whose the place was when it was looked at last. */
  readonly identity?: PlaceIdentity | null;
}

/** @throws BackupError S3_* when the listing could not be had. */
export async function listRemoteBackups(request: ListRemoteRequest, context: StoryContext): Promise<RemoteListing> {
  return await withStore(request, async (store) => {
    const catalog = await listRemote(store, { known: request.known, signal: context.signal });
    const identity = await identityForReading(store, request, catalog, context);
    await seeTarget(store, request, context);
    return toListing(catalog, { identity });
  });
}

/** A key that may not ask for a missing object can still list; the owner is then unknown. */
async function identityForReading(
  store: ObjectStore,
  { self, identity: before = null }: ListRemoteRequest,
  { entries }: RemoteCatalog,
  context: StoryContext,
): Promise<PlaceIdentity> {
  const record = before?.record ?? null;
  const known = new Set([record?.id, ...(self ? idsOf(self) : [])]);
  const fits = entries.every(({ manifest }) => manifest?.databaseId === undefined || known.has(manifest.databaseId));
  try {
    // The record never changes: it is read again only where the listing does not fit it.
    const asked = { signal: context.signal, before };
    if (record !== null && fits && entries.length > 0)
      return await withClaims(store, { ...NO_IDENTITY, record }, self, entries, asked);
    return await readTargetIdentity(store, self, entries, asked);
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'S3_DENIED') throw error;
    return { ...NO_IDENTITY, complaint: error.message };
  }
}

/** Pin and note of a backup and the word on its loss, so that they hold for whoever reads there. */
export async function changeRemote(request: ChangeRemoteRequest, context: StoryContext): Promise<null> {
  return await withStore(request, async (store) => {
    await holdTarget(store, request, context);
    using _lock = await lockRemoteManifests(request.folder, request.target, context);
    const manifest = await readRemoteManifest(store, request.name, context);
    const { pinned, note, loss = manifest.loss } = request;
    const text = formatManifest({ ...manifest, pinned, note, ...(loss && { loss }) });
    await store.put(manifestName(request.name), bytesOf(text), {
      contentType: 'application/json',
      signal: context.signal,
    });
    return null;
  });
}

/** Carries out the policy on what is there now. */
export async function pruneRemoteBackups(
  request: PruneRemoteRequest,
  context: StoryContext,
): Promise<PrunedRemote & { readonly listing: RemoteListing }> {
  return await withStore(request, async (store) => {
    const holding = await holdTarget(store, request, context);
    const catalog = await listRemote(store, { known: request.known, signal: context.signal });
    const { self, target = 's3', retention, folder, known, identity: before = null } = request;
    const list = async () => catalog.entries;
    const place = whereOf(request.access, request.prefix);
    const options = { signal: context.signal, now: context.now(), target, place, list, before };
    const owned = self ? await requireOwnTarget(store, self, options) : null;
    const whose = await lookForPruning(store, catalog, { self, owned, folder, known }, context);
    const pruned = await pruneRemote(store, catalog.entries, { retention, holding, folder, target, ...whose }, context);
    return { ...pruned, listing: toListing(catalog, { ...whose, without: pruned.removed }) };
  });
}

/** Makes the place ours, by a claim that stands beside its record, and us its writer. */
export async function claimRemote(request: ClaimRemoteRequest, context: StoryContext): Promise<ClaimedRemote> {
  const { claim, folder, target } = request;
  return await withStore(request, async (store) => {
    const lock = { waitMs: Number.POSITIVE_INFINITY, signal: context.signal, warn: warnIn(context) };
    await new Catalog(folder).prepare();
    using _lock = await takeLock(join(folder, uploadLock(target)), lock);
    const identity = claim && (await claimTarget(store, claim, context));
    return { identity, ...(await claimWriting(store, request, context)) };
  });
}

/** Removes everything that is there of one backup, and checks that it is gone. A backup that is not there is fine. */
export async function removeRemote(request: RemoveRemoteRequest, context: StoryContext): Promise<null> {
  return await withStore(request, async (store) => {
    const found = await listByBackup(store, request.name, context);
    const keys = (found.get(request.name) ?? []).map(({ key }) => key);
    await removeKeys(store, keys, context);
    return null;
  });
}

async function withStore<Result>(
  { access, prefix }: Pick<ListRemoteRequest, 'access' | 'prefix'>,
  work: (store: TargetStore) => Promise<Result>,
): Promise<Result> {
  const store = openTarget(access, prefix);
  try {
    return await work(store);
  } finally {
    store.close();
  }
}
