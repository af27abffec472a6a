/**
 * What went wrong in the backup folder, in words that name it: a system error says `ENOSPC`, SQLite says "unable to open
 * database file" for a folder that was unmounted, and neither helps the reader at night.
 */
import { existsSync, readFileSync } from 'node:fs';
import { BackupError, errnoCode } from '../errors.ts';

/** https://sqlite.org/rescode.html#full */
const SQLITE_FULL = 13;

/** A stop is left as it is, and so are errors that explain themselves, unless the whole folder is gone. */
export function explainFolderError(error: unknown, folder: string): Error {
  if (error instanceof Error && error.name === 'AbortError') return error;
  if (error instanceof BackupError && error.code === 'ABORTED') return error;
  if (!existsSync(folder)) {
    return new BackupError('FOLDER_MISSING', `the backup folder ${folder} is gone`, {
      hint: 'See whether its disk is still mounted, and check BACKUP_LOCAL_PATH.',
      cause: error,
    });
  }
  if (error instanceof BackupError) return error;
  const code = errnoCode(error);
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return new BackupError('FOLDER_MISSING', `${folder} is not a folder`, {
      hint: 'Check BACKUP_LOCAL_PATH.',
      cause: error,
    });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT' || isSqliteFull(error)) {
    return new BackupError('DISK_FULL', `the disk with ${folder} is full`, {
      hint: 'Free space on that disk or lower the retention, then try again; existing backups were not touched.',
      cause: error,
    });
  }
  if (code === 'EROFS') {
    return new BackupError('NO_PERMISSION', `${folder} can't be written: its file system is read-only`, {
      hint: 'Mount it for writing, or choose another folder with BACKUP_LOCAL_PATH. A disk that turned read-only by itself may be failing.',
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const user = userName();
    return new BackupError('NO_PERMISSION', `${folder} can't be used by the user ${user}`, {
      hint: `Make that user its owner with \`chown ${user} ${folder}\`.`,
      cause: error,
    });
  }
  return BackupError.from(error);
}

function isSqliteFull(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && Number(error.errcode) % 256 === SQLITE_FULL;
}

/** By the system's list: Bun's `userInfo` repeats what the environment says, and a job's environment says nothing. */
function userName(): string {
  const id = String(process.getuid?.());
  try {
    const users = readFileSync('/etc/passwd', 'utf8').split('\n');
    return users.map((line) => line.split(':')).find((fields) => fields[2] === id)?.[0] ?? id;
  } catch {
    // No such list, as in a small container: `chown` takes the number too.
    return id;
  }
}
