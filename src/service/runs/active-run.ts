/** One run that is going: its steps, bytes and percent as the page shows them, and the record that it becomes. */
import { randomUUID } from 'node:crypto';
import { type BackupError, type ErrorCode, says } from '../../words/errors.ts';
import type { Drill, Run, RunKind, RunOutcome, RunProgress, Step, Trigger } from '../../words/run.ts';
import type { JobEvent, StepName } from '../../words/story.ts';
import type { TargetName } from '../../words/target-word.ts';

export interface RunOptions {
  /** Chosen by whoever has to know it before the run begins. */
  readonly id?: string;
  readonly kind: RunKind;
  readonly trigger: Trigger;
  readonly user: string | null;
  readonly plannedAt: Date | null;
  readonly backup: string | null;
  /** Size of that backup, for the record of a run that succeeds. */
  readonly sizeBytes?: number | null;
  /** Only for an upload. */
  readonly target?: TargetName;
  /** Share of the whole, in percent, that each step takes; they add up to 100. */
  readonly weights: Readonly<Partial<Record<StepName, number>>>;
  readonly now: () => Date;
  readonly onProgress: (run: RunProgress) => void;
}

type Noted = {
  readonly backup?: string | null;
  readonly sizeBytes?: number | null;
  readonly drill?: Drill | undefined;
};
type Joining = Pick<RunOptions, 'user'> & Partial<Pick<RunOptions, 'plannedAt'>>;
type MutableStep = { -readonly [Key in keyof Step]: Step[Key] };

export class ActiveRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly abort = new AbortController();
  /** Set when the moment of the database is fixed: who asks from then on needs another run. */
  pinned = false;
  /** False once it has begun to change something: then a stop is not heard. */
  mayStop = true;
  readonly #options: RunOptions;
  readonly #startedAt: Date;
  readonly #steps: MutableStep[];
  readonly #listeners = new Set<(run: RunProgress) => void>();
  readonly #users = new Set<string>();
  #stepStartedMs = 0;
  #backup: string | null;
  #sizeBytes: number | null;
  #drill: Drill | undefined;
  #percent = 0;
  /** If it was planned, or joined by what was. */
  #plannedAt: Date | null = null;

  constructor(options: RunOptions) {
    this.id = options.id ?? randomUUID();
    this.kind = options.kind;
    this.#options = options;
    this.#startedAt = options.now();
    this.#backup = options.backup;
    this.#sizeBytes = options.sizeBytes ?? null;
    this.#steps = (Object.keys(options.weights) as StepName[]).map((name) => ({ name, state: 'waiting' })); // keys of that record
    this.#listeners.add(options.onProgress);
    this.join(options);
  }

  /** A user who asks for what is running has asked for it, too; and what was planned is carried out by it. */
  join({ user, plannedAt = null }: Joining): void {
    if (user !== null) this.#users.add(user);
    this.#plannedAt ??= plannedAt;
  }

  /** All who asked, in that order. */
  get user(): string | null {
    return this.#users.size === 0 ? null : [...this.#users].join(', ');
  }

  listen(listener: ((run: RunProgress) => void) | undefined): void {
    if (listener) this.#listeners.add(listener);
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** What its record will say, learned on the way. */
  note({ backup = this.#backup, sizeBytes = this.#sizeBytes, drill = this.#drill }: Noted): void {
    this.#backup = backup;
    this.#sizeBytes = sizeBytes;
    this.#drill = drill;
  }

  /** Hears its job; a function of its own, so that a run can be given to a job as the job's options. */
  readonly onEvent = (event: JobEvent): void => {
    if (event.type === 'step') this.#begin(event.name);
    else if (event.type === 'bytes') this.#count(event.done, event.total);
    else if (event.type === 'pinned') {
      this.pinned = true;
      if (this.kind === 'backup') this.#backup = event.backup;
    } else return;
    this.#tell();
  };

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

  end(how: 'success' | 'unchanged' | BackupError): Run {
    const outcome = this.#outcome(how);
    const isDone = outcome.error === null;
    this.#finishStep(outcome.result === 'success' ? 'done' : 'failed');
    const { id, kind, trigger, user, startedAt, steps } = this.progress();
    const { target, now } = this.#options;
    return {
      ...{ id, kind, trigger, user, startedAt, plannedAt: this.#plannedAt, endedAt: now() },
      ...outcome,
      backup: this.kind !== 'backup' || isDone ? this.#backup : null,
      steps: steps.filter((step) => step.state !== 'waiting'),
      ...(this.#drill && { drill: this.#drill }),
      ...(target !== undefined && target !== 's3' && { target }),
    };
  }

  #outcome(how: 'success' | 'unchanged' | BackupError): RunOutcome {
    if (how === 'success') return { result: how, sizeBytes: this.#sizeBytes, error: null };
    if (how === 'unchanged') return { result: how, sizeBytes: null, error: null };
    const isRefused = this.#plannedAt === null && says(how.code, 'refusal') && isAsked(this.#options, how.code);
    const result = how.code === 'ABORTED' ? 'stopped' : isRefused ? 'refused' : 'failed';
    return { result, sizeBytes: null, error: how.toJSON() };
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

/**
 * True if a person called for it, and the call was wrong. A backup that an app or a cron line asks for in place of a schedule
 * fails by its configuration as a planned one does; an upload is nobody's call.
 */
function isAsked({ kind, trigger }: Pick<RunOptions, 'kind' | 'trigger'>, code: ErrorCode): boolean {
  if (kind === 'upload') return false;
  return (trigger === 'cli' || trigger === 'manual') && (kind !== 'backup' || code === 'BUSY');
}
