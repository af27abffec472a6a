/** Carries out a retention plan on one catalog. Needs the folder's lock. */
import type { Catalog } from './catalog/catalog.ts';
import { requireOwnFolder } from './catalog/own-folder.ts';
import type { StoryContext } from './jobs/protocol.ts';
import { planOwnRetention } from './own-retention.ts';
import type { RetentionPolicy } from './retention.ts';
import type { DatabaseSelf } from './self.ts';

/**
 * The names that were removed; none of another database's.
 *
 * @param self undefined: the folder is taken for ours.
 * @throws BackupError FOREIGN_PLACE
 */
export async function prune(
  catalog: Catalog,
  self: DatabaseSelf | undefined,
  policy: RetentionPolicy,
  context: StoryContext,
): Promise<readonly string[]> {
  const ownership = self ? (await requireOwnFolder(catalog, self)).ownership : null;
  const plan = planOwnRetention(await catalog.list(), policy, { ownership, now: context.now() });
  for (const { backup } of plan.removed) await catalog.remove(backup, { gently: true });
  return plan.removed.map(({ backup }) => backup.name);
}
