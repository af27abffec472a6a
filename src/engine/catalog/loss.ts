/**
 * Did the database lose much since the backup before? Pure: by what verification counted in both.
 *
 * Retention by count alone forgets: an emptied database is a sound one, and after ten backups of it nothing of the old
 * content is left. So a backup that shows a loss is marked in its manifest, and as long as nobody has said that it was
 * meant, retention keeps it, the last backup before it and one a day older (`lossHolds`), for 30 days.
 *
 * What counts, and why:
 * - a table that is gone or empty and had 50 rows: fewer are settings, sessions, queues that run dry. Where the file was
 *   exchanged, or half of the tables that had rows are gone, any row counts: that is another database, and no queue;
 * - more than half of the rows of a table with 1,000: purges by age take a part, and small tables jump by chance;
 * - more than half of at least 256 used pages (1 MB), with as much of the content: a vacuum gives pages back and keeps
 *   the content, a deleted BLOB column keeps the rows and loses the content;
 * - everything: no row is left of what had some, however little that was.
 *
 * A table that was renamed is not gone: its definition, or about as many rows, is found in a new one.
 */
import type { Backup } from './folder-catalog.ts';
import { type DatabaseFacts, isAside, type LossMark, type Manifest, type TableLoss } from '../format/manifest.ts';

export interface LossRules {
  /** More than this part of the rows, or of the used pages, is much. */
  readonly percent: number;
  /** Only in a table with so many rows is a part of them judged. */
  readonly rows: number;
  /** Tables that the app empties regularly. */
  readonly ignore: readonly string[];
}

export const LOSS_RULES: LossRules = { percent: 50, rows: 1_000, ignore: [] };

const EMPTIED_ROWS_LEAST = 50;
/** In all tables: an app that finds its database emptied begins anew with a few rows. Below it a test or a trial is tidied up. */
const NEARLY_ALL_ROWS_LEAST = 20;
const NEARLY_ALL_SHARE = 0.9;
const USED_PAGES_LEAST = 256;
/** The mark is in every listing. */
const TABLES_TOLD_MAX = 20;
/** So much of what was lost is back: the alarm is over. A few rows may have gone their usual way meanwhile. */
const RECOVERED_SHARE = 0.9;
/** How long a loss that nobody answered is held against retention, and shown. */
export const LOSS_DAYS = 30;
const DAY_MS = 86_400_000;

/** What was counted in one backup. */
interface Counted {
  readonly facts: DatabaseFacts;
  readonly pageSize: number;
}

/** @param options.isExchanged the database's file is another one than before. */
export function findLoss(
  before: Counted,
  after: Counted,
  { percent, rows: rowsLeast, ignore }: LossRules,
  { isExchanged = false }: { readonly isExchanged?: boolean } = {},
): Pick<LossMark, 'tables' | 'usedPages'> | null {
  const left = 1 - percent / 100;
  const isIgnored = ignoring(ignore);
  const lost = lostRows(before.facts, after.facts, { left, isIgnored, isExchanged });
  const isAnother = isExchanged || areMostGone(before.facts, lost);
  const emptiedLeast = isAnother ? 1 : EMPTIED_ROWS_LEAST;
  const much = lost.filter((table) => {
    const now = table.after ?? 0;
    return now === 0 ? table.before >= emptiedLeast : table.before >= rowsLeast && now < table.before * left;
  });
  const isAll =
    isEverythingLost(before.facts, after.facts, lost, isIgnored) ||
    (percent < 100 && isNearlyAllLost(before.facts, lost, isIgnored));
  const isMuchContent = isContentLost(before, after, { left, isIgnored });
  if (much.length === 0 && !isAll && !isMuchContent) return null;
  const tables = isAll || isMuchContent ? lost : much;
  return {
    tables: tables.toSorted((a, b) => lossOf(b) - lossOf(a)).slice(0, TABLES_TOLD_MAX),
    usedPages: { before: before.facts.usedPages, after: after.facts.usedPages },
  };
}

