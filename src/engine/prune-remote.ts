/**
 * Retention at S3: the same plan as for the folder, made of the manifests there. Only what manifests of this database
 * name is ever deleted; what else bears a backup's name stays and is reported.
 *
 * After each deletion the object is looked up. One that survives (a locked bucket, a key that may not delete) is told
 * by name: it costs money and disk, but no backup is the worse for it, so it fails nothing.
 */
import { manifestName } from './catalog/artifact.ts';
import { type Backup, Catalog, inOrder } from './catalog/catalog.ts';
import { judgePlace, NO_IDENTITY, otherOf, type PlaceIdentity } from './catalog/identity.ts';
import type { Manifest } from './catalog/manifest.ts';
import { type OwnedTarget, withClaims } from './catalog/own-target.ts';
import { momentOf, type RemoteCatalog, type RemoteEntry } from './catalog/remote-catalog.ts';
import { BackupError } from './errors.ts';
import type { PruneRemoteRequest, StoryContext, Survivor } from './jobs/protocol.ts';
import { lossHolds } from './loss.ts';
import { type OwnRetentionOptions, planOwnRetention } from './own-retention.ts';
import type { RetentionPlan, RetentionPolicy } from './retention.ts';
import type { ObjectStore } from './targets/object-store.ts';
import type { Holding } from './writer.ts';

export interface PrunedRemote {
  readonly removed: readonly string[];
  readonly survived: readonly Survivor[];
}

export async function pruneRemote(
  store: ObjectStore,
  entries: readonly RemoteEntry[],
  {
    retention,
    holding,
    ...options
  }: { readonly retention: RetentionPolicy; readonly holding: Holding | null } & Omit<RemoteRetentionOptions, 'now'>,
  context: StoryContext,
): Promise<PrunedRemote> {
  const sparesAllBut = holding?.sparesAllBut ?? null;
  const plan = planRemoteRetention(entries, retention, { ...options, sparesAllBut, now: context.now() });
  if (plan.removed.length > 0) await holding?.confirm();
  const removed: string[] = [];
  const survived: Survivor[] = [];
  for (const { backup } of plan.removed) {
    if (!backup.manifest) continue;
    try {
      await removeKeys(store, [backup.manifest.artifact.file, manifestName(backup.name)], context);
      removed.push(backup.name);
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code === 'ABORTED') throw known;
      survived.push({ name: backup.name, reason: known.message });
      // A server that does not answer will not do so for the next one.
      if (known.code === 'S3_UNREACHABLE') break;
    }
  }
  return { removed, survived };
}

export interface RemoteRetentionOptions extends Omit<OwnRetentionOptions, 'losses'> {
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
export type SaidHere = ReadonlyMap<string, Backup>;

/** Finds those that this installation made and does not know of: it was set back to an older image, or lost what it knew. */
export function forgottenOf(
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
    throw new BackupError('S3_MISMATCH', `${key} is still in ${store.place} after it was deleted`, {
      hint: 'The bucket may keep deleted objects (object lock), or the key may lack DeleteObject.',
    });
  }
}
