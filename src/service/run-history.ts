/**
 * Run history and the state of uploads, in one small SQLite database of our own. Losing it loses nothing else: backups
 * say all about themselves. So a damaged file is moved aside and begun anew, and where none can be written the history
 * lives in memory and the log says so; backups go on either way.
 */
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { SealName } from '../engine/artifact.ts';
import type { ErrorBody, ErrorCode } from '../engine/errors.ts';
import type { Run, RunKind, RunResult, Step, Trigger } from './model.ts';

const KEPT_DAYS = 90;
const DAY_MS = 86_400_000;

export interface UploadState {
  readonly backup: string;
  readonly status: 'stored' | 'failed';
  readonly at: Date;
  /** How the copy is sealed; null while there is none, and for one that was stored before this was noted. */
  readonly sealing: SealName | null;
  readonly error: ErrorBody | null;
}

export class RunHistory {
  readonly #database: DatabaseSync;
  readonly #warn: (message: string) => void;

  /** @param warn hears why the history is not where it should be. */
  constructor(path: string, options: { warn: (message: string) => void }) {
    this.#database = openState(path, options.warn);
    this.#warn = options.warn;
  }

  add(run: Run): void {
    this.#write(() => {
      this.#database
        .prepare(
          `INSERT OR REPLACE INTO runs (id, kind, trigger, user, planned_at, started_at, ended_at, result, backup, size_bytes, steps, error)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          run.id,
          run.kind,
          run.trigger,
          run.user,
          run.plannedAt?.getTime() ?? null,
          run.startedAt.getTime(),
          run.endedAt.getTime(),
          run.result,
          run.backup,
          run.sizeBytes,
          JSON.stringify(run.steps),
          run.error && JSON.stringify(run.error),
        );
      this.#database.prepare('DELETE FROM runs WHERE ended_at < ?').run(run.endedAt.getTime() - KEPT_DAYS * DAY_MS);
    });
  }

  /** Newest first, in the order in which they were recorded: a clock that goes back hides no failure. */
  list(options: { limit: number; kind?: RunKind; result?: RunResult }): readonly Run[] {
    return this.#database
      .prepare(
        // By name: Node 22 finds no value for a numbered parameter.
        `SELECT * FROM runs WHERE ($kind IS NULL OR kind = $kind) AND ($result IS NULL OR result = $result)
         ORDER BY rowid DESC LIMIT $limit`,
      )
      .all({ $kind: options.kind ?? null, $result: options.result ?? null, $limit: options.limit })
      .map(readRun);
  }

  /** The newest backup run that succeeded, or failed with one of these codes. */
  lastJudgement(codes: readonly ErrorCode[]): Run | null {
    const row = this.#database
      .prepare(
        `SELECT * FROM runs WHERE kind = 'backup'
         AND (result = 'success' OR json_extract(error, '$.code') IN (SELECT value FROM json_each($codes)))
         ORDER BY rowid DESC LIMIT 1`,
      )
      .get({ $codes: JSON.stringify(codes) });
    return row ? readRun(row) : null;
  }

  uploads(): ReadonlyMap<string, UploadState> {
    const rows = this.#database.prepare('SELECT * FROM uploads').all();
    return new Map(
      rows.map((row) => [
        String(row['backup']),
        {
          backup: String(row['backup']),
          status: row['status'] === 'stored' ? 'stored' : 'failed',
          at: new Date(Number(row['at'])),
          sealing: row['sealing'] as SealName | null, // written by us
          error: row['error'] === null ? null : (JSON.parse(String(row['error'])) as ErrorBody), // written by us
        },
      ]),
    );
  }

  setUpload(state: UploadState): void {
    this.#write(() =>
      this.#database
        .prepare('INSERT OR REPLACE INTO uploads (backup, status, at, sealing, error) VALUES (?, ?, ?, ?, ?)')
        .run(state.backup, state.status, state.at.getTime(), state.sealing, state.error && JSON.stringify(state.error)),
    );
  }

  forgetUpload(backup: string): void {
    this.#write(() => this.#database.prepare('DELETE FROM uploads WHERE backup = ?').run(backup));
  }

  close(): void {
    this.#database.close();
  }

  /** A full disk or a program that holds the file must not turn a good backup into a failed one. */
  #write(statement: () => unknown): void {
    try {
      statement();
    } catch (error) {
      this.#warn(`The run history could not be written: ${error instanceof Error ? error.message : String(error)}.`);
    }
  }
}

function openState(path: string, warn: (message: string) => void): DatabaseSync {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSchema(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (existsSync(path) && /malformed|not a database/.test(reason)) {
      const aside = `${path}.damaged-${process.pid}-${Date.now()}`;
      for (const suffix of ['', '-wal', '-shm'])
        if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
      warn(`The run history ${path} was damaged (${reason}); it was moved to ${aside} and begun anew.`);
      return openSchema(path);
    }
    warn(`The run history can not be kept at ${path} (${reason}); it is kept in memory until the next start.`);
    return openSchema(':memory:');
  }
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
      steps TEXT NOT NULL, error TEXT
    );
    CREATE INDEX IF NOT EXISTS runs_by_end ON runs (ended_at);
    CREATE TABLE IF NOT EXISTS uploads (
      backup TEXT PRIMARY KEY, status TEXT NOT NULL, at INTEGER NOT NULL, error TEXT, sealing TEXT
    );
  `);
  // Made before sealing was noted.
  const columns = database.prepare('PRAGMA table_info(uploads)').all();
  if (!columns.some(({ name }) => name === 'sealing')) database.exec('ALTER TABLE uploads ADD COLUMN sealing TEXT');
  return database;
}

function readRun(row: Readonly<Record<string, unknown>>): Run {
  const text = (name: string) => (row[name] === null ? null : String(row[name]));
  const time = (name: string) => new Date(Number(row[name]));
  return {
    id: String(row['id']),
    kind: String(row['kind']) as RunKind, // written by us
    trigger: String(row['trigger']) as Trigger,
    user: text('user'),
    plannedAt: row['planned_at'] === null ? null : time('planned_at'),
    startedAt: time('started_at'),
    endedAt: time('ended_at'),
    result: String(row['result']) as RunResult,
    backup: text('backup'),
    sizeBytes: row['size_bytes'] === null ? null : Number(row['size_bytes']),
    steps: JSON.parse(String(row['steps'])) as Step[],
    error: row['error'] === null ? null : (JSON.parse(String(row['error'])) as ErrorBody),
  };
}