type IsIgnored = (table: string) => boolean;

/** Names of tables are the same in small and capital letters. */
function ignoring(names: readonly string[]): IsIgnored {
  const ignored = new Set(names.map((name) => name.toLowerCase()));
  return (table) => ignored.has(table.toLowerCase());
}

function lossOf({ before, after }: TableLoss): number {
  return before - (after ?? 0);
}

interface RowOptions {
  readonly left: number;
  readonly isIgnored: IsIgnored;
  readonly isExchanged: boolean;
}

/** Each table that has fewer rows now, or is gone. */
function lostRows(
  before: DatabaseFacts,
  after: DatabaseFacts,
  { left, isIgnored, isExchanged }: RowOptions,
): readonly TableLoss[] {
  const now = new Map(Object.entries(after.tables));
  const fewer: TableLoss[] = [];
  const gone: { readonly name: string; readonly before: number; readonly schema: string }[] = [];
  for (const [name, { rows, schema }] of Object.entries(before.tables)) {
    if (rows === null || rows === 0 || isIgnored(name)) continue;
    const table = now.get(name);
    if (table === undefined && isListed(after, name)) gone.push({ name, before: rows, schema });
    if (table && table.rows !== null && table.rows < rows) fewer.push({ name, before: rows, after: table.rows });
  }
  const isSameFile = !isExchanged && Object.keys(before.tables).some((name) => now.has(name));
  const renamed = findRenamed(gone, newTables(before, after), { left, isSameFile });
  return [
    ...fewer,
    ...gone.flatMap(({ name, before: rows }) => (renamed.has(name) ? [] : { name, before: rows, after: null })),
  ];
}

/** A list that was cut holds the first names: of later ones nothing is known. */
function isListed({ tables, furtherTables }: DatabaseFacts, name: string): boolean {
  if (furtherTables === 0) return true;
  return Object.keys(tables).some((listed) => listed > name);
}

interface NewTable {
  readonly schema: string;
  /** Its rows that are not yet taken for those of a table that is gone. */
  rowsLeft: number;
}

function newTables(before: DatabaseFacts, after: DatabaseFacts): readonly NewTable[] {
  return Object.entries(after.tables).flatMap(([name, { rows, schema }]) =>
    !Object.hasOwn(before.tables, name) && isListed(before, name) ? { schema, rowsLeft: rows ?? 0 } : [],
  );
}

/**
 * Names of tables that are there under another name. By the definition; by about as many rows only in the same file with
 * another table left, or a file that has nothing to do with the old one would pass for a rename.
 */
function findRenamed(
  gone: readonly { readonly name: string; readonly before: number; readonly schema: string }[],
  added: readonly NewTable[],
  { left, isSameFile }: { readonly left: number; readonly isSameFile: boolean },
): ReadonlySet<string> {
  const renamed = new Set<string>();
  for (const { name, before, schema } of gone.toSorted((a, b) => b.before - a.before)) {
    const isEnough = ({ rowsLeft }: NewTable) => rowsLeft >= Math.max(1, before * left);
    const isAlike = ({ rowsLeft }: NewTable) => isSameFile && rowsLeft * left <= before;
    const fitting = added.filter((table) => isEnough(table) && (table.schema === schema || isAlike(table)));
    const best =
      fitting.find((table) => table.schema === schema) ?? fitting.toSorted((a, b) => b.rowsLeft - a.rowsLeft)[0];
    if (!best) continue;
    // Several tables may have become one.
    best.rowsLeft -= before;
    renamed.add(name);
  }
  return renamed;
}

/** Half of the tables that had rows. */
function areMostGone({ tables }: DatabaseFacts, lost: readonly TableLoss[]): boolean {
  const filled = Object.values(tables).filter(({ rows }) => rows !== null && rows > 0);
  return lost.filter(({ after }) => after === null).length * 2 >= filled.length;
}

