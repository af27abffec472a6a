/**
 * A live database that is followed for a long time, by a process that does nothing else: read transactions that keep its
 * log in place (the pin), the index of that log, and checkpoints that hold no writer up. It writes nothing to the
 * database; what a checkpoint moves into the main file is the app's.
 *
 * The promise that continuity rests on: under one pin the log begins anew at most once, and only while nothing of it lies
 * behind what was there when the pin was taken. SQLite begins a log anew if all of it is merged and no reader has a mark in
 * it. A pin that was taken with something unmerged has a mark. One that was taken with all merged has none; under it
 * nothing is merged any more, so what is appended to the old log keeps it, and the new log is kept by its own first frame.
 *
 * As with any pin, the descriptors outlive the connections (closing one drops SQLite's locks in this process).
 */
import { fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { isLocked, onceFree, blockThread } from './busy.ts';
import { aboutToOpen, endConnection, type Opened } from './ending.ts';
import { pragma } from './library.ts';
import {
  emptyDatabase,
  explainLiveError,
  hasWalResetBug,
  notSqlite,
  openConnection,
  PIN_TIMEOUT_MS,
} from './live-database.ts';
import { isOnNetwork } from './network.ts';
import { refuseOtherLog } from './other-log.ts';
import { resolveDatabase } from './stamp.ts';
import { type LogIndex, readLogIndex } from './wal-index.ts';

/** How long a checkpoint that must hold writers for a moment may wait for its turn; it is tried again later. */
const BARRIER_WAIT_MS = 1_000;
const BARRIER_SPIN_MS = 300;
const SHORTENINGS_MAX = 20;
/** So little is merged while writers are held off. */
const SHORTENED_FRAMES_MAX = 200;
/** A commit changes the index in a few microseconds; one that was killed meanwhile leaves it to the next connection. */
const INDEX_READS_MAX = 200;
/** The times of files move with the kernel's tick, of 10 ms at most. */
const FILE_TICK_MS = 25;

interface MovedLog {
  /** All of the log is in the main file, and no writer came between: the next write begins it anew. */
  readonly isDrained: boolean;
}

export class FollowedDatabase {
  readonly path: string;
  readonly pageSize: number;
  /** Descriptor of the main file. It belongs to this object; never close it. */
  readonly main: number;
  /** Descriptor of the log, on which SQLite locks nothing. */
  readonly log: number;
  readonly #index: number;
  readonly #opened: Opened;
  /** The pin, and the next one. */
  #pinned: DatabaseSync;
  #other: DatabaseSync;
  /** Holds writers off for a moment. */
  readonly #barrier: DatabaseSync;
  #isPinned = false;

  /**
   * Pins the database.
   *
   * @throws BackupError DB_MISSING, DB_EMPTY, NOT_SQLITE, DB_BUSY, DB_DAMAGED, DB_NOT_SHARED, NO_PERMISSION, and UNSUPPORTED
   * for a database that can't be followed: without a log, on a network, by a SQLite that damages logs.
   */
  constructor(databasePath: string) {
    const path = resolveDatabase(databasePath);
    this.path = path;
    refuseOtherLog(path);
    if (isOnNetwork(path))
      throw notFollowed(path, 'it lies on a network file system', 'Keep it on a disk of this machine.');
    this.#opened = aboutToOpen(path);
    const connections: DatabaseSync[] = [];
    try {
      this.main = this.#open(path);
      const found = fstatSync(this.main);
      if (!found.isFile()) throw notSqlite(databasePath);
      if (found.size === 0) throw emptyDatabase(databasePath);
      for (let k = 0; k < 3; k++) connections.push(connect(path));
      const [pinned, other, barrier] = connections;
      if (!pinned || !other || !barrier) throw new Error('three connections were opened');
      [this.#pinned, this.#other, this.#barrier] = [pinned, other, barrier];
      refuseUnfit(pinned, path);
      this.#pin(pinned);
      this.pageSize = Number(pragma(pinned, 'page_size'));
      // The first read makes both, if they were not there.
      this.#index = this.#open(`${path}-shm`);
      this.log = this.#open(`${path}-wal`);
    } catch (error) {
      const explained = explainLiveError(error, { databasePath, timeoutMs: PIN_TIMEOUT_MS });
      this.#end(connections);
      throw explained;
    }
  }

  /** A sentence on what the app's own SQLite may do to its log; null if it may not. */
  doubtAboutWriter(): string | null {
    const version = lastWriter(this.main);
    if (!hasWalResetBug(version)) return null;
    return `The database was last written by SQLite ${version}, which may damage its log when two programs checkpoint: give the app 3.51.3 or later.`;
  }

  /** Pages of the database as the pin sees it. */
  get pinnedPages(): number {
    return Number(pragma(this.#pinned, 'page_count'));
  }

  /**
   * Where the log ends now.
   *
   * @throws BackupError DB_BUSY for an index that a killed commit left half written.
   */
  index(): LogIndex {
    for (let reads = 0; reads < INDEX_READS_MAX; reads++) {
      const index = readLogIndex(this.#index);
      if (index !== null) return index;
      blockThread(1);
      // The next reader repairs what a killed writer left.
      if (reads === INDEX_READS_MAX / 2) this.#refresh();
    }
    throw new BackupError('DB_BUSY', `the index of the log of ${this.path} never stood still`, {
      hint: 'A process may have been stopped in the middle of a commit; see which one has the database open.',
    });
  }

  /** False when another file, or none, has taken the name of the database or of its log. */
  isStillThere(): boolean {
    return this.isDatabaseThere() && isNameOf(`${this.path}-wal`, this.log);
  }

  /** False when another file, or none, has taken the name of the database. */
  isDatabaseThere(): boolean {
    return isNameOf(this.path, this.main);
  }

  /** Which file it is, whatever is written to it. */
  get file(): string {
    return String(fstatSync(this.main, { bigint: true }).ino);
  }

  /** The main file by its inode, size and times. It is the same only if nothing was written to it in between. */
  stamp(): string {
    const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(this.main, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  }

  /**
   * As `stamp`, once its clock has gone on: a later write shows. To be asked while writers are held off. Null for a file
   * system whose clock is too coarse to wait for.
   */
  settledStamp(): string | null {
    const { ctimeNs } = fstatSync(this.main, { bigint: true });
    // A clock that counts in whole seconds, or in two of them.
    if (ctimeNs % 1_000_000_000n === 0n) return null;
    const ageMs = Date.now() - Number(ctimeNs / 1_000_000n);
    if (ageMs < 0) return null;
    if (ageMs < FILE_TICK_MS) blockThread(FILE_TICK_MS - ageMs);
    return this.stamp();
  }

  /**
   * Moves the pin to the end of the log. What `capture` has not read may be lost once the old pin is gone, so it reads the
   * log to its end between the two.
   */
  movePin(capture: () => void): void {
    this.#pin(this.#other);
    try {
      capture();
    } catch (error) {
      this.#unpin(this.#other);
      throw error;
    }
    [this.#pinned, this.#other] = [this.#other, this.#pinned];
    this.#unpin(this.#other);
  }

  /** Which table or index a page belongs to; null where nobody can tell, as in a damaged file. */
  tableOfPage(number: number): string | null {
    try {
      const found = this.#other.prepare('SELECT name FROM dbstat WHERE pageno = ?').get(number);
      return found === undefined ? null : String(found['name']);
    } catch {
      return null;
    }
  }

  /** Moves into the main file what lies before the pin, and holds nobody up. */
  checkpoint(): { readonly logFrames: number; readonly mergedFrames: number } {
    const row = this.#other.prepare('PRAGMA wal_checkpoint(PASSIVE)').get();
    return { logFrames: Number(row?.['log']), mergedFrames: Number(row?.['checkpointed']) };
  }

  /**
   * Moves all of the log into the main file while writers are held off for a moment, so that the next write begins it anew.
   *
   * @param capture reads the log to its end.
   * @param framesMax nothing is done if more are left: an app without a busy timeout fails while it is held off.
   * @param whenDrained is called before writers may go on.
   * @returns null while a writer is at work, or too much is left.
   */
  drain(capture: () => void, framesMax: number, whenDrained: (() => void) | null = null): MovedLog | null {
    if (!this.#holdWriters()) return null;
    try {
      if (framesLeft(this.index()) > framesMax) return null;
      capture();
      this.#unpin(this.#pinned);
      let moved = { logFrames: -1, mergedFrames: 0 };
      try {
        moved = this.checkpoint();
      } finally {
        this.#pin(this.#pinned);
      }
      const isDrained = moved.logFrames === moved.mergedFrames;
      if (isDrained) whenDrained?.();
      return { isDrained };
    } finally {
      this.#barrier.exec('ROLLBACK');
    }
  }

  /** Lets the log go on without us: what follows can't be proven. Connections and descriptors stay. */
  #letGo(): void {
    if (this.#isPinned) this.#unpin(this.#pinned);
  }

  /** Lets go of the log and has it begin anew, as far as others let it. What is in it is merged and not captured. */
  shorten(): void {
    this.#letGo();
    for (let round = 0; round < SHORTENINGS_MAX && framesLeft(this.index()) > 0; round++) this.checkpoint();
    if (framesLeft(this.index()) > SHORTENED_FRAMES_MAX || !this.#holdWriters()) return;
    try {
      if (framesLeft(this.index()) <= SHORTENED_FRAMES_MAX) this.checkpoint();
    } finally {
      this.#barrier.exec('ROLLBACK');
    }
  }

  /** The last connection merges and removes the log, as any does. */
  [Symbol.dispose](): void {
    this.#letGo();
    this.#end([this.#pinned, this.#other, this.#barrier]);
  }

  #holdWriters(): boolean {
    const begin = () => this.#barrier.exec('BEGIN IMMEDIATE');
    const startedMs = performance.now();
    for (;;) {
      try {
        // Beside writers that never rest the gap between two transactions is a few microseconds: nobody may sleep over it.
        if (performance.now() - startedMs < BARRIER_SPIN_MS) begin();
        else onceFree(begin, startedMs + BARRIER_WAIT_MS);
        return true;
      } catch (error) {
        if (!isLocked(error)) throw error;
        if (performance.now() - startedMs >= BARRIER_WAIT_MS) return false;
      }
    }
  }

  #pin(connection: DatabaseSync): void {
    connection.exec('BEGIN');
    // BEGIN alone takes no snapshot; the first read does.
    onceFree(
      () => connection.prepare('SELECT count(*) FROM main.sqlite_schema').get(),
      performance.now() + BARRIER_WAIT_MS,
    );
    if (connection === this.#pinned) this.#isPinned = true;
  }

  #unpin(connection: DatabaseSync): void {
    connection.exec('COMMIT');
    if (connection === this.#pinned) this.#isPinned = false;
  }

  #refresh(): void {
    this.#other.prepare('SELECT count(*) FROM main.sqlite_schema').get();
  }

  #open(path: string): number {
    const descriptor = openSync(path, 'r');
    this.#opened.descriptors.push(descriptor);
    return descriptor;
  }

  #end([first, ...others]: readonly DatabaseSync[]): void {
    for (const connection of others) endConnection(connection, { ...this.#opened, descriptors: [] });
    endConnection(first, this.#opened);
  }
}

function connect(path: string): DatabaseSync {
  const connection = openConnection(path, 0);
  connection.exec('PRAGMA wal_autocheckpoint = 0');
  return connection;
}

function refuseUnfit(connection: DatabaseSync, path: string): void {
  const version = String(connection.prepare('SELECT sqlite_version() AS version').get()?.['version']);
  if (hasWalResetBug(version)) {
    const hint = 'Run Bun 1.4, Node 22.23 or later, which have SQLite 3.51.3 or later. Backups work with this one too.';
    throw notFollowed(path, `SQLite ${version} of this runtime may damage a log that two programs checkpoint`, hint);
  }
  const mode = onceFree(() => pragma(connection, 'journal_mode'), performance.now() + PIN_TIMEOUT_MS);
  if (mode === 'wal') return;
  throw notFollowed(
    path,
    `it is in journal mode ${String(mode)}`,
    'Set `PRAGMA journal_mode = WAL` once in the app. Backups go on in any mode.',
  );
}

function notFollowed(path: string, why: string, hint: string): BackupError {
  return new BackupError('UNSUPPORTED', `the commits of ${path} cannot be captured: ${why}`, { hint });
}

function framesLeft({ frames, mergedFrames }: LogIndex): number {
  return frames - mergedFrames;
}

function isNameOf(path: string, descriptor: number): boolean {
  const named = statSync(path, { bigint: true, throwIfNoEntry: false });
  const held = fstatSync(descriptor, { bigint: true });
  return named !== undefined && named.ino === held.ino && named.dev === held.dev;
}

/** https://sqlite.org/fileformat2.html#the_database_header: bytes 96 to 99 are the number of the SQLite that wrote last. */
function lastWriter(main: number): string {
  const bytes = Buffer.alloc(4);
  readSync(main, bytes, 0, 4, 96);
  const number = bytes.readUInt32BE(0);
  return [Math.floor(number / 1_000_000), Math.floor(number / 1_000) % 1_000, number % 1_000].join('.');
}
