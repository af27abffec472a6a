/** Carries out a retention plan on one catalog. Needs the folder's lock. */
import type { Catalog } from './catalog/catalog.ts';
import { BackupError } from './errors.ts';
import { type StoryContext, warnIn } from './jobs/protocol.ts';
import { planRetention, type RetentionPolicy } from './retention.ts';

/**
 * The names that were removed. One that can't be (it is protected, a rule of its storage keeps it) is told by name and
 * fails nothing: it costs room, but no backup is the worse for it.
 */
export async function prune(
  catalog: Catalog,
  policy: RetentionPolicy,
  context: StoryContext,
): Promise<readonly string[]> {
  const plan = planRetention(await catalog.list(), policy, { now: context.now() });
  const removed: string[] = [];
  for (const { backup } of plan.removed) {
    try {
      await catalog.remove(backup, { gently: true });
      removed.push(backup.name);
    } catch (error) {
      const { code, message, hint } = BackupError.from(error);
      // Then nothing is as it was: the run itself says so.
      if (code === 'ABORTED' || code === 'FOLDER_MISSING') throw error;
      warnIn(context)(`Not removed by retention: ${message}. ${hint}`);
    }
  }
  return removed;
}
