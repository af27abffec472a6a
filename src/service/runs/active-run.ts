/** One run that is going: its steps, bytes and percent as the page shows them, and the record that it becomes. */
import { randomUUID } from 'node:crypto';
import type { BackupError } from '../../words/errors.ts';
import type { JobEvent } from '../../engine/process/protocol.ts';
import type { Drill, Run, RunKind, RunProgress, RunResult, Step, StepName, TargetName, Trigger } from '../model.ts';

export interface RunOptions {
  readonly kind: RunKind;
  readonly trigger: Trigger;
  readonly user: string | null;
  readonly plannedAt: Date | null;
  readonly backup: string | null;
  /** Of an upload. */
  readonly target?: TargetName;
  /** Share of the whole, in percent, that each step takes; they add up to 100. */
  readonly weights: Readonly<Partial<Record<StepName, number>>>;
  readonly now: () => Date;
  readonly onProgress: (run: RunProgress) => void;
}

type MutableStep = { -readonly [Key in keyof Step]: Step[Key] };

export class ActiveRun {
  readonly id = randomUUID();
  readonly kind: RunKind;
  readonly abort = new AbortController();
  /** Set when the moment of the database is fixed: who asks from then on needs another run. */
  pinned = false;
  /** False once it has begun to change something: then a stop is not heard. */
  mayStop = true;
  /** True when its record was made. */
  hasEnded = false;
  readonly #options: RunOptions;
  readonly #startedAt: Date;
  readonly #steps: MutableStep[];
  readonly #listeners = new Set<(run: RunProgress) => void>();
  readonly #users = new Set<string>();
  #stepStartedMs = 0;
  #backup: string | null;
  #percent = 0;

  constructor(options: RunOptions) {
    this.kind = options.kind;
    this.#options = options;
    this.#startedAt = options.now();
    this.#backup = options.backup;
    this.#steps = (Object.keys(options.weights) as StepName[]).map((name) => ({ name, state: 'waiting' })); // keys of that record
    this.#listeners.add(options.onProgress);
    this.join(options.user);
  }

  /** Who asks for what is going already has asked for it too. */
  join(user: string | null): void {
    if (user !== null) this.#users.add(user);
  }

  /** All who asked, in that order. */
  get user(): string | null {
    return this.#users.size === 0 ? null : [...this.#users].join(', ');
  }

  listen(listener: ((run: RunProgress) => void) | undefined): void {
    if (listener) this.#listeners.add(listener);
  }

  hear(event: JobEvent): void {
    if (event.type === 'step') this.#begin(event.name);
    else if (event.type === 'bytes') this.#count(event.done, event.total);
    else if (event.type === 'pinned') {
      this.pinned = true;
      if (this.kind === 'backup') this.#backup = event.backup;
    } else return;
    this.#tell();
  }

  progress(): RunProgress {
    return {
      id: this.id,
      kind: this.kind,
      trigger: this.#options.trigger,
      user: this.user,
      startedAt: this.#startedAt,
      backup: this.#backup,
      steps: this.#steps.map((step) => ({ ...step })),
      percent: this.#percent,
    };
  }

  end(outcome: {
    result: RunResult;
    backup?: string | null;
    sizeBytes?: number | null;
    error?: BackupError | null;
    drill?: Drill;
  }): Run {
    this.hasEnded = true;
    this.#finishStep(outcome.result === 'success' ? 'done' : 'failed');
    const { id, kind, trigger, user, startedAt, steps } = this.progress();
    const { target } = this.#options;
    return {
      ...{ id, kind, trigger, user, startedAt, plannedAt: this.#options.plannedAt, endedAt: this.#options.now() },
      result: outcome.result,
      // A failed run has no file; the name it would have had says nothing to anybody.
      backup: outcome.backup ?? (outcome.result === 'success' ? this.#backup : null),
      sizeBytes: outcome.sizeBytes ?? null,
      steps: steps.filter((step) => step.state !== 'waiting'),
      error: outcome.error?.toJSON() ?? null,
      ...(outcome.drill && { drill: outcome.drill }),
      ...(target !== undefined && target !== 's3' && { target }),
    };
  }

  #begin(name: StepName): void {
    this.#finishStep('done');
    const step = this.#steps.find((candidate) => candidate.name === name);
    if (!step) return;
    step.state = 'running';
    this.#stepStartedMs = performance.now();
    if (name === 'place') this.mayStop = false;
    this.#raisePercent(0);
  }

  #count(done: number, total: number): void {
    const step = this.#running();
    if (!step) return;
    step.bytesDone = done;
    step.bytesTotal = total;
    this.#raisePercent(total > 0 ? done / total : 0);
  }

  #finishStep(state: 'done' | 'failed'): void {
    const step = this.#running();
    if (!step) return;
    step.state = state;
    step.ms = Math.round(performance.now() - this.#stepStartedMs);
  }

  #running(): MutableStep | undefined {
    return this.#steps.find((step) => step.state === 'running');
  }

  #raisePercent(shareOfStep: number): void {
    let percent = 0;
    for (const step of this.#steps) {
      const weight = this.#options.weights[step.name] ?? 0;
      if (step.state === 'done') percent += weight;
      if (step.state === 'running') percent += weight * shareOfStep;
    }
    this.#percent = Math.max(this.#percent, Math.min(99, Math.round(percent)));
  }

  #tell(): void {
    const progress = this.progress();
    for (const listener of this.#listeners) listener(progress);
  }
}
