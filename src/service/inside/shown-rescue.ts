/** What is asked of a rescue, and what is told of one. */
import type { PlannedRescue, RescueWish } from '../../engine/inside/rescue-plan.ts';
import type { RunProgress } from '../../words/run.ts';

export interface RescueAsked {
  /** The name of a backup, a bookmark, or the path of any SQLite file. */
  readonly of: string;
  readonly tables: RescueWish['tables'];
  /** Where the rows were last as they are wanted: what differs from it in the live database was changed since. */
  readonly since?: string | undefined;
  /** Triggers of the app fire; they do not, if not given. */
  readonly triggers?: boolean | undefined;
  /** Rows that others need by a foreign key come along; they do, if not given. */
  readonly withNeeded?: boolean | undefined;
}

export interface RescueOptions {
  /** The plan's `expected`: DB_CHANGED when the rows are no longer as they were then. */
  readonly expected?: string | undefined;
  readonly user?: string | undefined;
  readonly onProgress?: ((run: RunProgress) => void) | undefined;
}

export interface RescuePlan extends PlannedRescue {
  readonly of: string;
  readonly at: Date;
}

/** A rescue that was made, for 30 days. */
export interface Rescue {
  readonly id: string;
  readonly at: Date;
  readonly of: string;
  readonly written: number;
  readonly tables: readonly { readonly name: string; readonly inserted: number; readonly updated: number }[];
  readonly user: string | null;
  readonly undoneAt: Date | null;
}

export interface UndoneRescue {
  readonly rescue: Rescue;
  readonly undone: number;
  /** Rows that others changed in the meantime, or refer to by now. */
  readonly left: number;
}
