/** The runs of the last 90 days, in our own small database. */
import type { ErrorBody, ErrorCode } from '../engine/errors.ts';
import type { Run, RunKind, RunResult, Step, Trigger } from './model.ts';
import { openStateDatabase, type StateDatabase } from './state-database.ts';

const KEPT_DAYS = 90;
const DAY_MS = 86_400_000;

export class RunHistory {
  readonly #database: StateDatabase;
  readonly #warn: (message: string) => void;

  /** @param warn hears why the history is not where it should be. */
  constructor(path: string, options: { warn: (message: string) => void }) {
    this.#database = openStateDatabase(path, options);
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
