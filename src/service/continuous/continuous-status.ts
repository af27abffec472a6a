import type { ErrorBody } from '../../words/errors.ts';

export interface ContinuousStatus {
  /** `off`: not in this process. */
  readonly phase: 'off' | 'starting' | 'capturing' | 'paused' | 'waiting';
  /** The newest captured moment. */
  readonly bookmark: string | null;
  readonly at: Date | null;
  readonly oldestAt: Date | null;
  /** All that was committed then is captured. */
  readonly caughtUpAt: Date | null;
  readonly sizeBytes: number;
  /** How long the app's own log is. */
  readonly logBytes: number;
  readonly pause: { readonly reason: 'asked' | 'restore' | 'replaced'; readonly since: Date } | null;
  readonly error: ErrorBody | null;
  /** The live file, or the stream, is not what was committed. */
  readonly untrue: { readonly at: 'file' | 'stream'; readonly since: Date; readonly error: ErrorBody } | null;
  /** How the last drill of a captured moment ended; `failed` as long as none has proven the same moment or a newer one. */
  readonly drill: {
    readonly at: Date;
    readonly result: 'proven' | 'failed';
    /** Which one; null where none could be reached. */
    readonly bookmark: string | null;
    readonly moment: Date | null;
  } | null;
  readonly warnings: readonly string[];
  /** One sentence on why commits are not captured; null when they are. */
  readonly concern: string | null;
}
