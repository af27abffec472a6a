/** A target's self-test as text: one line a check, what to do below it, and the policy that its key needs. */
import type { TargetReport } from '../../service/model.ts';
import { wrapped } from './tables.ts';

const words = { ok: 'ok', warning: 'WARNING', failed: 'FAILED' };

export function targetText({ target, place, ok, ms, findings, policy }: TargetReport, terminal?: number): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, result, message, hint }) => [
    wrapped(`${words[result].padEnd(7)}  ${check.padEnd(width)}  ${message}`, width + 11, terminal),
    ...(hint === null ? [] : [wrapped(`${' '.repeat(width + 11)}${hint}`, width + 11, terminal)]),
  ]);
  const failures = findings.filter(({ result }) => result === 'failed').length;
  const verdict = ok
    ? `All that backups need works (${ms} ms).`
    : `${failures === 1 ? 'One check' : `${failures} checks`} failed.`;
  const rights = policy === null ? [] : ['', 'The least that the key must be allowed:', '', policyText(policy)];
  return [`Tested ${target}: ${place}`, '', ...lines, '', verdict, ...rights].join('\n');
}

/** JSON to paste, with its short lists on one line each. */
function policyText(policy: object): string {
  return JSON.stringify(policy, null, 2).replace(/\[\s+("[^[\]]*")\s+\]/g, (list) =>
    list.replace(/\s+/g, ' ').replace('[ ', '[').replace(' ]', ']'),
  );
}
