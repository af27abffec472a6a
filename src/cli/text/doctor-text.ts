/** What the doctor found as text: one line a finding, the worst first, and below it why it matters and what to do. */
import type { DoctorReport } from '../../service/model.ts';
import { wrapped } from './tables.ts';

const words = { ok: 'ok', info: 'info', warning: 'WARNING', problem: 'PROBLEM' };

/** A command is left whole, so that it can be copied. */
const isSentence = (text: string) => /^[A-Z][a-z]* /.test(text);

export function doctorText({ findings }: DoctorReport, terminal?: number): string {
  const width = Math.max(...findings.map(({ code }) => code.length));
  const below = ' '.repeat(width + 11);
  const lines = findings.flatMap(({ code, severity, what, why, fix }) => [
    wrapped(`${words[severity].padEnd(7)}  ${code.padEnd(width)}  ${what}`, below.length, terminal),
    ...(why === null ? [] : [wrapped(`${below}Why: ${why}`, below.length + 5, terminal)]),
    ...(fix === null ? [] : [wrapped(`${below}Do:  ${fix}`, below.length + 5, isSentence(fix) ? terminal : undefined)]),
  ]);
  const count = findings.filter(({ severity }) => severity === 'warning' || severity === 'problem').length;
  return [
    ...lines,
    '',
    count === 0 ? 'Nothing to act on.' : `${count} finding${count === 1 ? '' : 's'} to act on.`,
  ].join('\n');
}
