/** What `list` says beside its table: how many there are, and where they were looked for. */
import type { BackupItem, TargetName } from '../../service/model.ts';
import { targetWord } from '../../words/target-word.ts';

/** "2 backups, in ./storage/backups and at S3", "No backups in ./storage/backups." */
export function foundText(
  backups: readonly Pick<BackupItem, 'placements'>[],
  { localPath, target }: { readonly localPath: string; readonly target: TargetName | undefined },
): string {
  const word = (name: TargetName) => (name === 'local' ? `in ${localPath}` : `at ${targetWord(name)}`);
  if (backups.length === 0) return `No backups ${word(target ?? 'local')}.`;
  const places = new Set(['local', ...backups.flatMap(({ placements }) => placements.map((copy) => copy.target))]);
  const where = target === undefined ? [...places].map(word).join(' and ') : word(target);
  return `${backups.length} backup${backups.length === 1 ? '' : 's'} ${where}.`;
}

export function noFolderText(localPath: string): string {
  return `There is no folder ${localPath}.
If backups should be there, check BACKUP_LOCAL_PATH and --backups. The first \`velist-backup backup\` makes the folder.`;
}
