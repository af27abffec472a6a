/** What a restore would do, and what it did, as the service shows it. */
import type { OtherDatabase } from '../backups/shown-backup.ts';
import type { Run } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';

interface TableRows {
  readonly name: string;
  readonly now: number | null;
  readonly after: number | null;
}

export interface RestorePlan {
  readonly backup: string;
  readonly confirm: string;
  readonly expected: string;
  readonly now: { readonly sizeBytes: number; readonly changedAt: Date; readonly pageSize: number } | null;
  readonly after: {
    readonly sizeBytes: number;
    readonly createdAt: Date;
    readonly verified: boolean;
    readonly pageSize: number;
  };
  /** Rows by table, biggest difference first; null when counting took longer than two seconds. */
  readonly tables: readonly TableRows[] | null;
  /** The best first; `missing` where there is no file to replace. */
  readonly modes: readonly PlannedMode[];
  /** What the warnings speak of: `missing` where there is no file; else what was asked for, or the first that is possible. */
  readonly mode: PlannedMode;
  /** Processes that have the database open, as far as they can be seen; an offline restore is refused meanwhile. */
  readonly openIn: readonly { readonly pid: number; readonly name: string }[];
  /** A safety backup is made first, and `undo` brings it back; offline, what turns out to be damaged is set aside instead. */
  readonly undo: boolean;
  readonly warnings: readonly string[];
  /** If a moment was asked for. */
  readonly moment?: AskedMoment;
  /** If it is a captured moment: from where, of how many segments and bytes, and the nearest moments before and after it. */
  readonly stream?: {
    readonly target: TargetName;
    readonly bookmark: string;
    readonly segments: number;
    readonly bytes: number;
    readonly before: string | null;
    readonly after: string | null;
  };
}

/** What a moment that somebody asked for was taken for; `said` names its zone, and the same in UTC. */
export interface AskedMoment {
  readonly at: Date;
  readonly said: string;
}

/** The backup that a wish means. */
export interface FoundRestorePoint {
  readonly filename: string;
  readonly createdAt: Date;
  /** Where the copy to take lies. */
  readonly target: TargetName;
  readonly other: OtherDatabase | null;
  /** Null unless a moment was asked for. */
  readonly moment: AskedMoment | null;
  /** Whole sentences: what did not answer, what is newer and was passed over. */
  readonly warnings: readonly string[];
  /** Newer ones that were passed over, newest first. */
  readonly skipped: readonly { readonly filename: string; readonly target: TargetName; readonly why: string }[];
}

/** Over the database: while programs use it, or while none does. */
export type ReplacingMode = 'online' | 'offline';

/** `missing`: to the place of a database whose file is gone. */
export type PlannedMode = ReplacingMode | 'missing';

export interface RestoreResult {
  readonly success: boolean;
  readonly backup: string;
  readonly mode: 'file' | 'online' | 'offline' | 'missing';
  /** Where the database now is. */
  readonly path: string;
  /** The safety backup that was made first; null if nothing was replaced. */
  readonly safetyBackup: string | null;
  readonly report: Run;
  /** If a moment was asked for. */
  readonly moment?: AskedMoment;
}

/** What became of `restoreIfMissing`. Paths and places are as configured. */
export type FirstBoot =
  /** Nothing was done. */
  | { readonly outcome: 'present'; readonly path: string }
  | {
      readonly outcome: 'restored';
      readonly path: string;
      /** The name of a backup, or the bookmark of a captured moment. */
      readonly backup: string;
      readonly from: TargetName;
      /** What was captured later and is not in it, in whole sentences. */
      readonly lack?: string;
      /** Newer copies that could not be used, newest first. */
      readonly skipped: readonly FirstBootSkipped[];
    }
  /** There is no backup in any of these places, and never was as far as is known: a new database may begin. */
  | { readonly outcome: 'first-boot'; readonly path: string; readonly looked: readonly string[] };

export interface FirstBootSkipped {
  readonly filename: string;
  readonly from: TargetName;
  readonly reason: string;
}
