/**
 * Foreign keys of a rescue. Rows that others need come along, as far as the source has them. What can't be satisfied blocks:
 * nothing that is written refers to nothing. Rows that refer to those are not taken along, and are named.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Said } from './draft-items.ts';
import { countOf, type DraftTable, inMain, isRowOf, isSameKey, itemKey, keyOf } from './draft-table.ts';
import {
  childrenOf,
  quoted,
  readShape,
  type Reference,
  referencesOf,
  rowsText,
  type TableShape,
  uniqueIndexes,
  whyNotATable,
} from './table-shape.ts';

interface ReferenceContext {
  readonly db: DatabaseSync;
  readonly said: Said;
  readonly withNeeded: boolean;
  readonly tables: () => readonly DraftTable[];
  /** The table of the draft; made if it is not there yet. Null if none can be: why was said. */
  readonly tableFor: (name: string) => DraftTable | null;
  readonly settle: (table: DraftTable) => void;
}

/** Takes along what is needed, again and again, until nothing more is, and says what is missing then. */
export function followReferences(context: ReferenceContext): void {
  const { db, tables, tableFor, settle, withNeeded, said } = context;
  for (let isMore = withNeeded; isMore;) {
    isMore = false;
    for (const table of tables()) {
      for (const reference of referencesOf(db, 'main', table.live.name)) {
        const missing = missingParents(db, table, reference, tables());
        if (missing === null || countOf(db, `SELECT count(*) ${missing}`) === 0) continue;
        const parent = tableFor(reference.parent);
        if (parent === null || bring(db, reference, { parent, missing }) === 0) continue;
        settle(parent);
        isMore = true;
      }
    }
  }
  for (const table of tables())
    for (const reference of referencesOf(db, 'main', table.live.name)) sayMissing(context, table, reference, said);
}

/** The columns that a reference means at its parent; null if there are none such. */
export function parentColumns(db: DatabaseSync, schema: string, reference: Reference): readonly string[] | null {
  if (whyNotATable(db, schema, reference.parent) !== null) return null;
  const shape = readShape(db, schema, reference.parent);
  const columns = reference.parentColumns.length > 0 ? reference.parentColumns : shape.key.map(({ name }) => name);
  const known = new Set([
    ...shape.columns.map(({ lower }) => lower),
    ...shape.generated.map((one) => one.toLowerCase()),
  ]);
  const isFit = columns.length === reference.columns.length && columns.every((one) => known.has(one.toLowerCase()));
  return isFit ? columns : null;
}

const isFull = (reference: Reference, alias: string) =>
  reference.columns.map((name) => `${alias}.${quoted(name)} IS NOT NULL`).join(' AND ');

/** The parent's column has the say which texts are equal, so it stands first. */
export const refersTo = (columns: readonly string[], parent: string, reference: Reference, child: string) =>
  columns
    .map((name, at) => `${parent}.${quoted(name)} = ${child}.${quoted(reference.columns[at] ?? '')}`)
    .join(' AND ');

/** `FROM … WHERE …` for the items that would refer to nothing; null where the parent is no table. */
function missingParents(
  db: DatabaseSync,
  table: DraftTable,
  reference: Reference,
  tables: readonly DraftTable[],
): string | null {
  const columns = parentColumns(db, 'main', reference);
  if (columns === null) return null;
  const name = readShape(db, 'main', reference.parent).name;
  const inDraft = tables.find(({ live }) => live.name === name);
  const isLive = `EXISTS (SELECT 1 FROM main.${quoted(name)} p WHERE ${refersTo(columns, 'p', reference, 'd')})`;
  const isWritten = inDraft
    ? `EXISTS (SELECT 1 FROM ${inDraft.after} p CROSS JOIN ${inDraft.items} j ON ${isRowOf(inDraft, inDraft.live, 'p', 'j')} WHERE j.writes AND ${refersTo(columns, 'p', reference, 'd')})`
    : '0';
  return `FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, table.live, 'd')} WHERE i.writes AND ${isFull(reference, 'd')} AND NOT ${isLive} AND NOT ${isWritten}`;
}

