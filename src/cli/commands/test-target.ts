/** Tries at a target everything that backups need. */
import { exitCodes } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { findingMarks } from '../text/colours.ts';
import { targetText } from '../text/target-text.ts';

/** @param wanted the first target if left out. */
export async function testTarget({ service, output, signal }: Session, wanted?: string): Promise<number> {
  const first = async () => (await service.getStatus()).targets[0]?.target ?? 's3';
  const report = await service.testTarget(wanted ?? (await first()), { signal });
  output.answer(report, targetText(report, output.width), findingMarks);
  return report.ok ? exitCodes.done : exitCodes.failed;
}
