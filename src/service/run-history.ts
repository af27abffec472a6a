/** The runs of the last 90 days, in our own small database; of older ones how many there were. */
import type { ErrorBody, ErrorCode } from '../engine/errors.ts';
import type { Run, RunKind, RunResult, RunTotal, Step, Trigger } from './model.ts';
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
      this.#forget(run.endedAt.getTime() - KEPT_DAYS * DAY_MS);
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

  /** Of all runs that ever were: a run that is forgotten stays counted. */
  totals(): readonly RunTotal[] {
    return this.#database
      .prepare(
        `SELECT kind, trigger, result, sum(count) AS count, sum(size_bytes) AS size_bytes FROM (
           SELECT kind, trigger, result, count, size_bytes FROM forgotten_runs
           UNION ALL SELECT kind, trigger, result, 1, coalesce(size_bytes, 0) FROM runs)
         GROUP BY kind, trigger, result`,
      )
      .all()
      .map((row) => ({
        kind: String(row['kind']) as RunKind, // written by us
        trigger: String(row['trigger']) as Trigger,
        result: String(row['result']) as RunResult,
        count: Number(row['count']),
        sizeBytes: Number(row['size_bytes']),
      }));
  }

  #forget(beforeMs: number): void {
    const isOld = 'FROM runs WHERE ended_at < $before';
    const before = { $before: beforeMs };
    if (!this.#database.prepare(`SELECT 1 ${isOld} LIMIT 1`).get(before)) return;
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      this.#database
        .prepare(
          `INSERT INTO forgotten_runs SELECT kind, trigger, result, count(*), coalesce(sum(size_bytes), 0) ${isOld}
           GROUP BY kind, trigger, result
           ON CONFLICT DO UPDATE SET count = count + excluded.count, size_bytes = size_bytes + excluded.size_bytes`,
        )
        .run(before);
      this.#database.prepare(`DELETE ${isOld}`).run(before);
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
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