/** @returns how many rows came along. */
function bring(
  db: DatabaseSync,
  reference: Reference,
  { parent, missing }: { readonly parent: DraftTable; readonly missing: string },
): number {
  const columns = parentColumns(db, 'source', reference);
  if (columns === null) return 0;
  const referring = `SELECT ${reference.columns.map((name) => `d.${quoted(name)}`).join(', ')} ${missing}`;
  const wanted = columns.map((name) => `p.${quoted(name)}`).join(', ');
  const key = keyOf(parent.source, 'p');
  const { changes } = db
    .prepare(
      `INSERT OR IGNORE INTO ${parent.items} (needed, ${Array.from({ length: key.length }, (_, at) => `k${at}`).join(', ')})
       SELECT 1, ${key.join(', ')} FROM source.${quoted(parent.source.name)} p WHERE (${wanted}) IN (${referring})`,
    )
    .run();
  return Number(changes);
}

function sayMissing(
  { db, tables, withNeeded }: ReferenceContext,
  table: DraftTable,
  reference: Reference,
  said: Said,
): void {
  const from = missingParents(db, table, reference, tables());
  const refers = `${table.live.name} (${reference.columns.join(', ')})`;
  if (from === null) {
    const rows = countOf(
      db,
      `SELECT count(*) FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, table.live, 'd')} WHERE i.writes AND ${isFull(reference, 'd')}`,
    );
    if (rows > 0)
      said.blocked.push(
        `${rowsText(rows)} of ${refers} would refer to ${reference.parent}, and the live database has no such table or key.`,
      );
    return;
  }
  const rows = countOf(db, `SELECT count(*) ${from}`);
  if (rows === 0) return;
  const why = withNeeded
    ? 'what is needed is neither live nor in the source, or is not written'
    : 'let needed rows come along';
  said.blocked.push(`${rowsText(rows)} of ${refers} would refer to nothing in ${reference.parent}: ${why}.`);
}

/** Rows of the source that refer to those that come back, and are themselves no longer there. */
export function sayLeftChildren(db: DatabaseSync, table: DraftTable, tables: readonly DraftTable[], said: Said): void {
  if (countOf(db, `SELECT count(*) FROM ${table.items} WHERE writes AND NOT live`) === 0) return;
  for (const { table: name, reference } of childrenOf(db, 'source', table.source.name)) {
    const columns = parentColumns(db, 'source', reference);
    if (columns === null || whyNotATable(db, 'main', name) !== null) continue;
    const [child, live] = [readShape(db, 'source', name), readShape(db, 'main', name)];
    if (!isSameIdentity(child, live)) continue;
    const keys = keyOf(child, 'c');
    const isThere = `EXISTS (SELECT 1 FROM main.${quoted(live.name)} m WHERE ${isSameKey({ live }, keyOf(live, 'm'), keys)})`;
    const draft = tables.find((one) => one.live.name === live.name);
    const isPicked = draft
      ? `EXISTS (SELECT 1 FROM ${draft.items} j WHERE ${isSameKey(draft, itemKey(draft, 'j'), keys)})`
      : '0';
    const isOfThem = `EXISTS (SELECT 1 FROM source.${quoted(table.source.name)} s CROSS JOIN ${table.items} i ON ${isRowOf(table, table.source, 's')} WHERE ${refersTo(columns, 's', reference, 'c')} AND i.writes AND NOT i.live)`;
    const rows = countOf(
      db,
      `SELECT count(*) FROM source.${quoted(child.name)} c WHERE ${isFull(reference, 'c')} AND NOT ${isThere} AND NOT ${isPicked} AND ${isOfThem}`,
    );
    if (rows > 0)
      said.warnings.push(
        `Missing as well, and not taken along by itself: ${rowsText(rows)} of ${child.name} that referred to rows of ${table.live.name}.`,
      );
  }
}

/** Are rows named in the same way in both? */
export function isSameIdentity(a: TableShape, b: TableShape): boolean {
  if ((a.identity === 'none') !== (b.identity === 'none') || a.key.length !== b.key.length) return false;
  if (a.identity === 'none') return a.rowid !== null && b.rowid !== null;
  return a.key.every(({ name, collation }, at) => {
    const other = b.key[at];
    return (
      name.toLowerCase() === other?.name.toLowerCase() && (collation ?? 'BINARY') === (other.collation ?? 'BINARY')
    );
  });
}

