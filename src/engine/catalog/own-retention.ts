/**
 * Retention of one database at a place that may hold backups of others: those are no part of the plan and always stay, and
 * so does what may be another's, what a claim has taken over a few days ago, and what was not known of before. Pure.
 */
import type { Manifest } from '../format/manifest.ts';
import { isDoubtful, otherOf, type Ownership } from './identity.ts';
import {
  type PlanOptions,
  planRetention,
  type Retainable,
  type RetentionPlan,
  type RetentionPolicy,
} from './retention.ts';

/** What retention looks at, and what tells whose it is. */
type OwnedRetainable = Retainable & {
  readonly manifest: Pick<Manifest, 'source' | 'databaseId' | 'madeBy'> | null;
};

export interface OwnRetentionOptions extends PlanOptions {
  /** The only installation whose backups are counted and removed; left out or null: that does not matter. */
  readonly sparesAllBut?: string | null;
  /** Null: all are taken for ours. */
  readonly ownership: Ownership | null;
  /** True for a backup that this installation made and does not know of. */
  readonly isForgotten?: (name: string) => boolean;
}

/** @param backups newest first. */
export function planOwnRetention<Kind extends OwnedRetainable>(
  backups: readonly Kind[],
  policy: RetentionPolicy,
  { ownership, sparesAllBut = null, isForgotten = () => false, ...options }: OwnRetentionOptions,
): RetentionPlan<Kind> {
  const apart = new Map(backups.flatMap((backup) => reasonApart(backup)));
  const ours = backups.filter((backup) => !apart.has(backup));
  const plan = planRetention(ours, policy, options);
  const kept = new Map(plan.kept.map(({ backup, reasons }) => [backup, reasons]));
  for (const { backup } of plan.removed) {
    const reason = spared(backup) ?? (isForgotten(backup.name) ? FORGOTTEN : null);
    if (reason !== null) kept.set(backup, [reason]);
  }
  return {
    kept: backups.flatMap((backup) => {
      const reasons = apart.get(backup) ?? kept.get(backup);
      return reasons ? [{ backup, reasons }] : [];
    }),
    removed: plan.removed.filter(({ backup }) => !kept.has(backup)),
  };

  function reasonApart(backup: Kind): readonly [Kind, readonly string[]][] {
    const other = ownership && otherOf(ownership, backup);
    if (other) return [[backup, [`of another database: ${other.name}`]]];
    if (sparesAllBut !== null && backup.manifest?.madeBy?.installation !== sparesAllBut)
      return [[backup, [MADE_BY_OTHERS]]];
    if (ownership === null || !isDoubtful(ownership, backup)) return [];
    const name = backup.manifest?.source.name;
    return [[backup, [`held: several databases are called ${name}, and nothing shows whose this one is`]]];
  }

  function spared({ createdAt }: Kind): string | null {
    const spares = ownership?.spares ?? null;
    if (spares === null || options.now >= spares.until || createdAt >= spares.from) return null;
    return `held until ${spares.until.toISOString()}: it is from before the claim`;
  }
}

const MADE_BY_OTHERS = 'made by another installation, and this one took over only recently';
const FORGOTTEN = 'held: this installation made it and does not remember it';
