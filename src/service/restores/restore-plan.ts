/** What a restore would do, from the facts that a job found out. Pure. */
import type { DatabaseFacts, LossMark } from '../../engine/format/manifest.ts';
import type { CountedRows } from '../../engine/sqlite/count-rows.ts';
import { namesOf, type OpenFiles, type Unseen } from '../../engine/sqlite/open-files.ts';
import { changedAt, type DatabaseStamp, stampText } from '../../engine/sqlite/stamp.ts';
import type { OtherDatabase } from '../backups/shown-backup.ts';
import { formatSize } from '../log.ts';
import type { PlannedMode, ReplacingMode, RestorePlan } from './restore-result.ts';
import type { PlanFacts } from '../../engine/stories/restore-request.ts';

interface PlanOptions {
  readonly databaseName: string;
  readonly stamp: DatabaseStamp | null;
  /** What was asked for; left out: the first that is possible. */
  readonly mode?: ReplacingMode | undefined;
  /** The rows of our newest backup stand in for those that take too long to count; null if none was counted. */
  readonly lastRows?: { readonly backup: string; readonly rows: CountedRows } | null;
}

/** A backup, or any SQLite file. */
export interface PlannedSource extends Omit<RestorePlan['after'], 'pageSize'> {
  readonly name: string;
  /** Whose it is, if not ours. */
  readonly other: OtherDatabase | null;
  /** What was lost before it was made; null if nothing was, or nobody knows. */
  readonly loss: LossMark | null;
  /** As verification counted them. */
  readonly rows?: CountedRows | undefined;
}

/** As verification counted them; undefined if it did not, or not each table. */
export function rowsIn(facts: DatabaseFacts | undefined): CountedRows | undefined {
  if (!facts || facts.furtherTables > 0) return undefined;
  return Object.fromEntries(Object.entries(facts.tables).map(([name, { rows }]) => [name, rows]));
}

export function toRestorePlan(
  source: PlannedSource,
  facts: PlanFacts,
  { databaseName, stamp, mode: wanted, lastRows = null }: PlanOptions,
): RestorePlan {
  const { name, other, loss, rows: _counted, ...after } = source;
  const compared = tablesOf(facts, { isMissing: stamp === null, lastRows });
  const isMissing = stamp === null;
  const obstacle = isMissing ? null : whyNotOnline(facts);
  const modes = modesOf(isMissing, obstacle);
  const mode = isMissing ? 'missing' : (wanted ?? modes[0]);
  return {
    backup: name,
    confirm: databaseName,
    expected: stamp ? stampText(stamp) : '',
    now: stamp && {
      sizeBytes: stamp.main.sizeBytes + (stamp.wal?.sizeBytes ?? 0),
      changedAt: changedAt(stamp),
      pageSize: facts.live?.pageSize ?? 0,
    },
    after: { ...after, pageSize: facts.backup.pageSize },
    tables: compared.tables,
    modes,
    mode,
    openIn: facts.open.by,
    undo: !isMissing && facts.live !== null,
    warnings: [
      ...(other ? [`This is a backup of another database, ${other.name}, and not of ${databaseName}.`] : []),
      // A user who asked for offline needs no advice to ask for it.
      ...(obstacle !== null && (wanted !== 'offline' || facts.live === null) ? [obstacle] : []),
      ...(facts.live ? uncountedText[facts.live.uncounted ?? 'counted'] : []),
      ...compared.warnings,
      ...(mode === 'online' && after.sizeBytes >= LONG_COPY_BYTES ? [longCopyText(after.sizeBytes)] : []),
      ...(mode === 'missing' ? heldText(facts.open) : []),
      ...(mode === 'offline' ? openText(facts.open) : []),
      ...versionText(facts),
      ...(loss?.accepted === null ? [lossText(loss)] : []),
      ...(after.verified ? [] : ['This backup was not verified; it is checked before anything is changed.']),
    ],
  };
}

function modesOf(isMissing: boolean, obstacle: string | null): readonly [PlannedMode, ...PlannedMode[]] {
  if (isMissing) return ['missing', 'offline'];
  return obstacle === null ? ['online', 'offline'] : ['offline'];
}

/** Copied online in some seconds: as long as a program waits for its turn to write, by many a busy timeout. */
const LONG_COPY_BYTES = 1_000_000_000;

function longCopyText(sizeBytes: number): string {
  return `Programs that write wait until all ${formatSize(sizeBytes)} are copied, and the disk needs room for as much again meanwhile. Stop those that cannot wait, and restore offline.`;
}

function whyNotOnline({ live, liveComplaint, backup }: PlanFacts): string | null {
  if (live === null) {
    if (liveComplaint?.code === 'DB_MISSING') return 'There is no database now, so there will be nothing to undo.';
    return `The database cannot be read now: ${liveComplaint?.message ?? 'the reason is not known'}. Only an offline restore is possible: it sets the current files aside and cannot be undone.`;
  }
  if (live.isWal && live.pageSize !== backup.pageSize)
    return 'The backup has a different page size from the database: stop the app and restore offline.';
  if (live.encoding && backup.encoding && live.encoding !== backup.encoding)
    return `The backup stores its text as ${backup.encoding}, the database as ${live.encoding}, and an app that has it open would fail at every query: stop the app and restore offline.`;
  if (backup.hasPageChecksums)
    return 'The backup has page checksums (cksumvfs), but SQLite here writes none: stop the app and restore offline.';
  if (live.isOnNetwork) return 'The database is on a network file system: stop the app and restore offline.';
  return null;
}

