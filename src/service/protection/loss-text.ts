/** What was lost, in a sentence for logs, chats and the command line. */
import type { Loss } from '../backups/shown-backup.ts';
import type { Status } from './shown-status.ts';

/** `orders had 8,310 rows at 2024-01-15 14:20 UTC and has 0 since 14:30 UTC; and 2 more tables` */
export function lossText({
  tables,
  usedPages,
  beforeAt,
  at,
}: Pick<Loss, 'tables' | 'usedPages'> & Pick<NonNullable<Status['loss']>, 'at' | 'beforeAt'>): string {
  const [since, until] = [momentText(at), momentText(beforeAt)];
  const [worst, ...others] = tables;
  if (!worst) {
    const [before, after] = [numberText(usedPages.before), numberText(usedPages.after)];
    return `the database had ${before} pages in use at ${until} and has ${after} since ${since}`;
  }
  const now = worst.after === null ? 'is gone' : `has ${numberText(worst.after)}`;
  const more = others.length === 0 ? '' : `; and ${others.length} more table${others.length === 1 ? '' : 's'}`;
  return `${worst.name} had ${numberText(worst.before)} rows at ${until} and ${now} since ${since}${more}`;
}

function momentText(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

export function numberText(number: number): string {
  return number.toLocaleString('en');
}
