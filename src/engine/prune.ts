/** Plans retention for the folder, and carries it out. Carrying out needs the folder's lock. */
import type { Backup, Catalog } from './catalog/catalog.ts';
import { diskRoom, historyBudget } from './disk-share.ts';
import type { StoryContext } from './jobs/protocol.ts';
import { type FolderRetention, planRetention, type RetentionPlan } from './retention.ts';

/** @param backups of that folder, newest first. */
export function planFolder(
  backups: readonly Backup[],
  folder: string,
  policy: FolderRetention,
  options: { readonly now: Date; readonly hold?: string | null },
): RetentionPlan {
  const { byDefault } = policy;
  // Where somebody said what to keep, that holds whatever room it takes.
  const budgetBytes = byDefault ? historyBudget(backups, diskRoom(folder), byDefault.databases) : undefined;
  return planRetention(backups, { ...policy, budgetBytes }, options);
}

/** The names that were removed. */
export async function prune(
  catalog: Catalog,
  policy: FolderRetention,
  context: StoryContext,
): Promise<readonly string[]> {
  const plan = planFolder(await catalog.list(), catalog.folder, policy, { now: context.now() });
  for (const { backup } of plan.removed) await catalog.remove(backup, { gently: true });
  return plan.removed.map(({ backup }) => backup.name);
}
