/** The names of a backup's files, and the moment that an identity stands for. */

const identity = /^backup-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})-(\d{3})Z\.sqlite$/;

export const STAGING_FOLDER = '.staging';
/** The stream of continuous backup, beside the backups. */
export const CONTINUOUS_FOLDER = 'continuous';
/** Files that came from elsewhere, until somebody has decided about them. */
export const ARRIVALS_FOLDER = '.arrived';
export const LOCK_FILE = '.velist-backup.lock';
/** The record that says whose a place is: in a folder and at a target. */
export const RECORD_FILE = 'database.json';
/** The owner of a folder after a claim; at a target each claim has an object of its own. */
export const OWNER_FILE = 'owner.json';
export const CLAIM_PREFIX = 'claim-';
/** The file of a glob that a database was. Early versions kept this under the name of `RECORD_FILE`. */
export const FOUND_FILE = 'found-as.json';
/** Beside the backups: what a drill restored, with an end of its own. */
export const DRILL_FOLDER = '.drill-';
export const DRILL_LOCK_FILE = '.velist-drill.lock';

/** `backup-2024-01-15T10-30-00-000Z.sqlite` for that moment. */
export function nameBackup(at: Date): string {
  return `backup-${at.toISOString().replaceAll(':', '-').replace('.', '-')}.sqlite`;
}

export function isBackupName(name: string): boolean {
  return backupMoment(name) !== null;
}

/** The moment in a backup's name; null when it is not the name of a backup. */
export function backupMoment(name: string): Date | null {
  const match = identity.exec(name);
  if (!match) return null;
  const [, day, hours, minutes, seconds, ms] = match;
  const at = new Date(`${day}T${hours}:${minutes}:${seconds}.${ms}Z`);
  // Date accepts the 31st of February, and 24 o'clock: then its day is another one. A folder may have 10,000 names.
  return !Number.isNaN(at.getTime()) && at.getUTCDate() === Number(day?.slice(-2)) ? at : null;
}

/** The name of a backup's file where it is sealed that way: `.zst` and `.age` appended. */
export function artifactFile(
  name: string,
  { compression, encryption }: { readonly compression: 'none' | 'zstd'; readonly encryption: 'none' | 'age' },
): string {
  return `${name}${compression === 'zstd' ? '.zst' : ''}${encryption === 'age' ? '.age' : ''}`;
}

/** The backup that a file at a target belongs to: its manifest, or its artifact however sealed; null when none. */
export function ownerOf(file: string): string | null {
  const name = file.replace(/\.json$|(\.zst)?(\.age)?$/, '');
  return isBackupName(name) ? name : null;
}

/** Is an entry of a backup folder one that we make there? In a shared folder others lie beside them. */
export function isEntryOfOurs(entry: string): boolean {
  const ours =
    /^\.(staging|arrived|velist-|manifests|uploads|backup-|late-|drill-|fetched)|^late-backup-|^continuous$|^(settings|database|found-as|owner)\.json/;
  return ownerOf(entry) !== null || ours.test(entry);
}

export function manifestName(name: string): string {
  return `${name}.json`;
}

/**
 * What was committed between a safety backup and the replacement that it was made for: the write-ahead log, or the whole
 * database where there is none. It is there only until a second safety backup holds the same.
 */
export function lateLogName(safetyBackup: string): string {
  return `.late-${safetyBackup}`;
}

/** The name of a late log that nothing could be made of; outside the hidden ones, so that its owner sees it. */
export function lateLogSetAside(safetyBackup: string, what: 'log' | 'database'): string {
  return what === 'log' ? `late-${safetyBackup}-wal` : `late-${safetyBackup}`;
}

/** The safety backup that a late log goes on from; null when it is not the name of a late log. */
export function lateLogOwner(entry: string): string | null {
  const name = entry.replace(/^\.late-/, '');
  return name !== entry && isBackupName(name) ? name : null;
}
