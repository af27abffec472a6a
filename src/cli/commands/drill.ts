/** Rehearses a restore from each place. */
import type { TargetDrill, TargetName } from '../../service/model.ts';
import type { Session } from '../session.ts';
import { readIdentity } from './restore.ts';
import { exitCodeOf, exitCodes } from '../exit-codes.ts';
import { withRemarks } from './verify.ts';

export interface DrillOptions {
  readonly from?: TargetName;
  readonly identity?: string;
  readonly allowPlain?: boolean;
  readonly without?: string;
  readonly at?: string;
}

export async function drill({ service, output }: Session, options: DrillOptions): Promise<number> {
  const { from, allowPlain, without, at } = options;
  const identity = readIdentity(options.identity);
  const report = await service.drill({
    ...{ target: from, identity, allowPlain, trigger: 'cli', at, ...(without && { without: [without] }) },
    onProgress: output.progress.show,
  });
  output.answer(report, report.drills.map(drillText).join('\n'));
  const error = report.drills.find(({ result }) => result !== 'proven' && result !== 'sealed')?.error;
  return error ? exitCodeOf(error.code) : exitCodes.done;
}

function drillText({ target, result, backup: name, moment, ms, assertions, remarks = [], error }: TargetDrill): string {
  const backup = moment && name !== null ? `the moment ${name} of ${moment.toISOString()}` : name;
  const seconds = `${(ms / 1_000).toFixed(1)} s`;
  const held = assertions === 0 ? '' : `, ${assertions} assertion${assertions === 1 ? '' : 's'} held`;
  switch (result) {
    case 'proven':
      return withRemarks(`${target}: ${backup} was restored and proven in ${seconds}${held}.`, remarks);
    case 'sealed':
      return `${target}: ${backup} is what was stored. Its content was not opened: name the private key with --identity.`;
    case 'stopped':
      return `${target}: stopped.`;
    case 'refused':
      return `${target}: not begun: ${error?.message ?? 'no reason was given'}\n${error?.hint ?? ''}`;
    case 'failed':
      return `${target}: FAILED${backup === null ? '' : `, ${backup}`}: ${error?.message ?? 'no reason was given'}\n${error?.hint ?? ''}`;
  }
}
