/** The file that a rescue takes its rows from: a backup, a captured moment, or any SQLite file by its path. */
import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { isBackupName } from '../../engine/format/names.ts';
import { isBookmark } from '../../words/restore-point.ts';
import type { Backups } from '../backups/backups.ts';
import type { Continuous } from '../continuous/continuous.ts';
import type { JobAsked } from '../runs/jobs.ts';

export interface RescueSource {
  readonly path: string;
  readonly name: string;
  readonly at: Date;
  /** Null where nothing says it. */
  readonly sha256: string | null;
}

interface SourceParts {
  readonly backups: Backups;
  readonly continuous: Continuous;
}

/** The file is there as long as `work` lasts. @throws BackupError as for a restore of it. */
export async function useSource<Result>(
  of: string,
  { backups, continuous }: SourceParts,
  work: (source: RescueSource) => Promise<Result>,
  asked?: JobAsked,
): Promise<Result> {
  if (isBookmark(of)) {
    using file = await continuous.momentFile(of, asked);
    const { found } = await continuous.moments({ bookmark: of });
    return await work({
      path: file.path,
      name: of,
      at: new Date(found?.at ?? statSync(file.path).mtime),
      sha256: null,
    });
  }
  if (!isBackupName(of) && existsSync(of)) {
    const path = resolve(of);
    return await work({ path, name: basename(path), at: statSync(path).mtime, sha256: null });
  }
  const backup = await backups.find(of);
  const path = await backups.path(backup);
  return await work({
    path,
    name: backup.name,
    at: backup.createdAt,
    sha256: backup.manifest?.database.sha256 ?? null,
  });
}
