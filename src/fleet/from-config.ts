/** All databases of a configuration, guarded by one object. */
import { readConfig } from '../config/config-file.ts';
import type { BackupsConfig } from '../config/define-config.ts';
import { takeDotenv } from '../config/env.ts';
import { findConfigFile, loadConfigFile } from '../config/load-config-file.ts';
import { BackupError } from '../words/errors.ts';
import type { BackupService } from '../service/backup-service.ts';
import { createServiceFromEnvironment, type ServiceOverrides } from '../service/from-environment.ts';
import { Guard } from './fleet.ts';

/**
 * For an app with several databases: `const backups = await createBackups({ databases: [{ path: './db/app.sqlite' }] })`,
 * then `backups.start()`. What the configuration does not say is read from the environment.
 *
 * @throws BackupError BAD_CONFIG with one line per wrong setting, or when two databases would share a place.
 */
export async function createBackups(
  config: BackupsConfig,
  options: Pick<ServiceOverrides, 'env' | 'write'> = {},
): Promise<Guard> {
  return await Guard.open(readConfig(config, { file: 'the configuration', variables: options.env }), options);
}

/**
 * As the configuration file says, the named one or the one that is found; null where there is none.
 *
 * @throws BackupError BAD_CONFIG as `createBackups`, or when the file can't be run.
 */
export async function openConfigFile(named: string | undefined, options: ServiceOverrides = {}): Promise<Guard | null> {
  // The file may ask the environment for what stands in `.env`.
  if (options.env === undefined) takeDotenv();
  const found = findConfigFile(named);
  if (found === null) return null;
  const file = found.path;
  const configured = readConfig(await loadConfigFile(found), { file, variables: options.env });
  if (configured.isMany && options.backupsPath !== undefined) {
    throw new BackupError('BAD_REQUEST', `--backups is for one database, and ${file} has a list`, {
      hint: 'Say localPath in that file.',
    });
  }
  return await Guard.open(configured, options);
}

/** What the configuration file guards, or the one database of the environment. */
export async function openService(
  named: string | undefined,
  options: ServiceOverrides = {},
): Promise<Guard | BackupService> {
  const guard = await openConfigFile(named, options);
  if (guard === null) return createServiceFromEnvironment(options);
  return guard.isMany ? guard : (guard.databases[0]?.service ?? guard);
}
