/** How messages and hints speak of a folder as a target. */
import type { StoreWords } from '../store.ts';

export const folderWords: StoreWords = {
  noun: 'folder',
  own: 'a folder of its own (BACKUP_FOLDER_PATH)',
  setting: 'BACKUP_FOLDER_PATH',
  undeleted: 'The disk may keep what is deleted, or something puts it back: look into the folder.',
  silent: 'See whether the disk is mounted, and whether its server answers.',
  codes: { mismatch: 'TARGET_FAILED', silent: 'TARGET_FAILED' },
};
