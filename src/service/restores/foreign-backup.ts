/** The refusal of another database's backup: the same words on the command line and from the service. */
import { BackupError } from '../../words/errors.ts';

/** The refusal to put a backup of another database in the place of this one. */
export function foreignBackup(
  backup: string,
  { name: itsName }: { readonly name: string },
  database: string,
): BackupError {
  return new BackupError('FOREIGN_PLACE', `${backup} is of another database, ${itsName}, and not of ${database}`, {
    hint: `Nothing was changed. Restore it to a new file; if its data is to take the place of ${database}, say so with --from-other.`,
  });
}
