/**
 * `.env` of the working folder. Bun reads it by itself; Node does not, and a program that silently ran with other settings
 * than the file says would be found out on the day of the restore.
 */
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { BackupError, errnoCode } from '../engine/errors.ts';

const FILE = '.env';

let warned = false;

/** Its variables; none under Bun, whose user may have told it to leave the file alone. */
export function readDotenv(): Readonly<Record<string, string | undefined>> {
  if (process.versions['bun'] !== undefined) return {};
  try {
    // As in the environment, a mark of the byte order is no part of the first name.
    return parseEnv(readFileSync(FILE, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') warnOnce(BackupError.from(error).message);
    return {};
  }
}

/** A file that somebody else reads for us (systemd does, as root) may be closed to this user: that stops nothing. */
function warnOnce(reason: string): void {
  if (warned) return;
  warned = true;
  process.emitWarning(
    `${FILE} of the working folder can't be read (${reason}); the settings are those of the environment.`,
  );
}
