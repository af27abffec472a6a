/**
 * Retention at a target: the same plan as for the folder, made of the manifests there. Only what manifests of this database
 * name is ever deleted; what else bears a backup's name stays and is reported.
 *
 * After each deletion the object is looked up. One that survives (a locked bucket, a key that may not delete) is told
 * by name: it costs money and disk, but no backup is the worse for it, so it fails nothing.
 */
import { join } from 'node:path';
import { manifestName } from '../format/names.ts';
import { type Backup, Catalog, inOrder } from './folder-catalog.ts';
import { judgePlace, NO_IDENTITY, otherOf, type PlaceIdentity } from './identity.ts';
import type { Manifest } from '../format/manifest.ts';
import { type OwnedTarget, withClaims } from './own-target.ts';
import {
  type KnownManifest,
  momentOf,
  readRemoteManifest,
  type RemoteCatalog,
  type RemoteEntry,
} from './store-catalog.ts';
import { BackupError, says } from '../../words/errors.ts';
import { lossHolds } from './loss.ts';
import { type OwnRetentionOptions, planOwnRetention } from './own-retention.ts';
import type { RetentionPlan, RetentionPolicy } from './retention.ts';
import { remoteManifestLock, takeLock } from '../disk/lock.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Holding } from '../writer/writer.ts';
import type { StoryContext } from '../../words/story.ts';
import type { WritingRequest } from '../writer/writing.ts';
import type { TargetAccess } from '../store/kinds.ts';

export interface PruneRemoteRequest extends WritingRequest {
  readonly kind: 'prune-remote';
  /** What was pinned here holds there. */
  readonly folder: string;
  readonly prefix: string;
  readonly access: TargetAccess;
  readonly retention: RetentionPolicy;
  readonly known: readonly KnownManifest[];
  readonly target?: string;
  /** Whose the place was when it was looked at last. */
  readonly identity?: PlaceIdentity | null;
}

export interface Survivor {
  readonly name: string;
  readonly reason: string;
}

export interface PrunedRemote {
  readonly removed: readonly string[];
  readonly survived: readonly Survivor[];
}

interface RemotePruning extends Omit<RemoteRetentionOptions, 'now' | 'sparesAllBut'> {
  readonly retention: RetentionPolicy;
  readonly holding: Holding | null;
  /** What is said of backups there holds here too. */
  readonly folder: string;
  readonly target: string;
}

export async function pruneRemote(
  store: ObjectStore,
  entries: readonly RemoteEntry[],
  pruning: RemotePruning,
  context: StoryContext,
): Promise<PrunedRemote> {
  const now = context.now();
  const planned = plannedRemovals(entries, pruning, now);
  if (planned.length > 0) await pruning.holding?.confirm();
  const removed: string[] = [];
  const survived: Survivor[] = [];
  for (const { name, manifest } of planned) {
    if (!manifest) continue;
    try {
      if (await removeIfStillPlanned(store, entries, name, { ...pruning, now }, context)) removed.push(name);
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code === 'ABORTED') throw known;
      survived.push({ name, reason: known.message });
      // A target that does not answer will not do so for the next one.
      if (says(known.code, 'whole-target')) break;
    }
  }
  return { removed, survived };
}

function plannedRemovals(
  entries: readonly RemoteEntry[],
  { retention, holding, folder: _folder, target: _target, ...options }: RemotePruning,
  now: Date,
): readonly RemoteCandidate[] {
  const sparesAllBut = holding?.sparesAllBut ?? null;
  return planRemoteRetention(entries, retention, { ...options, sparesAllBut, now }).removed.map(({ backup }) => backup);
}

/**
 * Looks again, since it may have been pinned after it was listed, here or there. From that look until it is removed
 * nobody of this folder can change what is said of it.
 */
async function removeIfStillPlanned(
  store: ObjectStore,
  entries: readonly RemoteEntry[],
  name: string,
  pruning: RemotePruning & { readonly now: Date },
  context: StoryContext,
): Promise<boolean> {
  const { folder, target, now } = pruning;
  const catalog = new Catalog(folder);
  using _there = await lockRemoteManifests(folder, target, context);
  using _here = (await pinsOf(catalog)).has(name) ? await catalog.lockManifests() : null;
  const pins = await pinsOf(catalog);
  const current = await readAgain(store, entries, name, context);
  const isPlanned = plannedRemovals(current, { ...pruning, pins }, now).some((planned) => planned.name === name);
  const manifest = current.find((entry) => entry.name === name)?.manifest;
  if (!isPlanned || !manifest) return false;
  await removeKeys(store, [manifest.artifact.file, manifestName(name)], context);
  return true;
}

/** The entries, with the manifest of that one as it is by now; without it where that is gone. */
async function readAgain(
  store: ObjectStore,
  entries: readonly RemoteEntry[],
  name: string,
  context: StoryContext,
): Promise<readonly RemoteEntry[]> {
  const head = await store.head(manifestName(name), { signal: context.signal });
  const others = entries.filter((entry) => entry.name !== name);
  const listed = entries.filter((entry) => entry.name === name);
  if (head === null) return others;
  // One that was moved to an archive can't be read, and its ETag tells that it is the same.
  if (listed.some(({ etag }) => etag === head.etag)) return entries;
  const manifest = await readRemoteManifest(store, name, context);
  return [...others, ...listed.map((entry) => ({ ...entry, etag: head.etag, manifest }))];
}

