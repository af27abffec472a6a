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
  /** Rows that break it; null if they are not counted. */
  readonly rows: number | null;
}

/** What could not be checked, and why. */
export interface Unchecked {
  readonly what: string;
  readonly why: string;
}

/** Remarks about a database that is sound. */
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
export function tellApart(text: string, tables: ReadonlySet<string>): Complaint {
  const [, found, column] = /^(NULL|NUMERIC|TEXT|non-\w+) value in (.+)$/s.exec(text) ?? [];
  if (column !== undefined) {
    const table = upTo('.', column, tables);
    const rule = `${found === 'NULL' ? 'NOT NULL' : 'type'} of ${column.slice(table.length + 1)}`;
    return { kind: 'content', isRow: true, table, rule };
  }
  const check = /^CHECK constraint failed in (.+)$/s.exec(text)?.[1];
  if (check !== undefined) return { kind: 'content', table: check, rule: 'CHECK', isRow: true };
  const [, inverted, told] =
    /^(?:malformed inverted index for FTS\d table main\.(.+)|fts5: .*?table "?(.+?)"?)$/s.exec(text) ?? [];
  const fullText = inverted ?? told;
  if (fullText !== undefined) return { kind: 'content', table: fullText, rule: 'full-text index', isRow: false };
  const [, tree] = /^In RTree main\.(.+:\n.*)$/s.exec(text) ?? [];
  if (tree !== undefined)
    return { kind: 'content', table: upTo(':\n', tree, tables), rule: 'R-tree index', isRow: false };
  const [, unread, why] = /^unable to validate the inverted index for FTS\d table main\.(.+): (.+?)$/s.exec(text) ?? [];
  if (unread !== undefined) return { kind: 'unchecked', what: `full-text index ${unread}`, why: why ?? text };
  // Before its complaints SQLite names the database.
  return { kind: 'structure', text: text.replace(/^\*\*\* in database \w+ \*\*\*\n/, '') };
}

/** The name of a table at the beginning of a text; the end of it may be in the name, too. */
function upTo(end: string, text: string, tables: ReadonlySet<string>): string {
  for (let at = text.lastIndexOf(end); at > 0; at = text.lastIndexOf(end, at - 1)) {
    const name = text.slice(0, at);
    if (tables.has(name)) return name;
  }
  return text.slice(0, Math.max(0, text.indexOf(end)));
}

/** Limited, because a manifest is read with each listing and a terminal has only so many lines. */
const REMARKS_MAX = 20;

/** The first of them, and how many more there are. */
export function firstRemarks({ content, unchecked }: Remarks): Remarks {
  const [rules, gaps] = [content.slice(0, REMARKS_MAX), unchecked.slice(0, REMARKS_MAX)];
  const further = content.length + unchecked.length - rules.length - gaps.length;
  if (further === 0) return { content, unchecked };
  return { content: rules, unchecked: [...gaps, { what: `${further} more`, why: 'only the first are listed' }] };
}
