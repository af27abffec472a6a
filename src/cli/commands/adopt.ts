/** Takes a file that was made by hand, or by Velist, into the catalog. */
import { exitCodes } from '../exit-codes.ts';
import type { Session } from '../session.ts';

export async function adoptBackup({ service, output }: Session, filename: string): Promise<number> {
  const backup = await service.adoptBackup(filename);
  output.answer(backup, `${backup.filename} is now in the catalog.`);
  return exitCodes.done;
}
