import type { ContinuousStatus, Finding } from '../model.ts';

type Found = (
  severity: 'problem' | 'warning',
  code: string,
  words: { readonly what: string; readonly why: string; readonly fix: string },
) => Finding;

/** What is wrong with continuous backup; null when commits are captured, and nothing may end that. */
export function capturedFinding(
  { concern, untrue, warnings }: Pick<ContinuousStatus, 'concern' | 'untrue' | 'warnings'>,
  found: Found,
): Finding | null {
  if (untrue) {
    const { message: what, hint: fix } = untrue.error;
    return found('problem', 'captured', { what, why: 'What was captured is compared with the live file.', fix });
  }
  if (concern) {
    return found('warning', 'captured', {
      what: concern,
      why: 'What is committed between two backups is not covered meanwhile.',
      fix: 'Start the service, or see its log; `velist-backup resume` ends a pause.',
    });
  }
  if (warnings.length === 0) return null;
  return found('warning', 'captured', {
    what: warnings.join(' '),
    why: 'Commits are captured, and this may end that.',
    fix: 'End what the sentence names.',
  });
}
