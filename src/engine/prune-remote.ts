/**
 * Retention at S3: the same plan as for the folder, made of the manifests there. Only what our own manifests name is
 * ever deleted; what else bears a backup's name stays and is reported.
 *
 * After each deletion the object is looked up. One that survives (a locked bucket, a key that may not delete) is told
 * by name: it costs money and disk, but no backup is the worse for it, so it fails nothing.
 */
import { manifestName } from './catalog/artifact.ts';
import { type Backup, type Catalog, inOrder } from './catalog/catalog.ts';
import type { Manifest } from './catalog/manifest.ts';
import { momentOf, type RemoteEntry } from './catalog/remote-catalog.ts';
import { BackupError } from './errors.ts';
import type { StoryContext, Survivor } from './jobs/protocol.ts';
import { lossHolds } from './loss.ts';
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
    readonly pins: SaidHere;
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
 * @param options.pins what the folder says of backups: a pin that was set, and a loss that was accepted after the upload hold
 * there as well, and so does a loss that is not there yet.
 * @param options.sparesAllBut the only installation whose backups are counted and removed; what others made stays.
 */
export function planRemoteRetention(
  entries: readonly Omit<RemoteEntry, 'etag'>[],
  policy: RetentionPolicy,
  options: {
    readonly pins: SaidHere;
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
    manifest: manifest && { ...manifest, ...saidOf(options.pins.get(name)?.manifest) },
  }));
  const there = new Set(entries.map(({ name }) => name));
  const others = [...options.pins.values()].filter(({ name, manifest }) => manifest?.loss && !there.has(name));
  const losses = lossHolds(inOrder<Backup | RemoteCandidate>([...backups, ...others]), options.now);
  const ordered = inOrder(backups);
  if (sparesAllBut === null) return planRetention(ordered, policy, { ...options, losses });
  const own = ordered.filter(({ manifest }) => manifest?.madeBy?.installation === sparesAllBut);
  const plan = planRetention(own, policy, { ...options, losses });
  const judged = new Map(plan.kept.map((one) => [one.backup, one]));
  const removed = new Set(plan.removed.map(({ backup }) => backup));
  const kept = ordered
    .filter((backup) => !removed.has(backup))
    .map((backup) => judged.get(backup) ?? { backup, reasons: [MADE_BY_OTHERS] });
  return { kept, removed: plan.removed };
}

/** What people said of a backup, and may say anew. */
function saidOf(manifest: Backup['manifest'] | undefined): Partial<Pick<Manifest, 'pinned' | 'loss'>> {
  if (!manifest) return {};
  return { pinned: manifest.pinned, ...(manifest.loss && { loss: manifest.loss }) };
}

const MADE_BY_OTHERS = 'made by another installation, and this one took over a short while ago';

export type RemoteCandidate = Omit<RemoteEntry, 'etag'> & { readonly createdAt: Date };

/** The backups in a folder, by their names, as far as they have a manifest. */
export type SaidHere = ReadonlyMap<string, Backup>;

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
