/**
 * Finds and loads `velist-backup.config.ts`. It is TypeScript that Node 22 can't run by itself, and a project beside
 * which this program was installed globally can't resolve `velist-backup`: jiti does the first, and is handed the module
 * for the second. One that is found and not named is run only if nobody else can have written it (`trusted-file.ts`).
 */
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { BackupError, errnoCode } from '../words/errors.ts';
import { type BackupsConfig, defineConfig } from './define-config.ts';
import { readTrustedFile } from './trusted-file.ts';

const configFileNames = ['velist-backup.config.ts', 'velist-backup.config.js', 'velist-backup.config.mjs'];

interface FoundConfigFile {
  readonly path: string;
  /** By the user, who answers for it then. */
  readonly isNamed: boolean;
}

/** @param named by the user; else it is looked for in the working folder. Null when there is none. */
export function findConfigFile(named?: string): FoundConfigFile | null {
  if (named !== undefined && !existsSync(named)) {
    throw new BackupError('BAD_CONFIG', `there is no configuration file ${named}`, { hint: 'Check --config.' });
  }
  const path = named ?? configFileNames.find((name) => existsSync(name));
  return path === undefined ? null : { path, isNamed: named !== undefined };
}

/** @throws BackupError BAD_CONFIG when it can't be run, or others can write it. */
export async function loadConfigFile({ path, isNamed }: FoundConfigFile): Promise<BackupsConfig> {
  const source = readSource(path, isNamed);
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
    const loaded = (await jiti.evalModule(source, { filename: file, async: true })) as { default?: BackupsConfig };
    return loaded.default ?? (loaded as BackupsConfig);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new BackupError('BAD_CONFIG', `${basename(path)} can't be run: ${reason}`, {
      hint: 'It must export default defineConfig({ … }), imported from velist-backup.',
      cause,
    });
  }
}

function readSource(path: string, isNamed: boolean): string {
  const otherwise = isNamed
    ? 'Otherwise name another file with --config.'
    : `Otherwise \`--config ${path}\` says that you trust it.`;
  try {
    return readTrustedFile(path, { isNamed, isRun: true, otherwise });
  } catch (cause) {
    if (errnoCode(cause) === undefined) throw cause;
    throw new BackupError('BAD_CONFIG', `${path} can't be read: ${BackupError.from(cause).message}`, {
      hint: 'Allow the user who runs this process to read it.',
      cause,
    });
  }
}
