/**
 * What the facts of a place that is asked about speak for, and the line that gives this database a place of its own. Pure,
 * and apart from `places.ts`, because nothing of it is needed before something is asked.
 */
import type { Backup, Status } from '../../http/contract.ts';
import { isShared, type Owner, type Place } from './places.ts';

/** Another database's backups count newer than this as: somebody still makes them. */
const stillMs = 24 * 3_600_000;

export function isStillUsed({ newestBackup }: Owner, now: number): boolean {
  return newestBackup !== null && now - Date.parse(newestBackup.createdAt) < stillMs;
}

/**
 * What all known facts say. The machine does not count, as many databases share one; and somebody who still makes
 * backups there speaks against taking the place over, whatever else agrees.
 */
export function suggestion(owner: Owner, now: number): 'other' | 'same' | null {
  const { isSameName, isSamePath, tablesInCommon } = owner;
  const tables =
    tablesInCommon === null || tablesInCommon.theirs === 0
      ? []
      : [tablesInCommon.common === tablesInCommon.theirs ? true : tablesInCommon.common === 0 ? false : null];
  const told = [...[isSameName, isSamePath].filter((fact) => fact !== null), ...tables];
  if (told.length === 0) return null;
  if (told.every((fact) => fact === false)) return 'other';
  return told.every((fact) => fact === true) && !isStillUsed(owner, now) ? 'same' : null;
}

/**
 * The line for `.env` that gives this database a place of its own; null for a target that the configuration file names.
 * The folder lies inside the old one, which may be a volume; the prefix and the second folder lie beside the old ones, whose
 * listings reach further.
 */
export function ownPlaceLine({ local, targets, database }: Status, place: Place): string | null {
  const stem = database.name.replace(/\.[^.]*$/, '') || database.name;
  const trimmed = (path: string) => path.replace(/\/+$/, '');
  if (place.target === 'local') return `BACKUP_LOCAL_PATH=${quoted(`${trimmed(local.path)}/${stem}`)}`;
  const variable = variables[place.target];
  if (variable === undefined) return null;
  const path = trimmed(targets.find(({ target }) => target === place.target)?.path ?? '');
  // Two machines of one database would both be told its name.
  return `${variable}=${quoted(`${path}-${isShared(place) ? 'copy' : stem}`)}`;
}

/** When this machine's own copies arrived there within the last day: what lies here too was made here. */
export function ownUploads(backups: readonly Backup[], target: string, since: number): readonly number[] {
  return backups
    .filter(({ other, placements }) => other === null && placements.some((copy) => copy.target === 'local'))
    .flatMap(({ placements }) => placements.filter((copy) => copy.target === target && copy.status === 'stored'))
    .flatMap(({ at }) => (at === null ? [] : [Date.parse(at)]))
    .filter((at) => at >= since)
    .sort((a, b) => a - b);
}

const variables: Readonly<Record<string, string>> = { s3: 'BACKUP_S3_PATH', folder: 'BACKUP_FOLDER_PATH' };

function quoted(value: string): string {
  return /^[\w./:@%+-]+$/.test(value) ? value : JSON.stringify(value);
}
