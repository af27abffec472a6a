/**
 * `.env` of the working folder. Bun reads it by itself; Node does not, and a program that silently ran with other settings
 * than the file says would be found out on the day of the restore.
 */
import { parseEnv } from 'node:util';
import { BackupError, errnoCode } from '../words/errors.ts';
import { readTrustedFile, refuseForeignFile } from './trusted-file.ts';

const FILE = '.env';
/** What Bun reads, by NODE_ENV some of them. https://bun.com/docs/runtime/environment-variables */
const FILES_OF_BUN = ['', '.local', '.development', '.production', '.test'].map((ending) => FILE + ending);

let warned = false;

/**
 * Its variables; none under Bun, whose user may have told it to leave the file alone.
 *
 * @throws BackupError BAD_CONFIG for a file that another user may have written. To pass over it would silently give other
 * settings than it says.
 */
export function readDotenv(): Readonly<Record<string, string | undefined>> {
  if (process.versions['bun'] !== undefined) {
    if (!process.execArgv.includes('--no-env-file')) for (const file of FILES_OF_BUN) refuseForeignFile(file, leaveIt);
    return {};
  }
  try {
    // As in the environment, a mark of the byte order is no part of the first name.
    return parseEnv(readTrustedFile(FILE, leaveIt).replace(/^\uFEFF/, ''));
  } catch (error) {
    if (error instanceof BackupError) throw error;
    if (errnoCode(error) !== 'ENOENT') warnOnce(BackupError.from(error).message);
    return {};
  }
}

const leaveIt = {
  otherwise: 'Otherwise work in a folder without it, and set the variables in the environment.',
};

/** A file that somebody else reads for us (systemd does, as root) may be closed to this user: that stops nothing. */
function warnOnce(reason: string): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    `${FILE} in the working directory can't be read (${reason}); the settings of the environment apply.`,
  );
}
