/** Plans retention for the folder, and carries it out. Carrying out needs the folder's lock. */
import { join } from 'node:path';
import { type Backup, Catalog } from './folder-catalog.ts';
import type { Ownership } from './identity.ts';
import { requireOwnFolder } from './own-folder.ts';
import { takeLock } from '../disk/lock.ts';
import { diskRoom, historyBudget } from '../disk/share.ts';
import { LOCK_FILE } from '../format/names.ts';
import { BackupError } from '../../words/errors.ts';
import { planOwnRetention } from './own-retention.ts';
import type { FolderRetention, RetentionPlan } from './retention.ts';
import type { DatabaseSelf } from '../writer/self.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

export interface PruneRequest {
  readonly kind: 'prune';
  readonly folder: string;
  readonly retention: FolderRetention;
  readonly lockWaitMs: number;
  /** Left out, the folder is taken for ours. */
  readonly self?: DatabaseSelf;
}

/** @param backups of that folder, newest first. */
export function planFolder(
  backups: readonly Backup[],
  folder: string,
  policy: FolderRetention,
  options: { readonly now: Date; readonly hold?: string | null; readonly ownership: Ownership | null },
): RetentionPlan {
  const { byDefault } = policy;
  // Where somebody said what to keep, that holds whatever room it takes.
  const budgetBytes = byDefault ? historyBudget(backups, diskRoom(folder), byDefault.databases) : undefined;
  return planOwnRetention(backups, { ...policy, budgetBytes }, options);
}

/**
 * The names that were removed; none of another database's. One that can't be (it is protected, a rule of its storage keeps
 * it) is told by name and fails nothing: it costs room, but no backup is the worse for it.
 *
 * @param self undefined: the folder is taken for ours.
 * @throws BackupError FOREIGN_PLACE
 */
export async function prune(
  catalog: Catalog,
  self: DatabaseSelf | undefined,
  policy: FolderRetention,
  context: StoryContext,
): Promise<readonly string[]> {
  const { ownership, backups: all } = self
    ? await requireOwnFolder(catalog, self)
    : { ownership: null, backups: await catalog.list() };
  const now = context.now();
  const planned = (backups: readonly Backup[]) =>
    planFolder(backups, catalog.folder, policy, { ownership, now }).removed.map(({ backup }) => backup);
  const removed: string[] = [];
  for (const backup of planned(all)) {
    // It may have been pinned since, or the one that made it dispensable be gone.
    const isStillPlanned = (backups: readonly Backup[]) => planned(backups).some(({ name }) => name === backup.name);
    try {
      if (await catalog.removeIf(backup, isStillPlanned)) removed.push(backup.name);
    } catch (error) {
      const { code, message, hint } = BackupError.from(error);
      // Then nothing is as it was: the run itself says so.
      if (code === 'ABORTED' || code === 'FOLDER_MISSING') throw error;
      warnIn(context)(`Not removed by retention: ${message}. ${hint}`);
    }
  }
  return removed;
}

/** Prunes under the lock of the folder. */
export async function pruneFolder(
  request: PruneRequest,
  context: StoryContext,
): Promise<{ readonly removed: readonly string[] }> {
  const lock = { waitMs: request.lockWaitMs, signal: context.signal, warn: warnIn(context) };
  using _lock = await takeLock(join(request.folder, LOCK_FILE), lock);
  return { removed: await prune(new Catalog(request.folder), request.self, request.retention, context) };
}
