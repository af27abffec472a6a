/** Tries at a target everything that backups need. */
import { exitCodes } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { findingMarks } from '../text/colours.ts';
import { targetText } from '../text/target-text.ts';

export async function testTarget({ service, output, signal }: Session, wanted = 's3'): Promise<number> {
  const report = await service.testTarget(wanted, { signal });
  output.answer(report, targetText(report, output.width), findingMarks);
  return report.ok ? exitCodes.done : exitCodes.failed;
}
