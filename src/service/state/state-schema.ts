/** The tables of our own small database, and how a file of an earlier version gets what it lacks. */
import { DatabaseSync } from 'node:sqlite';
import { auditTable } from '../audit/audit-table.ts';

/** How long a statement waits for another process. */
export const BUSY_TIMEOUT_MS = 1_000;

/** @throws an error of SQLite; if the file is another program's, or of a newer version. */
export function openSchema(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    refuseForeign(database, path);
    // Before anything is written: a newer version's file stays as it is.
    refuseNewer(database, path);
    // NORMAL in WAL mode: a commit needs no fsync, so the app's event loop never waits for the disk.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    migrate(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** One at least is in each state, of this version and of those before; many programs have notes. */
const ourTables: ReadonlySet<string> = new Set(['runs', 's3_uploads', 's3_backups', 'schedule_spans']);

/** Tables of another program: ours do not belong among them, and its file is not moved anywhere. */
function refuseForeign(database: DatabaseSync, path: string): void {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  if (tables.length === 0 || tables.some(({ name }) => ourTables.has(String(name)))) return;
  throw new Error(`${path} is the database of another program`);
}

function refuseNewer(database: DatabaseSync, path: string): void {
  const version = versionOf(database);
  if (version <= VERSION) return;
  throw new Error(`${path} was written by a newer version of velist-backup (${version}, this one knows ${VERSION})`);
}

/** Files from before versions were noted have 0. */
function versionOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

/**
 * What leads from each version to the next. A step may find its work done, by an earlier version of us or because somebody
 * removed a table: then all of them are carried out again, and each leaves what is there as it is.
 */
const steps: readonly ((database: DatabaseSync) => void)[] = [makeTables];
const VERSION = steps.length;

/** All in one transaction: a step that fails leaves the file as it was. */
function migrate(database: DatabaseSync, path: string): void {
  if (versionOf(database) === VERSION && hasAllTables(database)) return;
  database.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have been faster, and newer.
    refuseNewer(database, path);
    for (const step of steps) step(database);
    database.exec(`PRAGMA user_version = ${VERSION}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

const allTables = [
  ...['runs', 'forgotten_runs', 's3_uploads', 's3_backups', 's3_notes', 'removals', 'notes', 'schedule_spans'],
  ...['active_runs', 'audit'],
];

function hasAllTables(database: DatabaseSync): boolean {
  const names = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return allTables.every((table) => names.some(({ name }) => name === table));
}

/**
 * Version 1: the tables, and the columns that files of earlier versions lack. The tables that begin with `s3_` are those of all
 * targets, by place: an older version that opens the file again must find them (docs/architecture.md, "How to add").
 */
function makeTables(database: DatabaseSync): void {
  database.exec(`
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
    ${auditTable}
  `);
  // Null in rows from before there were these columns; a run without a folder counts for every folder.
  const added = { runs: ['folder', 'drill', 'target', 'database'], s3_uploads: ['why'], s3_backups: ['archive'] };
  for (const [table, names] of Object.entries(added)) {
    const columns = database.prepare(`PRAGMA table_info(${table})`).all();
    for (const name of names)
      if (!columns.some((column) => column['name'] === name))
        database.exec(`ALTER TABLE ${table} ADD COLUMN ${name} TEXT`);
  }
}
