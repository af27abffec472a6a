/**
 * Every error code with everything that the program decides by a code alone: one row each, so that a new code is given
 * all of it at once. Each code has a section in `docs/troubleshooting.md`.
 */

interface ErrorTraits {
  /** The HTTP status of an answer that is this error. */
  readonly status: number;
  /** The exit code of a command that ends with it: failed, wrong use, no such backup, verification failed, interrupted. */
  readonly exit: 1 | 2 | 3 | 4 | 130;
  readonly blames: Blamed;
  /** Whether the same operation can succeed later although nobody has changed anything. */
  readonly retry: boolean;
  /** What else it says, to whoever asks for it. */
  readonly says: readonly Saying[];
}

type Blamed =
  /** The user who asked: a setting, an argument, a request that does not fit what is there. */
  | 'request'
  /** A visitor who may not do this. */
  | 'visitor'
  | 'database'
  /** One copy of a backup. */
  | 'copy'
  /** The place where copies are kept, or the way to it. */
  | 'target'
  /** A disk, rights, memory, another process. */
  | 'machine'
  | 'program';

type Saying =
  /** Another copy of the same database may be good. */
  | 'another-copy-may-do'
  /** There is no backup of that name, or no longer. */
  | 'not-there'
  /** This backup can't be uploaded, and the next one may. */
  | 'another-backup-may-do'
  /** Every further request to that target would meet the same. */
  | 'whole-target'
  /** The target has something of that name, and lets nobody replace it. */
  | 'not-replaced'
  /** A drill that ends with it has found something out about the copy, or about the way to it. */
  | 'drill-verdict'
  /** The live database can't be read as one. */
  | 'unreadable-database'
  /** The live database may be damaged: its old backups stay. */
  | 'keeps-backups'
  /** A restore must not go on without the safety backup that met it. */
  | 'no-restore'
  /** A write through SQLite that met it was surely taken back. */
  | 'taken-back'
  /** A small file of our own could not be written. */
  | 'not-written'
  /** Nothing was begun: a run that a person asked for says nothing of the backups then. A planned backup has failed. */
  | 'refusal';

const request = { blames: 'request', retry: false, exit: 1, says: ['refusal'] } as const;
const visitor = { blames: 'visitor', retry: false, exit: 1, says: ['refusal'] } as const;
const database = { blames: 'database', retry: true, exit: 1, says: [] } as const;
const copy = { blames: 'copy', retry: true, exit: 1, says: [] } as const;
const target = { blames: 'target', retry: true, exit: 1, status: 502, says: [] } as const;
const machine = { blames: 'machine', retry: true, exit: 1, says: [] } as const;
const program = { blames: 'program', retry: true, exit: 1, status: 500, says: [] } as const;

