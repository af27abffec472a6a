/**
 * The one error of the engine. A code for programs, a message that names the thing, a hint that says what to do.
 *
 * Errors cross a process boundary (job to service) and an HTTP boundary (service to page), so they turn into plain
 * JSON and back without losing a field. Secrets never enter a message or a hint.
 */
import type { ErrorCode } from './error-codes.ts';

export { errorCodes, says, traitsOf } from './error-codes.ts';
export type { ErrorCode };

export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, options: { hint: string; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }

  toJSON(): ErrorBody {
    return { code: this.code, message: this.message, hint: this.hint };
  }

  static fromJSON(body: ErrorBody): BackupError {
    return new BackupError(body.code, body.message, { hint: body.hint });
  }

  /** Any thrown value as a `BackupError`: system errors get their own code, the rest become `INTERNAL`. */
  static from(error: unknown): BackupError {
    if (error instanceof BackupError) return error;
    const system = errnoCode(error);
    const text = error instanceof Error ? error.message : String(error);
    if (isDiskFull(error)) {
      return new BackupError('DISK_FULL', 'the disk is full', {
        hint: 'Free space on that disk or lower the retention, then try again; existing backups were not touched.',
        cause: error,
      });
    }
    if (system === 'EACCES' || system === 'EPERM' || system === 'EROFS') {
      return new BackupError('NO_PERMISSION', `no permission: ${text}`, {
        hint: 'Give the user who runs this process read and write access to that folder.',
        cause: error,
      });
    }
    if (isExhausted(error)) return exhausted(error);
    if (error instanceof Error && error.name === 'AbortError') {
      return new BackupError('ABORTED', 'the run was stopped', {
        hint: 'Start it again whenever you like.',
        cause: error,
      });
    }
    return new BackupError('INTERNAL', text, {
      hint: 'This is a fault in velist-backup or in the machine; the log has the details.',
      cause: error,
    });
  }
}

/** No descriptor, no process, no memory is left, for this process or for all: a fault of the moment, and not of any file. */
const EXHAUSTION: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM']);

export function isExhausted(error: unknown): boolean {
  return EXHAUSTION.has(errnoCode(error));
}

/** @param what could not be done; left out: what the system says. */
export function exhausted(cause: unknown, what?: string): BackupError {
  const code = errnoCode(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  const isOfFiles = code === 'EMFILE' || code === 'ENFILE';
  const short = isOfFiles ? 'too many files are open' : 'the machine has no process or memory left';
  return new BackupError('EXHAUSTED', `${what === undefined ? '' : `${what}: `}${short} (${code})`, {
    hint: isOfFiles
      ? 'Find out what keeps so many files or connections open, or raise the limit (`ulimit -n`, LimitNOFILE= of systemd). The next run tries again.'
      : 'Find out what uses them up (`ulimit -u`, TasksMax= and MemoryMax= of systemd). The next run tries again.',
    cause,
  });
}

/** https://sqlite.org/rescode.html#full */
const SQLITE_FULL = 13;

/** Did something find no room: the system, SQLite, or a library that tells of it as its cause? */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const system = errnoCode(error);
  if (system === 'ENOSPC' || system === 'EDQUOT') return true;
  if ('errcode' in error && Number(error.errcode) % 256 === SQLITE_FULL) return true;
  return error.cause !== error && isDiskFull(error.cause);
}

/** The `code` of a Node system error (`ENOENT`, …), or undefined. */
export function errnoCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** What a stranger may read of it: nothing of a fault inside, and no folder of this machine. */
export function publicError(error: ErrorBody): ErrorBody {
  if (error.code === 'INTERNAL') {
    return {
      ...error,
      message: 'something went wrong inside the server',
      hint: "The server's log has the details.",
    };
  }
  return {
    ...error,
    message: withoutFolders(error.message),
    hint: withoutFolders(error.hint),
  };
}

/**
 * Where a path ends in a sentence nobody can tell when it has blanks, brackets or quotes in it. So the folders of this
 * process's services are known, and are cut first, letter by letter.
 */
const knownFolders = new Set<string>();
let knownFolder: RegExp | null = null;

/** Says which absolute paths no stranger may read; of each the last part stays. */
export function hideFoldersOf(paths: readonly string[]): void {
  const before = knownFolders.size;
  for (const path of paths) {
    for (let folder = path; folder.lastIndexOf('/') > 0;) {
      folder = folder.slice(0, folder.lastIndexOf('/'));
      knownFolders.add(`${folder}/`);
    }
  }
  if (knownFolders.size === before) return;
  // The longest first: of a path the most is cut. A URL or a relative path may hold the same letters.
  const longest = [...knownFolders].sort((a, b) => b.length - a.length);
  const letters = longest.map((folder) => folder.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  knownFolder = new RegExp(`(?<![\\p{L}\\p{N}_.~/-])(?:${letters.join('|')})`, 'gu');
}

/** `/srv/app/db/dev.sqlite` becomes `dev.sqlite`; relative paths, URLs, `/backup` (one part) and `/proc/12/fd/3` stay. */
export function withoutFolders(text: string): string {
  const known = knownFolder ? text.replace(knownFolder, '') : text;
  return known.replace(/(^|[\s'"`(=])\/(?!proc\/\d+\/fd\/\d)(?:[^\s'"`()/]+\/)+([^\s'"`()/]*)/g, '$1$2');
}
