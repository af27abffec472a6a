/**
 * What went wrong in the backup folder, in words that name it: a system error says `ENOSPC`, SQLite says "unable to open
 * database file" for a folder that was unmounted, and neither helps the reader at night.
 */
import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BackupError, errnoCode, isDiskFull } from '../../words/errors.ts';
import { LOCK_FILE } from '../format/names.ts';
import { fileLocks } from '../sqlite/file-locks.ts';

/**
 * A stop is left as it is, and so are errors that explain themselves, unless the whole folder is gone.
 *
 * @param neededBytes asked only when the disk is full, where it is known.
 */
export function explainFolderError(
  error: unknown,
  folder: string,
  { neededBytes }: { readonly neededBytes?: () => number } = {},
): Error {
  if (error instanceof Error && error.name === 'AbortError') return error;
  if (error instanceof BackupError && error.code === 'ABORTED') return error;
  if (!existsSync(folder)) {
    return new BackupError('FOLDER_MISSING', `the backup folder ${folder} is gone`, {
      hint: 'Check whether its disk is still mounted, and check BACKUP_LOCAL_PATH.',
      cause: error,
    });
  }
  if (error instanceof BackupError) return error.code === 'BUSY' ? nameHolder(error, folder) : error;
  const code = errnoCode(error);
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return new BackupError('FOLDER_MISSING', `${folder} is not a folder`, {
      hint: 'Check BACKUP_LOCAL_PATH.',
      cause: error,
    });
  }
  if (isDiskFull(error)) {
    return diskFull(folder, { neededBytes: neededBytes?.(), cause: error });
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

/** Says how much is free, and how much is needed where that is known. */
export function diskFull(
  folder: string,
  { neededBytes, cause }: { readonly neededBytes: number | undefined; readonly cause?: unknown },
): BackupError {
  const needed = neededBytes === undefined ? '' : `${inMegabytes(neededBytes)} needed, `;
  return new BackupError(
    'DISK_FULL',
    `the disk with ${folder} is full: ${needed}${inMegabytes(freeBytes(folder))} free`,
    {
      hint: 'Free space on that disk or lower the retention, then try again; existing backups were not touched.',
      cause,
    },
  );
}

export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return Number(bavail) * Number(bsize);
}

export function inMegabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** Says which process holds the folder, where the system tells it. */
function nameHolder(error: BackupError, folder: string): BackupError {
  const holder = lockHolder(join(folder, LOCK_FILE));
  if (holder === null) return error;
  const { pid, parent } = holder;
  return new BackupError('BUSY', `${error.message}: process ${pid}, started by process ${parent}`, {
    hint: `${error.hint} \`ps -f -p ${pid},${parent}\` shows what it is.`,
    cause: error,
  });
}

/**
 * The process that holds the folder's lock, and the service or command that started it. Null if the system has no
 * such list (macOS), the holder lives in another container, or it has just let go.
 */
function lockHolder(lockPath: string): { readonly pid: number; readonly parent: number } | null {
  try {
    const locks = fileLocks(String(statSync(lockPath, { bigint: true }).ino)) ?? [];
    const pid = locks.find(({ isOfWriter, from }) => isOfWriter && from === SQLITE_LOCK_BYTE)?.pid;
    if (pid === undefined) return null;
    const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return { pid, parent: Number(parent) };
  } catch {
    // Without a name the error is as true as before.
    return null;
  }
}

/** Where SQLite begins its locks in every file: https://sqlite.org/fileformat2.html#the_lock_byte_page */
const SQLITE_LOCK_BYTE = 2 ** 30;

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