const uncountedText: Readonly<Record<'log' | 'journal' | 'busy' | 'counted', readonly string[]>> = {
  log: [
    'The current rows were not counted: an app that crashed left a log, and a plan does not merge it. The restore does.',
  ],
  journal: [
    'The current rows were not counted: a write was interrupted, and a plan does not roll it back. The restore does.',
  ],
  busy: ['The current rows were not counted: a program has the database locked.'],
  counted: [],
};

const unseenText: Readonly<Record<Unseen, string>> = {
  'no-proc': 'this system does not show which programs have a file open',
  container: 'programs outside this container cannot be seen from here',
  permission: 'what some of the other programs have open cannot be seen from here',
  network: 'programs on other machines cannot be seen from here',
};

/** For an offline restore: who must be stopped first. */
function openText({ by, unseen }: OpenFiles): readonly string[] {
  if (by.length > 0) {
    const [has, it] = by.length === 1 ? ['has', 'it'] : ['have', 'them'];
    return [`${namesOf(by)} ${has} the database open: stop ${it} first, the restore is refused until then.`];
  }
  return unseen === null ? [] : [`The app must be stopped. Make sure of it yourself: ${unseenText[unseen]}.`];
}

/** For a database whose file is gone: who still works on that file. */
function heldText({ by }: OpenFiles): readonly string[] {
  if (by.length === 0) return [];
  const [has, it] = by.length === 1 ? ['has', 'it'] : ['have', 'them'];
  return [
    `${namesOf(by)} ${has} the removed file still open, and anything it writes there is lost: restart ${it} after the restore.`,
  ];
}

function versionText({ live, backup }: PlanFacts): readonly string[] {
  if (live === null || live.schemaVersion === backup.schemaVersion) return [];
  const after =
    backup.schemaVersion < live.schemaVersion ? 'migrations run at its next start' : 'the app may be too old for it';
  return [
    `This backup is from schema version ${backup.schemaVersion}, the database is at ${live.schemaVersion}: ${after}.`,
  ];
}

function lossText({ before }: LossMark): string {
  return `Much was lost shortly before this backup was made; ${before} is the last one from before that.`;
}

interface Compared {
  /** Null when nothing could be compared: a table of unknown rows is no table that is missing. */
  readonly tables: RestorePlan['tables'];
  readonly warnings: readonly string[];
}

function tablesOf(
  { live, backup }: PlanFacts,
  { isMissing, lastRows }: Pick<Required<PlanOptions>, 'lastRows'> & { readonly isMissing: boolean },
): Compared {
  const counted = isMissing ? {} : (live?.rows ?? null);
  if (counted === null || backup.rows === null) return { tables: null, warnings: [] };
  const missed = namesWithout(counted);
  const known = missed.filter((name) => typeof lastRows?.rows[name] === 'number');
  const now = { ...counted, ...Object.fromEntries(known.map((name) => [name, lastRows?.rows[name] ?? null])) };
  const unknown = new Set([...namesWithout(now), ...namesWithout(backup.rows)]);
  const names = [...new Set([...Object.keys(now), ...Object.keys(backup.rows)])];
  const tables = compareTables(
    names.filter((name) => !unknown.has(name)),
    { now, after: backup.rows },
  );
  return {
    tables: tables.length === 0 && unknown.size > 0 ? null : tables,
    warnings: [
      ...(known.length > 0 && lastRows ? [standInText(known, lastRows.backup)] : []),
      ...(unknown.size > 0 ? [`The rows of ${listed([...unknown])} were not counted.`] : []),
    ],
  };
}

function namesWithout(rows: CountedRows): readonly string[] {
  return Object.keys(rows).filter((name) => rows[name] === null);
}

function standInText(names: readonly string[], backup: string): string {
  return `The current rows of ${listed(names)} are those of ${backup}: to count them now takes too long.`;
}

const NAMED_MAX = 3;

function listed(names: readonly string[]): string {
  const more = names.length > NAMED_MAX ? ` and ${names.length - NAMED_MAX} more tables` : '';
  return `${names.slice(0, NAMED_MAX).join(', ')}${more}`;
}

/** Biggest difference first, then by name. */
function compareTables(
  names: readonly string[],
  { now, after }: Readonly<Record<'now' | 'after', CountedRows>>,
): NonNullable<RestorePlan['tables']> {
  const tables = names.map((name) => ({ name, now: now[name] ?? null, after: after[name] ?? null }));
  const difference = (table: (typeof tables)[number]) => Math.abs((table.after ?? 0) - (table.now ?? 0));
  return tables.sort((a, b) => difference(b) - difference(a) || (a.name < b.name ? -1 : 1));
}
