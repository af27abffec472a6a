/** A backup, its copies and what it lost, as the service shows them. */
import type { SealName } from '../../engine/format/seal.ts';
import type { Remarks } from '../../engine/sqlite/rules.ts';
import type { ErrorBody } from '../../words/errors.ts';
import type { Trigger } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';

export type Verification =
  | ({
      readonly state: 'verified';
      readonly method: 'quick' | 'full';
      readonly at: Date;
      /** Both of the following in words. */
      readonly remarks: readonly string[];
    } & Remarks)
  | { readonly state: 'damaged'; readonly method: 'quick' | 'full'; readonly at: Date; readonly detail: string }
  /** `changedAt`: it passed a check, and its file was written to since. */
  | { readonly state: 'unchecked'; readonly changedAt?: Date };

/** One copy of a backup, or the place where one is to be. A state has only what it has; the JSON form has null for the rest. */
export type Placement = { readonly target: TargetName } & (
  | {
      readonly status: 'stored';
      readonly at: Date;
      readonly error: null;
      /** As configured: a path or an address; null if it is not known how the copy is sealed. */
      readonly where: string | null;
      /** Size of the file there, which may be compressed; null if it is not known. */
      readonly sizeBytes: number | null;
      /** How the copy there is compressed and encrypted, if that is known. */
      readonly sealing?: SealName;
      /** It must be brought back by the provider before it can be read, which takes that long: `3 to 12 hours`. */
      readonly archive?: { readonly storageClass: string; readonly takes: string };
    }
  | {
      readonly status: 'waiting';
      readonly at: null;
      readonly error: null;
      readonly where: null;
      readonly sizeBytes: null;
    }
  | {
      readonly status: 'failed';
      /** When it was tried; null for a copy that is there and is not whole, which has a place and a size. */
      readonly at: Date | null;
      readonly error: ErrorBody;
      readonly where: string | null;
      readonly sizeBytes: number | null;
    }
);

export interface BackupItem {
  readonly filename: string;
  readonly size: number;
  readonly createdAt: Date;
  readonly trigger: Trigger | null;
  readonly user: string | null;
  readonly verified: boolean;
  readonly verification: Verification;
  /** A file without a manifest (made by Velist or by hand): can be adopted, is never pruned. */
  readonly foreign: boolean;
  readonly pinned: boolean;
  readonly note: string | null;
  /** Made before a restore; not counted by retention, kept 30 days. */
  readonly safety: boolean;
  /** Adopted from a file that came from elsewhere: it is used only by its name. */
  readonly arrived?: true;
  readonly sha256: string | null;
  readonly pages: number | null;
  readonly pageSize: number | null;
  /** Where it is, and where it is to go. Without `local` it is fetched when it is needed. */
  readonly placements: readonly Placement[];
  /** The other database that it is a backup of; null for a backup of this one. */
  readonly other: OtherDatabase | null;
  /** Rows in all its tables; null if verification did not count them. */
  readonly rows: number | null;
  /** Against the backup of this database before it; null if one of them was not counted. */
  readonly changes: RowChanges | null;
  /** That it lost much against the one before; null when it did not. */
  readonly loss: Loss | null;
}

/** A database that a place or a backup belongs to. */
export interface OtherDatabase {
  /** Null if only manifests of an older version tell of it. */
  readonly id: string | null;
  /** Its file's name. */
  readonly name: string;
}

export interface RowChanges {
  /** The backup compared with. */
  readonly since: string;
  /** How many tables differ in rows. */
  readonly count: number;
  /** The biggest differences first, three at most; null if the table was not there. */
  readonly tables: readonly { readonly name: string; readonly before: number | null; readonly after: number | null }[];
}

export interface Loss {
  /** Last backup before it, and the newest that was a day older than that one. */
  readonly before: string;
  readonly dayBefore: string | null;
  /** The worst first; `after` null: the table is gone. */
  readonly tables: readonly { readonly name: string; readonly before: number; readonly after: number | null }[];
  readonly usedPages: { readonly before: number; readonly after: number };
  /** The user who said that it was meant; null while nobody did. */
  readonly accepted: { readonly at: Date; readonly user: string | null } | null;
}

/** `GET /api/diff`: two backups by what verification counted, at no cost. */
export interface BackupDiff {
  readonly a: string;
  readonly b: string;
  /** The biggest difference first, then by name; null if the table was not there, or its rows can't be counted. */
  readonly tables: readonly {
    readonly name: string;
    readonly change: 'same' | 'rows' | 'schema' | 'added' | 'removed';
    readonly before: { readonly rows: number | null; readonly bytes: number } | null;
    readonly after: { readonly rows: number | null; readonly bytes: number } | null;
  }[];
  readonly isSameSchema: boolean;
  readonly usedBytes: { readonly before: number; readonly after: number };
}
