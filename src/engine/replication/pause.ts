/**
 * Whether the capture rests, in one file beside the stream: somebody asked for it, a restore puts another database in the
 * place of this one, or another file took its name. Whoever replaces the database holds the lock of the replicator
 * meanwhile, so the rest ends with it, however it ends.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { takeLock } from '../disk/lock.ts';
import { writePrivateJson } from '../disk/private-json.ts';

const FILE = 'paused.json';

const pauseSchema = z.object({
  reason: z.enum(['asked', 'restore', 'replaced']),
  since: z.string(),
  user: z.string().nullable(),
});

type Pause = z.infer<typeof pauseSchema>;

/** One replicator per stream, and none while its database is replaced. */
export const REPLICATOR_LOCK = '.replicator.lock';

export function readPause(folder: string): Pause | null {
  let text: string;
  try {
    // An error at each look costs more than the look.
    if (statSync(join(folder, FILE), { throwIfNoEntry: false }) === undefined) return null;
    text = readFileSync(join(folder, FILE), 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    return pauseSchema.parse(JSON.parse(text));
  } catch {
    // Somebody wanted it to rest, whatever is written there.
    return { reason: 'asked', since: new Date(0).toISOString(), user: null };
  }
}

export function writePause(folder: string, pause: Pause): void {
  writePrivateJson(join(folder, FILE), pause);
}

export function removePause(folder: string): void {
  rmSync(join(folder, FILE), { force: true });
}

/** @throws BackupError BUSY while another process has it. */
export async function takeReplicatorLock(
  { folder, databasePath }: { readonly folder: string; readonly databasePath: string },
  options: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<Disposable> {
  try {
    return await takeLock(join(folder, REPLICATOR_LOCK), options);
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'BUSY') throw error;
    throw new BackupError('BUSY', `another process captures the commits of ${basename(databasePath)}`, {
      hint: 'One is enough, and this one takes over when that one ends.',
      cause: error,
    });
  }
}
