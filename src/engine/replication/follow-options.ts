/** What is followed, and where its stream lies and goes to. */
import type { ShipTarget } from './shipper.ts';
import type { UpkeepPolicy } from './upkeep.ts';

export interface FollowOptions extends UpkeepPolicy {
  readonly databasePath: string;
  /** Where the stream lies. */
  readonly folder: string;
  readonly intervalMs: number;
  /** Where the stream is copied to; `later`: that is told by an order of its own, and a stream that begins waits for it. */
  readonly targets?: readonly ShipTarget[] | 'later';
  /** How long the end waits for what is on its way there. */
  readonly shipMs?: number;
}
