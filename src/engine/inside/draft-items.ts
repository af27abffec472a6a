/** The items of one table: which rows of the source are meant, and what would happen to each. */
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import {
  countOf,
  type DraftTable,
  inMain,
  inSource,
  isRowOf,
  isSameContent,
  isSameKey,
  itemKey,
  keyLength,
  keyOf,
  listed,
  namesOf,
} from './draft-table.ts';
import { readRowKey } from './row-key.ts';
import { commonColumns, quoted, rowsText, uniqueIndexes } from './table-shape.ts';

/** What is said beside the numbers. While something blocks, nothing can be written. */
export interface Said {
  readonly blocked: string[];
  readonly warnings: string[];
}

const insertItems = (table: DraftTable) =>
  `INSERT OR IGNORE INTO ${table.items} (needed, ${itemKey(table, '')
    .map((name) => name.slice(1))
    .join(', ')})`;

/** Rows that are in the source and no longer there, or there with other content if `changed`. */
export function pickByRule(db: DatabaseSync, table: DraftTable, changed: boolean, said: Said): void {
  const { live, source, since } = table;
  const base = since ?? live;
  const key = keyOf(source, 's');
  const isThere = isSameKey(table, keyOf(base, 'b'), key);
  // Rows without a key have nothing but their content to be known by.
  const looksInside = changed || live.identity === 'none';
  const isSame = looksInside ? ` AND ${isSameContent(commonColumns(source, base), 'b', 's')}` : '';
  const where = `NOT EXISTS (SELECT 1 FROM ${since ? 'since' : 'main'}.${quoted(base.name)} b WHERE ${isThere}${isSame})`;
  const named = key.map((one) => `${one} IS NOT NULL`).join(' AND ');
  db.exec(`${insertItems(table)} SELECT 0, ${key.join(', ')} FROM ${inSource(table)} s WHERE ${named} AND ${where}`);
  if (live.identity !== 'key') return;
  const nameless = countOf(db, `SELECT count(*) FROM ${inSource(table)} s WHERE NOT (${named})`);
  if (nameless > 0)
    said.warnings.push(
      `${rowsText(nameless)} of ${live.name} can't be told apart, because NULL is in the key: left out.`,
    );
}

export function pickByKeys(db: DatabaseSync, table: DraftTable, keys: readonly string[], said: Said): void {
  const own = keyOf(table.source, 's');
  const given = isSameKey(
    table,
    own,
    own.map(() => '?'),
  );
  const find = db.prepare(`SELECT 1 FROM ${inSource(table)} s WHERE ${given}`);
  const pick = db.prepare(`${insertItems(table)} SELECT 0, ${own.join(', ')} FROM ${inSource(table)} s WHERE ${given}`);
  const absent: string[] = [];
  for (const text of keys) {
    const values = readRowKey(text, keyLength(table));
    if (find.get(...values)) pick.run(...values);
    else absent.push(text);
  }
  if (absent.length > 0)
    said.blocked.push(
      `${rowsText(absent.length)} of ${table.live.name} can't be found in the source, such as ${shortKey(absent[0])}.`,
    );
}

const shortKey = (key: string | undefined): string => (key ?? '').slice(0, 100);

/** Decides what happens to each item that has no kind yet. */
export function settleItems(db: DatabaseSync, table: DraftTable, said: Said): void {
  if (countOf(db, `SELECT count(*) FROM ${table.items} WHERE fresh`) === 0) return;
  findLiveRows(db, table);
  stage(db, table, said);
  classify(db, table);
  if (table.live.identity === 'none') findSameContent(db, table);
  const written = table.rule === 'take' ? "'insert', 'update', 'differs', 'gone'" : "'insert', 'update'";
  db.exec(`UPDATE ${table.items} SET writes = kind IN (${written}) WHERE fresh`);
  refuseTaken(db, table, said);
  db.exec(`UPDATE ${table.items} SET fresh = 0 WHERE fresh`);
}

function findLiveRows(db: DatabaseSync, table: DraftTable): void {
  const { live, source } = table;
  const isLive = isRowOf(table, live, 'm');
  db.exec(
    `UPDATE ${table.items} AS i SET live = EXISTS (SELECT 1 FROM ${inMain(table)} m WHERE ${isLive}) WHERE fresh`,
  );
  if (live.identity === 'none') {
    db.exec(`UPDATE ${table.items} SET rid = CASE WHEN live THEN NULL ELSE k0 END WHERE fresh`);
  } else if (live.identity === 'key' && live.rowid !== null && source.rowid !== null) {
    const taken = `EXISTS (SELECT 1 FROM ${inMain(table)} x WHERE x.${live.rowid} = s.${source.rowid})`;
    db.exec(`UPDATE ${table.items} AS i SET rid = CASE WHEN live
        THEN (SELECT m.${live.rowid} FROM ${inMain(table)} m WHERE ${isLive})
        ELSE (SELECT s.${source.rowid} FROM ${inSource(table)} s WHERE ${isRowOf(table, source, 's')} AND NOT ${taken}) END
      WHERE fresh`);
  }
}

