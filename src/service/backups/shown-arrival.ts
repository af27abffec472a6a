/** A file that came from elsewhere, as the service shows it, and what may be done with it. */
import type { BackupDiff, BackupItem, OtherDatabase } from './shown-backup.ts';

export interface Arrival {
  readonly id: string;
  /** Its name where it came from. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The moment that it would be listed under: that of a backup's name, else when it was last written, else now. */
  readonly createdAt: Date;
  readonly sha256: string;
  /** It is in WAL mode: what was in a log beside it is not in it. */
  readonly isWal: boolean;
  /** In all its tables; null if they were not counted. */
  readonly rows: number | null;
  /** By name. */
  readonly tables: readonly { readonly name: string; readonly rows: number | null; readonly bytes: number }[];
  /** Tables beyond those. */
  readonly furtherTables: number;
  /**
   * Against the newest backup of this database: `same`, all tables are defined alike; `similar`, at least half of the tables of one are in the
   * other; `another`, fewer; `unknown`, nothing was counted to compare it with. A copy of this database elsewhere can't be told
   * from it.
   */
  readonly likeness: 'same' | 'similar' | 'another' | 'unknown';
  /** That backup (`a`) and the file (`b`). */
  readonly diff: BackupDiff | null;
  /** The backup that is the same, byte for byte; nothing has to be kept then. */
  readonly known: { readonly filename: string; readonly createdAt: Date; readonly other: OtherDatabase | null } | null;
  /** What the check says beside that it is sound. */
  readonly remarks: readonly string[];
}

export interface ArrivalsPort {
  /** @throws BackupError BAD_BACKUP for no bytes, DISK_FULL, FOREIGN_PLACE */
  begin(file: {
    readonly name: string;
    readonly sizeBytes: number;
    /** When it was last written where it came from. */
    readonly modifiedAt?: Date;
  }): Promise<{ readonly id: string }>;
  /**
   * The first piece must show what the file is. A piece may be sent again.
   *
   * @throws BackupError GONE, BAD_REQUEST, BAD_BACKUP for what begins like no database: then it is discarded.
   */
  append(id: string, at: number, bytes: Uint8Array): Promise<{ readonly receivedBytes: number }>;
  /** @throws BackupError GONE, BAD_REQUEST, BAD_BACKUP, CHECK_GAVE_UP: what did not pass is discarded. */
  check(id: string): Promise<Arrival>;
  /** Makes a pinned backup of it, or answers the one that is the same. @throws BackupError GONE, BAD_REQUEST, BUSY */
  adopt(id: string, options?: { readonly user?: string }): Promise<BackupItem>;
  /** Gone already is fine. */
  discard(id: string): Promise<void>;
  /** All of it for a file of this machine, which stays where it is. */
  adoptFile(
    path: string,
    options?: { readonly user?: string },
  ): Promise<{ readonly arrival: Arrival; readonly backup: BackupItem }>;
}
