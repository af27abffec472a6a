/**
 * The backup that is not what was captured at its pin, in one file beside the stream: it stays told through restarts, until a
 * later backup is what was captured, or it is removed.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { errnoCode } from '../../words/errors.ts';
import { writePrivateJson } from '../disk/private-json.ts';

const FILE = 'untrue-backup.json';

const noteSchema = z.object({
  name: z.string(),
  /** One sentence. */
  text: z.string(),
});

type Note = z.infer<typeof noteSchema>;

/** @throws BackupError; system errors. */
export function noteUntrueBackup(folder: string, note: Note | null): void {
  if (note === null) rmSync(join(folder, FILE), { force: true });
  else writePrivateJson(join(folder, FILE), note);
}

/** The sentence; null where there is nothing to tell. */
export function untrueBackupText(folder: string): string | null {
  try {
    const { name, text } = noteSchema.parse(JSON.parse(readFileSync(join(folder, FILE), 'utf8')));
    return existsSync(join(dirname(folder), name)) ? text : null;
  } catch (error) {
    // A note that can't be read is no good news.
    return errnoCode(error) === 'ENOENT' ? null : 'A backup and a captured moment are to be the same, and are not.';
  }
}
