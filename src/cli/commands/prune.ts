/** What retention removes, or would. */
import type { PruneResult, TargetName } from '../../service/model.ts';
import type { Session } from '../session.ts';
import { exitCodes } from '../exit-codes.ts';
import { SURVIVED } from '../../service/targets/retention-policies.ts';

export interface PruneOptions {
  readonly dryRun?: boolean;
  readonly target?: TargetName;
}

export async function prune({ service, output }: Session, options: PruneOptions): Promise<number> {
  const result = await service.prune(options);
  output.answer(result, pruneText(result));
  return survivorsOf(result).length === 0 ? exitCodes.done : exitCodes.failed;
}

function survivorsOf({ kept, dryRun }: PruneResult): PruneResult['kept'] {
  return dryRun ? [] : kept.filter(({ reasons }) => reasons.includes(SURVIVED));
}

function pruneText(result: PruneResult): string {
  const { kept, removed, dryRun } = result;
  const stays = dryRun ? kept.map(({ filename, reasons }) => `would keep   ${filename} (${reasons.join('; ')})`) : [];
  const goes = removed.map(({ filename, reason }) => `${dryRun ? 'would remove' : 'removed'} ${filename} (${reason})`);
  const survived = survivorsOf(result).map(({ filename }) => `KEPT    ${filename} (${SURVIVED})`);
  return [
    ...stays,
    ...goes,
    ...survived,
    `${kept.length} kept, ${removed.length} ${dryRun ? 'to remove' : 'removed'}`,
  ].join('\n');
}
