/**
 * The runs of the last 90 days (of older ones how many there were), what became of backups that are gone, and what a
 * person put away on the page; in our own small database, each of one backup folder.
 */
import type { RunMark } from '../runs/activity.ts';
import type { ErrorCode } from '../../words/errors.ts';
import type { Drill, Run, RunKind, RunResult, RunTotal } from '../../words/run.ts';
import { type DrilledKind, drilledKinds, readable, readMark, readRun } from './run-rows.ts';
import { RunTotals } from './run-totals.ts';
import type { TargetName } from '../../words/target-word.ts';
import { OfThisTurn } from './of-this-turn.ts';
import { openStateDatabase, type StateDatabase } from './state-database.ts';

/** A run from before there were these columns counts for every folder, and for every database. */
const OF_US = `(folder IS NULL OR folder = $folder)
  AND (database IS NULL OR $databases = '[]' OR database IN (SELECT value FROM json_each($databases)))`;

const KEPT_DAYS = 90;
const HELD_MAX = 50;
const HELD_RUNS_MAX = 20;
const DAY_MS = 86_400_000;
/** Says who removed it, as the end of a sentence. */
export const BY_RETENTION = 'by retention';

export interface RunFilter {
  readonly kind?: RunKind;
  readonly except?: RunKind;
  readonly result?: RunResult;
  /** Only those that say something of the backups: neither stopped by hand nor refused. */
  readonly telling?: boolean;
}

export class RunHistory {
  readonly #database: StateDatabase;
  readonly #warn: (message: string) => void;

  readonly #folder: string | null;
  readonly #databases: () => readonly string[];
  /** Answers of one version of the file. */
  readonly #held = new Map<string, unknown>();
  #heldAt: { readonly version: string; readonly databases: readonly string[] } = { version: '', databases: [] };
  readonly #version = new OfThisTurn(() => this.#database.version);
  readonly #totals: RunTotals;

  /**
   * @param options.warn hears why the history is not where it should be.
   * @param options.folder the backup folder that the runs are of, as `folderInState` calls it; left out: any.
   * @param options.databases digests of the database's path, as it is and was: another one may use the same folder. The
   * first is noted with each run; left out: any.
   */
  constructor(
    path: string,
    {
      warn,
      folder = null,
      databases = () => [],
    }: { warn: (message: string) => void; folder?: string | null; databases?: () => readonly string[] },
  ) {
    this.#database = openStateDatabase(path, { warn });
    this.#totals = new RunTotals(this.#database, folder);
    this.#warn = warn;
    this.#folder = folder;
    this.#databases = databases;
  }

  /** For what else is kept there. */
  get database(): StateDatabase {
    return this.#database;
  }

  /** That of the file, found once a turn. */
  get version(): string {
    return this.#version.get();
  }

  /** The parameters of `OF_US`. */
  get #us(): { readonly $folder: string | null; readonly $databases: string } {
    return { $folder: this.#folder, $databases: JSON.stringify(this.#databases()) };
  }

