/** Looks at the whole setup. */
import { exitCodes } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { findingMarks } from '../text/colours.ts';
import { doctorText } from '../text/doctor-text.ts';

export interface DoctorFlags {
  readonly s3?: boolean;
}

export async function diagnose({ service, output }: Session, options: DoctorFlags): Promise<number> {
  const isRemote = async () => (await service.getStatus()).targets.some(({ enabled }) => enabled);
  const report = await service.diagnose({ s3: options.s3 ?? (await isRemote()) });
  output.answer(report, doctorText(report, output.width), findingMarks);
  return report.ok ? exitCodes.done : exitCodes.failed;
}
