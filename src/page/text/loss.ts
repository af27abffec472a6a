/** A loss in words: what a backup lost against the one before it. Names of tables come out of a database, as text. */
import type { Backup, Status } from '../../http/contract.ts';
import { count, nameTime, plural, shownName } from './format.ts';

export type Loss = NonNullable<Backup['loss']>;
export type OpenLoss = NonNullable<Status['loss']>;

/** How long the backups from before a loss are kept while nobody answers; the server keeps them. */
export const lossKeptDays = 30;
const dayMs = 24 * 3_600_000;

/** "orders is empty", "orders is gone", "orders lost 5,100 rows", "much was lost". */
export function lossTag({ tables }: Loss): string {
  const [worst] = tables;
  if (worst === undefined) return 'much was lost';
  const name = shownName(worst.name);
  if (worst.after === null) return `${name} is gone`;
  return worst.after === 0 ? `${name} is empty` : `${name} lost ${plural(worst.before - worst.after, 'row')}`;
}

/** "0 rows", "gone" */
export function afterWords(after: number | null): string {
  return after === null ? 'gone' : plural(after, 'row');
}

/** The share of the used pages that went, as "88%". */
export function pagesLost({ usedPages: { before, after } }: Loss): string {
  return `${count(Math.round((1 - after / Math.max(1, before)) * 100))}%`;
}

/** What is kept because of a loss that nobody said was meant: what its tag says, by file name. */
export function keptForLosses(backups: readonly Backup[], now: number): ReadonlyMap<string, string> {
  const kept = new Map<string, string>();
  for (const { loss, createdAt } of backups) {
    if (loss === null || loss.accepted !== null || now - Date.parse(createdAt) > lossKeptDays * dayMs) continue;
    kept.set(loss.before, 'Before the loss, kept');
    if (loss.dayBefore !== null) kept.set(loss.dayBefore, 'A day before the loss, kept');
  }
  return kept;
}

/** The moment in the name of a backup, which is always there. */
export function timeOf(filename: string): number {
  return nameTime(filename) ?? 0;
}
