/**
 * The story of a database that is not there, and comes back from a backup before the app begins an empty one. It is
 * placed whole under a name that nobody has: unlike a restore, this replaces nothing, whatever appears meanwhile.
 */
import { resolve } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import { checkSource } from './check-source.ts';
import { checkLiveDatabase } from '../sqlite/judge-live.ts';
import { placeWhereMissing } from '../sqlite/place.ts';
import type { StoryContext } from '../../words/story.ts';

export interface FirstBootRequest {
  readonly kind: 'first-boot';
  readonly source: string;
  readonly sourceName: string;
  /** Digest from the manifest; null for a file that was proven as it was built. */
  readonly sha256: string | null;
  /** Must not exist. */
  readonly databasePath: string;
  /** That of the database that it is a backup of; null when it is not known. */
  readonly journalMode: string | null;
}

/**
 * @throws BackupError VERIFY_FAILED, BAD_BACKUP, TARGET_EXISTS, RESTORE_IN_USE, DISK_FULL, NO_PERMISSION, ABORTED: nothing
 * was placed. DB_DAMAGED: the file was sound, and the database that it became is not.
 */
export async function bringBackMissing(request: FirstBootRequest, context: StoryContext): Promise<null> {
  context.onEvent({ type: 'step', name: 'check' });
  await checkSource(request);
  context.signal.throwIfAborted();

  // From here on a stop is ignored: the replacement is all or nothing.
  context.onEvent({ type: 'step', name: 'place' });
  const databasePath = resolve(request.databasePath);
  placeWhereMissing(request.source, databasePath, request.journalMode);

  context.onEvent({ type: 'step', name: 'prove' });
  const complaint = complaintAbout(databasePath, request);
  if (complaint === null) return null;
  throw new BackupError('DB_DAMAGED', `the restored database fails its check: ${complaint}`, {
    hint: `${request.sourceName} passed its own check: find out whether the disk of the database is sound.`,
  });
}

function complaintAbout(databasePath: string, { sourceName }: FirstBootRequest): string | null {
  try {
    return checkLiveDatabase(databasePath);
  } catch (error) {
    const { code, message } = BackupError.from(error);
    throw new BackupError(code, `${sourceName} was put in place, but the result was not checked: ${message}`, {
      hint: 'The file passed its own check. Make a backup when the database is free: that checks all of it.',
      cause: error,
    });
  }
}
