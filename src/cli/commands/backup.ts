/** Makes a backup now, and says where it is stored. */
import { BackupError } from '../../words/errors.ts';
import { targetWord } from '../../words/target-word.ts';
import { exitCodeOf, exitCodes } from '../exit-codes.ts';
import { sizeText } from '../output.ts';
import type { Work } from '../session.ts';
import { withRemarks } from './verify.ts';

export const makeBackup: Work = async ({ service, output }) => {
  const result = await service.performBackup(undefined, { trigger: 'cli', onProgress: output.progress.show });
  if (!result.success) {
    const error = result.error
      ? BackupError.fromJSON(result.error)
      : new BackupError('INTERNAL', 'the backup failed', { hint: 'The log has the details.' });
    output.answer(result, '');
    if (!output.json) output.error(error);
    return exitCodeOf(error.code);
  }
  const uploaded = Object.entries(result.uploaded ?? {});
  const words = (stored: boolean) => uploaded.flatMap(([name, is]) => (is === stored ? targetWord(name) : []));
  const where =
    uploaded.length > 0 && words(false).length === 0 ? `, stored locally and at ${words(true).join(' and ')}` : '';
  const completed = `Completed: ${result.filename} (${sizeText(result.size ?? 0)})${where}`;
  output.answer(result, withRemarks(completed, result.remarks ?? []));
  if (words(false).length === 0) return exitCodes.done;
  const missing = words(false).join(' and ');
  output.note(
    `The backup is stored locally, but not yet at ${missing}; the running app or the next backup tries again.`,
  );
  return exitCodes.notEverywhere;
};
