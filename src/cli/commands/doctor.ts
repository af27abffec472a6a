/** Looks at the whole setup. */
import { exitCodes } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { findingMarks } from '../text/colours.ts';
import { doctorText } from '../text/doctor-text.ts';

export interface DoctorFlags {
  readonly targets?: boolean;
  /** Its earlier name. */
  readonly s3?: boolean;
}

export async function diagnose({ service, output }: Session, { targets, s3 = targets }: DoctorFlags): Promise<number> {
  const isRemote = async () => (await service.getStatus()).targets.some(({ enabled }) => enabled);
  const report = await service.diagnose({ s3: s3 ?? (await isRemote()) });
  output.answer(report, doctorText(report, output.width), findingMarks);
  return report.ok ? exitCodes.done : exitCodes.failed;
}
