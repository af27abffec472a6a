/**
 * Whether the capture rests, in one file beside the stream: somebody asked for it, a restore puts another database in the
 * place of this one, or another file took its name. Whoever replaces the database holds the lock of the replicator
 * meanwhile, so the rest ends with it, however it ends.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errnoCode } from '../../words/errors.ts';
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
