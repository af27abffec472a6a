/** What is said of a file from elsewhere. Pure. */
import type { Arrival } from '../../http/contract.ts';
import { count, plural, size } from './format.ts';

interface Said {
  readonly tone: 'good' | 'info' | 'warn';
  readonly title: string;
  readonly text: string;
}

/** "42 tables · 87,426 rows · 14.2 MB" */
export function factsOf({ tables, furtherTables, rows, sizeBytes }: Arrival): string {
  const many = rows === null ? [] : [plural(rows, 'row')];
  return [plural(tables.length + furtherTables, 'table'), ...many, size(sizeBytes)].join(' · ');
}

/** Whose it looks to be. Its tables are all that tells. */
export function whoseWords(
  { likeness, diff, tables }: Pick<Arrival, 'likeness' | 'diff' | 'tables'>,
  database: string,
): Said {
  const common = (diff?.tables ?? []).filter(({ before, after }) => before !== null && after !== null).length;
  switch (likeness) {
    case 'same':
      return {
        tone: 'good',
        title: `It looks like ${database}.`,
        text: 'All tables are defined alike. A copy of another database with the same tables can’t be told from it.',
      };
    case 'similar':
      return {
        tone: 'info',
        title: `It looks like ${database} at another time.`,
        text: `${count(common)} of its ${plural(tables.length, 'table')} are in ${database} too, but not all are defined alike: your app may have been older or newer then.`,
      };
    case 'another':
      return {
        tone: 'warn',
        title: `This looks like another app’s database, and not like ${database}.`,
        text: `${common === 0 ? 'None' : count(common)} of its ${plural(tables.length, 'table')} ${common === 1 ? 'is' : 'are'} in ${database}. If you keep it, it is listed under its own name.`,
      };
    case 'unknown':
      return {
        tone: 'info',
        title: 'Nobody can tell whose it is.',
        text: `There is no backup of ${database} yet to compare it with.`,
      };
  }
}

/** A backup of ours is whole without its log; of another file nobody knows. */
export function mayMissLog({ isWal, known, name }: Pick<Arrival, 'isWal' | 'known' | 'name'>): boolean {
  return isWal && known === null && !/^backup-.*\.sqlite$/.test(name);
}
