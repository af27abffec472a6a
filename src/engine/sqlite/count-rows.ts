/**
 * How many rows each table has, within a time: for a plan, which nobody is to wait for. SQLite counts a table by reading all
 * of it, and a statement can't be ended from the thread that waits for it. So each statement reads so many rows at most, and
 * up to four times as many in the next round, in which the small tables have been counted already.
 */
import type { DatabaseSync } from 'node:sqlite';
import { namesOfTables } from './facts.ts';

/** By the names of the tables that people made; null for one that was not counted. */
export type CountedRows = Readonly<Record<string, number | null>>;

const FIRST_ROWS = 20_000;
const GROWTH = 4;
const WORTH = 1.5;
/** The next rows may take longer than those before. */
const SPARE = 0.8;

export function countRows(
  connection: DatabaseSync,
  { deadlineMs, nowMs = () => performance.now() }: { readonly deadlineMs: number; readonly nowMs?: () => number },
): CountedRows {
  const names = namesOfTables(connection);
  const endMs = nowMs() + deadlineMs;
  const rows = new Map<string, number | null>(names.map((name) => [name, null]));
  let pending = names.map((name) => ({ name, most: FIRST_ROWS }));
  while (pending.length > 0) {
    const longer: typeof pending = [];
    for (const { name, most } of pending) {
      const startMs = nowMs();
      if (startMs > endMs) break;
      const counted = countUpTo(connection, name, most);
      if (counted !== most) rows.set(name, counted);
      else longer.push({ name, most: Math.floor(most * growthWithin(endMs, { startMs, nowMs: nowMs() })) });
    }
    pending = longer.filter(({ most }) => most > 0);
  }
  return Object.fromEntries(rows);
}

/** As many rows more as there is time for, by what those before took; 0 if that is hardly more. */
function growthWithin(endMs: number, { startMs, nowMs }: { readonly startMs: number; readonly nowMs: number }): number {
  const fitting = (SPARE * (endMs - nowMs)) / Math.max(nowMs - startMs, Number.EPSILON);
  return fitting < WORTH ? 0 : Math.min(GROWTH, fitting);
}

function countUpTo(connection: DatabaseSync, name: string, most: number): number | null {
  try {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const found = connection.prepare(`SELECT count(*) AS n FROM (SELECT 1 FROM ${quoted} LIMIT ${most})`).get();
    return Number(found?.['n']);
  } catch {
    // A virtual table whose module this library lacks can't be counted; the others can.
    return null;
  }
}
