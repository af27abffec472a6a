/** A check that was given up says nothing of the file: neither that it is sound nor that it is damaged. */
import { BackupError } from '../../words/errors.ts';

export function gaveUp(why: string, cause?: unknown): BackupError {
  return new BackupError('CHECK_GAVE_UP', `the check was abandoned: ${why}`, {
    hint: 'It is not known whether the file is sound. A generated column, an index on an expression or a CHECK in it may compute that much for each row. Find out who made it, and use another backup meanwhile.',
    cause,
  });
}