/** Held by whoever changes what is said of backups at that target, or removes one because of what is said. */
export async function lockRemoteManifests(
  folder: string,
  target: string,
  { signal }: Pick<StoryContext, 'signal'>,
): Promise<Disposable> {
  const catalog = new Catalog(folder);
  await catalog.prepare();
  return await takeLock(join(folder, remoteManifestLock(target)), { waitMs: REMOTE_LOCK_WAIT_MS, signal });
}

/** As long as a server that is slow may take to remove one backup. */
const REMOTE_LOCK_WAIT_MS = 120_000;

interface RemoteRetentionOptions extends Omit<OwnRetentionOptions, 'losses'> {
  /**
   * What the folder says of backups: a pin that was set, and a loss that was accepted after the upload hold there as well,
   * and so does a loss that is not there yet.
   */
  readonly pins: SaidHere;
}

export function planRemoteRetention(
  entries: readonly Omit<RemoteEntry, 'etag'>[],
  policy: RetentionPolicy,
  { pins, ...options }: RemoteRetentionOptions,
): RetentionPlan<RemoteCandidate> {
  const backups = entries.map(({ name, manifest, fault }) => ({
    name,
    fault,
    createdAt: momentOf(name),
    manifest: manifest && { ...manifest, ...saidOf(pins.get(name)?.manifest) },
  }));
  const there = new Set(entries.map(({ name }) => name));
  const others = [...pins.values()].filter(({ name, manifest }) => manifest?.loss && !there.has(name));
  const isOurs = (backup: Backup | RemoteCandidate) =>
    options.ownership === null || otherOf(options.ownership, backup) === null;
  const marked = inOrder<Backup | RemoteCandidate>([...backups, ...others]).filter(isOurs);
  return planOwnRetention(inOrder(backups), policy, { ...options, losses: lossHolds(marked, options.now) });
}

/** What people said of a backup, and may say anew. */
function saidOf(manifest: Backup['manifest'] | undefined): Partial<Pick<Manifest, 'pinned' | 'loss'>> {
  if (!manifest) return {};
  return { pinned: manifest.pinned, ...(manifest.loss && { loss: manifest.loss }) };
}

export type RemoteCandidate = Omit<RemoteEntry, 'etag'> & { readonly createdAt: Date };

/** The backups in a folder, by their names, as far as they have a manifest. */
type SaidHere = ReadonlyMap<string, Backup>;

/** Finds those that this installation made and does not know of: it was set back to an older image, or lost what it knew. */
function forgottenOf(
  entries: readonly Pick<RemoteEntry, 'name' | 'manifest'>[],
  installation: string | undefined,
  isKnown: (name: string) => boolean,
): ReadonlySet<string> {
  const made = entries.filter(({ manifest }) => installation && manifest?.madeBy?.installation === installation);
  return new Set(made.flatMap(({ name }) => (isKnown(name) ? [] : [name])));
}

/** What retention must know of a target and of the folder beside its policy. */
export async function lookForPruning(
  store: ObjectStore,
  { entries }: Pick<RemoteCatalog, 'entries'>,
  { self, owned, folder, known }: Pick<PruneRemoteRequest, 'self' | 'folder' | 'known'> & { owned: OwnedTarget | null },
  context: StoryContext,
): Promise<Omit<RemoteRetentionOptions, 'now'> & { readonly identity: PlaceIdentity }> {
  const pins = await pinsOf(new Catalog(folder));
  if (!self || !owned) return { pins, ownership: null, identity: NO_IDENTITY };
  const asked = { signal: context.signal, before: owned.identity };
  const identity = await withClaims(store, owned.identity, self, entries, asked);
  const ownership = judgePlace('target', identity, self, entries);
  const names = new Set([...pins.keys(), ...known.map(({ manifest }) => manifest.name)]);
  const forgotten = forgottenOf(entries, self.maker?.installation, (name) => names.has(name));
  return { pins, ownership, identity, isForgotten: (name) => forgotten.has(name) };
}

export async function pinsOf(catalog: Catalog): Promise<SaidHere> {
  return new Map((await catalog.list()).flatMap((backup) => (backup.manifest ? [[backup.name, backup] as const] : [])));
}

/**
 * The manifest last: cut before it, the listing shows a backup whose file is not there, which is never chosen and is
 * removed by the next run. A file alone would be nobody's.
 */
export async function removeKeys(store: ObjectStore, keys: readonly string[], context: StoryContext): Promise<void> {
  const options = { signal: context.signal };
  const manifestsLast = [...keys].sort((a, b) => Number(a.endsWith('.json')) - Number(b.endsWith('.json')));
  for (const key of manifestsLast) {
    await store.delete(key, options);
    if ((await store.head(key, options)) === null) continue;
    throw new BackupError(store.words.codes.mismatch, `${key} is still in ${store.place} after it was deleted`, {
      hint: store.words.undeleted,
    });
  }
}