const errorTraits = {
  ABORTED: { ...machine, status: 409, exit: 130, says: ['no-restore'] },
  BAD_BACKUP: {
    ...copy,
    status: 422,
    exit: 4,
    says: ['another-copy-may-do', 'another-backup-may-do', 'drill-verdict'],
  },
  BAD_CONFIG: { ...request, status: 422, exit: 2, says: ['whole-target', 'refusal'] },
  BAD_NAME: { ...request, status: 400, exit: 2 },
  BAD_REQUEST: { ...request, status: 422, exit: 2 },
  BUSY: { ...machine, status: 409, says: ['refusal'] },
  CHECK_GAVE_UP: { ...copy, status: 500, says: ['another-copy-may-do', 'drill-verdict'] },
  CLONED: { ...machine, status: 409 },
  CONFIRM_MISMATCH: { ...request, status: 409 },
  DB_BUSY: { ...database, status: 503, says: ['taken-back'] },
  DB_CHANGED: { ...database, status: 409, says: ['no-restore', 'refusal'] },
  DB_DAMAGED: { ...database, status: 500, exit: 4, says: ['unreadable-database', 'keeps-backups'] },
  DB_EMPTY: { ...database, status: 409, says: ['unreadable-database', 'keeps-backups'] },
  DB_MISSING: { ...database, status: 503 },
  DB_NOT_SHARED: { ...database, status: 409, says: ['no-restore'] },
  DISK_FULL: { ...machine, status: 507, says: ['taken-back', 'not-written'] },
  DRILL_FAILED: { ...copy, status: 500, exit: 4, says: ['drill-verdict'] },
  ENCODING_DIFFERS: { ...database, status: 409, says: ['no-restore'] },
  EXHAUSTED: { ...machine, status: 503 },
  FOLDER_MISSING: { ...machine, status: 500, says: ['whole-target'] },
  FORBIDDEN: { ...visitor, status: 403 },
  FOREIGN_PLACE: { ...request, status: 409, says: ['no-restore', 'refusal'] },
  GONE: { ...copy, status: 404, exit: 3, retry: false, says: ['another-copy-may-do', 'not-there', 'no-restore'] },
  INTERNAL: { ...program, says: ['not-written'] },
  JOB_DIED: { ...program },
  LOG_TOO_LONG: { ...database, status: 503 },
  MIGRATION_FAILED: { ...program },
  NO_BACKUP: { ...copy, status: 404, exit: 3, says: ['another-copy-may-do', 'not-there'] },
  NO_MOMENT: { ...copy, status: 404, exit: 3, retry: false, says: ['another-copy-may-do'] },
  NO_PERMISSION: { ...machine, status: 500, retry: false, says: ['another-backup-may-do', 'not-written'] },
  NOTHING_TO_UNDO: { ...request, status: 409, exit: 3 },
  NOT_CHECKED: { ...copy, status: 500 },
  NOT_DURABLE: { ...machine, status: 503 },
  NOT_SQLITE: {
    ...database,
    status: 422,
    exit: 4,
    says: ['another-copy-may-do', 'unreadable-database', 'keeps-backups'],
  },
  PAGE_SIZE_DIFFERS: { ...database, status: 409, says: ['no-restore'] },
  PASSWORD_AGAIN: { ...visitor, status: 403 },
  PLACE_TAKEN: { ...machine, status: 409 },
  PLAIN_COPY: { ...copy, status: 409, says: ['another-copy-may-do', 'drill-verdict'] },
  RESTORE_IN_USE: { ...database, status: 409, says: ['no-restore', 'refusal'] },
  RESTORE_SAFETY_FAILED: { ...database, status: 500 },
  S3_ARCHIVED: { ...target, status: 409, retry: false, says: ['another-copy-may-do'] },
  S3_CLOCK: { ...target, retry: false, says: ['whole-target'] },
  S3_DENIED: { ...target, retry: false, says: ['not-replaced', 'drill-verdict'] },
  S3_FAILED: { ...target },
  S3_MISMATCH: { ...target, says: ['another-copy-may-do'] },
  S3_NO_BUCKET: { ...target, retry: false, says: ['whole-target', 'drill-verdict'] },
  S3_UNREACHABLE: { ...target, says: ['whole-target'] },
  STREAM_TAKEN: { ...machine, status: 409 },
  STREAM_UNTRUE: { ...program, says: ['another-copy-may-do', 'drill-verdict'] },
  TARGET_FAILED: { ...target, says: ['another-copy-may-do'] },
  TARGET_EXISTS: {
    ...request,
    status: 409,
    exit: 2,
    says: ['another-backup-may-do', 'not-replaced', 'refusal'],
  },
  TOO_MANY: { ...request, status: 429, retry: true },
  UNAUTHORIZED: { ...visitor, status: 401 },
  UNSUPPORTED: { ...request, status: 501, exit: 2, says: ['not-replaced', 'no-restore'] },
  VERIFY_FAILED: {
    ...copy,
    status: 500,
    exit: 4,
    says: ['another-copy-may-do', 'another-backup-may-do', 'drill-verdict', 'keeps-backups'],
  },
} as const satisfies Record<string, ErrorTraits>;

export type ErrorCode = keyof typeof errorTraits;

export const errorCodes = Object.keys(errorTraits) as readonly ErrorCode[]; // its own keys

export function traitsOf(code: ErrorCode): ErrorTraits {
  return errorTraits[code];
}

export function says(code: ErrorCode, saying: Saying): boolean {
  return traitsOf(code).says.includes(saying);
}
