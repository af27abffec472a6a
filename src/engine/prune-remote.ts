/**
 * Retention at S3: the same plan as for the folder, made of the manifests there. Only what our own manifests name is
 * ever deleted; what else bears a backup's name stays and is reported.
 *
 * After each deletion the object is looked up. One that survives (a locked bucket, a key that may not delete) is told
 * by name: it costs money and disk, but no backup is the worse for it, so it fails nothing.
 */
import { manifestName } from './catalog/artifact.ts';
import { type Catalog, inOrder } from './catalog/catalog.ts';
import { momentOf, type RemoteEntry } from './catalog/remote-catalog.ts';
import { BackupError } from './errors.ts';
import type { StoryContext, Survivor } from './jobs/protocol.ts';
import { planRetention, type RetentionPlan, type RetentionPolicy } from './retention.ts';
import type { ObjectStore } from './targets/object-store.ts';
import type { Holding } from './writer.ts';

export interface PrunedRemote {
  readonly removed: readonly string[];
  readonly survived: readonly Survivor[];
}

export async function pruneRemote(
  store: ObjectStore,
  entries: readonly RemoteEntry[],
  options: {
    readonly retention: RetentionPolicy;
    readonly pins: ReadonlyMap<string, boolean>;
    readonly holding: Holding | null;
  },
  context: StoryContext,
): Promise<PrunedRemote> {
  const { retention, pins, holding } = options;
  const sparesAllBut = holding?.sparesAllBut ?? null;
  const plan = planRemoteRetention(entries, retention, { pins, sparesAllBut, now: context.now() });
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

/**
 * @param options.pins what the folder says of backups that are here too: a pin set after the upload holds there as well.
 * @param options.sparesAllBut the only installation whose backups are counted and removed; what others made stays.
 */
export function planRemoteRetention(
  entries: readonly Omit<RemoteEntry, 'etag'>[],
  policy: RetentionPolicy,
  options: {
    readonly pins: ReadonlyMap<string, boolean>;
    readonly now: Date;
    readonly hold?: string | null;
    readonly sparesAllBut?: string | null;
  },
): RetentionPlan<RemoteCandidate> {
  const { sparesAllBut = null } = options;
  const backups = entries.map(({ name, manifest, fault }) => ({
    name,
    fault,
    createdAt: momentOf(name),
    manifest: manifest && { ...manifest, pinned: options.pins.get(name) ?? manifest.pinned },
  }));
  const ordered = inOrder(backups);
  if (sparesAllBut === null) return planRetention(ordered, policy, options);
  const own = ordered.filter(({ manifest }) => manifest?.madeBy?.installation === sparesAllBut);
  const plan = planRetention(own, policy, options);
  const judged = new Map(plan.kept.map((one) => [one.backup, one]));
  const removed = new Set(plan.removed.map(({ backup }) => backup));
  const kept = ordered
    .filter((backup) => !removed.has(backup))
    .map((backup) => judged.get(backup) ?? { backup, reasons: [MADE_BY_OTHERS] });
  return { kept, removed: plan.removed };
}

const MADE_BY_OTHERS = 'made by another installation, and this one took over a short while ago';

export type RemoteCandidate = Omit<RemoteEntry, 'etag'> & { readonly createdAt: Date };

/** By the names of the backups in a folder. */
export async function pinsOf(catalog: Catalog): Promise<ReadonlyMap<string, boolean>> {
  const here = await catalog.list();
  return new Map(here.flatMap(({ name, manifest }) => (manifest ? [[name, manifest.pinned] as const] : [])));
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
