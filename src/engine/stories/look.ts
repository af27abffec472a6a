/**
 * What only a look into the live database can tell about the way it is set up. Runs in a job's own process, as all that
 * opens it; one read, no write, no checkpoint, also not the one of a last connection that closes.
 */
import { sqliteVersion } from './backup.ts';
import { BackupError } from '../../words/errors.ts';
import type { Examined, ExamineRequest } from '../process/protocol.ts';
import { missesLostLocks } from '../sqlite/ending.ts';
import { hasWalResetBug, lookIntoDatabase } from '../sqlite/live-database.ts';

export function examineDatabase({ databasePath }: ExamineRequest): Examined {
  const sqlite = sqliteVersion();
  const library = { sqlite, hasWalResetBug: hasWalResetBug(sqlite), missesLostLocks: missesLostLocks(sqlite) };
  try {
    return { ...library, ...lookIntoDatabase(databasePath), complaint: null };
  } catch (error) {
    return { ...library, journalMode: null, replicatorTables: [], complaint: BackupError.from(error).toJSON() };
  }
}
