/**
 * What a rescue would do: which rows are written, which stay as they are, what they need, what stands against it. It reads one
 * moment of the live database and changes nothing of it.
 */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { explainLiveError } from '../sqlite/live-database.ts';
import { moduleOf } from '../sqlite/schema.ts';
import { bytesToCheck, withinLimits } from '../sqlite/watch.ts';
import {
  attachNewDraft,
  attachSources,
  type DraftFiles,
  explainDraftError,
  type LiveConnection,
  RESCUE_TIMEOUT_MS,
} from './draft.ts';
import { contentOf, pickByKeys, pickByRule, type Said, settleItems } from './draft-items.ts';
import { followReferences, isSameIdentity, sayLeftChildren, sayLeftReferrers } from './draft-references.ts';
import {
  countOf,
  type DraftTable,
  inMain,
  inSource,
  isRowOf,
  itemKey,
  listed,
  makeDraftTable,
  namesOf,
  type Rule,
} from './draft-table.ts';
import { keyExpression, writeRowKey } from './row-key.ts';
import { type ShownCell, shownCell, shownCellsOf } from './shown-cell.ts';
import { quoted, readShape, rowsText, triggersOf, whyNotATable } from './table-shape.ts';

export interface RescuedTableWish {
  readonly table: string;
  /** Left out: all rows that were removed since, and with `changed` those that were changed. */
  readonly keys?: readonly string[] | undefined;
  readonly changed?: boolean | undefined;
  /** What becomes of a row that is there with other content; `keep` if left out. */
  readonly conflicts?: Rule | undefined;
}

export interface RescueWish {
  readonly tables: readonly RescuedTableWish[];
  readonly triggers: boolean;
  readonly withNeeded: boolean;
}

interface PlannedTable {
  readonly name: string;
  /** Asked for, and needed by them. */
  readonly picked: number;
  readonly needed: number;
  readonly insert: number;
  readonly update: number;
  readonly same: number;
  readonly conflicts: number;
  readonly rule: Rule;
  readonly hasKey: boolean;
  readonly triggers: readonly string[];
}

interface PlannedConflict {
  readonly table: string;
  readonly key: string;
  readonly columns: readonly string[];
  readonly backup: readonly ShownCell[];
  readonly live: readonly ShownCell[];
  readonly result: Rule;
}

export interface PlannedRescue {
  /** A digest: the live rows that it speaks of, and what becomes of them. */
  readonly expected: string;
  readonly writes: number;
  readonly tables: readonly PlannedTable[];
  readonly conflicts: readonly PlannedConflict[];
  readonly blocked: readonly string[];
  readonly warnings: readonly string[];
  readonly bytes: number;
}

export interface Drafted {
  readonly tables: readonly DraftTable[];
  readonly plan: PlannedRescue;
  /** The schema that it was made for. */
  readonly schemaVersion: number;
}

const CONFLICTS_MAX = 100;
const KEY_CHARACTERS_MAX = 4_096;

/**
 * Makes the draft and says what is in it. The sources are detached then.
 *
 * @throws BackupError BAD_REQUEST, ENCODING_DIFFERS, VERIFY_FAILED, DB_BUSY, DISK_FULL.
 */
export function makeDraft(live: LiveConnection, files: DraftFiles, wish: RescueWish): Drafted {
  const { db } = live;
  try {
    attachSources(live, files);
    attachNewDraft(live, files.draft);
    const bytes = bytesToCheck(files.source) + bytesToCheck(live.path) + (files.since ? bytesToCheck(files.since) : 0);
    live.begin();
    const drafted = withinLimits(bytes, () => fillDraft(db, wish, Boolean(files.since)));
    db.exec('COMMIT');
    for (const name of files.since ? ['source', 'since'] : ['source']) db.exec(`DETACH ${name}`);
    return drafted;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    const explained = explainDraftError(error, db, files);
    throw explainLiveError(explained, { databasePath: live.path, timeoutMs: RESCUE_TIMEOUT_MS });
  }
}

