/**
 * The draft of a rescue: a file beside the live database and the source, on one connection. It is made under one read
 * transaction, so it holds one moment of the live database; nobody is kept waiting meanwhile. What a rescue keeps of it
 * afterwards is its inverse.
 */
import { closeSync, fsyncSync, openSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { beginReading } from '../sqlite/begin.ts';
import { aboutToOpen, endConnection } from '../sqlite/ending.ts';
import { isDamage, notUnderstood, pragma, SQLITE_FULL, sqliteCode } from '../sqlite/library.ts';
import { explainLiveError, openConnection } from '../sqlite/live-database.ts';
import { refuseOtherLog } from '../sqlite/other-log.ts';
import { isLiveFile, resolveDatabase } from '../sqlite/stamp.ts';
import { makePrivateFile } from './private-file.ts';

export interface DraftFiles {
  readonly databasePath: string;
  readonly source: string;
  readonly sourceName: string;
  readonly since?: string | null;
  /** Made anew. */
  readonly draft: string;
}

/** How long to wait for another connection that writes. */
export const RESCUE_TIMEOUT_MS = 30_000;

/** A transaction of 100,000 rows stays in it; one that doesn't goes to the log early, which takes longer. */
const CACHE_KIB = 64 * 1024;

export interface LiveConnection extends Disposable {
  readonly db: DatabaseSync;
  /** The real path of the database. */
  readonly path: string;
  /** Begins the read transaction. */
  begin(): void;
}

/**
 * A connection to the live database that fires no action of a foreign key.
 *
 * @throws BackupError DB_MISSING, DB_BUSY, NOT_SQLITE, DB_NOT_SHARED, NO_PERMISSION.
 */
export function openLiveForRescue(databasePath: string): LiveConnection {
  const path = resolveDatabase(databasePath);
  refuseOtherLog(path);
  const opened = aboutToOpen(path);
  let db: DatabaseSync | undefined;
  try {
    const connection = openConnection(path, RESCUE_TIMEOUT_MS);
    db = connection;
    connection.exec('PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF');
    // Whose turn it is to merge the log is decided elsewhere: by the app, or by the replicator alone.
    connection.exec(`PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -${CACHE_KIB}`);
    const unknown = notUnderstood(connection);
    if (unknown !== null) throw isUnknownHere(path, unknown);
    return {
      ...{ db: connection, path },
      begin: () => {
        beginReading(
          connection,
          { ...opened, deadline: performance.now() + RESCUE_TIMEOUT_MS },
          { wantsLogEnd: false },
        );
      },
      [Symbol.dispose]: () => endConnection(connection, opened),
    };
  } catch (error) {
    endConnection(db, opened);
    throw explainLiveError(error, { databasePath, timeoutMs: RESCUE_TIMEOUT_MS });
  }
}

function isUnknownHere(path: string, text: string): BackupError {
  return new BackupError(
    'UNSUPPORTED',
    `the SQLite of this program does not understand the schema of ${path}: ${text}`,
    {
      hint: 'Nothing was written. Restore the backup to a new file, and copy the rows with the SQLite of the app.',
    },
  );
}

/** Attaches the source, and what the rows were like since, as files that nobody writes to. */
export function attachSources({ db }: LiveConnection, { databasePath, source, sourceName, since }: DraftFiles): void {
  for (const [path, name] of [
    [source, 'source'],
    [since ?? null, 'since'],
  ] as const) {
    if (path === null) continue;
    if (isLiveFile(path, databasePath))
      throw new BackupError('BAD_BACKUP', `${basename(path)} is the live database itself`, {
        hint: 'Name a backup or a moment instead.',
      });
    try {
      db.prepare(`ATTACH ? AS ${name}`).run(`${pathToFileURL(path).href}?mode=ro&immutable=1`);
      db.prepare(`SELECT count(*) FROM ${name}.sqlite_schema`).get();
    } catch (error) {
      throw explainSourceError(error, name === 'source' ? sourceName : basename(path));
    }
  }
}

/** What went wrong while the draft was made. Nothing but the draft is written then. */
export function explainDraftError(error: unknown, db: DatabaseSync, { draft, sourceName }: DraftFiles): unknown {
  if (sqliteCode(error) === SQLITE_FULL)
    return new BackupError('DISK_FULL', `the disk with ${dirname(draft)} is full`, {
      hint: 'Nothing was written to the database. The rows of a rescue need room there, and the ones that they replace.',
      cause: error,
    });
  // SQLite does not say in which of the files it met the damage.
  return isDamage(error) && isSound(db) ? error : explainSourceError(error, sourceName);
}

function isSound(db: DatabaseSync): boolean {
  try {
    return pragma(db, 'source.quick_check(1)') === 'ok';
  } catch {
    return false;
  }
}

function explainSourceError(error: unknown, sourceName: string): unknown {
  const text = error instanceof Error ? error.message : String(error);
  if (/same text encoding/.test(text))
    return new BackupError(
      'ENCODING_DIFFERS',
      `${sourceName} stores its text in another encoding than the live database`,
      {
        hint: 'Nothing was changed. Restore it to a new file, and copy the rows with SQL.',
        cause: error,
      },
    );
  if (!isDamage(error)) return error;
  return new BackupError('VERIFY_FAILED', `${sourceName} can't be read: ${text}`, {
    hint: 'Nothing was changed. Use another backup.',
    cause: error,
  });
}

/** Makes the file of the draft and attaches it. */
export function attachNewDraft({ db }: LiveConnection, draft: string): void {
  makePrivateFile(draft);
  db.prepare('ATTACH ? AS draft').run(`${pathToFileURL(draft).href}?mode=rw`);
  // It is flushed as a whole when it is done, and worth nothing before.
  pragma(db, 'draft.journal_mode = MEMORY');
  db.exec('PRAGMA draft.synchronous = OFF');
}

/** Attaches a draft that is done, so that no transaction over the live database touches it. */
export function attachDoneDraft({ db }: LiveConnection, draft: string): void {
  db.prepare('ATTACH ? AS draft').run(`${pathToFileURL(draft).href}?mode=ro&immutable=1`);
}

/** Nobody has it open: closing it would drop the locks of a connection. */
export function flushFile(path: string): void {
  const file = openSync(path, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

export function removeDraft(draft: string): void {
  for (const suffix of ['', '-journal']) rmSync(draft + suffix, { force: true });
}
