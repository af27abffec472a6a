/** What the doctor found as text: one line a finding, the worst first, and below it why it matters and what to do. */
import type { DoctorReport } from '../../service/model.ts';

const words = { ok: 'ok', info: 'info', warning: 'WARNING', problem: 'PROBLEM' };

export function doctorText({ findings }: DoctorReport): string {
  const width = Math.max(...findings.map(({ code }) => code.length));
  const below = ' '.repeat(width + 11);
  const lines = findings.flatMap(({ code, severity, what, why, fix }) => [
    `${words[severity].padEnd(7)}  ${code.padEnd(width)}  ${what}`,
    ...(why === null ? [] : [`${below}Why: ${why}`]),
    ...(fix === null ? [] : [`${below}Do:  ${fix}`]),
  ]);
  const count = findings.filter(({ severity }) => severity === 'warning' || severity === 'problem').length;
  return [
    ...lines,
    '',
    count === 0 ? 'Nothing to act on.' : `${count} finding${count === 1 ? '' : 's'} to act on.`,
  ].join('\n');
}
