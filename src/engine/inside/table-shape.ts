/** How a table of one of the attached databases is built: columns, the key that names its rows, what refers to what. */
import type { DatabaseSync } from 'node:sqlite';
import { isOfSqlite, moduleOf } from '../sqlite/schema.ts';

/** As sentences say it. */
export const rowsText = (rows: number): string => `${rows} row${rows === 1 ? '' : 's'}`;

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

interface ShapedColumn {
  readonly name: string;
  /** In small letters, as SQLite compares names. */
  readonly lower: string;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
}

interface KeyColumn {
  readonly name: string;
  /** That of the index which keeps the key unique; null for an INTEGER PRIMARY KEY, which is the rowid itself. */
  readonly collation: string | null;
  /** As https://sqlite.org/datatype3.html#determination_of_column_affinity tells it from the declared type. */
  readonly affinity: string;
}

/** A foreign key of a table. */
export interface Reference {
  readonly id: number;
  readonly columns: readonly string[];
  /** The table that it refers to, as the definition writes it. */
  readonly parent: string;
  /** Empty where the definition names none: the primary key of the parent is meant. */
  readonly parentColumns: readonly string[];
}

interface UniqueIndex {
  readonly name: string;
  /** Null where it is computed or covers a part of the rows: what it forbids can't be told beforehand. */
  readonly columns: readonly { readonly name: string; readonly collation: string }[] | null;
  /** It is a part of the table's definition. */
  readonly isDeclared: boolean;
}

export interface TableShape {
  readonly name: string;
  readonly sql: string;
  /** All that can be written: none that are generated. */
  readonly columns: readonly ShapedColumn[];
  readonly generated: readonly string[];
  /**
   * `integer`: the key is the rowid; `key`: a key beside a rowid; `only key`: WITHOUT ROWID; `none`: rows are named by their
   * rowid and told apart by their content.
   */
  readonly identity: 'integer' | 'key' | 'only key' | 'none';
  readonly key: readonly KeyColumn[];
  /** A name under which the rowid can be read; null where there is none. */
  readonly rowid: string | null;
  readonly countsUp: boolean;
}

/** A sentence that says why a table is not one whose rows can be rescued; null for one whose rows can. */
export function whyNotATable(db: DatabaseSync, schema: string, name: string): string | null {
  const row = db
    .prepare(`SELECT type FROM pragma_table_list WHERE schema = ? AND name = ? COLLATE NOCASE`)
    .get(schema, name);
  const type = String(row?.['type'] ?? '');
  if (isOfSqlite(name)) return `${name} belongs to SQLite itself.`;
  if (type === 'view') return `${name} is a view: rescue the rows of the tables that it shows.`;
  if (type === 'virtual') {
    const sql = sqlOf(db, schema, name);
    const full = /^fts\d/.test(moduleOf({ type: 'table', sql }) ?? '');
    return full
      ? `${name} is a full-text index: rescue the rows of the table that it is made from, then rebuild it.`
      : `${name} is a virtual table: what it shows is kept elsewhere.`;
  }
  if (type === 'shadow') return `${name} is the inside of a virtual table: rows put there would break it.`;
  return type === 'table' ? null : `there is no table ${name}.`;
}

function sqlOf(db: DatabaseSync, schema: string, name: string): string {
  const row = db
    .prepare(`SELECT sql FROM ${schema}.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE`)
    .get(name);
  return String(row?.['sql'] ?? '');
}

/** @param name of an ordinary table, in letters of any size. */
export function readShape(db: DatabaseSync, schema: string, name: string): TableShape {
  const listed = db
    .prepare('SELECT name, wr FROM pragma_table_list WHERE schema = ? AND name = ? COLLATE NOCASE')
    .get(schema, name);
  const real = String(listed?.['name'] ?? name);
  const infos = db.prepare(`PRAGMA ${schema}.table_xinfo(${quoted(real)})`).all();
  const columns = infos
    .filter((info) => info['hidden'] === 0)
    .map((info) => ({
      name: String(info['name']),
      lower: String(info['name']).toLowerCase(),
      notNull: info['notnull'] !== 0,
      hasDefault: info['dflt_value'] !== null,
    }));
  const generated = infos.filter((info) => info['hidden'] !== 0).map((info) => String(info['name']));
  const taken = new Set(infos.map((info) => String(info['name']).toLowerCase()));
  const isOnlyKey = listed?.['wr'] === 1;
  const named = infos
    .filter((info) => Number(info['pk']) > 0)
    .sort((a, b) => Number(a['pk']) - Number(b['pk']))
    .map((info) => ({ name: String(info['name']), affinity: affinityOf(String(info['type'])) }));
  const index = indexesOf(db, schema, real).find(({ origin }) => origin === 'pk');
  const collations = index ? collationsOf(db, schema, index.name) : null;
  const key = named.map((column) => ({ ...column, collation: collations?.get(column.name.toLowerCase()) ?? null }));
  const sql = sqlOf(db, schema, real);
  return {
    ...{ name: real, sql, columns, generated, key },
    identity: isOnlyKey ? 'only key' : key.length === 0 ? 'none' : index ? 'key' : 'integer',
    rowid: isOnlyKey ? null : (['rowid', '_rowid_', 'oid'].find((alias) => !taken.has(alias)) ?? null),
    countsUp: /\bAUTOINCREMENT\b/i.test(sql),
  };
}

