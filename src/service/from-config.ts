/** All databases of a configuration, guarded by one object. */
import { readConfig } from '../config/config-file.ts';
import type { BackupsConfig } from '../config/define-config.ts';
import { loadConfigFile } from '../config/load-config-file.ts';
import type { ServiceOverrides } from './from-environment.ts';
import { Guard } from './guard.ts';

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
 * As the configuration file says.
 *
 * @throws BackupError BAD_CONFIG as `createBackups`, or when the file can't be run.
 */
export async function openConfigFile(file: string, options: ServiceOverrides = {}): Promise<Guard> {
  const config = await loadConfigFile(file);
  return await Guard.open(readConfig(config, { file, variables: options.env }), options);
}
