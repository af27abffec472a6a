/**
 * The app's backup service, as its environment describes it:
 *
 * ```ts
 * import { backupService } from '$features/backup/service';
 * backupService.start();
 * const result = await backupService.performBackup(userId);
 * ```
 *
 * Importing it has no effect; the environment is read at the first call, which throws BAD_CONFIG when it is wrong.
 */
import type { BackupService } from '../../../service/backup-service.ts';
import { createServiceFromEnvironment } from '../../../service/from-environment.ts';
import { guardMigration, type MigrationGuardOptions } from '../../../service/restores/migration-guard.ts';

let made: BackupService | undefined;

export const backupService: BackupService = new Proxy({} as BackupService, {
  get(_, name) {
    made ??= createServiceFromEnvironment();
    const member: unknown = Reflect.get(made, name, made);
    return typeof member === 'function' ? member.bind(made) : member;
  },
});

/**
 * Runs a migration with a way back: `await withBackup(() => migrate(db))`. A pinned backup before, integrity and foreign
 * keys checked after; on failure an error that says how to get the state before.
 *
 * @throws BackupError as `guardMigration` does.
 */
export async function withBackup<Result>(
  migrate: () => Result | Promise<Result>,
  options: MigrationGuardOptions & { readonly service?: BackupService } = {},
): Promise<Result> {
  return await guardMigration(options.service ?? backupService, migrate, options);
}
