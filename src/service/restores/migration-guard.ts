/**
 * A migration with a way back: a backup before, the thorough check after, and where either says no, an error that names
 * the backup.
 */
import { BackupError } from '../../words/errors.ts';
import type { RuleFinding } from '../../engine/sqlite/rules.ts';
import type { BackupService } from '../backup-service.ts';
import { remarkTexts } from '../protection/remarks.ts';

export interface MigrationGuardOptions {
  /** False when there is nothing to migrate: then no backup is made and nothing is checked. */
  readonly pending?: () => boolean | Promise<boolean>;
  /** Puts the database back to the state before, online, when the migration or the check fails; then throws. */
  readonly restoreOnFailure?: boolean;
}

/**
 * Makes a backup, pins it, migrates, then runs the thorough check of the live database: its structure has to be sound, and
 * no more rows than before may break a rule of their table or miss their parent.
 * The pin stays until the next migration went well. On a database that does not exist yet only the check is run.
 *
 * @returns what `migrate` returns.
 * @throws BackupError MIGRATION_FAILED with the name of the backup and the way back; its `cause` is what went wrong. What
 * the backup itself failed with, before anything was migrated.
 */
export async function guardMigration<Result>(
  service: BackupService,
  migrate: () => Result | Promise<Result>,
  { pending, restoreOnFailure = false }: MigrationGuardOptions = {},
): Promise<Result> {
  if (pending && !(await pending())) return await migrate();
  const filename = await backUp(service);
  const before = filename === null ? [] : (await service.checkDatabase()).content;
  let result: Result;
  try {
    result = await migrate();
    await check(service, before);
    service.noteMigration();
  } catch (error) {
    throw await failed(service, error, { filename, restoreOnFailure });
  }
  await service.keepForMigration(filename);
  return result;
}

/** Null if there is no database yet. */
async function backUp(service: BackupService): Promise<string | null> {
  const { success, filename, error } = await service.performBackup();
  if (filename !== undefined && success) {
    await service.updateBackup(filename, { pinned: true, note: 'before a migration' });
    await service.markBeforeMigration(filename);
    return filename;
  }
  if (error?.code === 'DB_MISSING' || error?.code === 'DB_EMPTY') return null;
  throw error
    ? BackupError.fromJSON({ ...error, message: `no backup could be made before the migration: ${error.message}` })
    : new BackupError('INTERNAL', 'the backup before the migration failed', { hint: 'The log has the details.' });
}

async function check(service: BackupService, before: readonly RuleFinding[]): Promise<void> {
  const { structure, content } = await service.checkDatabase();
  // Rows that broke a rule before are not this migration's doing.
  const faults = [...structure, ...remarkTexts({ content: addedTo(before, content), unchecked: [] })];
  if (faults.length > 0) throw new Error(`the check after it reports: ${faults.join('; ')}`);
}

function addedTo(before: readonly RuleFinding[], after: readonly RuleFinding[]): readonly RuleFinding[] {
  return after.flatMap(({ table, rule, rows }) => {
    const same = before.find((finding) => finding.table === table && finding.rule === rule);
    if (!same) return [{ table, rule, rows }];
    // Not counted on either side, nobody can say that they are more.
    const added = rows === null || same.rows === null ? 0 : rows - same.rows;
    return added > 0 ? [{ table, rule, rows: added }] : [];
  });
}

async function failed(
  service: BackupService,
  cause: unknown,
  { filename, restoreOnFailure }: { readonly filename: string | null; readonly restoreOnFailure: boolean },
): Promise<BackupError> {
  const message = `the migration failed: ${cause instanceof Error ? cause.message : String(cause)}`;
  if (filename === null) {
    return new BackupError('MIGRATION_FAILED', message, { hint: 'There was no database before it.', cause });
  }
  const wayBack = `velist-backup restore ${filename} --online`;
  if (!restoreOnFailure) {
    return new BackupError('MIGRATION_FAILED', message, {
      hint: `The state before it is kept in ${filename}. To restore it: ${wayBack}`,
      cause,
    });
  }
  try {
    await service.restore(filename);
  } catch (error) {
    return new BackupError('MIGRATION_FAILED', `${message}; and the state before it could not be restored`, {
      hint: `${BackupError.from(error).message}. Stop the app, then: velist-backup restore ${filename} --in-place`,
      cause,
    });
  }
  return new BackupError('MIGRATION_FAILED', `${message}; the state before it was restored`, {
    hint: `The state that the migration left is kept in a safety backup: velist-backup undo brings it back.`,
    cause,
  });
}
