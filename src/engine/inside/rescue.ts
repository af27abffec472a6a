/**
 * Writes the rows of a rescue over the live database while the app uses it.
 *
 * In this order: the draft is made under a read transaction and compared with the plan that was shown. Its rows, and those that
 * they replace, are the inverse, which is flushed with its record. Then one transaction: the rows that are touched are as they
 * were (else DB_CHANGED), triggers are out of the way, the rows are written and compared with the draft, nothing refers to
 * nothing, commit. Killed anywhere, either nothing was written or all of it can be undone.
 */
import { BackupError } from '../../words/errors.ts';
import { explainLiveError, isLocked } from '../sqlite/live-database.ts';
import {
  attachDoneDraft,
  type DraftFiles,
  flushFile,
  type LiveConnection,
  openLiveForRescue,
  removeDraft,
  RESCUE_TIMEOUT_MS,
} from './draft.ts';
import { brokenReferences } from './draft-references.ts';
import { countOf, type DraftTable, inMain, isRowOf, listed, namesOf } from './draft-table.ts';
import { hideTriggers } from './hidden-triggers.ts';
import { type Drafted, makeDraft, type PlannedRescue, refuseBlocked, type RescueWish } from './rescue-plan.ts';
import { inverseOf, planDraft, removeRescue, type RescueRecord, writeRecord } from './rescue-record.ts';
import {
  countWritten,
  dbChanged,
  inOneTransaction,
  refuseChanged,
  writeRows,
  writingStatements,
  type Written,
} from './rescue-write.ts';
import { pathToFileURL } from 'node:url';
import { rowsText } from './table-shape.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';

type RescueStep = 'draft' | 'ready' | 'locked' | 'written' | 'committed';

interface RescueOptions extends Omit<DraftFiles, 'draft'> {
  /** Where rescues are kept. */
  readonly folder: string;
  readonly wish: RescueWish;
}

/** @throws BackupError as `makeDraft` does. */
export function planRescue({ folder, wish, ...files }: RescueOptions): PlannedRescue {
  makePrivateFolder(folder);
  const draft = planDraft(folder);
  using live = openLiveForRescue(files.databasePath);
  try {
    return makeDraft(live, { ...files, draft }, wish).plan;
  } finally {
    removeDraft(draft);
  }
}

interface RescueGo extends RescueOptions {
  readonly id: string;
  readonly at: Date;
  readonly user: string | null;
  /** What the plan said; null if nobody looked at one. */
  readonly expected: string | null;
  /** Called between the steps; what it throws before the commit takes everything back. */
  readonly onStep?: (step: RescueStep) => void;
}

/** @throws BackupError as `makeDraft` does; BAD_REQUEST, DB_CHANGED, DB_BUSY, DISK_FULL: nothing was written. */
export function rescueRows(go: RescueGo): RescueRecord {
  const { folder, id, wish } = go;
  const draft = inverseOf(folder, id);
  makePrivateFolder(folder);
  using live = openLiveForRescue(go.databasePath);
  let record: RescueRecord | null = null;
  let mayBeWritten = false;
  try {
    const drafted = makeDraft(live, { ...go, draft }, wish);
    go.onStep?.('draft');
    refuseUnfit(drafted.plan, go);
    trim(live, drafted);
    live.db.exec('DETACH draft');
    flushFile(draft);
    record = recordOf(go, drafted);
    writeRecord(folder, record);
    go.onStep?.('ready');
    attachDoneDraft(live, draft);
    const written = write(live, drafted, go, () => (mayBeWritten = true));
    go.onStep?.('committed');
    return settleRecord(live, drafted, { go, record, written });
  } catch (error) {
    if (live.db.isTransaction) live.db.exec('ROLLBACK');
    // A commit that failed in the middle of the disk's work: the rows will tell whether it counts.
    if (!mayBeWritten || wasTakenBack(error)) removeRescue(folder, id);
    throw explainLiveError(error, { databasePath: live.path, timeoutMs: RESCUE_TIMEOUT_MS });
  }
}

function refuseUnfit(plan: PlannedRescue, { expected, sourceName }: RescueGo): void {
  if (expected !== null && plan.expected !== expected)
    throw dbChanged('the rows of the database are not as they were when the rescue was planned');
  refuseBlocked(plan, sourceName);
  if (plan.writes > 0) return;
  throw new BackupError('BAD_REQUEST', `there is nothing to rescue from ${sourceName}`, {
    hint: plan.tables.some(({ conflicts }) => conflicts > 0)
      ? 'All rows that differ are kept as they are live; choose to take those of the backup.'
      : 'All of these rows are there already.',
  });
}