  add(run: Run): void {
    this.#write(() => {
      this.#database
        .prepare(
          `INSERT OR REPLACE INTO runs (id, kind, trigger, user, planned_at, started_at, ended_at, result, backup, size_bytes, steps, error, folder, drill, target, database)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
          this.#folder,
          run.drill ? JSON.stringify(run.drill) : null,
          run.target ?? null,
          this.#databases()[0] ?? null,
        );
      const keptMs = run.endedAt.getTime() - KEPT_DAYS * DAY_MS;
      this.#forget(keptMs);
      this.#database.prepare('DELETE FROM removals WHERE at < ?').run(keptMs);
    });
  }

  /** Newest first, in the order in which they were recorded: a clock that goes back hides no failure. */
  list(filter: RunFilter & { readonly limit: number }): readonly Run[] {
    const { limit, kind, except, result, telling } = filter;
    if (limit > HELD_RUNS_MAX) return this.#list(filter);
    return this.hold(`list ${kind} ${except} ${result} ${telling} ${limit}`, () => this.#list(filter));
  }

  #list({ limit, telling = false, ...filter }: RunFilter & { readonly limit: number }): readonly Run[] {
    const conditions = [OF_US];
    // Only what is asked for: an index serves no condition that may be left open.
    if (filter.kind) conditions.push('kind = $kind');
    if (filter.except) conditions.push('kind <> $except');
    if (filter.result) conditions.push('result = $result');
    if (telling) conditions.push("result NOT IN ('stopped', 'refused')");
    const named = Object.entries(filter).filter(([, value]) => value !== undefined);
    return this.#database
      .prepare(`SELECT * FROM runs WHERE ${conditions.join(' AND ')} ORDER BY rowid DESC LIMIT $limit`)
      .all({
        ...Object.fromEntries(named.map(([name, value]) => [`$${name}`, value])),
        ...this.#us,
        $limit: limit,
      })
      .flatMap((row) => readable(row, readRun));
  }

  /** Up to which run the history goes, for `after`. */
  mark(): number {
    return Number(this.#database.prepare('SELECT max(rowid) AS mark FROM runs').get()?.['mark'] ?? 0);
  }

  /** Runs that were recorded after that mark, by any process; oldest first. */
  after(mark: number): readonly Run[] {
    return this.#database
      .prepare(`SELECT * FROM runs WHERE rowid > $mark AND ${OF_US} ORDER BY rowid`)
      .all({ $mark: mark, ...this.#us })
      .flatMap((row) => readable(row, readRun));
  }

  /** Backup runs that ended since then and were not refused, and the last one before, as the activity chart needs them; oldest first. */
  backupRunsSince(from: Date): readonly RunMark[] {
    const backups = `kind = 'backup' AND result <> 'refused' AND ${OF_US}`;
    return this.#database
      .prepare(
        `SELECT id, planned_at, started_at, ended_at, result, backup, size_bytes, error FROM runs
         WHERE ${backups} AND ended_at >=
           coalesce((SELECT max(ended_at) FROM runs WHERE ${backups} AND ended_at < $from), $from) ORDER BY ended_at`,
      )
      .all({ $from: from.getTime(), ...this.#us })
      .flatMap((row) => readable(row, readMark));
  }

  /** When the first run of a schedule was planned; null when none ever was. */
  firstPlannedAt(): Date | null {
    const row = this.#database.prepare(`SELECT min(planned_at) AS at FROM runs WHERE ${OF_US}`).get(this.#us);
    return typeof row?.['at'] === 'number' ? new Date(row['at']) : null;
  }

  /** The newest backup run that succeeded, or failed with one of these codes. */
  lastJudgement(codes: readonly ErrorCode[]): Run | null {
    return this.hold(`judgement ${codes.join()}`, () => this.#lastJudgement(codes));
  }

  #lastJudgement(codes: readonly ErrorCode[]): Run | null {
    const row = this.#database
      .prepare(
        `SELECT * FROM runs WHERE kind = 'backup' AND ${OF_US}
         AND (result = 'success' OR json_extract(error, '$.code') IN (SELECT value FROM json_each($codes)))
         ORDER BY rowid DESC LIMIT 1`,
      )
      .get({ $codes: JSON.stringify(codes), ...this.#us });
    return row ? (readable(row, readRun)[0] ?? null) : null;
  }

  /** The newest drill of a target that was not stopped, or that proved as much; of backups, or of captured moments. */
  lastDrill(target: TargetName, proof?: Drill['proof'], of: DrilledKind = 'backups'): Run | null {
    return this.hold(`drill ${of} ${proof} ${target}`, () => this.#lastDrill(target, proof, of));
  }

  #lastDrill(target: TargetName, proof: Drill['proof'] | undefined, of: DrilledKind): Run | null {
    const row = this.#database
      .prepare(
        `SELECT * FROM runs WHERE kind = 'drill' AND result <> 'stopped' AND ${OF_US}
         AND json_extract(drill, '$.target') = $target AND ${drilledKinds[of]}
         AND ($proof IS NULL OR json_extract(drill, '$.proof') = $proof) ORDER BY rowid DESC LIMIT 1`,
      )
      .get({ ...this.#us, $target: target, $proof: proof ?? null });
    return row ? (readable(row, readRun)[0] ?? null) : null;
  }

  /**
   * The newest drill of a target that failed, unless a later one there proved the same backup or a newer one: that an older
   * one can be restored does not answer why this one could not. Where the check was given up, nothing is known of that
   * backup, and any later proof counts.
   */
  openDrill(target: TargetName, of: DrilledKind = 'backups'): Run | null {
    return this.hold(`open drill ${of} ${target}`, () => this.#openDrill(target, of));
  }

  #openDrill(target: TargetName, of: DrilledKind): Run | null {
    const drills = `kind = 'drill' AND ${OF_US} AND json_extract(drill, '$.target') = $target AND ${drilledKinds[of]}`;
    const row = this.#database
      .prepare(
        `SELECT * FROM runs AS failed WHERE ${drills} AND result = 'failed'
         AND NOT EXISTS (SELECT 1 FROM runs WHERE ${drills} AND result = 'success' AND runs.rowid > failed.rowid
           AND (failed.backup IS NULL OR runs.backup >= failed.backup
             OR json_extract(failed.error, '$.code') = 'CHECK_GAVE_UP'))
         ORDER BY rowid DESC LIMIT 1`,
      )
      .get({ ...this.#us, $target: target });
    return row ? (readable(row, readRun)[0] ?? null) : null;
  }

  /** Whether an upload to that target is remembered. */
  hasUploaded(target: TargetName): boolean {
    const row = this.#database
      .prepare(
        `SELECT 1 FROM runs WHERE kind = 'upload' AND result = 'success' AND (folder IS NULL OR folder = $folder)
         AND coalesce(target, 's3') = $target LIMIT 1`,
      )
      .get({ $folder: this.#folder, $target: target });
    return row !== undefined;
  }

  /** Names of the backups that were made here since then; null when no run is remembered that began before. */
  madeSince(from: Date): ReadonlySet<string> | null {
    const us = this.#us;
    const first = this.#database.prepare(`SELECT min(started_at) AS at FROM runs WHERE ${OF_US}`).get(us)?.['at'];
    if (typeof first !== 'number' || first > from.getTime()) return null;
    const rows = this.#database
      .prepare(
        `SELECT backup FROM runs WHERE kind = 'backup' AND result = 'success' AND ended_at >= $from AND ${OF_US}
         UNION SELECT backup FROM removals WHERE folder = $folder AND at >= $from`,
      )
      .all({ $from: from.getTime(), ...us });
    return new Set(rows.map((row) => String(row['backup'])));
  }

  /** @param why who removed it, as the end of a sentence: `by retention`. */
  addRemoval({ backup, at, why }: Removal): void {
    this.#write(() =>
      this.#database
        .prepare('INSERT OR REPLACE INTO removals (folder, backup, at, why) VALUES (?, ?, ?, ?)')
        .run(this.#folder, backup, at.getTime(), why),
    );
  }

  /** What is known of a backup that is gone. */
  removal(backup: string): Removal | null {
    const row = this.#database
      .prepare('SELECT at, why FROM removals WHERE folder = ? AND backup = ?')
      .get(this.#folder, backup);
    return row ? { backup, at: new Date(Number(row['at'])), why: String(row['why']) } : null;
  }

  /** Names of the backups that were removed since then, as far as that is known. */
  removed(from: Date): ReadonlyMap<string, Removal> {
    const rows = this.#database
      .prepare('SELECT backup, at, why FROM removals WHERE folder = ? AND at >= ?')
      .all(this.#folder, from.getTime());
    return new Map(
      rows.map((row) => {
        const backup = String(row['backup']);
        return [backup, { backup, at: new Date(Number(row['at'])), why: String(row['why']) }];
      }),
    );
  }

  note(key: NoteKey): string | null {
    return this.hold(`note ${key}`, () => this.#note(key));
  }

  #note(key: NoteKey): string | null {
    const row = this.#database.prepare('SELECT value FROM notes WHERE folder IS ? AND key = ?').get(this.#folder, key);
    return typeof row?.['value'] === 'string' ? row['value'] : null;
  }

  setNote(key: NoteKey, value: string): void {
    this.#write(() =>
      this.#database
        .prepare('INSERT OR REPLACE INTO notes (folder, key, value) VALUES (?, ?, ?)')
        .run(this.#folder, key, value),
    );
  }

  /** Counts all runs that ever were: a run that is forgotten stays counted. */
  totals(): readonly RunTotal[] {
    return this.#totals.count();
  }

  #forget(beforeMs: number): void {
    const isOld = 'FROM runs WHERE ended_at < $before';
    const before = { $before: beforeMs };
    if (!this.#database.prepare(`SELECT 1 ${isOld} LIMIT 1`).get(before)) return;
    this.#database.transaction(() => {
      this.#database
        .prepare(
          `INSERT INTO forgotten_runs SELECT coalesce(folder, ''), kind, trigger, result, count(*), coalesce(sum(size_bytes), 0) ${isOld}
           GROUP BY folder, kind, trigger, result
           ON CONFLICT DO UPDATE SET count = count + excluded.count, size_bytes = size_bytes + excluded.size_bytes`,
        )
        .run(before);
      this.#database.prepare(`DELETE ${isOld}`).run(before);
    });
  }

  close(): void {
    this.#database.close();
  }

  /**
   * An answer holds for as long as nobody changes the file: a status asks for the same few runs each time.
   *
   * @param key of that question alone.
   */
  hold<Answer>(key: string, ask: () => Answer): Answer {
    const [{ version }, databases, before] = [this, this.#databases(), this.#heldAt];
    const isSame = version === before.version && isSameList(databases, before.databases);
    if (!isSame || this.#held.size >= HELD_MAX) this.#held.clear();
    if (!isSame) this.#heldAt = { version, databases };
    if (!this.#held.has(key)) this.#held.set(key, ask());
    return this.#held.get(key) as Answer; // asked for by the same key
  }

  /** A full disk or a program that holds the file must not turn a good backup into a failed one. */
  #write(statement: () => unknown): void {
    try {
      statement();
    } catch (error) {
      this.#warn(`The run history could not be written: ${error instanceof Error ? error.message : String(error)}.`);
    } finally {
      this.#version.drop();
    }
  }
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((one, index) => one === b[index]));
}

/**
 * `dismissed restore`: the id of the run that a person has seen. `migrated`: when a migration of ours ended. `told open
 * folder`: the mode of the backup folder when the log said that others may look into it.
 */
type NoteKey = 'dismissed restore' | 'migrated' | 'told open folder';

interface Removal {
  readonly backup: string;
  readonly at: Date;
  readonly why: string;
}
