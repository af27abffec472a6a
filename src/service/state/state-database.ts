/**
 * Our own small SQLite database: run history, audit record, when a schedule was in force, which run is going, and what is
 * known of targets. It may be shared: each row of a run bears the backup folder that it is of. Losing it loses nothing else: backups say all
 * about themselves. So a damaged file is moved aside and begun anew, and where none can be written the state lives in
 * memory and the log says so; backups go on either way.
 *
 * Damage behind a good header shows at the first statement that meets it, weeks after the file was opened. So each
 * statement may find the file damaged, moves it aside and is carried out on the new one. Several connections of several
 * processes may find the same: whose file no longer has the name opens the one that has.
 */
import { chmodSync, closeSync, existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { requireDescriptors } from '../../engine/disk/descriptors.ts';
import { giveToOwnerOfFolder } from '../../engine/disk/owner.ts';
import { makePrivateFolder } from '../../engine/disk/private-folder.ts';
import { openNew } from '../../engine/sqlite/open-new.ts';
import { auditTable } from '../audit/audit-table.ts';

/** How a backup folder is called in the state: as seen from there, so that both may move together. */
export function folderInState(statePath: string, backupsPath: string): string {
  return relative(dirname(resolve(statePath)), resolve(backupsPath)) || '.';
}

interface StateOptions {
  /** Hears why the state is not where it should be. */
  readonly warn: (message: string) => void;
  /** How long a statement waits for another process; a second, if not given. */
  readonly busyTimeoutMs?: number;
}

type Row = Record<string, SQLOutputValue>;
type Values = readonly (SQLInputValue | Readonly<Record<string, SQLInputValue>>)[];

/** What is asked of `node:sqlite`'s statements here. */
interface Statement {
  all(...values: Values): Row[];
  get(...values: Values): Row | undefined;
  run(...values: Values): { readonly lastInsertRowid: number | bigint };
}

export function openStateDatabase(path: string, options: StateOptions): StateDatabase {
  return new StateDatabase(path, options);
}

const MEMORY = ':memory:';
/** A disk that damages each new file must not be filled with damaged ones. */
const SET_ASIDE_MAX = 5;
/** Where no descriptor was left for the file, it is retried so often. */
const RETRY_MS = 30_000;

export class StateDatabase {
  readonly #path: string;
  readonly #options: StateOptions;
  #database: DatabaseSync;
  /** Device and inode of the open file; null for one in memory. */
  #inode: string | null = null;
  #prepared = new Map<string, StatementSync>();
  /** Counts what was written by this connection, and the files that were opened. */
  #changes = 0;
  /** In a transaction, which is begun anew as a whole. */
  #isWhole = false;
  /** When the file is tried again, by `performance.now()`; never, unless the fault was of a moment. */
  #againAtMs = Number.POSITIVE_INFINITY;

  constructor(path: string, options: StateOptions) {
    this.#path = path;
    this.#options = options;
    this.#database = this.#open();
  }

  prepare(sql: string): Statement {
    return {
      all: (...values) => this.#carryOut(() => this.#statement(sql).all(...(values as SQLInputValue[]))),
      get: (...values) => this.#carryOut(() => this.#statement(sql).get(...(values as SQLInputValue[]))),
      run: (...values) =>
        this.#carryOut(() => {
          this.#changes++;
          return this.#statement(sql).run(...(values as SQLInputValue[]));
        }),
    };
  }

  /**
   * Another text after each change: what was read at the same version is still so. SQLite says whether another connection,
   * of whichever process, has changed the file (https://sqlite.org/pragma.html#pragma_data_version).
   */
  get version(): string {
    const others = this.#carryOut(() => this.#statement('PRAGMA data_version').get()?.['data_version']);
    return `${this.#changes}.${others}`;
  }

  /** All of it or nothing. Begun anew where the file is found damaged in its middle. */
  transaction<Result>(work: () => Result, begin: 'BEGIN' | 'BEGIN IMMEDIATE' = 'BEGIN IMMEDIATE'): Result {
    return this.#carryOut(() => {
      const database = this.#database;
      database.exec(begin);
      this.#isWhole = true;
      try {
        const result = work();
        database.exec('COMMIT');
        return result;
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK');
        this.#changes++;
        throw error;
      } finally {
        this.#isWhole = false;
      }
    });
  }

  close(): void {
    this.#prepared.clear();
    this.#database.close();
  }

  #statement(sql: string): StatementSync {
    const known = this.#prepared.get(sql);
    if (known) return known;
    const made = this.#database.prepare(sql);
    this.#prepared.set(sql, made);
    return made;
  }

  /** Twice at most: the second time on another file. */
  #carryOut<Result>(work: () => Result): Result {
    if (!this.#isWhole && performance.now() >= this.#againAtMs) this.#tryAgain();
    try {
      return work();
    } catch (error) {
      if (this.#inode === null || this.#isWhole || !this.#leave(error)) throw error;
      return work();
    }
  }

  /** What was kept in memory meanwhile is given up for what the file knows. */
  #tryAgain(): void {
    this.#againAtMs = Number.POSITIVE_INFINITY;
    this.#prepared.clear();
    this.#database.close();
    this.#database = this.#open();
  }

  /** Goes over to another file when this one is of no use any more; false when it is. */
  #leave(error: unknown): boolean {
    const reason = reasonOf(error);
    if (!isDamage(error) && !isUnreadable(error)) return false;
    this.#prepared.clear();
    try {
      this.#database.close();
    } catch {
      // A damaged file may refuse even that; nothing is asked of it any more.
    }
    // Another connection may have moved it already.
    const isGone = isDamage(error) && (inodeOf(this.#path) !== this.#inode || this.#setAside(reason));
    this.#database = isGone ? this.#open() : this.#inMemory(reason);
    return true;
  }

  #open(): DatabaseSync {
    this.#changes++;
    try {
      makePrivateFolder(dirname(this.#path));
      keepPrivate(this.#path);
      return this.#openFile();
    } catch (error) {
      if (!isDamage(error) || !existsSync(this.#path)) return this.#inMemory(reasonOf(error));
      try {
        if (!this.#setAside(reasonOf(error))) return this.#inMemory(reasonOf(error));
        keepPrivate(this.#path);
        return this.#openFile();
      } catch (again) {
        return this.#inMemory(reasonOf(again));
      }
    }
  }

  #openFile(): DatabaseSync {
    const before = inodeOf(this.#path);
    const database = openSchema(this.#path, this.#options.busyTimeoutMs);
    // Exchanged while it was opened: it counts as that other one, and at worst is opened again.
    this.#inode = before;
    return database;
  }

  #inMemory(reason: string): DatabaseSync {
    this.#changes++;
    const passes = isOfMoment();
    const until = passes ? 'files can be opened again' : 'the next start';
    if (passes) this.#againAtMs = performance.now() + RETRY_MS;
    this.#options.warn(
      `The run history cannot be kept at ${this.#path} (${reason}); it is kept in memory until ${until}.`,
    );
    this.#inode = null;
    return openSchema(MEMORY);
  }

  /** False when there are too many already. */
  #setAside(reason: string): boolean {
    if (asideOf(this.#path).length >= SET_ASIDE_MAX) return false;
    const aside = `${this.#path}.damaged-${process.pid}-${Date.now()}`;
    for (const suffix of ['', '-wal', '-shm'])
      if (existsSync(this.#path + suffix)) renameSync(this.#path + suffix, aside + suffix);
    this.#options.warn(
      `The run history ${this.#path} was damaged (${reason}); it was moved to ${aside}, and a new one was begun.`,
    );
    return true;
  }
}

/** Damaged files that were moved aside. */
export function asideOf(path: string): readonly string[] {
  const begin = `${basename(path)}.damaged-`;
  const entries = existsSync(dirname(path)) ? readdirSync(dirname(path)) : [];
  const aside = entries.filter((entry) => entry.startsWith(begin) && !/-(wal|shm)$/.test(entry));
  return aside.map((entry) => join(dirname(path), entry));
}

/** CORRUPT and NOTADB; https://sqlite.org/rescode.html */
const DAMAGED: ReadonlySet<number> = new Set([11, 26]);
/** PERM, READONLY, IOERR, CANTOPEN. */
const UNREADABLE: ReadonlySet<number> = new Set([3, 8, 10, 14]);

function isDamage(error: unknown): boolean {
  return DAMAGED.has(codeOf(error)) || /malformed|not a database/.test(reasonOf(error));
}

/** Is it a fault that does not pass by itself, unlike a lock of another process? Removed tables count too. */
function isUnreadable(error: unknown): boolean {
  return UNREADABLE.has(codeOf(error)) || /no such (table|column)/.test(reasonOf(error));
}

/** No descriptor is left just now: then SQLite says that it can't open the file, and not why. */
function isOfMoment(): boolean {
  try {
    requireDescriptors();
    return false;
  } catch {
    return true;
  }
}

function codeOf(error: unknown): number {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) % 256 : 0;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function inodeOf(path: string): string | null {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found ? `${found.dev}:${found.ino}` : null;
}

/** Before SQLite opens it: the files beside it get the same rights. Made by an older version, it was open to all. */
function keepPrivate(path: string): void {
  if (!existsSync(path)) {
    closeSync(openNew(path));
    giveToOwnerOfFolder(path);
  }
  if (statSync(path).uid === process.getuid?.()) chmodSync(path, 0o600);
}

function openSchema(path: string, busyTimeoutMs = 1_000): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA busy_timeout = 1000');
    refuseForeign(database, path);
    // Before anything is written: a newer version's file stays as it is.
    refuseNewer(database, path);
    // NORMAL in WAL mode: a commit needs no fsync, so the app's event loop never waits for the disk.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    migrate(database, path);
    database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
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
