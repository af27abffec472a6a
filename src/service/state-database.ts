/**
 * Our own small SQLite database: run history, when a schedule was in force, which run is going, and what is known of
 * S3. It may be shared: each row of a run bears the backup folder that it is of. Losing it loses nothing else: backups say all
 * about themselves. So a damaged file is moved aside and begun anew, and where none can be written the state lives in
 * memory and the log says so; backups go on either way.
 */
import { chmodSync, closeSync, existsSync, openSync, renameSync, statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makePrivateFolder } from '../engine/private-folder.ts';

export type StateDatabase = DatabaseSync;

/** How a backup folder is called in the state: as seen from there, so that both may move together. */
export function folderInState(statePath: string, backupsPath: string): string {
  return relative(dirname(resolve(statePath)), resolve(backupsPath)) || '.';
}

/** @param options.warn hears why the state is not where it should be. */
export function openStateDatabase(path: string, { warn }: { readonly warn: (message: string) => void }): StateDatabase {
  try {
    makePrivateFolder(dirname(path));
    keepPrivate(path);
    return openSchema(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (existsSync(path) && /malformed|not a database/.test(reason)) {
      const aside = `${path}.damaged-${process.pid}-${Date.now()}`;
      for (const suffix of ['', '-wal', '-shm'])
        if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
      warn(`The run history ${path} was damaged (${reason}); it was moved to ${aside} and begun anew.`);
      keepPrivate(path);
      return openSchema(path);
    }
    warn(`The run history can not be kept at ${path} (${reason}); it is kept in memory until the next start.`);
    return openSchema(':memory:');
  }
}

/** Before SQLite opens it: the files beside it get the same rights. Made by an older version, it was open to all. */
function keepPrivate(path: string): void {
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
  if (statSync(path).uid === process.getuid?.()) chmodSync(path, 0o600);
}

function openSchema(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  // NORMAL in WAL mode: a commit needs no fsync, so the app's event loop never waits for the disk.
  database.exec(`
    PRAGMA busy_timeout = 1000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS runs (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, trigger TEXT NOT NULL, user TEXT, planned_at INTEGER,
      started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, result TEXT NOT NULL, backup TEXT, size_bytes INTEGER,
      steps TEXT NOT NULL, error TEXT, folder TEXT
    );
    CREATE INDEX IF NOT EXISTS runs_by_end ON runs (ended_at);
    CREATE INDEX IF NOT EXISTS runs_by_plan ON runs (planned_at);
    CREATE INDEX IF NOT EXISTS runs_by_kind ON runs (kind);
    CREATE INDEX IF NOT EXISTS runs_by_result ON runs (kind, result);
    CREATE TABLE IF NOT EXISTS forgotten_runs (
      folder TEXT NOT NULL, kind TEXT, trigger TEXT, result TEXT, count INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
      PRIMARY KEY (folder, kind, trigger, result)
    );
    CREATE TABLE IF NOT EXISTS s3_uploads (
      place TEXT, backup TEXT, status TEXT NOT NULL, at INTEGER NOT NULL, sealing TEXT, error TEXT,
      PRIMARY KEY (place, backup)
    );
    CREATE TABLE IF NOT EXISTS s3_backups (
      place TEXT, name TEXT, etag TEXT NOT NULL, manifest TEXT, fault TEXT, verification TEXT,
      PRIMARY KEY (place, name)
    );
    CREATE TABLE IF NOT EXISTS s3_notes (place TEXT, key TEXT, value TEXT, PRIMARY KEY (place, key));
    CREATE TABLE IF NOT EXISTS removals (
      folder TEXT, backup TEXT, at INTEGER NOT NULL, why TEXT NOT NULL, PRIMARY KEY (folder, backup)
    );
    CREATE INDEX IF NOT EXISTS removals_by_time ON removals (at);
    CREATE TABLE IF NOT EXISTS notes (folder TEXT, key TEXT, value TEXT, PRIMARY KEY (folder, key));
    CREATE TABLE IF NOT EXISTS schedule_spans (
      id INTEGER PRIMARY KEY, folder TEXT NOT NULL, began_at INTEGER NOT NULL, planned_at INTEGER NOT NULL,
      seen_at INTEGER NOT NULL, schedule TEXT
    );
    CREATE TABLE IF NOT EXISTS active_runs (
      service TEXT PRIMARY KEY, folder TEXT NOT NULL, pid INTEGER NOT NULL, seen_at INTEGER NOT NULL, run TEXT NOT NULL
    );
  `);
  // Null in rows from before there were these columns; a run without a folder counts for every folder.
  const missing = () =>
    Object.entries({ runs: ['folder', 'drill', 'target', 'database'], s3_uploads: ['why'] }).flatMap(
      ([table, names]) => {
        const columns = database.prepare(`PRAGMA table_info(${table})`).all();
        const absent = names.filter((name) => !columns.some((column) => column['name'] === name));
        return absent.map((name) => ({ table, name }));
      },
    );
  if (missing().length > 0) {
    database.exec('BEGIN IMMEDIATE');
    // Another process may have been faster.
    for (const { table, name } of missing()) database.exec(`ALTER TABLE ${table} ADD COLUMN ${name} TEXT`);
    database.exec('COMMIT');
  }
  return database;
}
