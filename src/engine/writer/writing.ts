/** How a job presents this start of the service at a target, and what it answers when it took the place. */
import type { DatabaseSelf } from './self.ts';

/** This start of the service, as a job that writes at a target presents it there. */
export interface Writing {
  /** Secret of this start. */
  readonly token: string;
  /** How often its heartbeat is renewed. */
  readonly everyMs: number;
  /** Key of its heartbeat, from the root of the target. */
  readonly beat: string;
  /** A service that was started writes there for the first time: it takes an epoch of its own. */
  readonly isFirst: boolean;
  /** The run history shows uploads to that place. */
  readonly knowsPlace: boolean;
  /** A rule of the bucket removes everything older than this many days, so an epoch is taken again long before. */
  readonly lifecycleDays?: number | null;
}

/** With both of them a job writes as the one writer of the place; without, as early versions did. */
export interface WritingRequest {
  readonly self?: DatabaseSelf;
  readonly writing?: Writing;
}

export interface ClaimedWriting {
  readonly epoch: number;
  /** The writer before; null when there was none. */
  readonly from: { readonly installation: string; readonly host: string; readonly since: string } | null;
}
