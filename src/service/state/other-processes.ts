/**
 * What other processes do over the same backup folder: the command line beside the app, or a second app. Each writes
 * the run that is going into the shared state, and whoever has a page open looks there once a second.
 *
 * It costs nothing that matters. A row that can't be written is written a moment later or never, and no run waits for
 * it. Looking is one `PRAGMA data_version` as long as nobody writes to the state, and nobody looks while nobody listens. A row of a process that died is as good as gone: its process is asked for, and it must have
 * given a sign of life, because the number of a dead process is given to a new one.
 */
import { randomUUID } from 'node:crypto';
import { errnoCode } from '../../words/errors.ts';
import type { ServiceEvent } from '../service-event.ts';
import type { Run, RunProgress } from '../../words/run.ts';
import type { State } from './state.ts';

const LOOK_EVERY_MS = 1_000;
const WRITE_EVERY_MS = 500;
const SIGN_OF_LIFE_MS = 5_000;
const SILENCE_MS = 30_000;
/** Tries to remove a row of ours that another process's commit holds up; later it is silence that ends it. */
const REMOVE_TRIES = 20;
/** Runs of ours that a look must not take for another's. */
const OWN_RUNS_MAX = 100;

interface OtherProcessesOptions {
  readonly state: Pick<State, 'exists' | 'history' | 'notes'>;
  /** The backup folder that they share, as the state calls it. */
  readonly folder: string;
  readonly now: () => Date;
  readonly emit: (event: ServiceEvent) => void;
}

export class OtherProcesses {
  readonly #options: OtherProcessesOptions;
  /** One for each service, because a process may have several. */
  readonly #service = randomUUID();
  #own: RunProgress | null = null;
  #isWritten = true;
  #writtenMs = Number.NEGATIVE_INFINITY;
  #hasRow = false;
  #removeTries = 0;
  #writer: NodeJS.Timeout | undefined;
  #watcher: NodeJS.Timeout | undefined;
  #seen: Seen | null = null;
  /** As they are at one version of the state. */
  #rows: { readonly version: string; readonly runs: readonly RunElsewhere[] } | null = null;
  readonly #ownRuns = new Set<string>();

  constructor(options: OtherProcessesOptions) {
    this.#options = options;
  }

  // ── what we do ──

  /** The run of ours that is going, at each of its steps; null when it has ended. */
  show(run: RunProgress | null): void {
    this.#own = run;
    this.#isWritten = false;
    if (run === null) this.#removeTries = 0;
    if (this.#writer === undefined) {
      this.#writer = setInterval(() => this.#write(), WRITE_EVERY_MS);
      this.#writer.unref();
      this.#write();
    } else if (run === null) this.#write();
  }

