/**
 * Takes a rescue back: rows that it added go, rows that it changed become what they were. Only those that are still exactly as
 * the rescue left them; what others changed in the meantime, or refer to, is left alone and counted. One transaction, as the
 * rescue was.
 */
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { explainLiveError, isLocked } from '../sqlite/live-database.ts';
import { attachDoneDraft, type LiveConnection, openLiveForRescue, RESCUE_TIMEOUT_MS } from './draft.ts';
import { parentColumns, refersTo } from './draft-references.ts';
import {
  countOf,
  type DraftTable,
  draftTable,
  inMain,
  isAsBefore,
  isRowOf,
  isSameContent,
  keyOf,
  listed,
  namesOf,
} from './draft-table.ts';
import { hideTriggers } from './hidden-triggers.ts';
import { inverseOf, type RescueRecord, writeRecord } from './rescue-record.ts';
import { dbChanged, inOneTransaction, removal, sequenceOf, writingStatements } from './rescue-write.ts';
import {
  childrenOf,
  isIndexed,
  quoted,
  readShape,
  type Reference,
  referencesOf,
  rowsText,
  uniqueIndexes,
  whyNotATable,
} from './table-shape.ts';

interface UndoGo {
  readonly databasePath: string;
  readonly folder: string;
  readonly record: RescueRecord;
  readonly at: Date;
  readonly onStep?: (step: 'ready' | 'locked' | 'written' | 'committed') => void;
}

export interface UndoneRescue {
  readonly record: RescueRecord;
  readonly undone: number;
  readonly left: number;
}

/** @throws BackupError NOTHING_TO_UNDO, DB_CHANGED, DB_BUSY, DISK_FULL: nothing was written. */
export function undoRescue(go: UndoGo): UndoneRescue {
  const { record, folder } = go;
  if (record.state === 'undone')
    throw new BackupError('NOTHING_TO_UNDO', `the rescue ${record.id} was undone already`, {
      hint: 'Rescue the rows again if you want them back.',
    });
  using live = openLiveForRescue(go.databasePath);
  const { db } = live;
  let mayBeWritten = false;
  try {
    const tables = readDraft(live, inverseOf(folder, record.id));
    writeRecord(folder, { ...record, state: 'undoing' });
    go.onStep?.('ready');
    const counted = inOneTransaction(db, () => {
      go.onStep?.('locked');
      const done = undoUnderLock(db, tables, record);
      go.onStep?.('written');
      mayBeWritten = true;
      return done;
    });
    go.onStep?.('committed');
    const undone: RescueRecord = { ...record, state: 'undone', undoneAt: go.at.toISOString() };
    writeRecord(folder, undone);
    return { record: undone, ...counted };
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    if (!mayBeWritten || isLocked(error) || (error instanceof BackupError && error.code === 'DB_CHANGED'))
      writeRecord(folder, record);
    throw explainLiveError(error, { databasePath: live.path, timeoutMs: RESCUE_TIMEOUT_MS });
  }
}

/** @throws BackupError DB_CHANGED for a table that is another one by now. */
function readDraft(live: LiveConnection, draft: string): readonly DraftTable[] {
  const { db } = live;
  attachDoneDraft(live, draft);
  const noted = db.prepare('SELECT number, name, sql FROM draft."velist tables" ORDER BY number').all();
  return noted.map((row) => {
    const name = String(row['name']);
    const shape = whyNotATable(db, 'main', name) === null ? readShape(db, 'main', name) : null;
    if (shape === null || shape.sql !== row['sql'])
      throw dbChanged(`the table ${name} was changed or removed since the rescue, so its rows can't be taken back`);
    return draftTable({ number: Number(row['number']), live: shape, source: shape, since: null, rule: 'keep' });
  });
}

/** Where the row of an item lies in the live database. */
const isThere = ({ live }: DraftTable) =>
  live.identity === 'none' ? `m.${live.rowid} = i.rid` : isRowOf({ live }, live, 'm');
const isAdded = ({ live }: DraftTable) => (live.identity === 'none' ? '1' : 'NOT i.live');
const undoing = (at: number) => `temp."velist undo ${at}"`;

