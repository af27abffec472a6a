/**
 * SQLite's check mixes three answers in one list: the structure is broken, the content breaks a rule of its own table,
 * the check itself could not run. This tells them apart, by the texts of SQLite (3.40 to 3.54; whatever it may say that
 * is not known here counts as damage).
 */

/** A rule of a table that some of its rows break. The app lives with it. */
export interface RuleFinding {
  readonly table: string;
  /** As the table's definition has it: `NOT NULL of notes`, `type of price`, `CHECK`, `FOREIGN KEY to users`, `full-text index`. */
  readonly rule: string;
  /** Rows that break it; null where they are not counted. */
  readonly rows: number | null;
}

/** What could not be checked, and why. */
export interface Unchecked {
  readonly what: string;
  readonly why: string;
}

/** What is said about a sound database beside that it is sound. */
export interface Remarks {
  readonly content: readonly RuleFinding[];
  readonly unchecked: readonly Unchecked[];
}

export const NO_REMARKS: Remarks = { content: [], unchecked: [] };

export type Complaint =
  | { readonly kind: 'structure'; readonly text: string }
  | { readonly kind: 'content'; readonly table: string; readonly rule: string; readonly isRow: boolean }
  | ({ readonly kind: 'unchecked' } & Unchecked);

/** @param tables all of the database, to tell where the name of one ends. */
export function tellApart(text: string, tables: readonly string[]): Complaint {
  const [, found, column] = /^(NULL|NUMERIC|TEXT|non-\w+) value in (.+)$/s.exec(text) ?? [];
  if (column !== undefined) {
    const rule = found === 'NULL' ? 'NOT NULL' : 'type';
    return { kind: 'content', isRow: true, ...columnOf(column, tables, rule) };
  }
  const check = /^CHECK constraint failed in (.+)$/s.exec(text)?.[1];
  if (check !== undefined) return { kind: 'content', table: check, rule: 'CHECK', isRow: true };
  const [, inverted, told] =
    /^(?:malformed inverted index for FTS\d table main\.(.+)|fts5: .*table "?(.+?)"?)$/s.exec(text) ?? [];
  const fullText = inverted ?? told;
  if (fullText !== undefined) return { kind: 'content', table: fullText, rule: 'full-text index', isRow: false };
  const [, tree] = /^In RTree main\.(.+?):\n/s.exec(text) ?? [];
  if (tree !== undefined) return { kind: 'content', table: tree, rule: 'R-tree index', isRow: false };
  const [, unread, why] = /^unable to validate the inverted index for FTS\d table main\.(.+): (.+?)$/s.exec(text) ?? [];
  if (unread !== undefined) return { kind: 'unchecked', what: `full-text index ${unread}`, why: why ?? text };
  // Before its complaints SQLite names the database.
  return { kind: 'structure', text: text.replace(/^\*\*\* in database \w+ \*\*\*\n/, '') };
}

function columnOf(name: string, tables: readonly string[], rule: string): { table: string; rule: string } {
  const fitting = tables.filter((table) => name.startsWith(`${table}.`)).toSorted((a, b) => b.length - a.length);
  const table = fitting[0] ?? name.replace(/\.[^.]*$/s, '');
  return { table, rule: `${rule} of ${name.slice(table.length + 1)}` };
}