  /** A run of ours was recorded. */
  recorded(run: Run): void {
    this.#ownRuns.add(run.id);
    for (const id of this.#ownRuns) {
      if (this.#ownRuns.size <= OWN_RUNS_MAX) break;
      this.#ownRuns.delete(id);
    }
  }

  #write(): void {
    const nowMs = this.#options.now().getTime();
    try {
      if (this.#own === null) this.#removeRow();
      else if (!this.#isWritten || Math.abs(nowMs - this.#writtenMs) >= SIGN_OF_LIFE_MS)
        this.#writeRow(this.#own, nowMs);
    } catch {
      // Another process writes just now, or the disk is full. The run itself is not concerned.
      if (this.#own === null && ++this.#removeTries >= REMOVE_TRIES) this.#rest();
    }
  }

  #writeRow(run: RunProgress, nowMs: number): void {
    const { state, folder } = this.#options;
    state.notes
      .prepare('INSERT OR REPLACE INTO active_runs (service, folder, pid, seen_at, run) VALUES (?, ?, ?, ?, ?)')
      .run(this.#service, folder, process.pid, nowMs, JSON.stringify(run));
    this.#hasRow = true;
    this.#isWritten = true;
    this.#writtenMs = nowMs;
  }

  /** And those of processes that died. */
  #removeRow(): void {
    if (this.#hasRow) {
      const { state, now } = this.#options;
      const silentMs = now().getTime() - SILENCE_MS;
      state.notes.prepare('DELETE FROM active_runs WHERE service = ? OR seen_at < ?').run(this.#service, silentMs);
    }
    this.#hasRow = false;
    this.#rest();
  }

  #rest(): void {
    clearInterval(this.#writer);
    this.#writer = undefined;
  }

  // ── what others do ──

  /** The run of another process, the one that began last. */
  get run(): RunProgress | null {
    return this.#look()[0] ?? null;
  }

  /** From now on every change by another process is told as an event. */
  watch(): void {
    if (this.#watcher !== undefined) return;
    this.#seen = this.#takeStock();
    this.#watcher = setInterval(() => {
      try {
        this.#tellChanges();
      } catch {
        // A state that can't be read just now is looked at again in a second.
      }
    }, LOOK_EVERY_MS);
    this.#watcher.unref();
  }

  unwatch(): void {
    clearInterval(this.#watcher);
    this.#watcher = undefined;
  }

  close(): void {
    this.unwatch();
    this.#own = null;
    this.#write();
    this.#rest();
  }

  #look(): readonly RunProgress[] {
    const { state, folder, now } = this.#options;
    if (!state.exists) return [];
    try {
      const nowMs = now().getTime();
      const { version } = state.history;
      if (this.#rows?.version !== version) {
        const others = 'SELECT * FROM active_runs WHERE folder = ? AND service <> ?';
        const rows = state.notes.prepare(others).all(folder, this.#service);
        const runs = rows.map(({ seen_at, pid, run }) => ({
          ...{ seenMs: Number(seen_at), pid: Number(pid), run: readRun(String(run)) },
        }));
        this.#rows = { version, runs };
      }
      return this.#rows.runs
        .filter(({ seenMs, pid }) => Math.abs(nowMs - seenMs) < SILENCE_MS && isAlive(pid))
        .map(({ run }) => run)
        .sort((a, b) => b.startedAt.getTime() - a.startedAt.getTime());
    } catch {
      // A state that can't be read now hides a neighbour; it never breaks a status.
      return [];
    }
  }

  #takeStock(): Seen | null {
    const { state } = this.#options;
    if (!state.exists) return nothingYet;
    try {
      // First: what is committed while we read is seen again at the next look.
      const { version } = state.history;
      return {
        version,
        runs: this.#look(),
        mark: state.history.mark(),
        rest: String(state.notes.prepare(REST).get()?.['rest']),
      };
    } catch {
      return null;
    }
  }

  #tellChanges(): void {
    const { state, emit } = this.#options;
    const before = this.#seen;
    if (!state.exists) return;
    // While a run of another is going its process may die without a word.
    if (before?.runs.length === 0 && state.history.version === before.version) return;
    const after = this.#takeStock();
    if (after === null) return;
    this.#seen = after;
    const known = new Map(before?.runs.map((run) => [run.id, JSON.stringify(run)]));
    for (const run of after.runs)
      if (known.get(run.id) !== JSON.stringify(run)) emit({ type: 'progress', run, elsewhere: true });
    const ended = before ? state.history.after(before.mark) : [];
    for (const run of ended) if (!this.#ownRuns.has(run.id)) emit({ type: 'run', run, elsewhere: true });
    if (before?.rest !== after.rest) emit({ type: 'backups' });
    const hasChanged = before?.rest !== after.rest || ids(before.runs) !== ids(after.runs);
    if (hasChanged) emit({ type: 'status' });
  }
}

interface RunElsewhere {
  readonly seenMs: number;
  readonly pid: number;
  readonly run: RunProgress;
}

/** What a look saw. */
interface Seen {
  readonly version: unknown;
  readonly runs: readonly RunProgress[];
  /** Up to which run the history was read. */
  readonly mark: number;
  /** Changes with whatever else of the state a page shows. */
  readonly rest: string;
}

/** Before any process had something to note. */
const nothingYet: Seen = { version: undefined, runs: [], mark: 0, rest: '' };

const REST = `SELECT concat_ws(' ',
  (SELECT count(*) || ' ' || ifnull(max(at), 0) || ' ' || total(status = 'stored') FROM s3_uploads),
  (SELECT group_concat(value) FROM s3_notes), (SELECT count(*) || ' ' || ifnull(max(at), 0) FROM removals),
  (SELECT group_concat(value) FROM notes)) AS rest`;

function ids(runs: readonly RunProgress[]): string {
  return runs.map(({ id }) => id).join(' ');
}

function readRun(text: string): RunProgress {
  const run = JSON.parse(text) as RunProgress; // written by us; its date is still text
  return { ...run, startedAt: new Date(run.startedAt) };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process is alive all the same.
    return errnoCode(error) === 'EPERM';
  }
}
