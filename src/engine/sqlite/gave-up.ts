/** A check that was given up says nothing of the file: neither that it is sound nor that it is damaged. */
import { BackupError } from '../../words/errors.ts';

export function gaveUp(why: string, cause?: unknown): BackupError {
  return new BackupError('CHECK_GAVE_UP', `the check was given up: ${why}`, {
    hint: 'Whether the file is sound is not known. A generated column, an index on an expression or a CHECK in it may compute that much for each row: see who made it, and use another backup meanwhile.',
    cause,
  });
}
