/**
 * The runs of one service: which of them is running, what waits in line, and their records. Runs that change something
 * follow each other in the line; what is fetched from a target runs beside it and holds up no backup.
 *
 * A run is carried and not caught: `carry` and `settle` are the only places that record how a run ended.
 */
import { BackupError } from '../../words/errors.ts';
import { ActiveRun, type RunOptions } from './active-run.ts';
import type { Run, RunProgress } from '../../words/run.ts';
import type { ServiceEvent } from '../service-event.ts';
import type { FetchOptions } from '../targets/downloads.ts';
import type { RunHistory } from '../state/run-history.ts';
import type { JobEvent } from '../../words/story.ts';

export type RunWeights = RunOptions['weights'];

interface RunsOptions {
  readonly now: () => Date;
  readonly history: () => RunHistory;
  readonly emit: (event: ServiceEvent) => void;
  /** Gets the run that is shown, at each of its steps; null when there is none. */
  readonly onShown: (run: RunProgress | null) => void;
  readonly onRecorded: (run: Run) => void;
}

/** What a run is about; by hand and in no schedule, if not given. */
type RunAsked = Omit<RunOptions, 'now' | 'onProgress' | 'user' | 'trigger' | 'plannedAt'> &
  Partial<Pick<RunOptions, 'trigger' | 'plannedAt'>> & {
    readonly user?: string | null | undefined;
    readonly onProgress?: ((run: RunProgress) => void) | undefined;
  };

export interface CarryAsked extends RunAsked {
  /** Gets the error before it is recorded, says what is to be said of it, and returns the error that is recorded. */
  readonly onFailed?: (error: BackupError, run: ActiveRun) => BackupError | Promise<BackupError>;
  /** Every run is recorded, if not given. */
  readonly isRecorded?: (report: Run) => boolean;
}

/** How a run ended. */
type Settled<Result> =
  | { readonly report: Run; readonly error: null; readonly result: Result }
  | { readonly report: Run; readonly error: BackupError };

export class Runs {
  readonly #options: RunsOptions;
  #active: ActiveRun | null = null;
  readonly #fetching = new Map<ActiveRun, Promise<unknown>>();
  #lastInLine: Promise<unknown> = Promise.resolve();
  #inLine = 0;

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  /** The run that is shown: one that changes something comes first. */
  get shown(): ActiveRun | null {
    return this.#active ?? [...this.#fetching.keys()][0] ?? null;
  }

  /** Records success, stopped or failed; rethrows what the story threw. */
  async carry<Result>(asked: CarryAsked, story: (run: ActiveRun) => Promise<Result>): Promise<Result> {
    const settled = await this.settle(asked, story);
    if (settled.error) throw settled.error;
    return settled.result;
  }

  /** As `carry`, for a caller whose answer bears the report: what the story threw is in it. */
  async settle<Result>(asked: CarryAsked, story: (run: ActiveRun) => Promise<Result>): Promise<Settled<Result>> {
    const { onFailed = (error) => error, isRecorded = () => true, ...about } = asked;
    const run = this.#begin(about);
    let settled: Settled<Result>;
    try {
      const result = await story(run);
      settled = { report: run.end('success'), error: null, result };
    } catch (thrown) {
      const error = await onFailed(BackupError.from(thrown), run);
      settled = { report: run.end(error), error };
    }
    if (isRecorded(settled.report)) this.#record(settled.report);
    else this.#options.emit({ type: 'status' });
    return settled;
  }

  /** Records what took no time: a database that has not changed, or that is missing. */
  note(about: RunAsked, result: 'unchanged' | BackupError): void {
    this.#record(this.#begin(about).end(result));
  }

  /** While this work lasts, the run is the one that changes something. */
  async lead<Result>(run: ActiveRun, work: () => Promise<Result>): Promise<Result> {
    this.#active = run;
    this.#tellShown();
    try {
      return await work();
    } finally {
      this.#active = null;
      this.#tellShown();
    }
  }

  enqueue<Result>(story: () => Promise<Result>): Promise<Result> {
    this.#inLine++;
    const result = this.#lastInLine.then(story).finally(() => this.#inLine--);
    this.#lastInLine = result.catch(() => {});
    return result;
  }

  /** True if what is put in line now begins at once. */
  get isLineEmpty(): boolean {
    return this.#inLine === 0;
  }

  /** Resolves when all that is in line now has ended. */
  async idle(): Promise<void> {
    await this.#lastInLine;
  }

  /** Resolves when that run has ended, and what was before it in line. */
  async ended(run: ActiveRun): Promise<void> {
    await Promise.all([this.#lastInLine, this.#fetching.get(run)]);
  }

  /** The step `fetch` of a run. What the job does behind the download is shown only if the run has no other steps. */
  async fetching<Result>(
    run: ActiveRun,
    fetch: (options: Pick<FetchOptions, 'signal' | 'onEvent'>) => Promise<Result>,
    shown: 'fetch' | 'all steps' = 'fetch',
  ): Promise<Result> {
    let isShown = true;
    const onEvent = (event: JobEvent) => {
      if (event.type === 'step') isShown = event.name === 'fetch' || shown === 'all steps';
      if (isShown) run.onEvent(event);
    };
    run.onEvent({ type: 'step', name: 'fetch' });
    const fetched = fetch({ signal: run.signal, onEvent });
    this.#fetching.set(
      run,
      fetched.catch(() => {}),
    );
    this.#tellShown();
    try {
      return await fetched;
    } finally {
      this.#fetching.delete(run);
      this.#tellShown();
    }
  }

  #begin({ onProgress, user = null, ...about }: RunAsked): ActiveRun {
    const { now, emit } = this.#options;
    const tell = (run: RunProgress) => {
      emit({ type: 'progress', run });
      if (this.shown?.id === run.id) this.#options.onShown(run);
    };
    // An upload runs beside everything else: until it is recorded it is shown as what waits.
    const isQuiet = about.kind === 'upload';
    const run = new ActiveRun({
      ...{ trigger: 'manual', plannedAt: null, ...about },
      ...{ user, now, onProgress: isQuiet ? () => {} : tell },
    });
    run.listen(onProgress);
    return run;
  }

  #record(run: Run): void {
    const { history, emit, onRecorded } = this.#options;
    onRecorded(run);
    history().add(run);
    emit({ type: 'run', run });
    emit({ type: 'status' });
  }

  #tellShown(): void {
    this.#options.onShown(this.shown?.progress() ?? null);
  }
}