function undoUnderLock(db: DatabaseSync, tables: readonly DraftTable[], record: RescueRecord) {
  if (!record.triggers) hideTriggers(db, tables.flatMap(writingStatements));
  for (const [at, table] of tables.entries()) {
    db.exec(`CREATE TEMP TABLE "velist undo ${at}" (item INTEGER PRIMARY KEY)`);
    db.exec(`INSERT INTO ${undoing(at)} SELECT i.id FROM ${table.items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, table.live, 'd')}
      CROSS JOIN ${inMain(table)} m ON ${isThere(table)} WHERE ${isSameContent(namesOf(table.live), 'm', 'd')}`);
  }
  leaveWhatIsNeeded(db, tables);
  const all = tables.reduce((sum, { items }) => sum + countOf(db, `SELECT count(*) FROM ${items}`), 0);
  const undone = tables.reduce((sum, _, at) => sum + countOf(db, `SELECT count(*) FROM ${undoing(at)}`), 0);
  if (undone === 0)
    throw new BackupError('NOTHING_TO_UNDO', 'all rows of the rescue were changed since, so none is taken back', {
      hint: 'Nothing was written.',
    });
  for (const [at, table] of tables.entries()) takeBack(db, table, { at, triggers: record.triggers });
  const broken = leftAlone(db, tables);
  if (broken.length > 0) throw dbChanged(broken.join('; '));
  for (const { table: name, before, after } of record.sequences) {
    const table = tables.find(({ live }) => live.name === name);
    if (!table || sequenceOf(db, table) !== after || before === null) continue;
    db.prepare('UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?').run(before, name);
  }
  return { undone, left: all - undone };
}

/** A row that others refer to stays, and so does one whose old content no longer fits. */
function leaveWhatIsNeeded(db: DatabaseSync, tables: readonly DraftTable[]): void {
  for (let isMore = true; isMore;) {
    isMore = false;
    for (const [at, table] of tables.entries()) {
      const conditions = [
        ...referredTo(db, table, tables),
        ...wouldRefer(db, table, tables),
        ...takenMeanwhile(db, table, at),
      ];
      for (const condition of conditions) {
        const { changes } = db
          .prepare(
            `DELETE FROM ${undoing(at)} WHERE item IN (SELECT i.id FROM ${table.items} i
              LEFT JOIN ${table.before} b ON b.item = i.id CROSS JOIN ${table.after} d ON ${isRowOf(table, table.live, 'd')} WHERE ${condition})`,
          )
          .run();
        if (Number(changes) > 0) isMore = true;
      }
    }
  }
}

/** Rows of others refer to it: to what it is now, and its going or changing would leave them alone. */
function referredTo(db: DatabaseSync, table: DraftTable, tables: readonly DraftTable[]): readonly string[] {
  const { live } = table;
  return childrenOf(db, 'main', live.name).flatMap(({ table: child, reference }) => {
    const columns = parentColumns(db, 'main', reference);
    if (!columns) return [];
    const at = tables.findIndex((one) => one.live.name === child);
    const draft = tables[at];
    // A child goes with it if it was added by the same rescue and is taken back, too.
    const goesToo = draft
      ? `EXISTS (SELECT 1 FROM ${draft.items} j CROSS JOIN ${undoing(at)} u ON u.item = j.id WHERE ${draft.live.identity === 'none' ? `c.${draft.live.rowid} = j.rid` : isRowOf(draft, draft.live, 'c', 'j')})`
      : '0';
    const stays = columns.map((name) => {
      const cell = live.columns.findIndex(({ lower }) => lower === name.toLowerCase());
      return cell === -1 ? '0' : `d.${quoted(name)} IS b.c${cell}`;
    });
    return [
      `i.id IN (SELECT i.id FROM ${referring(db, table, { child, reference, columns })}
        LEFT JOIN ${table.before} b ON b.item = i.id WHERE (${isAdded(table)} OR NOT (${stays.join(' AND ')})) AND NOT ${goesToo})`,
    ];
  });
}

/**
 * The rows `c` of a child that refer to a row `d` of the item `i`. What can be found is looked for: each child by its index, or
 * else each row of the draft while all children are read once.
 */