function affinityOf(type: string): string {
  if (/INT/i.test(type)) return 'INTEGER';
  if (/CHAR|CLOB|TEXT/i.test(type)) return 'TEXT';
  if (type === '' || /BLOB/i.test(type)) return 'BLOB';
  return /REAL|FLOA|DOUB/i.test(type) ? 'REAL' : 'NUMERIC';
}

function indexesOf(db: DatabaseSync, schema: string, table: string) {
  return db
    .prepare(`PRAGMA ${schema}.index_list(${quoted(table)})`)
    .all()
    .map((row) => ({
      name: String(row['name']),
      isUnique: row['unique'] === 1,
      origin: String(row['origin']),
      isPartial: row['partial'] === 1,
    }));
}

function keyRows(db: DatabaseSync, schema: string, index: string) {
  return db
    .prepare(`PRAGMA ${schema}.index_xinfo(${quoted(index)})`)
    .all()
    .filter((row) => row['key'] === 1);
}

function collationsOf(db: DatabaseSync, schema: string, index: string): ReadonlyMap<string, string> {
  return new Map(
    keyRows(db, schema, index).map((row) => [String(row['name']).toLowerCase(), String(row['coll'] ?? 'BINARY')]),
  );
}

/** Those beside the primary key. */
export function uniqueIndexes(db: DatabaseSync, schema: string, table: string): readonly UniqueIndex[] {
  return indexesOf(db, schema, table)
    .filter(({ isUnique, origin }) => isUnique && origin !== 'pk')
    .map(({ name, isPartial, origin }) => {
      const rows = keyRows(db, schema, name);
      const isPlain = !isPartial && rows.every((row) => row['name'] !== null);
      const columns = rows.map((row) => ({ name: String(row['name']), collation: String(row['coll'] ?? 'BINARY') }));
      return { name, columns: isPlain ? columns : null, isDeclared: origin === 'u' };
    });
}

/** Can rows be found by these columns? */
export function isIndexed(db: DatabaseSync, schema: string, table: string, columns: readonly string[]): boolean {
  const wanted = new Set(columns.map((name) => name.toLowerCase()));
  return indexesOf(db, schema, table).some(({ name, isPartial }) => {
    const first = keyRows(db, schema, name).slice(0, wanted.size);
    return (
      !isPartial && first.length === wanted.size && first.every((row) => wanted.has(String(row['name']).toLowerCase()))
    );
  });
}

export function referencesOf(db: DatabaseSync, schema: string, table: string): readonly Reference[] {
  const byId = new Map<number, { parent: string; columns: string[]; parentColumns: string[] }>();
  const rows = db.prepare(`PRAGMA ${schema}.foreign_key_list(${quoted(table)})`).all();
  for (const row of rows.sort((a, b) => Number(a['seq']) - Number(b['seq']))) {
    const id = Number(row['id']);
    const one = byId.get(id) ?? { parent: String(row['table']), columns: [], parentColumns: [] };
    byId.set(id, one);
    one.columns.push(String(row['from']));
    if (row['to'] !== null) one.parentColumns.push(String(row['to']));
  }
  return [...byId].map(([id, one]) => ({ id, ...one }));
}

/** Names of ordinary tables and their foreign keys that refer to `parent`. */
export function childrenOf(
  db: DatabaseSync,
  schema: string,
  parent: string,
): readonly { readonly table: string; readonly reference: Reference }[] {
  const names = db
    .prepare(
      "SELECT name FROM pragma_table_list WHERE schema = ? AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .all(schema)
    .map((row) => String(row['name']));
  return names.flatMap((table) =>
    referencesOf(db, schema, table)
      .filter((reference) => reference.parent.toLowerCase() === parent.toLowerCase())
      .map((reference) => ({ table, reference })),
  );
}

export function triggersOf(
  db: DatabaseSync,
  table: string,
): readonly { readonly name: string; readonly sql: string }[] {
  return db
    .prepare(
      "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name",
    )
    .all(table)
    .map((row) => ({ name: String(row['name']), sql: String(row['sql']) }));
}

/** The columns that two shapes have in common and that both let be written, as `b` names them. */
export function commonColumns(a: TableShape, b: TableShape): readonly string[] {
  const known = new Set(a.columns.map(({ lower }) => lower));
  return b.columns.filter(({ lower }) => known.has(lower)).map(({ name }) => name);
}
