/** "It is the same database": makes a place this database's. */
import type { ClaimResult, TargetName } from '../../service/model.ts';
import type { Session } from '../session.ts';
import { exitCodes } from '../exit-codes.ts';

export interface ClaimOptions {
  readonly target?: TargetName;
}

export async function claim({ service, output }: Session, options: ClaimOptions): Promise<number> {
  const result = await service.claim(options);
  output.answer(result, claimText(result));
  return exitCodes.done;
}

function claimText({ place, changed, before, ours, others, sparesUntil, databaseId }: ClaimResult): string {
  if (!changed) {
    return databaseId === null || ours + others === 0
      ? `${place} is of no other database; the first backup makes it this one's.`
      : `${place} belongs to this database already.`;
  }
  const whose = before ? `, which was of ${before.name},` : '';
  const spared = sparesUntil ? ` None of them is removed before ${sparesUntil.toISOString()}.` : '';
  const rest = others > 0 ? ` ${others} stay as backups of other databases.` : '';
  return `${place}${whose} belongs to this database now, and ${ours} backup${ours === 1 ? '' : 's'} there with it.${spared}${rest}`;
}