/** How many rows that are written, or that refer to what was changed, refer to nothing: asked while the lock is held. */
export function brokenReferences(db: DatabaseSync, tables: readonly DraftTable[]): readonly string[] {
  return tables.flatMap((table) => [...brokenOwn(db, table), ...brokenChildren(db, table, 'written')]);
}

function brokenOwn(db: DatabaseSync, table: DraftTable): readonly string[] {
  return referencesOf(db, 'main', table.live.name).flatMap((reference) => {
    const columns = parentColumns(db, 'main', reference);
    const parent = `main.${quoted(reference.parent)}`;
    const isThere = columns
      ? `EXISTS (SELECT 1 FROM ${parent} p WHERE ${refersTo(columns, 'p', reference, 'd')})`
      : '0';
    const rows = countOf(
      db,
      `SELECT count(*) FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, table.live, 'd')} WHERE i.writes AND ${isFull(reference, 'd')} AND NOT ${isThere}`,
    );
    return rows > 0
      ? [`${rowsText(rows)} of ${table.live.name} would refer to missing rows of ${reference.parent}`]
      : [];
  });
}

/** Rows that refer to what would be changed under them: nothing else that is there can lose what it refers to. */
export function sayLeftReferrers(db: DatabaseSync, table: DraftTable, said: Said): void {
  said.blocked.push(...brokenChildren(db, table, 'planned').map((text) => `${text}: its rows can't be changed so.`));
}

function brokenChildren(db: DatabaseSync, table: DraftTable, when: 'planned' | 'written'): readonly string[] {
  const { live, items, before, after } = table;
  return childrenOf(db, 'main', live.name).flatMap(({ table: child, reference }) => {
    const columns = parentColumns(db, 'main', reference);
    const at = columns?.map((name) => live.columns.findIndex(({ lower }) => lower === name.toLowerCase()));
    if (!columns || !at || at.includes(-1)) return [];
    const collations = columns.map((name) => collationOf(db, live, name));
    // A key stays what it is, as long as no other text counts as equal.
    const isKey = (name: string) => live.key.some((one) => one.name.toLowerCase() === name.toLowerCase());
    if (columns.every((name, n) => isKey(name) && collations[n] === 'BINARY')) return [];
    const was = at.map(
      (cell, n) => `b.c${cell} COLLATE ${quoted(collations[n] ?? 'BINARY')} = c.${quoted(reference.columns[n] ?? '')}`,
    );
    const stays = columns.map((name, n) => `d.${quoted(name)} COLLATE BINARY IS b.c${at[n]}`).join(' AND ');
    // Hardly ever one: what others refer to seldom changes.
    const changed = `${before} b CROSS JOIN ${items} i ON i.id = b.item AND i.writes CROSS JOIN ${after} d ON ${isRowOf(table, live, 'd')} AND NOT (${stays})`;
    const refers = refersTo(columns, 'p', reference, 'c');
    const isThere =
      when === 'written'
        ? `EXISTS (SELECT 1 FROM ${inMain(table)} p WHERE ${refers})`
        : `EXISTS (SELECT 1 FROM ${after} p CROSS JOIN ${items} j ON ${isRowOf(table, live, 'p', 'j')} WHERE j.writes AND ${refers})`;
    const rows = countOf(
      db,
      `SELECT count(*) FROM ${changed} CROSS JOIN main.${quoted(child)} c ON ${was.join(' AND ')} WHERE NOT ${isThere}`,
    );
    return rows > 0 ? [`${rowsText(rows)} of ${child} would refer to missing rows of ${live.name}`] : [];
  });
}

/** A parent's key is unique by the collation of its column. */
function collationOf(db: DatabaseSync, shape: TableShape, column: string): string {
  const isIt = ({ name }: { readonly name: string }) => name.toLowerCase() === column.toLowerCase();
  const unique = uniqueIndexes(db, 'main', shape.name).flatMap(({ columns }) => columns ?? []);
  return shape.key.find(isIt)?.collation ?? unique.find(isIt)?.collation ?? 'BINARY';
}
