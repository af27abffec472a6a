/** What a replicator tells about one database. */
import type { ErrorBody } from '../../words/errors.ts';

export interface StreamStatus {
  /**
   * - `starting`: the position is being proven, or the first image made;
   * - `capturing`: every commit is captured within an interval;
   * - `paused`: it rests, see `pause`;
   * - `waiting`: `error` says why, and it is tried again.
   */
  readonly phase: 'starting' | 'capturing' | 'paused' | 'waiting';
  /** The newest captured moment; null before the first. */
  readonly bookmark: string | null;
  readonly at: string | null;
  /** The oldest moment that can be restored. */
  readonly oldestAt: string | null;
  /** When all that was committed was captured, seen by a look; null before the first. */
  readonly caughtUpAt: string | null;
  readonly sizeBytes: number;
  /** Bytes of the app's log; it is long while a reader stays in it. */
  readonly logBytes: number;
  readonly pause: { readonly reason: 'asked' | 'restore' | 'replaced'; readonly since: string } | null;
  readonly error: ErrorBody | null;
  /** What the witness found: the live file, or the stream, is not what was committed. */
  readonly untrue: { readonly at: 'file' | 'stream'; readonly since: string; readonly error: ErrorBody } | null;
  /** What should be known and stops nothing, in whole sentences. */
  readonly warnings: readonly string[];
  /** The last time that the log could not be proven to go on. */
  readonly rebased: { readonly at: string; readonly reason: string; readonly pages: number } | null;
}