/** No row is left of any table that had some. */
function isEverythingLost(
  before: DatabaseFacts,
  after: DatabaseFacts,
  lost: readonly TableLoss[],
  isIgnored: IsIgnored,
): boolean {
  if (before.furtherTables + after.furtherTables > 0) return false;
  const filled = Object.entries(before.tables).filter(([name, { rows }]) => rows !== 0 && !isIgnored(name));
  const emptied = new Set(lost.filter((table) => (table.after ?? 0) === 0).map(({ name }) => name));
  const counted = filled.filter(([, { rows }]) => rows !== null);
  return counted.length > 0 && counted.every(([name]) => emptied.has(name));
}

/** By the rows of all tables together: each by itself may be too small to be judged. */
function isNearlyAllLost({ tables }: DatabaseFacts, lost: readonly TableLoss[], isIgnored: IsIgnored): boolean {
  const rows = sum(Object.entries(tables).flatMap(([name, table]) => (isIgnored(name) ? [] : (table.rows ?? []))));
  return rows >= NEARLY_ALL_ROWS_LEAST && sum(lost.map(lossOf)) >= rows * NEARLY_ALL_SHARE;
}

function isContentLost(
  before: Counted,
  after: Counted,
  { left, isIgnored }: { readonly left: number; readonly isIgnored: IsIgnored },
): boolean {
  if (before.facts.usedPages < USED_PAGES_LEAST) return false;
  const [was, is] = [contentOf(before, isIgnored), contentOf(after, isIgnored)];
  return is.usedBytes < was.usedBytes * left && is.contentBytes < was.contentBytes * left;
}

