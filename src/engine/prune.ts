/** Carries out a retention plan on one catalog. Needs the folder's lock. */
import type { Catalog } from './catalog/catalog.ts';
import type { StoryContext } from './jobs/protocol.ts';
import { planRetention, type RetentionPolicy } from './retention.ts';

/** The names that were removed. */
export async function prune(
  catalog: Catalog,
  policy: RetentionPolicy,
  context: StoryContext,
): Promise<readonly string[]> {
  const plan = planRetention(await catalog.list(), policy, { now: context.now() });
  for (const { backup } of plan.removed) await catalog.remove(backup, { gently: true });
  return plan.removed.map(({ backup }) => backup.name);
}
