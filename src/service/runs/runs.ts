/**
 * The runs of one service: which of them is going, what waits in line, and their records. Runs that change something
 * follow each other in the line; what is fetched from S3 goes on beside it and holds up no backup.
 */
import type { JobEvent } from '../../engine/process/protocol.ts';
import { ActiveRun, type RunOptions } from './active-run.ts';
import type { Run, RunProgress, ServiceEvent, TargetName } from '../model.ts';
import type { FetchOptions } from '../targets/downloads.ts';
import type { RunHistory } from '../state/run-history.ts';

export type RunWeights = RunOptions['weights'];

export interface RunsOptions {
  readonly now: () => Date;
  readonly history: () => RunHistory;
  readonly emit: (event: ServiceEvent) => void;
  /** Told of the run that is shown as going, at each of its steps; null when there is none. */
  readonly onShown: (run: RunProgress | null) => void;
  readonly onRecorded: (run: Run) => void;
}

export class Runs {
  readonly #options: RunsOptions;
  #active: ActiveRun | null = null;
  readonly #fetching = new Map<ActiveRun, Promise<unknown>>();
  #lastInLine: Promise<unknown> = Promise.resolve();

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  /** The one that changes something. */
  set active(run: ActiveRun | null) {
    this.#active = run;
    this.#tellShown();
  }

  /** What is shown as going: what changes something comes first. */
  get shown(): ActiveRun | null {
    return this.#active ?? [...this.#fetching.keys()][0] ?? null;
  }

  begin(options: Omit<RunOptions, 'now' | 'onProgress' | 'trigger' | 'plannedAt'> & Partial<RunOptions>): ActiveRun {
    const { now, emit } = this.#options;
    return new ActiveRun({
      trigger: 'manual',
      plannedAt: null,
      ...options,
      now,
      onProgress: (run) => {
        emit({ type: 'progress', run });
        if (this.shown?.id === run.id) this.#options.onShown(run);
      },
    });
  }

  /** An upload goes on beside everything else: it is recorded when it ended, and shown as what waits until then. */
  beginUpload(backup: string, target: TargetName): ActiveRun {
    return new ActiveRun({
      ...{ kind: 'upload', trigger: 'schedule', user: null, plannedAt: null, backup, target },
      weights: { upload: 95, prune: 5 },
      now: this.#options.now,
      onProgress: () => {},
    });
  }

  record(run: Run): void {
    const { history, emit, onRecorded } = this.#options;
    onRecorded(run);
    history().add(run);
    emit({ type: 'run', run });
    emit({ type: 'status' });
  }

  inLine<Result>(story: () => Promise<Result>): Promise<Result> {
    const result = this.#lastInLine.then(story);
    this.#lastInLine = result.catch(() => {});
    return result;
  }

  /** Resolves when all that is in line now has ended. */
  async idle(): Promise<void> {
    await this.#lastInLine;
  }

  /** Resolves when that run has ended, and what was before it in line. */
  async ended(run: ActiveRun): Promise<void> {
    await Promise.all([this.#lastInLine, this.#fetching.get(run)]);
  }

  /** The step `fetch` of a run. What the job does behind the download is shown only where the run has no other steps. */
  async fetching<Result>(
    run: ActiveRun,
    fetch: (options: Pick<FetchOptions, 'signal' | 'onEvent'>) => Promise<Result>,
    shown: 'fetch' | 'all steps' = 'fetch',
  ): Promise<Result> {
    let isHeard = true;
    const onEvent = (event: JobEvent) => {
      if (event.type === 'step') isHeard = event.name === 'fetch' || shown === 'all steps';
      if (isHeard) run.hear(event);
    };
    run.hear({ type: 'step', name: 'fetch' });
    const fetched = fetch({ signal: run.abort.signal, onEvent });
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

  #tellShown(): void {
    this.#options.onShown(this.shown?.progress() ?? null);
  }
}
