/**
 * Our own files may not be the database that they are about: opened in the app's process, as the run history is, it would
 * lose SQLite's locks there (and get our tables).
 */
import { basename, dirname } from 'node:path';
import { FOUND_FILE, LOCK_FILE, OWNER_FILE, ownerOf, RECORD_FILE, STAGING_FOLDER } from '../engine/format/names.ts';
import { BackupError } from '../words/errors.ts';
import { isLiveFile, sideFiles } from '../engine/sqlite/stamp.ts';
import { truePath } from '../engine/disk/true-path.ts';
import { SETTINGS_FILE } from './state/settings.ts';

interface Paths {
  readonly database: string;
  readonly backups: string;
  readonly state: string;
}

/** @throws BackupError BAD_CONFIG for paths of which one would be taken for another. */
export function requireApart(paths: Paths): void {
  const [database, backups, state] = [paths.database, paths.backups, paths.state].map(truePath) as [
    string,
    string,
    string,
  ]; // as many as there were
  if (state === database || sideFiles.some((end) => state === database + end) || isLiveFile(state, database)) {
    throw refused(
      `BACKUP_STATE_PATH names the database itself: ${paths.state}`,
      'Name a file that is used for nothing else, or leave it out: the run history is a small database of its own.',
    );
  }
  if (backups === database) {
    throw refused(
      `BACKUP_LOCAL_PATH names the database itself: ${paths.backups}`,
      'Name a folder of their own for the backups.',
    );
  }
  if (isNameOfOurs(state, backups)) {
    throw refused(
      `BACKUP_STATE_PATH names a file that the backups need themselves: ${paths.state}`,
      'Give the run history another name, or a place outside the folder of the backups.',
    );
  }
}

function isNameOfOurs(state: string, backups: string): boolean {
  if (`${state}/`.startsWith(`${backups}/${STAGING_FOLDER}/`)) return true;
  const name = basename(state);
  const ours = [SETTINGS_FILE, LOCK_FILE, RECORD_FILE, OWNER_FILE, FOUND_FILE];
  return dirname(state) === backups && (ownerOf(name) !== null || ours.includes(name));
}

function refused(message: string, hint: string): BackupError {
  return new BackupError('BAD_CONFIG', message, { hint });
}
