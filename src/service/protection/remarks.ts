/** What a check says beside that a backup is good: the same words on the command line, in the log and on the page. */
import type { Remarks, RuleFinding } from '../../engine/sqlite/rules.ts';
import { visibleLine } from '../../words/visible-text.ts';

/** For people, one line each. */
export function remarkTexts({ content, unchecked }: Remarks): readonly string[] {
  // Names may have line ends and whatever a terminal takes for an order.
  return [...content.map(ruleText), ...unchecked.map(({ what, why }) => `${what} was not checked: ${why}`)].map(
    visibleLine,
  );
}

function ruleText({ table, rule, rows }: RuleFinding): string {
  const parent = /^FOREIGN KEY to (.*)$/s.exec(rule)?.[1];
  if (parent !== undefined) return `${rows === 1 ? '1 row' : `${rows} rows`} of ${table} without parent in ${parent}`;
  if (rows === null) return `the ${rule} of table ${table} is out of step with it`;
  return rows === 1 ? `1 row of ${table} breaks the rule ${rule}` : `${rows} rows of ${table} break the rule ${rule}`;
}
