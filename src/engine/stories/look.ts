/**
 * Facts about the setup that only a look into the live database can give. Runs in a job's own process, like everything
 * that opens it: one read, no write, no checkpoint, not even the one that a last connection makes as it closes.
 */
import { sqliteVersion } from './backup.ts';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { missesLostLocks } from '../sqlite/ending.ts';
import { hasWalResetBug, lookIntoDatabase } from '../sqlite/live-database.ts';
import type { Judgement } from '../sqlite/judge.ts';

export interface ExamineRequest {
  readonly kind: 'examine';
  readonly databasePath: string;
}

export interface Examined {
  /** Version of the library that jobs use: the runtime's. */
  readonly sqlite: string;
  readonly hasWalResetBug: boolean;
  /** It can't tell when an app has lost the locks on its database. */
  readonly missesLostLocks: boolean;
  /** Null if the database could not be opened. */
  readonly journalMode: string | null;
  /** Tables that other replication tools keep in it. */
  readonly replicatorTables: readonly string[];
  /** Why it could not be opened. */
  readonly complaint: ErrorBody | null;
}

export interface CheckRequest {
  readonly kind: 'check';
  readonly databasePath: string;
}

/** What is said of the live database. */
export type Checked = Omit<Judgement, 'facts'>;

export function examineDatabase({ databasePath }: ExamineRequest): Examined {
  const sqlite = sqliteVersion();
  const library = { sqlite, hasWalResetBug: hasWalResetBug(sqlite), missesLostLocks: missesLostLocks(sqlite) };
  try {
    return { ...library, ...lookIntoDatabase(databasePath), complaint: null };
  } catch (error) {
    return { ...library, journalMode: null, replicatorTables: [], complaint: BackupError.from(error).toJSON() };
  }
}
