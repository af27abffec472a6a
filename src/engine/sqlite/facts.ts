/**
 * What a database holds, in numbers: rows and bytes of each table, and digests of the schema. They come with the account
 * of its pages and cost nothing of their own.
 *
 * A virtual table has no pages; what its module keeps for it (its shadow tables) counts as its bytes. Its rows are counted
 * where its content is in one of them: `_content` of a full-text table, `_rowid` of an R-tree. One that only indexes what
 * lies elsewhere has none.
 */
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { Account, Tree } from './account.ts';
import { definitionOf, type Entry, isOfSqlite, knownModules, moduleOf, readEntries } from './schema.ts';

interface TableFacts {
  /** Null if they can't be counted. */
  readonly rows: number | null;
  /** Size of the table and its indexes, overflow pages included. */
  readonly bytes: number;
  /** Keys and values in them; a vacuum changes the pages, and not these. */
  readonly contentBytes: number;
  /** Digest of its definition and those of its indexes and triggers; a new name alone does not change it. */
  readonly schema: string;
}

export interface DatabaseFacts {
  /** By name, the first few thousand in the order of their names; SQLite's own tables are left out. */
  readonly tables: Readonly<Record<string, TableFacts>>;
  /** Tables beyond those, and their rows. */
  readonly furtherTables: number;
  readonly furtherRows: number;
  /** Digest of the whole schema. */
  readonly schema: string;
  /** All but those of the freelist. */
  readonly usedPages: number;
  /** Content of all tables and indexes, SQLite's own too. */
  readonly contentBytes: number;
}

/** A manifest is read with each listing; this many tables take 300 KB of it. */
const TABLES_MAX = 2_000;
/** Names may have any length, and control characters, which JSON writes with six. */
const NAMES_BYTES_MAX = 128 * 1024;
const TABLE_DIGEST_DIGITS = 12;

export function readFacts(database: DatabaseSync, account: Account, { pages, pageSize }: PageSizes): DatabaseFacts {
  const schema = new Schema(database);
  const tables: [string, TableFacts][] = [];
  let [furtherTables, furtherRows, nameBytes] = [0, 0, 0];
  for (const table of schema.tables) {
    const rows = schema.rowsOf(table, account.trees);
    nameBytes += Buffer.byteLength(JSON.stringify(table.name));
    if (furtherTables > 0 || tables.length >= TABLES_MAX || nameBytes > NAMES_BYTES_MAX) {
      furtherTables += 1;
      furtherRows += rows ?? 0;
      continue;
    }
    const trees = schema.treesOf(table, account.trees);
    const bytes = pageSize * sum(trees.map((tree) => tree.pages));
    const contentBytes = sum(trees.map((tree) => tree.contentBytes));
    tables.push([table.name, { rows, bytes, contentBytes, schema: schema.digestOf(table) }]);
  }
  return {
    tables: Object.fromEntries(tables),
    furtherTables,
    furtherRows,
    schema: schema.digest,
    usedPages: pages - account.freePages,
    contentBytes: sum([...account.trees.values()].map(({ contentBytes }) => contentBytes)),
  };
}

/** The tables that people made, without those that a module keeps for a virtual one. */
export function namesOfTables(database: DatabaseSync): readonly string[] {
  return new Schema(database).tables.map(({ name }) => name);
}

interface PageSizes {
  readonly pages: number;
  readonly pageSize: number;
}

interface TableEntry extends Entry {
  readonly kind: 'table' | 'without rowid' | 'virtual';
  /** What the module of a virtual table keeps for it. */
  readonly shadows: readonly ShadowEntry[];
}

interface ShadowEntry extends Entry {
  readonly isWithoutRowid: boolean;
}

class Schema {
  /** The tables that people made, in the order of their names. */
  readonly tables: readonly TableEntry[];
  readonly #entries: readonly Entry[];
  /** Indexes and triggers by the name of their table, in small letters. */
  readonly #of: ReadonlyMap<string, readonly Entry[]>;

