/** Whose a place is and who writes there, as the service shows it. */
import type { OtherDatabase } from '../backups/shown-backup.ts';
import type { TargetName } from '../../words/target-word.ts';

/** Whose a place is, and who writes there. */
export interface PlaceStatus {
  readonly target: TargetName;
  /**
   * `ours`: of this database. `new`: of nobody yet. `mixed`: an old place with backups of several databases, told apart by
   * their manifests. `foreign`: of another database; nothing is written or removed there. `unknown`: not looked at yet.
   */
  readonly owner: 'ours' | 'new' | 'mixed' | 'foreign' | 'unknown';
  /** The database it belongs to, where that is another one, and what helps to tell whether it is the same. */
  readonly other: (OtherDatabase & PlaceFacts) | null;
  /** Beside the folder alone: who else writes there; null when nobody does. */
  readonly writer: PlaceWriter | null;
  /** Until then nothing that others made is removed there; null when that does not hold. */
  readonly sparesOthersUntil: Date | null;
}

export interface PlaceFacts {
  readonly createdAt: Date | null;
  /** Each answer null if nobody knows. */
  readonly isSameName: boolean | null;
  readonly isSamePath: boolean | null;
  readonly isSameMachine: boolean | null;
  /** How many tables of its newest backup this database has, too. */
  readonly tablesInCommon: { readonly common: number; readonly theirs: number } | null;
  readonly newestBackup: { readonly filename: string; readonly createdAt: Date } | null;
}

export interface PlaceWriter {
  /** `clone`: it has the id of this installation. */
  readonly kind: 'other' | 'clone';
  readonly host: string;
  readonly since: Date;
  readonly seenAt: Date | null;
}

export interface TakenFrom {
  readonly host: string;
  readonly since: Date;
  /** Its last sign of life; null if it gave the place back. */
  readonly seenAt: Date | null;
  readonly wasReleased: boolean;
}
