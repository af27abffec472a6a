/** Pins and notes: what people say of one backup. */
import type { BackupItem } from '../../service/model.ts';
import { exitCodes } from '../exit-codes.ts';
import { type Session, wrongUse } from '../session.ts';
import { chooseBackup } from './restore.ts';

export interface PinFlags {
  readonly note?: string;
}

export interface NoteFlags {
  readonly remove?: boolean;
}

export async function pin(session: Session, wanted: string, { note }: PinFlags): Promise<number> {
  return change(
    session,
    wanted,
    { pinned: true, ...(note !== undefined && { note }) },
    ({ filename }) =>
      `${filename} is pinned: retention keeps it${note === undefined ? '.' : `, with the note "${note}".`}`,
  );
}

export async function unpin(session: Session, wanted: string): Promise<number> {
  return change(session, wanted, { pinned: false }, ({ filename }) => `${filename} is not pinned: retention decides.`);
}

export async function note(
  session: Session,
  wanted: string,
  text: string | undefined,
  { remove = false }: NoteFlags,
): Promise<number> {
  if ((text === undefined) !== remove) throw wrongUse('say the text of the note, or --remove');
  return change(session, wanted, { note: text ?? null }, ({ filename, note: now }) =>
    now === null ? `${filename} has no note.` : `The note of ${filename}: ${now}`,
  );
}

async function change(
  { service, output, now }: Session,
  wanted: string,
  what: { readonly pinned?: boolean; readonly note?: string | null },
  text: (backup: BackupItem) => string,
): Promise<number> {
  const found = await chooseBackup({ service, now }, wanted, {});
  if (found.kind === 'file') throw wrongUse(`${wanted} is a file and no backup of the catalog`);
  const backup = await service.updateBackup(found.backup.filename, what);
  output.answer(backup, text(backup));
  return exitCodes.done;
}
