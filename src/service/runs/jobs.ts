/**
 * The jobs of one service: each is a process of its own, which waits for its slot if one process guards many databases.
 * A job that opens a database may be in the middle of a statement that does not end, so `stop` and `close` end it.
 */
import type { JobKind, JobMap } from '../../engine/process/protocol.ts';
import { type JobOptions, runJob } from '../../engine/process/run-job.ts';
import type { JobSlots } from './job-slots.ts';

export type JobAsked = Pick<JobOptions, 'signal' | 'onEvent' | 'mayKill'>;

interface JobsOptions {
  /** All that a job's process inherits. */
  readonly environment: Readonly<Record<string, string>>;
  readonly slots: JobSlots | undefined;
  /** Carries a job out: in a process of its own, if not given. */
  readonly runJob: typeof runJob | undefined;
  readonly warn: (message: string) => void;
  /** While `stop` waits: what begins now ends at once. */
  readonly isStopping: () => boolean;
}

/** They run beside the run that is shown, and stop with it. */
const besideRuns: ReadonlySet<JobKind> = new Set(['verify', 'plan', 'check', 'drill', 'rescue-plan']);
/** All that open a database. */
const readingKinds: ReadonlySet<JobKind> = new Set([
  ...besideRuns,
  ...(['backup', 'restore', 'first-boot', 'examine', 'rescue', 'rescue-undo', 'rescues'] as const),
]);

export class Jobs {
  readonly #options: JobsOptions;
  /** Jobs that read a database, each with what stops it. */
  readonly #reading = new Map<AbortController, { readonly kind: JobKind; readonly ended: Promise<unknown> }>();
  readonly #listeners = new Set<(kind: JobKind) => void>();

  constructor(options: JobsOptions) {
    this.#options = options;
  }

  /** Every event of a job is a sign of life. */
  onSignOfLife(listener: (kind: JobKind) => void): void {
    this.#listeners.add(listener);
  }

  async run<Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    { signal: asked, onEvent: onTold, mayKill = true }: JobAsked = {},
  ): Promise<JobMap[Kind]['result']> {
    const { slots, environment, runJob: carryOut = runJob, warn, isStopping } = this.#options;
    const abort = new AbortController();
    const signal = asked ? AbortSignal.any([asked, abort.signal]) : abort.signal;
    const work = (onChecking = () => {}) => {
      const onEvent: JobOptions['onEvent'] = (event) => {
        for (const listener of this.#listeners) listener(request.kind);
        if (event.type === 'step' && event.name === 'verify') onChecking();
        if (event.type === 'warning') warn(event.message);
        else onTold?.(event);
      };
      return carryOut<Kind>(request, { signal, onEvent, mayKill, environment });
    };
    const ended = slots ? slots.take(request, work, signal) : work();
    if (!readingKinds.has(request.kind)) return await ended;
    this.#reading.set(abort, { kind: request.kind, ended });
    if (isStopping()) abort.abort();
    return await ended.finally(() => this.#reading.delete(abort));
  }

  /** Stops those that run beside the run that is shown; returns how many there were. */
  async stopBesideRuns(): Promise<number> {
    return await this.#stop((kind) => besideRuns.has(kind));
  }

  /** Stops all that read a database. */
  async stop(): Promise<void> {
    await this.#stop(() => true);
  }

  async #stop(isMeant: (kind: JobKind) => boolean): Promise<number> {
    const meant = [...this.#reading].filter(([, { kind }]) => isMeant(kind));
    for (const [abort] of meant) abort.abort();
    await Promise.allSettled(meant.map(([, { ended }]) => ended));
    return meant.length;
  }
}
