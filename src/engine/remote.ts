/** What is done at S3 with backups that are there already: look, change pin and note, prune, remove. Each a job of its own. */
import { manifestName } from './catalog/artifact.ts';
import { Catalog } from './catalog/catalog.ts';
import { formatManifest } from './catalog/manifest.ts';
import {
  listByBackup,
  listRemote,
  type RemoteListing,
  readRemoteManifest,
  toListing,
} from './catalog/remote-catalog.ts';
import { holdTarget, seeTarget } from './hold-target.ts';
import type {
  ChangeRemoteRequest,
  JobMap,
  ListRemoteRequest,
  PruneRemoteRequest,
  RemoveRemoteRequest,
  StoryContext,
} from './jobs/protocol.ts';
import { pinsOf, pruneRemote, removeKeys } from './prune-remote.ts';
import { bytesOf } from './targets/object-store.ts';
import { createS3Store, type S3Store } from './targets/s3-store.ts';

/** @throws BackupError S3_* when the listing could not be had. */
export async function listRemoteBackups(request: ListRemoteRequest, context: StoryContext): Promise<RemoteListing> {
  return await withStore(request, async (store) => {
    const listing = toListing(await listRemote(store, { known: request.known, signal: context.signal }));
    await seeTarget(store, request, context);
    return listing;
  });
}

/** Pin and note of a backup and the word on its loss, so that they hold for whoever reads the bucket. */
export async function changeRemote(request: ChangeRemoteRequest, context: StoryContext): Promise<null> {
  return await withStore(request, async (store) => {
    await holdTarget(store, request, context);
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
): Promise<JobMap['prune-remote']['result']> {
  return await withStore(request, async (store) => {
    const holding = await holdTarget(store, request, context);
    const catalog = await listRemote(store, { known: request.known, signal: context.signal });
    const pins = await pinsOf(new Catalog(request.folder));
    const pruned = await pruneRemote(store, catalog.entries, { retention: request.retention, pins, holding }, context);
    return { ...pruned, listing: toListing(catalog, pruned.removed) };
  });
}

/** Removes one backup, whatever is there of it, and looks that it is gone. Not there is fine. */
export async function removeRemote(request: RemoveRemoteRequest, context: StoryContext): Promise<null> {
  return await withStore(request, async (store) => {
    const found = await listByBackup(store, request.name, context);
    const keys = (found.get(request.name) ?? []).map(({ key }) => key);
    await removeKeys(store, keys, context);
    return null;
  });
}

async function withStore<Result>(
  { s3, prefix }: Pick<ListRemoteRequest, 's3' | 'prefix'>,
  work: (store: S3Store) => Promise<Result>,
): Promise<Result> {
  const store = createS3Store({ ...s3, prefix });
  try {
    return await work(store);
  } finally {
    store.close();
  }
}