function referring(
  db: DatabaseSync,
  table: DraftTable,
  {
    child,
    reference,
    columns,
  }: { readonly child: string; readonly reference: Reference; readonly columns: readonly string[] },
): string {
  const item = `${table.items} i`;
  const isItem = isRowOf(table, table.live, 'd');
  const children = `main.${quoted(child)} c`;
  const refers = refersTo(columns, 'd', reference, 'c');
  return isIndexed(db, 'main', child, reference.columns)
    ? `${item} CROSS JOIN ${table.after} d ON ${isItem} CROSS JOIN ${children} ON ${refers}`
    : `${children} CROSS JOIN ${table.after} d ON ${refers} CROSS JOIN ${item} ON ${isItem}`;
}

/** What it was refers to rows that are no longer there, or go with this undo. */
function wouldRefer(db: DatabaseSync, table: DraftTable, tables: readonly DraftTable[]): readonly string[] {
  const { live } = table;
  if (live.identity === 'none') return [];
  return referencesOf(db, 'main', live.name).flatMap((reference) => {
    const columns = parentColumns(db, 'main', reference);
    const cells = reference.columns.map(
      (name) => `b.c${live.columns.findIndex(({ lower }) => lower === name.toLowerCase())}`,
    );
    if (!columns || cells.includes('b.c-1')) return [];
    const full = cells.map((cell) => `${cell} IS NOT NULL`).join(' AND ');
    const parent = readShape(db, 'main', reference.parent);
    const at = tables.findIndex((one) => one.live.name === parent.name);
    const draft = tables[at];
    const goes = draft
      ? `EXISTS (SELECT 1 FROM ${draft.items} j CROSS JOIN ${undoing(at)} u ON u.item = j.id WHERE ${isAdded(draft).replace('i.', 'j.')} AND ${draft.live.identity === 'none' ? `p.${draft.live.rowid} = j.rid` : isRowOf(draft, draft.live, 'p', 'j')})`
      : '0';
    const equal = columns.map((name, n) => `p.${quoted(name)} = ${cells[n]}`).join(' AND ');
    const wasSame = reference.columns.map((name, n) => `d.${quoted(name)} IS ${cells[n]}`).join(' AND ');
    return [
      `i.live AND ${full} AND NOT (${wasSame}) AND NOT EXISTS (SELECT 1 FROM main.${quoted(parent.name)} p WHERE ${equal} AND NOT ${goes})`,
    ];
  });
}

/** Another row has a value by now that it had, and that must be unique. */
function takenMeanwhile(db: DatabaseSync, table: DraftTable, at: number): readonly string[] {
  const { live } = table;
  if (live.identity === 'none') return [];
  return uniqueIndexes(db, 'main', live.name).flatMap(({ columns }) => {
    if (columns === null) return [];
    const equal = columns.map(({ name, collation }) => {
      const cell = live.columns.findIndex(({ lower }) => lower === name.toLowerCase());
      return cell === -1 ? '0' : `m.${quoted(name)} COLLATE ${quoted(collation)} = b.c${cell}`;
    });
    // One that is taken back, too, makes room.
    const makesRoom = `EXISTS (SELECT 1 FROM ${table.items} j CROSS JOIN ${undoing(at)} u ON u.item = j.id WHERE ${isRowOf(table, live, 'm', 'j')})`;
    return [`i.live AND EXISTS (SELECT 1 FROM ${inMain(table)} m WHERE ${equal.join(' AND ')} AND NOT ${makesRoom})`];
  });
}

/** Rows of others that refer to nothing now, and did not before. It was seen to that there are none. */
function leftAlone(db: DatabaseSync, tables: readonly DraftTable[]): readonly string[] {
  return tables.flatMap((table, at) =>
    childrenOf(db, 'main', table.live.name).flatMap(({ table: child, reference }) => {
      const columns = parentColumns(db, 'main', reference);
      if (!columns) return [];
      const isKept = `EXISTS (SELECT 1 FROM ${inMain(table)} p WHERE ${refersTo(columns, 'p', reference, 'c')})`;
      const rows = countOf(
        db,
        `SELECT count(*) FROM ${referring(db, table, { child, reference, columns })} CROSS JOIN ${undoing(at)} u ON u.item = i.id WHERE NOT ${isKept}`,
      );
      return rows > 0 ? [`${rowsText(rows)} of ${child} would refer to missing rows of ${table.live.name}`] : [];
    }),
  );
}