function fillDraft(db: DatabaseSync, wish: RescueWish, hasSince: boolean): Drafted {
  const said: Said = { blocked: [], warnings: [] };
  const desk = new Desk(db, wish, said, hasSince);
  for (const one of wish.tables) {
    const table = desk.tableFor(one.table);
    if (table === null) continue;
    if (one.keys) pickByKeys(db, table, one.keys, said);
    else pickByRule(db, table, one.changed ?? false, said);
    settleItems(db, table, said);
  }
  const tables = () => desk.tables;
  followReferences({
    ...{ db, said, withNeeded: wish.withNeeded, tables },
    tableFor: (name) => desk.tableFor(name),
    settle: (table) => settleItems(db, table, said),
  });
  for (const table of desk.tables) keepBefore(db, table);
  for (const table of desk.tables) sayLeftReferrers(db, table, said);
  for (const table of desk.tables) sayLeftChildren(db, table, desk.tables, said);
  for (const table of desk.tables) sayMore(db, table, wish, said);
  const plan = describe(db, desk.tables, wish, said);
  const schemaVersion = countOf(db, 'PRAGMA main.schema_version');
  return { tables: desk.tables, plan, schemaVersion };
}

/** The tables of one draft, made when they are needed first. */
class Desk {
  readonly tables: DraftTable[] = [];
  readonly #refused = new Set<string>();
  readonly #db: DatabaseSync;
  readonly #wish: RescueWish;
  readonly #said: Said;
  readonly #hasSince: boolean;

  constructor(db: DatabaseSync, wish: RescueWish, said: Said, hasSince: boolean) {
    this.#db = db;
    this.#wish = wish;
    this.#said = said;
    this.#hasSince = hasSince;
  }

  tableFor(name: string): DraftTable | null {
    const lower = name.toLowerCase();
    const known = this.tables.find(({ live }) => live.name.toLowerCase() === lower);
    if (known || this.#refused.has(lower)) return known ?? null;
    const why = this.#make(name);
    if (why === null) return this.tables.at(-1) ?? null;
    this.#refused.add(lower);
    this.#said.blocked.push(why);
    return null;
  }

  /** Null if it was made, else why it can't be. */
  #make(name: string): string | null {
    const db = this.#db;
    const sides = this.#hasSince ? (['main', 'source', 'since'] as const) : (['main', 'source'] as const);
    const places = { main: 'live database', source: 'source', since: 'point since when rows count as changed' };
    for (const side of sides) {
      const why = whyNotATable(db, side, name);
      if (why !== null) return `In the ${places[side]}, ${why}`;
    }
    const [live, source] = [readShape(db, 'main', name), readShape(db, 'source', name)];
    const since = this.#hasSince ? readShape(db, 'since', name) : null;
    if (!isSameIdentity(live, source) || (since && !isSameIdentity(live, since)))
      return `Rows of ${live.name} are named by another key now than they were then.`;
    const wish = this.#wish.tables.find(({ table }) => table.toLowerCase() === live.name.toLowerCase());
    const rule = wish?.conflicts ?? 'keep';
    try {
      this.tables.push(makeDraftTable(db, { live, source, since, rule, number: this.tables.length + 1 }));
    } catch (error) {
      return `${live.name} can't be written to here: ${error instanceof Error ? error.message : String(error)}.`;
    }
    return this.#whyNotWritable();
  }

  /** A definition may need what only the app has: a collation, a function. */
  #whyNotWritable(): string | null {
    const table = this.tables.at(-1);
    if (!table) return null;
    const names = listed(namesOf(table.live));
    try {
      this.#db.prepare(`EXPLAIN INSERT INTO ${inMain(table)} (${names}) SELECT ${names} FROM ${table.after}`).all();
      return null;
    } catch (error) {
      this.tables.pop();
      return `${table.live.name} can't be written to here: ${error instanceof Error ? error.message : String(error)}.`;
    }
  }
}