/** Puts the rows into the table of the draft, as they would be written. */
function stage(db: DatabaseSync, table: DraftTable, said: Said): void {
  const { live, source, common } = table;
  const from = `FROM ${table.items} i CROSS JOIN ${inSource(table)} s ON ${isRowOf(table, source, 's')}`;
  const rowid = live.identity === 'none' ? [`${live.rowid}`, ', i.k0'] : ['', ''];
  const isNew = live.identity === 'none' ? 'i.fresh' : 'i.fresh AND NOT i.live';
  const into = (names: readonly string[]) =>
    `INSERT OR ABORT INTO ${table.after} (${[listed(names), rowid[0]].filter(Boolean).join(', ')})`;
  const plain = `${into(common)} SELECT ${listed(common, 's')}${rowid[1]} ${from} WHERE ${isNew}`;
  const kept = namesOf(live).filter((name) => !common.includes(name));
  const over = `${into([...common, ...kept])} SELECT ${[listed(common, 's'), listed(kept, 'm')].filter(Boolean).join(', ')} ${from} CROSS JOIN ${inMain(table)} m ON ${isRowOf(table, live, 'm')} WHERE i.fresh AND i.live`;
  for (const sql of live.identity === 'none' ? [plain] : [plain, over]) {
    try {
      db.exec(sql);
    } catch (error) {
      if (!isConstraint(error)) throw error;
      stageOneByOne(db, table, sql, said);
    }
  }
}

