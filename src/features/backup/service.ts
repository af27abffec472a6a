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
import type { BackupService } from '../../service/backup-service.ts';
import { createServiceFromEnvironment } from '../../service/from-environment.ts';

let made: BackupService | undefined;

export const backupService: BackupService = new Proxy({} as BackupService, {
  get(_, name) {
    made ??= createServiceFromEnvironment();
    const member: unknown = Reflect.get(made, name, made);
    return typeof member === 'function' ? member.bind(made) : member;
  },
});
