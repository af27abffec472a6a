/**
 * One table of a rescue while it is planned. The draft is a file of our own, attached beside the live database and the source.
 * For each table it holds three:
 *
 * - the items: one row for each row of the source that was picked or is needed, with what would happen to it;
 * - a table made by the very definition that the live table has. The rows to be written are put into it first, so that what
 *   the live table would make of them (types, defaults, CHECK, NOT NULL, STRICT) is known before anything is locked, and what
 *   is written later is what stands there;
 * - the rows of the live table that they meet, as they are.
 *
 * Values never pass through JavaScript, which keeps neither every text nor every number: all of it is SQL.
 */
import type { DatabaseSync } from 'node:sqlite';
import { definitionOf } from '../sqlite/schema.ts';
import { commonColumns, quoted, type TableShape, uniqueIndexes } from './table-shape.ts';

export type Rule = 'keep' | 'take' | 'stop';

export interface DraftTable {
  readonly live: TableShape;
  readonly source: TableShape;
  /** Null if nobody said what the rows were like after they were lost. */
  readonly since: TableShape | null;
  readonly rule: Rule;
  readonly items: string;
  readonly before: string;
  readonly after: string;
  /** What is taken from the source, as the live table names it. */
  readonly common: readonly string[];
}

interface Shapes extends Pick<DraftTable, 'live' | 'source' | 'since' | 'rule'> {
  readonly number: number;
}

/** The names of the three tables. */
export function draftTable({ number, ...shapes }: Shapes): DraftTable {
  const { live } = shapes;
  return {
    ...shapes,
    items: `draft.${quoted(`velist items ${number}`)}`,
    before: `draft.${quoted(`velist before ${number}`)}`,
    after: `draft.${quoted(live.name)}`,
    common: commonColumns(shapes.source, live),
  };
}

/** Makes them. @throws what SQLite says of a definition that it can't use. */
export function makeDraftTable(db: DatabaseSync, shapes: Shapes): DraftTable {
  const table = draftTable(shapes);
  const { live } = table;
  const keys = keyColumns(table).map(({ declared }, at) => `k${at} ${declared}`);
  const names = keys.map((_, at) => `k${at}`).join(', ');
  db.exec(
    `CREATE TABLE ${table.items} (id INTEGER PRIMARY KEY, needed INTEGER NOT NULL, fresh INTEGER NOT NULL DEFAULT 1, kind TEXT, live INTEGER NOT NULL DEFAULT 0, writes INTEGER NOT NULL DEFAULT 0, rid INTEGER, ${keys.join(', ')}, UNIQUE (${names}))`,
  );
  const cells = live.columns.map((_, at) => `c${at}`);
  db.exec(`CREATE TABLE ${table.before} (item INTEGER PRIMARY KEY, rid INTEGER, ${cells.join(', ')})`);
  // One statement: whatever else a definition from elsewhere might hold behind it is not run.
  db.prepare(`CREATE TABLE ${table.after} ${definitionOf(live.sql)}`).run();
  // Rows are looked for by all that others may refer to.
  for (const [at, { columns, isDeclared }] of uniqueIndexes(db, 'main', live.name).entries()) {
    if (columns === null || isDeclared) continue;
    const indexed = columns.map(({ name, collation }) => `${quoted(name)} COLLATE ${quoted(collation)}`);
    const name = `draft.${quoted(`velist index ${shapes.number} ${at}`)}`;
    db.exec(`CREATE INDEX ${name} ON ${quoted(live.name)} (${indexed.join(', ')})`);
  }
  return table;
}

function keyColumns({ live }: Pick<DraftTable, 'live'>): { readonly declared: string }[] {
  if (live.identity === 'none' || live.identity === 'integer') return [{ declared: 'INTEGER' }];
  return live.key.map(({ collation, affinity }) => ({
    declared: `${affinity} COLLATE ${quoted(collation ?? 'BINARY')}`,
  }));
}

/** How many columns the key has. */
export function keyLength({ live }: Pick<DraftTable, 'live'>): number {
  return live.identity === 'none' ? 1 : live.key.length;
}

/** The key of a row of the table that `alias` is: for the items, in the order of `k0`, `k1`. */
export function keyOf(shape: TableShape, alias: string): readonly string[] {
  if (shape.identity === 'none') return [`${alias}.${shape.rowid ?? 'rowid'}`];
  return shape.key.map(({ name }) => `${alias}.${quoted(name)}`);
}

export function itemKey(table: Pick<DraftTable, 'live'>, alias = 'i'): readonly string[] {
  return Array.from({ length: keyLength(table) }, (_, at) => `${alias}.k${at}`);
}

/** Is the row of `alias`, in a database where the table has this shape, the one of the item? */
export function isRowOf(table: Pick<DraftTable, 'live'>, shape: TableShape, alias: string, item = 'i'): string {
  return isSameKey(table, keyOf(shape, alias), itemKey(table, item));
}

export function isSameKey({ live }: Pick<DraftTable, 'live'>, a: readonly string[], b: readonly string[]): string {
  return a
    .map((one, at) => {
      const collation = live.key[at]?.collation ?? null;
      return `${one}${collation === null ? '' : ` COLLATE ${quoted(collation)}`} = ${b[at]}`;
    })
    .join(' AND ');
}

/** Have both rows the same content in these columns, to the bit? */
export function isSameContent(columns: readonly string[], a: string, b: string): string {
  const same = columns.map((name) => {
    const [one, other] = [`${a}.${quoted(name)}`, `${b}.${quoted(name)}`];
    return `typeof(${one}) = typeof(${other}) AND ${one} COLLATE BINARY IS ${other}`;
  });
  return same.length === 0 ? '1' : same.join(' AND ');
}

export function isAsBefore({ live }: Pick<DraftTable, 'live'>, alias: string, before: string): string {
  return live.columns
    .map(({ name }, at) => {
      const [one, other] = [`${alias}.${quoted(name)}`, `${before}.c${at}`];
      return `typeof(${one}) = typeof(${other}) AND ${one} COLLATE BINARY IS ${other}`;
    })
    .join(' AND ');
}

export const namesOf = (shape: TableShape): readonly string[] => shape.columns.map(({ name }) => name);
export const listed = (names: readonly string[], alias = ''): string =>
  names.map((name) => `${alias === '' ? '' : `${alias}.`}${quoted(name)}`).join(', ');

export function countOf(db: DatabaseSync, sql: string): number {
  return Number(Object.values(db.prepare(sql).get() ?? {})[0] ?? 0);
}

export const inMain = ({ live }: Pick<DraftTable, 'live'>): string => `main.${quoted(live.name)}`;
export const inSource = ({ source }: Pick<DraftTable, 'source'>): string => `source.${quoted(source.name)}`;
