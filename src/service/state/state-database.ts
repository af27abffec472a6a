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
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { requireDescriptors } from '../../engine/disk/descriptors.ts';
import { giveToOwnerOfFolder } from '../../engine/disk/owner.ts';
import { makePrivateFolder } from '../../engine/disk/private-folder.ts';
import { openNew } from '../../engine/sqlite/open-new.ts';
import { BUSY_TIMEOUT_MS, openSchema } from './state-schema.ts';

/** How a backup folder is called in the state: as seen from there, so that both may move together. */
export function folderInState(statePath: string, backupsPath: string): string {
  return relative(dirname(resolve(statePath)), resolve(backupsPath)) || '.';
}

interface StateOptions {
  /** Hears why the state is not where it should be. */
  readonly warn: (message: string) => void;
}

type Row = Record<string, SQLOutputValue>;
type Values = readonly (SQLInputValue | Readonly<Record<string, SQLInputValue>>)[];

/** What is asked of `node:sqlite`'s statements here. */
interface Statement {
  all(...values: Values): Row[];
  get(...values: Values): Row | undefined;
  run(...values: Values): { readonly lastInsertRowid: number | bigint };
}

export type StateStatements = Pick<StateDatabase, 'prepare'>;

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
  /** Kept while it rests. */
  #asksVersion: StatementSync | null = null;
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

  /** For notes that must neither wait nor fail: its statements do not wait for another process. */
  readonly unwaiting: StateStatements = {
    prepare: (sql) => {
      const statement = this.prepare(sql);
      return {
        all: (...values) => this.#withoutWaiting(() => statement.all(...values)),
        get: (...values) => this.#withoutWaiting(() => statement.get(...values)),
        run: (...values) => this.#withoutWaiting(() => statement.run(...values)),
      };
    },
  };

  #withoutWaiting<Result>(work: () => Result): Result {
    this.#database.exec('PRAGMA busy_timeout = 0');
    try {
      return work();
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
  }

  /**
   * Another text after each change: what was read at the same version is still so. SQLite says whether another connection,
   * of whichever process, has changed the file (https://sqlite.org/pragma.html#pragma_data_version).
   */
  get version(): string {
    const others = this.#carryOut(() => {
      this.#asksVersion ??= this.#database.prepare('PRAGMA data_version');
      return this.#asksVersion.get()?.['data_version'];
    });
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
    awake.delete(this);
    this.#forgetStatements();
    this.#database.close();
  }

  /**
   * Lets go of what it holds in memory but the connection: a third of a megabyte, and a process may guard a thousand
   * databases. Closing it would flush its log to the disk, and the app would wait for that.
   */
  rest(): void {
    this.#prepared.clear();
    this.#database.exec('PRAGMA shrink_memory');
  }

  #forgetStatements(): void {
    this.#prepared.clear();
    this.#asksVersion = null;
  }

  #statement(sql: string): StatementSync {
    const statement = this.#prepared.get(sql) ?? this.#database.prepare(sql);
    this.#prepared.set(sql, statement);
    // Behind what throws once this is closed: a closed one among those that rest would fail a statement of another.
    stayAwake(this);
    return statement;
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
    this.#forgetStatements();
    this.#database.close();
    this.#database = this.#open();
  }

  /** Goes over to another file when this one is of no use any more; false when it is. */
  #leave(error: unknown): boolean {
    const reason = reasonOf(error);
    if (!isDamage(error) && !isUnreadable(error)) return false;
    this.#forgetStatements();
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
    const database = openSchema(this.#path);
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

/** Those that were used last, the oldest first; the others rest. */
const awake = new Set<StateDatabase>();
const AWAKE_MAX = 32;

function stayAwake(database: StateDatabase): void {
  awake.delete(database);
  awake.add(database);
  const [oldest] = awake;
  if (awake.size <= AWAKE_MAX || !oldest) return;
  awake.delete(oldest);
  oldest.rest();
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
