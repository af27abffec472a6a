/** What `sqlite_schema` says, as rows: it can be read also where SQLite does not understand a definition in it. */
import type { DatabaseSync } from 'node:sqlite';
import { notUnderstood, pragma } from './library.ts';

export interface Entry {
  readonly type: string;
  readonly name: string;
  /** The table that an index or a trigger is of. */
  readonly of: string;
  /** The first page of a table or an index; 0 for what has none. */
  readonly rootPage: number;
  readonly sql: string | null;
}

/** In the order of their names. */
export function readEntries(database: DatabaseSync): readonly Entry[] {
  const rows = database
    .prepare('SELECT type, name, tbl_name, CAST(rootpage AS TEXT) AS rootpage, sql FROM main.sqlite_schema')
    .all();
  return rows
    .map((row) => ({
      type: String(row['type']),
      name: String(row['name']),
      of: String(row['tbl_name']),
      rootPage: Number(row['rootpage'] ?? 0),
      sql: row['sql'] === null ? null : String(row['sql']),
    }))
    .sort((a, b) => byText(a.name, b.name) || byText(a.type, b.type));
}

/** Has it a b-tree of its own? Views, triggers and virtual tables have none. */
export function hasPages(entry: Entry): boolean {
  return entry.type === 'index' || (entry.type === 'table' && !isVirtual(entry));
}

/** What is wrong with the first page of a table or an index; null when it lies in the file. */
export function strayRoot(entry: Entry, pages: number): string | null {
  if (!hasPages(entry) || (entry.rootPage >= 2 && entry.rootPage <= pages)) return null;
  return `${entry.type} ${entry.name} begins on page ${entry.rootPage}, and there are ${pages} pages`;
}

/**
 * What this SQLite does not understand may be words of a newer one; a table beyond the end of the file is damage.
 *
 * @throws an error that says `malformed`, as SQLite's own does.
 */
export function refuseStrayRoots(database: DatabaseSync): void {
  if (notUnderstood(database) === null) return;
  const pages = Number(pragma(database, 'page_count'));
  for (const entry of readEntries(database)) {
    const stray = strayRoot(entry, pages);
    if (stray !== null) throw new Error(`the schema is malformed: ${stray}`);
  }
}

const QUOTED_NAME = String.raw`(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|\`(?:[^\`]|\`\`)*\`|\[[^\]]*\]|[^\s("'\`[]+)`;
const BLANK = String.raw`(?:\s|/\*(?:.|\n)*?\*/|--[^\n]*\n)*`;
const virtualTable = new RegExp(
  `^CREATE VIRTUAL TABLE ${BLANK}${QUOTED_NAME}${BLANK}USING${BLANK}(${QUOTED_NAME})`,
  'i',
);
const beginning = new RegExp(
  String.raw`^CREATE\s+(?:VIRTUAL\s+TABLE|TABLE|(UNIQUE\s+)?INDEX|TRIGGER)\s+${QUOTED_NAME}(?:\s+ON\s+${QUOTED_NAME})?\s*`,
  'i',
);

/** SQLite itself writes the beginning of a definition, whatever the app wrote. */
function isVirtual({ type, sql }: Pick<Entry, 'type' | 'sql'>): boolean {
  return type === 'table' && /^CREATE VIRTUAL TABLE /i.test(sql ?? '');
}

/** In small letters, empty if it can't be read; null for what is no virtual table. */
export function moduleOf(entry: Pick<Entry, 'type' | 'sql'>): string | null {
  if (!isVirtual(entry)) return null;
  const name = virtualTable.exec(entry.sql ?? '')?.[1] ?? '';
  return name.replaceAll(/^["'`[]|["'`\]]$/g, '').toLowerCase();
}

/** Those that this library has, in small letters. */
export function knownModules(database: DatabaseSync): ReadonlySet<string> {
  return new Set(
    database
      .prepare('PRAGMA module_list')
      .all()
      .map(({ name }) => String(name).toLowerCase()),
  );
}

/** Without the names at its beginning, as SQLite keeps it in the schema: what is left is the same after a rename. */
export function definitionOf(sql: string): string {
  return sql.replace(beginning, (_, unique: string | undefined) => (unique ? 'UNIQUE ' : ''));
}

/** https://sqlite.org/fileformat2.html#internal_schema_objects */
export function isOfSqlite(name: string): boolean {
  return name.toLowerCase().startsWith('sqlite_');
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
