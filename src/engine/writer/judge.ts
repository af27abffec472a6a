/** Decides who writes at a place, from what is known, one question at a time. Pure. */
import type { HeldPlace } from './installation.ts';
import type { SeenEpoch } from './objects.ts';

export interface Us {
  readonly installation: string;
  /** The token of this start. */
  readonly token: string;
  readonly isFirst: boolean;
  readonly held: Pick<HeldPlace, 'token' | 'beats' | 'isHeld'> | null;
  /** Token of an epoch that we were about to take when we crashed. */
  readonly taking: string | null;
}

/** What is known of the newest writer's heartbeat; left out as long as nobody asked. */
export interface Life {
  readonly beats?: number;
  readonly isSilent?: boolean;
}

export type Outcome =
  /** We are the writer. */
  | 'hold'
  /** Nobody is. */
  | 'take'
  | 'other'
  | 'clone';

export function judgeWriter(
  newest: Pick<SeenEpoch, 'writer' | 'isReleased'> | null,
  us: Us,
  life: Life = {},
): Outcome | { readonly learn: 'beats' | 'silence' } {
  if (newest === null || newest.isReleased) return 'take';
  const token = newest.writer?.token ?? null;
  if (token === us.token) return 'hold';
  const isLast = token !== null && token === us.held?.token;
  const isOurs = isLast || (token !== null && token === us.taking);
  if (isOurs && life.beats === undefined) return { learn: 'beats' };
  // Renewed more often than we know of: by a clone, or by ourselves before we were set back.
  const isAhead = (life.beats ?? 0) > (isLast ? (us.held?.beats ?? 0) : 0);
  // Claimed by a command that has ended: it waits for a process that renews it.
  const isUntended = isLast && us.held?.isHeld === false;
  if (isOurs && !isAhead && (us.isFirst || isUntended)) return 'take';
  if (life.isSilent === undefined) return { learn: 'silence' };
  if (life.isSilent) return 'take';
  // Another process of this installation renews it: the command line writes beside the running service.
  if (isOurs && !isAhead) return 'hold';
  return isOurs || newest.writer?.installation === us.installation ? 'clone' : 'other';
}
