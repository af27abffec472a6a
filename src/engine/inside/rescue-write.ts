/**
 * The one transaction of a rescue, or of its undoing. It begins with the writer's lock, looks whether all is as it was when
 * the draft was made, writes, looks whether any reference broke, and commits. All that can be done before is done before.
 */
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { onceFree } from '../sqlite/busy.ts';
import { RESCUE_TIMEOUT_MS } from './draft.ts';
import { isConstraint } from './draft-items.ts';
import {
  countOf,
  type DraftTable,
  inMain,
  isAsBefore,
  isRowOf,
  isSameContent,
  keyOf,
  listed,
  namesOf,
} from './draft-table.ts';
import { quoted, rowsText } from './table-shape.ts';

/** Others wait as long as we do. */
const COMMIT_WAIT_MS = 2_000;

interface Sequence {
  readonly table: string;
  readonly before: number | null;
  readonly after: number;
}

/** @throws BackupError DB_BUSY and what the work throws: then nothing was written. */
export function inOneTransaction<Result>(db: DatabaseSync, work: () => Result): Result {
  const deadline = performance.now() + RESCUE_TIMEOUT_MS;
  // Our own waiting finds the gaps between the commits of a busy writer.
  db.exec('PRAGMA busy_timeout = 0');
  onceFree(() => db.exec('BEGIN IMMEDIATE'), deadline);
  try {
    const result = work();
    // In a rollback mode it waits for readers here, and lets nobody else in meanwhile.
    onceFree(() => db.exec('COMMIT'), performance.now() + COMMIT_WAIT_MS);
    return result;
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    if (!isConstraint(error)) throw error;
    throw dbChanged(
      `a row can't be written as planned: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

export function dbChanged(message: string, cause?: unknown): BackupError {
  return new BackupError('DB_CHANGED', message, { hint: 'Nothing was written. Look at the new plan.', cause });
}

/** Under the lock: every row that will be touched is as it was when the draft was made. */
export function refuseChanged(db: DatabaseSync, tables: readonly DraftTable[], schemaVersion: number): void {
  if (countOf(db, 'PRAGMA main.schema_version') !== schemaVersion)
    throw dbChanged('the schema of the database changed since the plan was made');
  let changed = 0;
  for (const table of tables) {
    const { live, items, before } = table;
    const isThere = live.identity === 'none' ? `m.${live.rowid} = i.rid` : isRowOf(table, live, 'm');
    changed += countOf(
      db,
      `SELECT count(*) FROM ${items} i CROSS JOIN ${inMain(table)} m ON ${isThere} WHERE i.writes AND NOT (i.live AND ${live.identity === 'none' ? '0' : '1'})`,
    );
    if (live.identity === 'none') continue;
    const same = `SELECT 1 FROM ${inMain(table)} m CROSS JOIN ${before} b ON b.item = i.id WHERE ${isThere} AND ${isAsBefore(table, 'm', 'b')}`;
    changed += countOf(db, `SELECT count(*) FROM ${items} i WHERE i.writes AND i.live AND NOT EXISTS (${same})`);
  }
  if (changed > 0) throw dbChanged(`${rowsText(changed)} changed since the plan was made`);
}

export interface Written {
  readonly sequences: readonly Sequence[];
  /** Where rows without a key came to lie, if their old place was taken: by the number of the item. */
  readonly places: ReadonlyMap<DraftTable, readonly { readonly item: number; readonly rowid: bigint }[]>;
}

/** @param triggers they fire: rows are updated in place, as the app does it. */
export function writeRows(db: DatabaseSync, tables: readonly DraftTable[], triggers: boolean): Written {
  const before = new Map(tables.map((table) => [table, sequenceOf(db, table)]));
  const places = new Map<DraftTable, { item: number; rowid: bigint }[]>();
  for (const table of tables) {
    if (triggers) updateInPlace(db, table);
    else if (table.live.identity !== 'none') removeReplaced(db, table);
    insertRows(db, table, triggers);
    if (table.live.identity === 'none') places.set(table, insertElsewhere(db, table));
  }
  const sequences = tables.flatMap((table) => {
    const [was, is] = [before.get(table) ?? null, sequenceOf(db, table)];
    return is !== null && is !== was ? [{ table: table.live.name, before: was, after: is }] : [];
  });
  return { sequences, places };
}

/** What would be run, to see whether it fires triggers. */
export function writingStatements(table: DraftTable): readonly string[] {
  const names = listed(namesOf(table.live));
  return [
    `INSERT INTO ${inMain(table)} (${names}) SELECT ${names} FROM ${table.after}`,
    ...(table.live.identity === 'none' ? [] : [removal(table, `SELECT ${keysOf(table)} FROM ${table.items} i`)]),
  ];
}

const keysOf = (table: DraftTable) =>
  keyOf(table.live, 'm')
    .map((_, at) => `i.k${at}`)
    .join(', ');

/** Rows whose key is among those of `picked`. */
export function removal(table: DraftTable, picked: string): string {
  const { live } = table;
  const key = live.key.map(
    ({ name, collation }) => `${quoted(name)}${collation === null ? '' : ` COLLATE ${quoted(collation)}`}`,
  );
  return `DELETE FROM ${inMain(table)} WHERE (${key.join(', ')}) IN (${picked})`;
}

function removeReplaced(db: DatabaseSync, table: DraftTable): void {
  db.exec(removal(table, `SELECT ${keysOf(table)} FROM ${table.items} i WHERE i.writes AND i.live`));
}

function updateInPlace(db: DatabaseSync, table: DraftTable): void {
  const { live } = table;
  if (live.identity === 'none') return;
  const sets = namesOf(live).map((name) => `${quoted(name)} = d.${quoted(name)}`);
  db.exec(`UPDATE OR ABORT ${inMain(table)} AS m SET ${sets.join(', ')} FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, live, 'd')}
    WHERE i.writes AND i.live AND ${isRowOf(table, live, 'm')}`);
}

function insertRows(db: DatabaseSync, table: DraftTable, triggers: boolean): void {
  const { live } = table;
  const names = namesOf(live);
  const isOver = live.identity !== 'none' && triggers ? ' AND NOT i.live' : '';
  const rows = `FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, live, 'd')} WHERE i.writes${isOver}`;
  if (live.rowid === null || live.identity === 'integer') {
    db.exec(
      `INSERT OR ABORT INTO ${inMain(table)} (${listed(names)}) SELECT ${listed(names, 'd')} ${rows} ORDER BY i.id`,
    );
    return;
  }
  const free = `CASE WHEN EXISTS (SELECT 1 FROM ${inMain(table)} x WHERE x.${live.rowid} = i.rid) THEN NULL ELSE i.rid END`;
  const placed = live.identity === 'none' ? ' AND i.rid IS NOT NULL' : '';
  // Those that take the next free rowid come last: none of the others may be taken by one.
  db.exec(`INSERT OR ABORT INTO ${inMain(table)} (${live.rowid}, ${listed(names)})
    SELECT ${free} AS "velist rowid", ${listed(names, 'd')} ${rows}${placed} ORDER BY "velist rowid" IS NULL, i.id`);
}

function insertElsewhere(db: DatabaseSync, table: DraftTable): { item: number; rowid: bigint }[] {
  const { live } = table;
  const insert = db.prepare(
    `INSERT OR ABORT INTO ${inMain(table)} (${listed(namesOf(live))}) SELECT ${listed(namesOf(live), 'd')}
     FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, live, 'd')} WHERE i.id = ?`,
  );
  const ids = db.prepare(`SELECT id FROM ${table.items} WHERE writes AND rid IS NULL ORDER BY id`).all();
  return ids.map(({ id }) => ({ item: Number(id), rowid: BigInt(insert.run(Number(id)).lastInsertRowid) }));
}

export function sequenceOf(db: DatabaseSync, { live }: DraftTable): number | null {
  if (!live.countsUp) return null;
  const row = db.prepare('SELECT seq FROM main.sqlite_sequence WHERE name = ?').get(live.name);
  return row ? Number(row['seq']) : null;
}

/** How many of the rows that were to be written stand there to the bit. */
export function countWritten(db: DatabaseSync, table: DraftTable): number {
  const { live } = table;
  const isThere = live.identity === 'none' ? `m.${live.rowid} = i.rid` : isRowOf(table, live, 'm');
  return countOf(
    db,
    `SELECT count(*) FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, live, 'd')} CROSS JOIN ${inMain(table)} m ON ${isThere} WHERE i.writes AND ${isSameContent(namesOf(live), 'm', 'd')}`,
  );
}