function takeBack(db: DatabaseSync, table: DraftTable, { at, triggers }: { at: number; triggers: boolean }): void {
  const { live, items, before } = table;
  const undone = `${items} i CROSS JOIN ${undoing(at)} u ON u.item = i.id`;
  if (live.identity === 'none') {
    db.exec(`DELETE FROM ${inMain(table)} WHERE ${live.rowid} IN (SELECT i.rid FROM ${undone})`);
    return;
  }
  const keys = keyOf(live, 'm')
    .map((_, n) => `i.k${n}`)
    .join(', ');
  const names = namesOf(live);
  const cells = names.map((_, n) => `b.c${n}`);
  const changed = `FROM ${undone} CROSS JOIN ${before} b ON b.item = i.id WHERE i.live`;
  if (triggers) {
    db.exec(removal(table, `SELECT ${keys} FROM ${undone} WHERE NOT i.live`));
    const sets = names.map((name, n) => `${quoted(name)} = ${cells[n]}`);
    db.exec(`UPDATE OR ABORT ${inMain(table)} AS m SET ${sets.join(', ')} ${changed} AND ${isRowOf(table, live, 'm')}`);
    return;
  }
  db.exec(removal(table, `SELECT ${keys} FROM ${undone}`));
  const rowid = live.identity === 'key' && live.rowid !== null ? live.rowid : null;
  db.exec(
    `INSERT OR ABORT INTO ${inMain(table)} (${rowid ? `${rowid}, ` : ''}${listed(names)}) SELECT ${rowid ? 'b.rid, ' : ''}${cells.join(', ')} ${changed} ORDER BY i.id`,
  );
}

/**
 * Finds out what became of a rescue, or of an undo, whose process ended around its commit. Needs the lock.
 *
 * @returns null if nothing of it was written.
 */
export function settleInterrupted(go: UndoGo): RescueRecord | null {
  const { record, folder } = go;
  using live = openLiveForRescue(go.databasePath);
  const { db } = live;
  let tables: readonly DraftTable[];
  try {
    tables = readDraft(live, inverseOf(folder, record.id));
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'DB_CHANGED') throw error;
    // Nobody can tell by its rows any more; an undo says why it can't be.
    return { ...record, state: 'written' };
  }
  live.begin();
  const isUntouched = tables.every((table) => countNotAsBefore(db, table) === 0);
  db.exec('COMMIT');
  if (record.state === 'undoing' && isUntouched) return { ...record, state: 'undone', undoneAt: go.at.toISOString() };
  return isUntouched ? null : { ...record, state: 'written' };
}

function countNotAsBefore(db: DatabaseSync, table: DraftTable): number {
  const { live, items, before } = table;
  if (live.identity === 'none') {
    // Where one without a place of its own came to lie is noted after the commit; until then its content tells.
    const isOne = `CASE WHEN i.rid IS NULL THEN ${isSameContent(namesOf(live), 'm', 'd')} ELSE ${isThere(table)} END`;
    return countOf(
      db,
      `SELECT count(*) FROM ${items} i CROSS JOIN ${table.after} d ON ${isRowOf(table, live, 'd')} WHERE EXISTS (SELECT 1 FROM ${inMain(table)} m WHERE ${isOne})`,
    );
  }
  const isBack = `EXISTS (SELECT 1 FROM ${inMain(table)} m CROSS JOIN ${before} b ON b.item = i.id WHERE ${isThere(table)} AND ${isAsBefore(table, 'm', 'b')})`;
  return countOf(
    db,
    `SELECT count(*) FROM ${items} i WHERE CASE WHEN i.live THEN NOT ${isBack} ELSE EXISTS (SELECT 1 FROM ${inMain(table)} m WHERE ${isThere(table)}) END`,
  );
}
