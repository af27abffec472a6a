/** The databases of a configuration, guarded by one object: also the only one, and that of the environment. */
import { oneDatabase, readConfig } from '../config/config-file.ts';
import type { BackupsConfig } from '../config/define-config.ts';
import { loadEnvironment, takeDotenv } from '../config/env.ts';
import { findConfigFile, loadConfigFile } from '../config/load-config-file.ts';
import { BackupError } from '../words/errors.ts';
import type { ServiceOverrides } from '../service/from-environment.ts';
import { Fleet } from './fleet.ts';

/**
 * For an app with several databases: `const backups = await createBackups({ databases: [{ path: './db/app.sqlite' }] })`,
 * then `backups.start()`. What the configuration does not say is read from the environment.
 *
 * @throws BackupError BAD_CONFIG with one line per wrong setting, or when two databases would share a place.
 */
export async function createBackups(
  config: BackupsConfig,
  options: Pick<ServiceOverrides, 'env' | 'write'> = {},
): Promise<Fleet> {
  return await Fleet.open(readConfig(config, { file: 'the configuration', variables: options.env }), options);
}

/**
 * What the configuration file says, the named one or the one that is found; without one the database of the environment.
 *
 * @throws BackupError BAD_CONFIG as `createBackups`, or when the file can't be run.
 */
export async function openFleet(named: string | undefined, options: ServiceOverrides = {}): Promise<Fleet> {
  // The file may ask the environment for what stands in `.env`.
  if (options.env === undefined) takeDotenv();
  const found = findConfigFile(named);
  if (found === null) return await openEnvironment(options);
  const file = found.path;
  const configured = readConfig(await loadConfigFile(found), { file, variables: options.env });
  if (configured.isMany && options.backupsPath !== undefined) {
    throw new BackupError('BAD_REQUEST', `--backups is for one database, and ${file} has a list`, {
      hint: 'Say localPath in that file.',
    });
  }
  return await Fleet.open(configured, options);
}

/** @throws BackupError BAD_CONFIG with one line per wrong setting. */
export async function openEnvironment(options: ServiceOverrides = {}): Promise<Fleet> {
  return await Fleet.open(oneDatabase(loadEnvironment(options.env)), options);
}