/** What is not written is no part of the inverse. */
function trim({ db }: LiveConnection, { tables }: Drafted): void {
  db.exec('BEGIN');
  for (const table of tables) {
    const { items, before, after, live } = table;
    db.exec(`DELETE FROM ${items} WHERE NOT writes`);
    db.exec(`DELETE FROM ${before} WHERE item NOT IN (SELECT id FROM ${items})`);
    db.exec(`DELETE FROM ${after} AS d WHERE NOT EXISTS (SELECT 1 FROM ${items} i WHERE ${isRowOf(table, live, 'd')})`);
  }
  db.exec('CREATE TABLE draft."velist tables" (number INTEGER PRIMARY KEY, name TEXT, sql TEXT)');
  const note = db.prepare('INSERT INTO draft."velist tables" VALUES (?, ?, ?)');
  for (const [at, { live }] of tables.entries()) note.run(at + 1, live.name, live.sql);
  db.exec('COMMIT');
}

function recordOf(go: RescueGo, { plan }: Drafted): RescueRecord {
  return {
    ...{ id: go.id, at: go.at.toISOString(), of: go.sourceName, user: go.user, triggers: go.wish.triggers },
    state: 'writing',
    tables: plan.tables.map(({ name, insert, update }) => ({ name, inserted: insert, updated: update })),
    ...{ sequences: [], undoneAt: null },
  };
}

const wasTakenBack = (error: unknown) =>
  isLocked(error) || (error instanceof BackupError && error.code === 'DB_CHANGED');

function write(
  { db }: LiveConnection,
  { tables, schemaVersion }: Drafted,
  go: RescueGo,
  onCommitting: () => void,
): Written {
  const { triggers } = go.wish;
  // Where triggers fire, what they write is held to the foreign keys by SQLite itself.
  if (triggers) db.exec('PRAGMA foreign_keys = ON');
  return inOneTransaction(db, () => {
    go.onStep?.('locked');
    refuseChanged(db, tables, schemaVersion);
    if (triggers) db.exec('PRAGMA defer_foreign_keys = ON');
    else hideTriggers(db, tables.flatMap(writingStatements));
    const written = writeRows(db, tables, triggers);
    if (triggers) keepAfter(db, tables);
    else refuseOtherThanPlanned(db, tables, written);
    const broken = brokenReferences(db, tables);
    if (broken.length > 0) throw dbChanged(broken.join('; '));
    go.onStep?.('written');
    onCommitting();
    return written;
  });
}

function refuseOtherThanPlanned(db: LiveConnection['db'], tables: readonly DraftTable[], { places }: Written): void {
  for (const table of tables) {
    const wanted = countOf(db, `SELECT count(*) FROM ${table.items}`) - (places.get(table)?.length ?? 0);
    const found = countWritten(db, table);
    if (found !== wanted)
      throw new BackupError(
        'INTERNAL',
        `${rowsText(wanted - found)} of ${table.live.name} could not be written as planned`,
        {
          hint: 'Nothing was written. Please report this with the definition of the table.',
        },
      );
  }
}

const temporary = (at: number) => `temp.${`"velist after ${at}"`}`;

/** Triggers may have changed the rows: what stands there at the commit is what an undo looks for. */
function keepAfter(db: LiveConnection['db'], tables: readonly DraftTable[]): void {
  for (const [at, table] of tables.entries()) {
    const { live } = table;
    if (live.identity === 'none') continue;
    db.exec(
      `CREATE TEMP TABLE "velist after ${at}" AS SELECT ${listed(namesOf(live), 'm')} FROM ${table.items} i CROSS JOIN ${inMain(table)} m ON ${isRowOf(table, live, 'm')}`,
    );
  }
}

/** After the commit. Killed in here, the rows that it would have noted are left alone by an undo. */
function settleRecord(
  { db }: LiveConnection,
  { tables }: Drafted,
  { go, record, written }: { readonly go: RescueGo; readonly record: RescueRecord; readonly written: Written },
): RescueRecord {
  const done: RescueRecord = { ...record, state: 'written', sequences: [...written.sequences] };
  try {
    noteWhatIs(db, tables, { go, written });
    writeRecord(go.folder, done);
  } catch {
    // It is written all the same. The record says so as soon as somebody looks at it with the rows.
  }
  return done;
}

function noteWhatIs(
  db: LiveConnection['db'],
  tables: readonly DraftTable[],
  { go, written }: { readonly go: RescueGo; readonly written: Written },
): void {
  const moved = [...written.places].filter(([, places]) => places.length > 0);
  if (go.wish.triggers || moved.length > 0) {
    const draft = inverseOf(go.folder, go.id);
    db.exec('PRAGMA foreign_keys = OFF; DETACH draft');
    db.prepare('ATTACH ? AS draft').run(`${pathToFileURL(draft).href}?mode=rw`);
    db.exec('BEGIN');
    for (const [at, table] of tables.entries()) {
      if (!go.wish.triggers || table.live.identity === 'none') continue;
      const names = listed(namesOf(table.live));
      db.exec(
        `DELETE FROM ${table.after}; INSERT INTO ${table.after} (${names}) SELECT ${names} FROM ${temporary(at)}`,
      );
    }
    for (const [{ items }, places] of moved) {
      const place = db.prepare(`UPDATE ${items} SET rid = ? WHERE id = ?`);
      for (const { item, rowid } of places) place.run(rowid, item);
    }
    db.exec('COMMIT');
  }
}
