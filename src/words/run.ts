/** One attempt of the service to do something: while it is going, and as the run history keeps it. Sizes in bytes. */
import type { ErrorBody } from './errors.ts';
import type { StepName } from './story.ts';
import type { TargetName } from './target-word.ts';

export type Trigger = 'start' | 'schedule' | 'manual' | 'cli' | 'safety';
export type RunKind = 'backup' | 'verify' | 'restore' | 'undo' | 'upload' | 'drill' | 'rescue' | 'undo-rescue';

export interface Step {
  readonly name: StepName;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  readonly ms?: number;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
}

/** What a run has from its beginning to its end. */
interface AnyRun {
  readonly id: string;
  readonly kind: RunKind;
  readonly trigger: Trigger;
  /** All who asked for it, in that order. */
  readonly user: string | null;
  readonly startedAt: Date;
  /** Null for a backup that failed: the name it would have had says nothing to anybody. */
  readonly backup: string | null;
  readonly steps: readonly Step[];
}

/** A run that is going. `percent` only rises. */
export interface RunProgress extends AnyRun {
  readonly percent: number;
}

/** A run that ended: a result has only what it has; the JSON form has null for the rest. */
export type Run = AnyRun & {
  readonly plannedAt: Date | null;
  readonly endedAt: Date;
  /** Only for a drill that reached a verdict. */
  readonly drill?: Drill;
  /** Only for an upload: where to; left out for `s3`. */
  readonly target?: TargetName;
} & RunOutcome;

export type RunOutcome =
  /** The size is null if a run of that kind has none. */
  | { readonly result: 'success'; readonly sizeBytes: number | null; readonly error: null }
  | { readonly result: 'unchanged'; readonly sizeBytes: null; readonly error: null }
  /** `refused`: a person asked for what could not be begun, as a second run at once; it says nothing of the backups. */
  | { readonly result: 'stopped' | 'refused' | 'failed'; readonly sizeBytes: null; readonly error: ErrorBody };
export type RunResult = Run['result'];

export interface Drill {
  readonly target: TargetName;
  /** `sealed`: the digest is right, and there was no key to open the content. Null when the drill failed. */
  readonly proof: 'restored' | 'sealed' | null;
  /** How many statements of the owner held. */
  readonly assertions: number;
  /** Only for the drill of a captured moment, whose bookmark is the `backup` of the run: its time, or null if none was found. */
  readonly moment?: string | null;
  /** What is said of the content beside that it is sound: rows that break a rule, what could not be checked. */
  readonly remarks?: readonly string[];
}

/** How many runs of one kind there ever were; numbers never fall. */
export interface RunTotal extends Pick<Run, 'kind' | 'trigger' | 'result'> {
  readonly count: number;
  readonly sizeBytes: number;
}
