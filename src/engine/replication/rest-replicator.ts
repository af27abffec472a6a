/**
 * Has the replicator of a folder rest while the database is replaced by another file: it lets its database go and its lock,
 * which we hold until the end. If we are killed, the lock is free, and the replicator goes on by itself.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StoryContext } from '../../words/story.ts';
import { takeLock } from '../disk/lock.ts';
import { CONTINUOUS_FOLDER } from '../format/names.ts';
import { readPause, removePause, REPLICATOR_LOCK, writePause } from './pause.ts';

/** It ends with a last capture, and looks for a pause once per interval. */
const REST_WAIT_MS = 30_000;

/**
 * @param backups the folder of the backups; without a stream in it there is nothing to do.
 * @throws BackupError BUSY when it does not rest in time; ABORTED.
 */
export async function restReplicator(
  backups: string,
  user: string | null,
  { signal, now }: Pick<StoryContext, 'signal' | 'now'>,
): Promise<Disposable | null> {
  const folder = join(backups, CONTINUOUS_FOLDER);
  if (!existsSync(folder)) return null;
  const since = now().toISOString();
  if (readPause(folder) === null) writePause(folder, { reason: 'restore', since, user });
  const resume = () => {
    // Somebody may have asked for a pause of their own meanwhile.
    const pause = readPause(folder);
    if (pause?.reason === 'restore' && pause.since === since) removePause(folder);
  };
  try {
    const lock = await takeLock(join(folder, REPLICATOR_LOCK), { waitMs: REST_WAIT_MS, signal });
    return {
      [Symbol.dispose]() {
        lock[Symbol.dispose]();
        resume();
      },
    };
  } catch (error) {
    resume();
    throw error;
  }
}