/** Which rows the definition of the table refuses, and why. */
function stageOneByOne(db: DatabaseSync, table: DraftTable, sql: string, said: Said): void {
  const reasons = new Map<string, number>();
  const one = db.prepare(`${sql} AND i.id = ?`);
  const refuse = db.prepare(`UPDATE ${table.items} SET kind = 'refused' WHERE id = ?`);
  const ids = db.prepare(`SELECT id FROM ${table.items} WHERE fresh`).all();
  for (const row of ids) {
    try {
      one.run(Number(row['id']));
    } catch (error) {
      if (!isConstraint(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      refuse.run(Number(row['id']));
    }
  }
  for (const [reason, rows] of reasons)
    said.blocked.push(
      `${rowsText(rows)} of ${table.live.name} can't be written into the table as it is now: ${reason}.`,
    );
}

export function isConstraint(error: unknown): boolean {
  if (!(error instanceof Error) || !('errcode' in error)) return false;
  const code = Number(error.errcode) & 0xff;
  return code === SQLITE_CONSTRAINT || code === SQLITE_MISMATCH;
}
const SQLITE_CONSTRAINT = 19;
const SQLITE_MISMATCH = 20;

function classify(db: DatabaseSync, table: DraftTable): void {
  const { live, since } = table;
  const staged = `FROM ${table.after} d CROSS JOIN ${inMain(table)} m ON ${isRowOf(table, live, 'm')} WHERE ${isRowOf(table, live, 'd')}`;
  const same = `EXISTS (SELECT 1 ${staged} AND ${isSameContent(namesOf(live), 'm', 'd')})`;
  const inSince = since && `FROM since.${quoted(since.name)} z`;
  const isOf = since && isRowOf(table, since, 'z');
  const untouched = since
    ? `EXISTS (SELECT 1 ${inSince} CROSS JOIN ${inMain(table)} m ON ${isRowOf(table, live, 'm')} WHERE ${isOf} AND ${isSameContent(commonColumns(since, live), 'm', 'z')})`
    : '0';
  const removedLater = since && live.identity !== 'none' ? `EXISTS (SELECT 1 ${inSince} WHERE ${isOf})` : '0';
  const differs = live.identity === 'none' ? "'differs'" : `CASE WHEN ${untouched} THEN 'update' ELSE 'differs' END`;
  db.exec(`UPDATE ${table.items} AS i SET kind = CASE
      WHEN NOT live THEN CASE WHEN ${removedLater} THEN 'gone' ELSE 'insert' END
      WHEN ${same} THEN 'same' ELSE ${differs} END WHERE fresh AND kind IS NULL`);
}

/**
 * Rows without a key are told apart by their content: one whose content the live table has as often as the source is there
 * already, wherever it lies.
 */
function findSameContent(db: DatabaseSync, table: DraftTable): void {
  const { live, source, common } = table;
  const cells = (alias: string) => common.map((name) => contentOf(`${alias}.${quoted(name)}`)).join(', ');
  const missing = new Map<string, { count: number; readonly items: number[] }>();
  const digestOf = (row: Record<string, unknown>) => {
    const hash = createHash('sha256');
    for (const [name, value] of Object.entries(row)) {
      if (name === 'id') continue;
      const bytes = value instanceof Uint8Array ? value : Buffer.from(String(value));
      hash.update(`${bytes.length}:`).update(bytes);
    }
    return hash.digest('base64');
  };
  const picked = `SELECT i.id, ${cells('s')} FROM ${table.items} i CROSS JOIN ${inSource(table)} s ON ${isRowOf(table, source, 's')} WHERE i.fresh AND i.kind IN ('insert', 'differs')`;
  for (const row of db.prepare(picked).iterate()) {
    const digest = digestOf(row);
    const one = missing.get(digest) ?? { count: 0, items: [] };
    one.items.push(Number(row['id']));
    missing.set(digest, one);
  }
  if (missing.size === 0) return;
  for (const [from, by] of [
    [inSource(table), 1],
    [`main.${quoted(live.name)}`, -1],
  ] as const) {
    for (const row of db.prepare(`SELECT ${cells('t')} FROM ${from} t`).iterate()) {
      const one = missing.get(digestOf(row));
      if (one) one.count += by;
    }
  }
  const isThere = db.prepare(`UPDATE ${table.items} SET kind = 'same' WHERE id = ?`);
  for (const { count, items } of missing.values()) for (const id of items.slice(Math.max(0, count))) isThere.run(id);
}

/** A value with its class, in a form that keeps every byte of it. */
export function contentOf(column: string): string {
  return `typeof(${column}), CASE WHEN typeof(${column}) IN ('text', 'blob') THEN CAST(${column} AS BLOB) ELSE quote(${column}) END`;
}

/** Another live row has a value that must be unique: nothing of it is replaced. */
function refuseTaken(db: DatabaseSync, table: DraftTable, said: Said): void {
  const { live } = table;
  const refused = new Map<string, number>();
  // One that is not written makes no room for others, so it is asked again.
  for (let isMore = true; isMore;) {
    isMore = false;
    for (const { name, columns } of uniqueIndexes(db, 'main', live.name)) {
      const key = columns?.map((one) => one.name).join(', ') ?? name;
      const rows = columns === null ? 0 : refuseTakenBy(db, table, columns);
      if (rows > 0) isMore = true;
      if (rows > 0) refused.set(key, (refused.get(key) ?? 0) + rows);
    }
  }
  for (const { name, columns } of uniqueIndexes(db, 'main', live.name))
    if (columns === null)
      said.warnings.push(
        `Whether rows of ${live.name} break the unique index ${name} can't be told beforehand; if one does, nothing is written.`,
      );
  for (const [names, rows] of refused) {
    const why = `${live.name} has no room for ${rowsText(rows)}: another live row has the value of ${names}, which must be unique`;
    if (table.rule === 'keep') said.warnings.push(`${why}. What is live is kept.`);
    else said.blocked.push(`${why}. Change that row first, or keep what is live.`);
  }
}

function refuseTakenBy(
  db: DatabaseSync,
  table: DraftTable,
  columns: NonNullable<ReturnType<typeof uniqueIndexes>[number]['columns']>,
): number {
  const { live, items, after } = table;
  const equal = columns.map((one) => `m.${quoted(one.name)} COLLATE ${quoted(one.collation)} = d.${quoted(one.name)}`);
  const isNone = live.identity === 'none';
  const isOther = isNone ? '1' : `NOT (${isRowOf(table, live, 'm')})`;
  const makesRoom = isNone
    ? '0'
    : `EXISTS (SELECT 1 FROM ${items} j WHERE ${isRowOf(table, live, 'm', 'j')} AND j.writes AND j.live)`;
  const taken = `SELECT i.id FROM ${items} i CROSS JOIN ${after} d ON ${isRowOf(table, live, 'd')} CROSS JOIN ${inMain(table)} m ON ${equal.join(' AND ')}
    WHERE i.fresh AND i.writes AND ${isOther} AND NOT ${makesRoom}`;
  const { changes } = db.prepare(`UPDATE ${items} SET kind = 'taken', writes = 0 WHERE id IN (${taken})`).run();
  return Number(changes);
}