/** The live rows that items meet, as they are: the inverse of an update, and what is shown of a conflict. */
function keepBefore(db: DatabaseSync, table: DraftTable): void {
  const { live } = table;
  const cells = namesOf(live).map((_, at) => `c${at}`);
  const rid = live.rowid === null ? 'NULL' : `m.${live.rowid}`;
  db.exec(`INSERT INTO ${table.before} (item, rid, ${cells.join(', ')})
    SELECT i.id, ${rid}, ${listed(namesOf(live), 'm')} FROM ${table.items} i CROSS JOIN ${inMain(table)} m ON ${isRowOf(table, live, 'm')}
    WHERE i.live AND i.kind <> 'same' ORDER BY i.id`);
}

function sayMore(db: DatabaseSync, table: DraftTable, wish: RescueWish, said: Said): void {
  const { live, source, common } = table;
  const known = new Set([...common, ...live.generated].map((name) => name.toLowerCase()));
  const added = namesOf(live).filter((name) => !known.has(name.toLowerCase()));
  const all = new Set([...namesOf(live), ...live.generated].map((name) => name.toLowerCase()));
  const removed = namesOf(source).filter((name) => !all.has(name.toLowerCase()));
  if (added.length > 0)
    said.warnings.push(
      `${live.name} has ${added.join(', ')}, which the source has not: a row that is added gets the default there.`,
    );
  if (removed.length > 0)
    said.warnings.push(`${live.name} no longer has ${removed.join(', ')}: what stood there doesn't come back.`);
  if (live.identity === 'none')
    said.warnings.push(
      `${live.name} has no key: its rows are told apart by their content. What comes back is added, and no row that is there is changed.`,
    );
  const stops = countOf(db, `SELECT count(*) FROM ${table.items} WHERE kind IN ('differs', 'gone')`);
  if (table.rule === 'stop' && stops > 0)
    said.blocked.push(
      `${rowsText(stops)} of ${live.name} changed in the live database, and the rule for that is to stop.`,
    );
  const triggers = triggersOf(db, live.name);
  if (triggers.length === 0) return;
  if (wish.triggers) {
    said.warnings.push(
      `Triggers of ${live.name} fire: ${triggers.map(({ name }) => name).join(', ')}. What they write elsewhere is not undone with the rows; an undo fires them again.`,
    );
    return;
  }
  const indexes = fullTextTables(db).filter((name) => triggers.some(({ sql }) => mentions(sql, name)));
  if (indexes.length > 0)
    said.warnings.push(
      `The full-text index ${indexes.join(', ')} is kept by triggers of ${live.name}, which don't fire: rebuild it afterwards, or let triggers fire.`,
    );
}

const mentions = (sql: string, name: string) => sql.toLowerCase().includes(name.toLowerCase());

function fullTextTables(db: DatabaseSync): readonly string[] {
  return db
    .prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE %'")
    .all()
    .filter(({ sql }) => /^fts\d/.test(moduleOf({ type: 'table', sql: String(sql) }) ?? ''))
    .map(({ name }) => String(name));
}

function describe(db: DatabaseSync, tables: readonly DraftTable[], wish: RescueWish, said: Said): PlannedRescue {
  const planned = tables.map((table) => describeTable(db, table));
  const conflicts: PlannedConflict[] = [];
  for (const table of tables)
    if (conflicts.length < CONFLICTS_MAX)
      conflicts.push(...describeConflicts(db, table, CONFLICTS_MAX - conflicts.length));
  return {
    expected: digestOf(db, tables, wish),
    writes: planned.reduce((sum, { insert, update }) => sum + insert + update, 0),
    ...{ tables: planned, conflicts },
    ...{ blocked: [...new Set(said.blocked)], warnings: [...new Set(said.warnings)] },
    bytes: tables.reduce((sum, table) => sum + bytesOf(db, table), 0),
  };
}

function describeTable(db: DatabaseSync, table: DraftTable): PlannedTable {
  const { live, rule, items } = table;
  const isOver = live.identity === 'none' ? '0' : 'live';
  const row = db
    .prepare(
      `SELECT total(NOT needed) AS picked, total(needed) AS needed, total(writes AND NOT ${isOver}) AS added, total(writes AND ${isOver}) AS changed,
        total(kind = 'same') AS same, total(kind IN ('differs', 'gone', 'taken')) AS conflicts FROM ${items}`,
    )
    .get();
  const number = (name: string) => Number(row?.[name] ?? 0);
  return {
    name: live.name,
    ...{ picked: number('picked'), needed: number('needed'), insert: number('added'), update: number('changed') },
    ...{ same: number('same'), conflicts: number('conflicts'), rule, hasKey: live.identity !== 'none' },
    triggers: triggersOf(db, live.name).map(({ name }) => name),
  };
}

