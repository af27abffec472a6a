/**
 * Deletes one backup, everywhere or at one place. Nothing brings it back, so a person at the terminal is asked, and a
 * script says `--yes`: without an answer nothing is deleted.
 */
import type { BackupItem, TargetName } from '../../service/model.ts';
import { BackupError } from '../../words/errors.ts';
import { targetWord } from '../../words/target-word.ts';
import { exitCodes } from '../exit-codes.ts';
import { agoText, sizeText } from '../output.ts';
import { type Session, wrongUse } from '../session.ts';

export interface DeleteFlags {
  readonly target?: TargetName;
  readonly yes?: boolean;
}

export async function deleteBackup(session: Session, filename: string, flags: DeleteFlags): Promise<number> {
  const { service, output, ask, now } = session;
  const { target, yes = false } = flags;
  const backup = await service.getBackup(filename);
  const places = backup.placements.map((copy) => copy.target).filter((place) => (target ?? place) === place);
  if (!yes) {
    if (ask === undefined) throw wrongUse(`nobody can be asked whether to delete ${filename}; say --yes`);
    const what = await describe(backup, places, session);
    output.warn(what);
    if (!(await ask('Delete it? [y/N] ')))
      throw new BackupError('ABORTED', 'nothing was deleted: the answer was not yes', {
        hint: 'Repeat the command and answer yes, or add --yes.',
      });
  }
  await service.deleteBackup(filename, target === undefined ? {} : { target });
  const age = agoText(backup.createdAt, now());
  const where = target === undefined ? '' : ` from ${place(target)}`;
  output.answer({ deleted: filename }, `Deleted ${filename} (${age})${where}.`);
  return exitCodes.done;
}

async function describe(backup: BackupItem, places: readonly TargetName[], { service, now }: Session): Promise<string> {
  const { filename, size, createdAt } = backup;
  const { lastGood } = await service.getStatus();
  const where = places.length === 0 ? '' : `, stored ${places.map(stored).join(' and ')}`;
  return [
    `${filename}: ${sizeText(size)}, ${agoText(createdAt, now())}${where}.`,
    ...(lastGood?.filename === filename ? ['This is the newest good backup.'] : []),
    ...(backup.safety ? ['It is the safety copy of a restore: without it that restore cannot be undone.'] : []),
    ...(backup.pinned ? ['It is pinned.'] : []),
    'Nothing brings it back.',
  ].join('\n');
}

const place = (target: TargetName) => (target === 'local' ? 'the backup folder' : targetWord(target));
const stored = (target: TargetName) => (target === 'local' ? 'in the backup folder' : `at ${targetWord(target)}`);
