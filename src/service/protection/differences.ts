/** Two backups side by side, by what verification counted in them: no file is opened for it. Pure. */
import type { DatabaseFacts, Manifest } from '../../engine/format/manifest.ts';
import type { BackupDiff, RowChanges } from '../backups/shown-backup.ts';

interface CountedBackup {
  readonly name: string;
  readonly manifest: Pick<Manifest, 'facts' | 'database'> | null;
}

/** A backup whose tables were counted. */
interface WithFacts {
  readonly name: string;
  readonly facts: DatabaseFacts;
  readonly pageSize: number;
}

/** Null for one that was not counted. */
export function withFacts({ name, manifest }: CountedBackup): WithFacts | null {
  return manifest?.facts ? { name, facts: manifest.facts, pageSize: manifest.database.pageSize } : null;
}

export function compareBackups(a: WithFacts, b: WithFacts): BackupDiff {
  const tables = pairs(a.facts, b.facts).map(({ name, before, after }) => ({
    name,
    change: changeOf(before, after),
    before: before && sizeOf(before),
    after: after && sizeOf(after),
  }));
  return {
    a: a.name,
    b: b.name,
    tables: tables.sort((one, other) => differenceOf(other) - differenceOf(one) || byName(one, other)),
    isSameSchema: a.facts.schema === b.facts.schema,
    usedBytes: { before: a.facts.usedPages * a.pageSize, after: b.facts.usedPages * b.pageSize },
  };
}

type Table = DatabaseFacts['tables'][string];

interface Pair {
  readonly name: string;
  readonly before: Table | null;
  readonly after: Table | null;
}

/** As far as both lists go, where one of them was cut. */
function pairs(before: DatabaseFacts, after: DatabaseFacts): readonly Pair[] {
  const [was, is] = [new Map(Object.entries(before.tables)), new Map(Object.entries(after.tables))];
  const ends = [before, after].flatMap(({ tables, furtherTables }) =>
    furtherTables > 0 ? (Object.keys(tables).toSorted().at(-1) ?? '') : [],
  );
  return [...new Set([...was.keys(), ...is.keys()])]
    .filter((name) => ends.every((end) => name <= end))
    .map((name) => ({ name, before: was.get(name) ?? null, after: is.get(name) ?? null }));
}

function changeOf(before: Table | null, after: Table | null): BackupDiff['tables'][number]['change'] {
  if (before === null) return 'added';
  if (after === null) return 'removed';
  if (before.schema !== after.schema) return 'schema';
  return before.rows === after.rows ? 'same' : 'rows';
}

function sizeOf({ rows, bytes }: Table): { readonly rows: number | null; readonly bytes: number } {
  return { rows, bytes };
}

function differenceOf({ before, after }: Pick<BackupDiff['tables'][number], 'before' | 'after'>): number {
  return Math.abs((after?.rows ?? 0) - (before?.rows ?? 0));
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

/** The rest is a number. */
const TABLES_SHOWN = 3;
/** The same two are asked about with each look at the list. */
const changesSeen = new WeakMap<DatabaseFacts, { readonly before: DatabaseFacts; readonly changes: RowChanges }>();

/** What a backup has more and less than the one before it; null if one of them was not counted. */
export function changesBetween(before: CountedBackup | null, after: CountedBackup): RowChanges | null {
  const [was, is] = [before && withFacts(before), withFacts(after)];
  if (!was || !is) return null;
  const seen = changesSeen.get(is.facts);
  if (seen?.before === was.facts) return seen.changes;
  const differing = pairs(was.facts, is.facts).filter((pair) => pair.before?.rows !== pair.after?.rows);
  const tables = differing
    .sort((a, b) => differenceOf(b) - differenceOf(a) || byName(a, b))
    .slice(0, TABLES_SHOWN)
    .map((pair) => ({ name: pair.name, before: pair.before?.rows ?? null, after: pair.after?.rows ?? null }));
  const changes = { since: was.name, count: differing.length, tables };
  changesSeen.set(is.facts, { before: was.facts, changes });
  return changes;
}

/** In all tables; null if they were not counted. */
export function totalRows(facts: DatabaseFacts | undefined): number | null {
  if (!facts) return null;
  const listed = Object.values(facts.tables).reduce((sum, { rows }) => sum + (rows ?? 0), 0);
  return listed + (facts.furtherRows ?? 0);
}