function describeConflicts(db: DatabaseSync, table: DraftTable, most: number): readonly PlannedConflict[] {
  const { live, common, rule } = table;
  const key = itemKey(table).map((one, at) => `${keyExpression(one)} AS k${at}`);
  const cells = (expression: (name: string, at: number) => string, letter: string) =>
    common.flatMap((name, at) => shownCellsOf(expression(name, at), `${letter}${at}`));
  const at = new Map(namesOf(live).map((name, place) => [name, place]));
  const columns = [...key, ...cells((name) => `s.${quoted(name)}`, 's'), ...cells((name) => `b.c${at.get(name)}`, 'b')];
  const statement = db.prepare(
    `SELECT i.kind, b.item AS met, ${columns.join(', ')} FROM ${table.items} i
     CROSS JOIN ${inSource(table)} s ON ${isRowOf(table, table.source, 's')} LEFT JOIN ${table.before} b ON b.item = i.id
     WHERE i.kind IN ('differs', 'gone', 'taken') ORDER BY i.id LIMIT ${most}`,
  );
  statement.setReadBigInts(true);
  const conflicts = statement.all().map((row) => ({
    table: live.name,
    key: writeRowKey(key.map((_, n) => row[`k${n}`])),
    columns: common,
    backup: common.map((_, n) => shownCell(row, `s${n}`)),
    live: row['met'] === null ? [] : common.map((_, n) => shownCell(row, `b${n}`)),
    result: row['kind'] === 'taken' && rule !== 'keep' ? ('stop' as const) : rule,
  }));
  // A key of thousands of letters names a row all the same, and nobody reads it.
  return conflicts.filter((one) => one.key.length <= KEY_CHARACTERS_MAX);
}

function bytesOf(db: DatabaseSync, table: DraftTable): number {
  const cells = namesOf(table.live).map((name) => `coalesce(length(CAST(d.${listed([name])} AS BLOB)), 0)`);
  return countOf(
    db,
    `SELECT total(${cells.join(' + ')}) FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, table.live, 'd')} WHERE i.writes`,
  );
}

/**
 * What is written, and what is there now in its place. What the source holds is not in it, because that never changes; nor what
 * stays as it is, because the app goes on with it.
 */
function digestOf(db: DatabaseSync, tables: readonly DraftTable[], wish: RescueWish): string {
  const hash = createHash('sha256');
  const add = (value: unknown) => {
    const bytes = value instanceof Uint8Array ? value : Buffer.from(String(value));
    hash.update(`${bytes.length}:`).update(bytes);
  };
  add(JSON.stringify({ triggers: wish.triggers, since: tables.map(({ since }) => since !== null) }));
  for (const table of tables) {
    add(table.live.sql);
    const key = itemKey(table).map((one, at) => `${keyExpression(one)} AS k${at}`);
    const cells = namesOf(table.live).map((_, at) => contentOf(`b.c${at}`));
    const rows = db
      .prepare(
        `SELECT i.kind, i.live, b.item IS NULL AS alone, ${[...key, ...cells].join(', ')} FROM ${table.items} i LEFT JOIN ${table.before} b ON b.item = i.id WHERE i.writes ORDER BY i.id`,
      )
      .iterate();
    for (const row of rows) for (const value of Object.values(row)) add(value);
  }
  return hash.digest('hex');
}

/** @throws BackupError BAD_REQUEST with the first reason. */
export function refuseBlocked({ blocked }: PlannedRescue, sourceName: string): void {
  if (blocked.length === 0) return;
  throw new BackupError('BAD_REQUEST', `nothing can be rescued from ${basename(sourceName)} so: ${blocked[0]}`, {
    hint:
      blocked.length > 1
        ? `There is more: ${blocked.slice(1).join(' ')}`
        : 'Nothing was written. Choose other rows or another rule.',
  });
}
