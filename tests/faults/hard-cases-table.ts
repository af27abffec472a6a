/** Prints the hard cases as a Markdown table, from real runs: what was said, and what remains. */
import { checkHardCase } from './hard-cases.ts';
import { clockCases } from './hard-cases-clock.ts';
import { databaseCases } from './hard-cases-database.ts';
import { diskCases } from './hard-cases-disk.ts';
import { neighbourCases } from './hard-cases-neighbours.ts';

console.log('| case | code | message | hint | verdict | what remains |\n|---|---|---|---|---|---|');
for (const hardCase of [...diskCases, ...databaseCases, ...neighbourCases, ...clockCases]) {
  const { error, verdict, remains } = await checkHardCase(hardCase);
  const cells = [hardCase.name, error?.code ?? 'done', error?.message ?? '', error?.hint ?? '', verdict, remains];
  console.log(`| ${cells.map(toCell).join(' | ')} |`);
}

/** Scratch folders have another name at each run. */
function toCell(text: string): string {
  return text
    .replaceAll(/\/\S*velist-hard-case-\w+\//g, '')
    .replaceAll('|', '\\|')
    .replaceAll('\n', '⏎');
}
