/**
 * The backups, newest first, and where they were looked for. A folder that is not there holds no backups, but neither is
 * that an answer: a wrong path must not look like a new installation.
 */
import { existsSync } from 'node:fs';
import type { TargetName } from '../../service/model.ts';
import { exitCodes } from '../exit-codes.ts';
import { backupTable } from '../output.ts';
import type { Session } from '../session.ts';
import { backupMarks } from '../text/colours.ts';
import { foundText, noFolderText } from '../text/list-text.ts';

export interface ListFlags {
  readonly target?: TargetName;
}

export async function listBackups({ service, output, now }: Session, options: ListFlags): Promise<number> {
  const { target } = options;
  const backups = await service.getBackups(options);
  const { localPath } = service.getConfig();
  const isThere = (target !== undefined && target !== 'local') || existsSync(localPath);
  const found = foundText(backups, { localPath, target });
  const table = backups.length === 0 ? [] : [backupTable(backups, { width: output.width, now: now() })];
  output.answer({ backups }, isThere || backups.length > 0 ? [...table, found].join('\n') : '', backupMarks);
  if (!isThere) output.warn(noFolderText(localPath));
  return isThere || backups.length > 0 ? exitCodes.done : exitCodes.noBackup;
}