/** Without the tables that are ignored. */
function contentOf(
  { facts, pageSize }: Counted,
  isIgnored: IsIgnored,
): { readonly usedBytes: number; readonly contentBytes: number } {
  const ignored = Object.entries(facts.tables).flatMap(([name, table]) => (isIgnored(name) ? table : []));
  const usedBytes = facts.usedPages * pageSize - sum(ignored.map(({ bytes }) => bytes));
  const contentBytes = (facts.contentBytes ?? 0) - sum(ignored.map((table) => table.contentBytes ?? 0));
  return { usedBytes, contentBytes };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

// ── which two are compared ──

/** A backup of this database that is older than the new one. */
export type Earlier = Pick<Backup, 'name' | 'createdAt' | 'fault'> & {
  readonly manifest: Pick<
    Manifest,
    'sequence' | 'trigger' | 'verification' | 'beforeMigration' | 'database' | 'stamp' | 'facts'
  > | null;
};

/** That we changed the database ourselves: by a restore, an undo or a migration. */
export interface OwnChange {
  readonly at: Date;
  /** The backup that the database was since then. */
  readonly restored: string | null;
}

interface LossContext<Kind extends Earlier> {
  readonly rules: LossRules;
  readonly ownChange: OwnChange | null;
  /** What was counted in a backup, now or when it was made. */
  readonly factsOf: (backup: Kind) => DatabaseFacts | null;
}

/**
 * What a new backup lost against the one before.
 *
 * @param earlier backups of the same database, newest first.
 */
export function markLoss<Kind extends Earlier>(
  made: Pick<Manifest, 'database' | 'stamp' | 'facts'>,
  earlier: readonly Kind[],
  { rules, ownChange, factsOf }: LossContext<Kind>,
): LossMark | null {
  const before = comparedWith(earlier, ownChange);
  const facts = before && factsOf(before);
  if (!before?.manifest || !facts || !made.facts) return null;
  const counted = { facts, pageSize: before.manifest.database.pageSize };
  const [was, is] = [inodeOf(before.manifest), inodeOf(made)];
  // A restore puts another file in its place too.
  const isExchanged = was !== null && was !== is && before.name !== ownChange?.restored;
  const found = findLoss(counted, { facts: made.facts, pageSize: made.database.pageSize }, rules, { isExchanged });
  if (found === null) return null;
  const dayBefore = aDayBefore(earlier.slice(earlier.indexOf(before) + 1), before);
  return { before: before.name, dayBefore: dayBefore?.name ?? null, ...found, accepted: null };
}

function inodeOf({ stamp }: Pick<Manifest, 'stamp'>): string | null {
  return stamp?.main.inode ?? null;
}

/**
 * The newest good backup. What we did ourselves since then is no loss: after a restore or an undo it is the backup that
 * was restored, after a migration none. Where the run history was lost, the safety backup of a restore tells of it.
 */
function comparedWith<Kind extends Earlier>(earlier: readonly Kind[], ownChange: OwnChange | null): Kind | null {
  const newest = earlier.find((backup) => isGood(backup) || backup.manifest?.trigger === 'safety');
  if (!newest?.manifest || newest.manifest.beforeMigration) return null;
  if (ownChange === null || newest.createdAt > ownChange.at) return isGood(newest) ? newest : null;
  return earlier.find(({ name, fault }) => name === ownChange.restored && fault === null) ?? null;
}

type Judged = Pick<Backup, 'fault'> & {
  readonly manifest: Pick<Manifest, 'trigger' | 'verification' | 'arrived'> | null;
};

/** It holds what the database was, and nothing was found wrong with it. */
function isGood({ manifest, fault }: Judged): boolean {
  return manifest !== null && fault === null && manifest.verification.complaint === null && !isAside(manifest);
}

/** The newest good backup that is a day older than that one. */
function aDayBefore<Kind extends Judged & Pick<Backup, 'createdAt'>>(
  backups: readonly Kind[],
  before: Pick<Backup, 'createdAt'>,
): Kind | null {
  const until = before.createdAt.getTime() - DAY_MS;
  return backups.find((backup) => isGood(backup) && backup.createdAt.getTime() <= until) ?? null;
}

// ── as long as nobody answered ──

/** A backup as far as a loss is about it. */
type Marked = Pick<Backup, 'name' | 'createdAt' | 'fault'> & {
  readonly manifest: Pick<Manifest, 'trigger' | 'verification' | 'loss'> | null;
};

/** Nobody has said that it was meant, and it is young enough to be shown. */
export function isOpen({ manifest, createdAt }: Pick<Marked, 'manifest' | 'createdAt'>, now: Date): boolean {
  const isAnswered = !manifest?.loss || manifest.loss.accepted !== null;
  return !isAnswered && now.getTime() - createdAt.getTime() < LOSS_DAYS * DAY_MS;
}

/**
 * Why backups are kept because of a loss. Where the ones that the mark names are not at this place (an upload failed),
 * others stand in for them.
 *
 * @param backups newest first, of this database.
 */
export function lossHolds<Kind extends Marked>(
  backups: readonly Kind[],
  now: Date,
): ReadonlyMap<Kind, readonly string[]> {
  const holds = new Map<Kind, string[]>();
  const hold = (backup: Kind | null | undefined, reason: string) => {
    if (backup) holds.set(backup, [...(holds.get(backup) ?? []), reason]);
  };
  for (const [index, marked] of backups.entries()) {
    const mark = marked.manifest?.loss;
    if (!mark || !isOpen(marked, now)) continue;
    const older = backups.slice(index + 1);
    const before = older.find(({ name }) => name === mark.before) ?? older.find(isGood);
    const dayBefore = older.find(({ name }) => name === mark.dayBefore) ?? (before && aDayBefore(older, before));
    hold(marked, 'shows a loss that nobody has accepted');
    hold(before, `last before the loss in ${marked.name}`);
    hold(dayBefore, `a day before the loss in ${marked.name}`);
  }
  return holds;
}

/** Most of what the mark names is there again. */
export function isRecovered({ tables, usedPages }: LossMark, facts: DatabaseFacts): boolean {
  if (tables.length === 0) return facts.usedPages >= usedPages.before * RECOVERED_SHARE;
  const now = new Map(Object.entries(facts.tables));
  return tables.every(({ name, before }) => (now.get(name)?.rows ?? 0) >= before * RECOVERED_SHARE);
}
