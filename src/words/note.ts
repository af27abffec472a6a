/** What a person notes of a backup: a line or two, because it stands in its manifest, in lists and on the page. */
import { BackupError } from './errors.ts';

export const NOTE_LETTERS_MAX = 200;

/** @throws BackupError BAD_REQUEST for a note that is longer. */
export function requireShortNote(note: string | null | undefined): void {
  if (!note || note.length <= NOTE_LETTERS_MAX) return;
  throw new BackupError('BAD_REQUEST', `the note has ${note.length} letters, and may have ${NOTE_LETTERS_MAX}`, {
    hint: 'Shorten it; nothing was changed.',
  });
}
