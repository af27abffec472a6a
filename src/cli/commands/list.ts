/** The backups, newest first. */
import type { TargetName } from '../../service/model.ts';
import { exitCodes } from '../exit-codes.ts';
import { backupTable } from '../output.ts';
import type { Session } from '../session.ts';

export interface ListFlags {
  readonly target?: TargetName;
}

export async function listBackups({ service, output }: Session, options: ListFlags): Promise<number> {
  const backups = await service.getBackups(options);
  output.answer({ backups }, backupTable(backups, { width: output.width }));
  return exitCodes.done;
}
