/** The words for a database that another program uses without sharing its log or its locks with us. */
import { BackupError } from '../../words/errors.ts';

export function notShared(message: string, hint: string): BackupError {
  return new BackupError('DB_NOT_SHARED', message, { hint });
}

/** For evidence that does not say whose it is. */
export const LOOK_FOR_ANOTHER_NAME =
  'The copy was dropped; nothing else was changed. Check whether the app opens the file under another name (a hard link, a mount of the single file) or from another machine or virtual machine; `velist-backup doctor` names what it sees. Run backups where the app runs, under the same name in the same folder.';
