/**
 * Finds and loads `velist-backup.config.ts`. It is TypeScript that Node 22 can't run by itself, and a project beside
 * which this program was installed globally can't resolve `velist-backup`: jiti does the first, and is handed the module
 * for the second. Only the author's own file is run, by its owner's wish, as `vite.config.ts` is.
 */
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { BackupError } from '../engine/errors.ts';
import { type BackupsConfig, defineConfig } from './define-config.ts';

export const configFileNames = ['velist-backup.config.ts', 'velist-backup.config.js', 'velist-backup.config.mjs'];

/** @param named by the user; else it is looked for in the working folder. Null when there is none. */
export function findConfigFile(named?: string): string | null {
  if (named !== undefined && !existsSync(named)) {
    throw new BackupError('BAD_CONFIG', `there is no configuration file ${named}`, { hint: 'Check --config.' });
  }
  return named ?? configFileNames.find((name) => existsSync(name)) ?? null;
}

/** @throws BackupError BAD_CONFIG when it can't be run. */
export async function loadConfigFile(path: string): Promise<BackupsConfig> {
  const { createJiti } = await import('jiti');
  const file = resolve(path);
  // Nothing is left in the project or the temporary folder: the file may hold secrets.
  const jiti = createJiti(file, {
    fsCache: false,
    moduleCache: false,
    tryNative: false,
    virtualModules: { 'velist-backup': { defineConfig } },
  });
  try {
    return await jiti.import<BackupsConfig>(file, { default: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new BackupError('BAD_CONFIG', `${basename(path)} can't be run: ${reason}`, {
      hint: 'It must export default defineConfig({ … }), imported from velist-backup.',
      cause,
    });
  }
}
