/** How many runs of a folder there ever were: a run that is forgotten stays counted. */
import type { RunTotal } from '../../words/run.ts';
import { addTotal, readTotal } from './run-rows.ts';
import type { StateDatabase } from './state-database.ts';

export class RunTotals {
  readonly #database: StateDatabase;
  readonly #folder: string | null;
  /** Counted once, and from then on what came after. */
  #counted: Counted | null = null;
  #held: { readonly version: string; readonly totals: readonly RunTotal[] } | null = null;

  constructor(database: StateDatabase, folder: string | null) {
    this.#database = database;
    this.#folder = folder;
  }

  count(): readonly RunTotal[] {
    // Before they are counted: what is recorded meanwhile is counted by the next call.
    const { version } = this.#database;
    if (this.#held?.version !== version) this.#held = { version, totals: this.#count() };
    return this.#held.totals;
  }

  /** The first call counts them all, which took 0.18 s for 260,000; each later one takes what was recorded since. */
  #count(): readonly RunTotal[] {
    // What is forgotten may never have been counted: another process can do both between two calls.
    if (this.#counted?.forgotten !== this.#forgotten()) this.#counted = null;
    this.#counted ??= this.#countAll();
    const { totals, mark } = this.#counted;
    const since = this.#database
      .prepare(
        `SELECT max(rowid) AS mark, kind, trigger, result, count(*) AS count, sum(coalesce(size_bytes, 0)) AS size_bytes
         FROM runs WHERE rowid > $mark AND (folder IS NULL OR folder = $folder) GROUP BY kind, trigger, result`,
      )
      .all({ $mark: mark, $folder: this.#folder });
    for (const row of since) {
      addTotal(totals, readTotal(row));
      this.#counted.mark = Math.max(this.#counted.mark, Number(row['mark']));
    }
    return [...totals.values()];
  }

  /** The counts of one moment: a run that is forgotten meanwhile is counted once. */
  #countAll(): Counted {
    return this.#database.transaction(() => {
      const mark = Number(this.#database.prepare('SELECT max(rowid) AS mark FROM runs').get()?.['mark'] ?? 0);
      const rows = this.#database
        .prepare(
          `SELECT kind, trigger, result, sum(count) AS count, sum(size_bytes) AS size_bytes FROM (
             SELECT kind, trigger, result, count, size_bytes FROM forgotten_runs WHERE folder IN ('', $folder)
             UNION ALL SELECT kind, trigger, result, 1, coalesce(size_bytes, 0) FROM runs
               WHERE folder IS NULL OR folder = $folder)
           GROUP BY kind, trigger, result`,
        )
        .all({ $folder: this.#folder });
      const totals = new Map<string, RunTotal>();
      for (const row of rows) addTotal(totals, readTotal(row));
      return { totals, mark, forgotten: this.#forgotten() };
    }, 'BEGIN');
  }

  #forgotten(): number {
    const row = this.#database
      .prepare("SELECT sum(count) AS count FROM forgotten_runs WHERE folder IN ('', ?)")
      .get(this.#folder);
    return Number(row?.['count'] ?? 0);
  }
}

interface Counted {
  readonly totals: Map<string, RunTotal>;
  /** Up to which run. */
  mark: number;
  /** How many were forgotten by then. */
  readonly forgotten: number;
}
