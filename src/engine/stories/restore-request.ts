/** What is asked of a restore and of its plan, and what they answer. */
import type { FolderRetention } from '../catalog/retention.ts';
import type { DatabaseSelf } from '../writer/self.ts';
import type { OpenFiles } from '../sqlite/open-files.ts';
import type { ErrorBody } from '../../words/errors.ts';
import type { CountedRows } from '../sqlite/count-rows.ts';
import type { LiveFacts } from '../sqlite/look.ts';

/** `missing`: to the place of a database whose file is gone, and nowhere else. */
type RestoreMode = 'file' | 'online' | 'offline' | 'missing';

export interface RestoreRequest {
  readonly kind: 'restore';
  /** Any SQLite file: a backup of ours or one from elsewhere. */
  readonly source: string;
  readonly sourceName: string;
  /** Digest from the manifest, checked before anything is touched; null for a file without one. */
  readonly sha256: string | null;
  readonly databasePath: string;
  /** That of the database that the source is a backup of, for one whose file is gone; left out when it is not known. */
  readonly journalMode?: string | null;
  readonly folder: string;
  readonly mode: RestoreMode;
  readonly to: string | null;
  /** `stampText` that the caller's plan was based on; null to not compare. */
  readonly expected: string | null;
  readonly user: string | null;
  readonly retention: FolderRetention;
  readonly lockWaitMs: number;
  /** Left out, the path of the database tells it. */
  readonly self?: DatabaseSelf;
  readonly highestKnown?: number;
  /** The folder may be another database's: the safety backup is made there all the same. */
  readonly fromOther?: boolean;
}

export interface Restored {
  readonly path: string;
  readonly mode: RestoreMode;
  readonly safetyBackup: string | null;
  /** Where an unreadable old database was moved to, when no safety backup could be made of it. */
  readonly setAside: string | null;
}

export interface PlanRequest {
  readonly kind: 'plan';
  readonly databasePath: string;
  readonly backupPath: string;
  /** Its rows as its manifest tells them; left out, they are counted. */
  readonly backupRows?: CountedRows | undefined;
}

export interface PlanFacts {
  readonly live: LiveFacts | null;
  /** Why nobody could look into it. */
  readonly liveComplaint: ErrorBody | null;
  /** The processes that have the database open, or still work on the file that was there before. */
  readonly open: OpenFiles;
  readonly backup: Pick<LiveFacts, 'pageSize' | 'schemaVersion' | 'encoding' | 'rows'> & {
    readonly hasPageChecksums: boolean;
  };
}