  constructor(database: DatabaseSync) {
    this.#entries = readEntries(database);
    this.#of = Map.groupBy(
      this.#entries.filter(({ type }) => type === 'index' || type === 'trigger'),
      ({ of }) => of.toLowerCase(),
    );
    this.tables = toTables(
      this.#entries.filter(({ type, name }) => type === 'table' && !isOfSqlite(name)),
      database,
    );
  }

  /** The digest of everything that people made; SQLite's own statistics and sequences come and go. */
  get digest(): string {
    const hash = createHash('sha256');
    for (const { type, name, of, sql } of this.#entries)
      if (!isOfSqlite(name)) hash.update(`${type}\0${name}\0${of}\0${sql}\0`);
    return hash.digest('hex');
  }

  digestOf(table: TableEntry): string {
    const parts = [table, ...this.#partsOf(table.name)].flatMap(({ sql }) => (sql === null ? [] : definitionOf(sql)));
    return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, TABLE_DIGEST_DIGITS);
  }

  /** Its own and those of its indexes. */
  treesOf(table: TableEntry, trees: Trees): readonly Tree[] {
    const own = table.kind === 'virtual' ? table.shadows : [table];
    const names = own.flatMap(({ name }) => [name, ...this.#partsOf(name).map((part) => part.name)]);
    return names.flatMap((name) => trees.get(name) ?? []);
  }

  rowsOf(table: TableEntry, trees: Trees): number | null {
    if (table.kind !== 'virtual') return rowsIn(trees.get(table.name), table.kind === 'without rowid');
    const names = contentEndings.map((ending) => `${table.name}${ending}`.toLowerCase());
    const content = table.shadows.find(({ name }) => names.includes(name.toLowerCase()));
    return content ? rowsIn(trees.get(content.name), content.isWithoutRowid) : null;
  }

  #partsOf(table: string): readonly Entry[] {
    return this.#of.get(table.toLowerCase()) ?? [];
  }
}

type Trees = ReadonlyMap<string, Tree>;

/** Shadow tables that have a row for each row of their virtual table. */
const contentEndings = ['_content', '_rowid'] as const;

function rowsIn(tree: Tree | undefined, isWithoutRowid: boolean): number | null {
  if (tree === undefined) return null;
  return isWithoutRowid ? tree.cells : tree.leafCells;
}

function toTables(entries: readonly Entry[], database: DatabaseSync): readonly TableEntry[] {
  const listed = database.prepare('PRAGMA main.table_list').all();
  const kinds = new Map(listed.flatMap((row) => (row['schema'] === 'main' ? [[String(row['name']), row]] : [])));
  const isWithoutRowid = ({ name }: Entry) => kinds.get(name)?.['wr'] === 1;
  const virtuals = new Set(entries.filter(({ name }) => kinds.get(name)?.['type'] === 'virtual'));
  // SQLite knows the shadow tables of its own modules; for other modules, every table named like one counts as one.
  const known = knownModules(database);
  const unknown = [...virtuals].filter((entry) => !known.has(moduleOf(entry) ?? ''));
  const owners = new Map<Entry, Entry>();
  for (const entry of entries) {
    const isShadow = kinds.get(entry.name)?.['type'] === 'shadow';
    const owner = virtuals.has(entry) ? undefined : ownerOf(entry.name, isShadow ? [...virtuals] : unknown);
    if (owner) owners.set(entry, owner);
  }
  const shadows = Map.groupBy(owners.keys(), (shadow) => owners.get(shadow));
  return entries
    .filter((entry) => !owners.has(entry))
    .map((entry): TableEntry => {
      const kind = virtuals.has(entry) ? 'virtual' : isWithoutRowid(entry) ? 'without rowid' : 'table';
      const own = shadows.get(entry) ?? [];
      return { ...entry, kind, shadows: own.map((shadow) => ({ ...shadow, isWithoutRowid: isWithoutRowid(shadow) })) };
    });
}

/** The longest name wins: the virtual tables `docs` and `docs_old` may both exist. */
function ownerOf(shadow: string, virtuals: readonly Entry[]): Entry | undefined {
  const fitting = virtuals.filter(({ name }) => shadow.toLowerCase().startsWith(`${name.toLowerCase()}_`));
  return fitting.toSorted((a, b) => b.name.length - a.name.length)[0];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
