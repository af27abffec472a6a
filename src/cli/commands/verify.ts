/** Verify one backup, or the live database. */
import type { TargetName } from '../../service/model.ts';
import type { Session } from '../session.ts';
import { aboutFound, chooseBackup, readIdentity } from './restore.ts';
import { remarkTexts } from '../../service/protection/remarks.ts';
import { exitCodes } from '../exit-codes.ts';

export interface VerifyOptions {
  readonly full?: boolean;
  readonly from?: TargetName;
  readonly identity?: string;
  readonly allowPlain?: boolean;
}

export async function verifyBackup(session: Session, wanted: string, options: VerifyOptions): Promise<number> {
  const { service, output } = session;
  const { full = false, from, allowPlain } = options;
  const identity = readIdentity(options.identity);
  const found = await chooseBackup(session, wanted, { from });
  for (const text of aboutFound(found, undefined)) output.note(text);
  if (found.kind === 'file') {
    const { ok, detail, ...remarks } = await service.verifyFile(found.path, { full });
    output.answer(
      { path: found.path, ok, detail, method: full ? 'full' : 'quick', ...remarks },
      ok ? withRemarks(`${found.path} is good.`, remarkTexts(remarks)) : `${found.path} is damaged: ${detail}`,
    );
    return ok ? exitCodes.done : exitCodes.verificationFailed;
  }
  const { filename } = found.backup;
  const backup = await service.verifyBackup(filename, {
    ...{ full, from, identity, allowPlain },
    onProgress: output.progress.show,
  });
  const { verification } = backup;
  const good = verification.state === 'verified';
  const detail = verification.state === 'damaged' ? `: ${verification.detail}` : '';
  output.answer(
    backup,
    good
      ? withRemarks(`${filename} is good (${verification.method} check).`, remarkTexts(verification))
      : `${filename} is ${verification.state}${detail}`,
  );
  return good ? exitCodes.done : exitCodes.verificationFailed;
}

/** The verdict first; what is said beside it does not change it. */
export function withRemarks(verdict: string, remarks: readonly string[]): string {
  return [verdict, ...remarks.map((text) => `  ${text}`)].join('\n');
}
