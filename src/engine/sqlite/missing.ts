/** The words for a database whose file is gone: the same on the command line, on the page and in docs/restore.md. */
import { BackupError } from '../../words/errors.ts';

export const NOTHING_TO_UNDO = 'Nothing is overwritten, so there is nothing to undo.';

/** How to get it back. It refuses where a file has appeared meanwhile. */
export const BRING_BACK = `\`velist-backup restore latest --in-place\` puts the newest good backup in its place. ${NOTHING_TO_UNDO}`;

/** A file appeared where one was missing: it may be the database itself, and nobody was asked whether to replace it. */
export function thereIsAFile(databasePath: string, cause?: unknown): BackupError {
  return new BackupError('TARGET_EXISTS', `there is a file at ${databasePath} again`, {
    hint: 'Nothing was changed. Look at that file first; a restore over it makes a safety backup of it.',
    cause,
  });
}

/** The name is there and the file is not: a disk that is not mounted looks like this. */
export function leadsNowhere(databasePath: string): BackupError {
  return new BackupError('DB_MISSING', `${databasePath} is a link to a file that is not there`, {
    hint: 'Check whether the disk that it points to is mounted. To restore a backup there, remove the link or set DATABASE_URL to the file itself.',
  });
}
