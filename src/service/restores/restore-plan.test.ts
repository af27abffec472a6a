import { expect, test } from 'bun:test';
import type { CountedRows } from '../../engine/sqlite/count-rows.ts';
import type { DatabaseFacts } from '../../engine/format/manifest.ts';
import { type PlannedSource, rowsIn, toRestorePlan } from './restore-plan.ts';

const at = new Date('2024-01-15T12:00:00Z');
const source: PlannedSource = {
  ...{ name: 'old', sizeBytes: 1, createdAt: at, verified: true, other: null, loss: null },
};
const main = { inode: '1:2', sizeBytes: 1, modifiedNs: '0' };
const stamp = { main, wal: null, recordedAtMs: 0 };

function factsOf(now: CountedRows, after: CountedRows) {
  const pages = { pageSize: 4096, schemaVersion: 0, encoding: null };
  return {
    live: { ...pages, isWal: true, isOnNetwork: false, rows: now, uncounted: null },
    ...{ liveComplaint: null, open: { by: [], unseen: null } },
    backup: { ...pages, hasPageChecksums: false, rows: after },
  };
}

/** What a plan says of the tables, given the rows that were counted now and those of the backup. */
function compared(now: CountedRows, after: CountedRows, lastRows: CountedRows | null = null) {
  const facts = factsOf(now, after);
  const last = lastRows && { backup: 'newest', rows: lastRows };
  const { tables, warnings } = toRestorePlan(source, facts, { databaseName: 'shop.sqlite', stamp, lastRows: last });
  return { tables: tables?.map((table) => [table.name, table.now, table.after]) ?? null, warnings };
}

test('how long programs wait is said before a large backup is restored online', () => {
  const warned = (sizeBytes: number, mode?: 'online' | 'offline') =>
    toRestorePlan({ ...source, sizeBytes }, factsOf({}, {}), { databaseName: 'shop.sqlite', stamp, mode }).warnings;
  const said = expect.stringMatching(/wait until all 5.6 GB are copied/);
  expect(warned(6e9)).toEqual([said]);
  expect(warned(6e9, 'online')).toEqual([said]);
  expect([warned(6e9, 'offline'), warned(5e8)]).toEqual([[], []]);
});

test('what takes too long to count is taken from the newest backup, which is named', () => {
  const { tables, warnings } = compared({ events: null, users: 3 }, { events: 10, users: 2 }, { events: 12, users: 9 });
  expect(tables).toEqual([
    ['events', 12, 10],
    ['users', 3, 2],
  ]);
  expect(warnings).toEqual(['The current rows of events are those of newest: to count them now takes too long.']);
});

test('what nobody counted is named and compared with nothing', () => {
  const { tables, warnings } = compared({ events: null, users: 3, geo: 4 }, { events: 10, users: 2, geo: null });
  expect(tables).toEqual([['users', 3, 2]]);
  expect(warnings).toEqual(['The rows of events, geo were not counted.']);
  const many = compared({ a: null, b: null, c: null, d: null, e: null }, {});
  expect(many).toEqual({ tables: null, warnings: ['The rows of a, b, c and 2 more tables were not counted.'] });
});

test('a table that is missing on one side is none that was not counted', () => {
  expect(compared({ users: 3, drafts: 1 }, { users: 3, orders: 7 }).tables).toEqual([
    ['orders', null, 7],
    ['drafts', 1, null],
    ['users', 3, 3],
  ]);
});

test('the rows of a manifest stand for a count, unless its list was cut', () => {
  const tables = { users: { rows: 2, bytes: 1, schema: '' }, geo: { rows: null, bytes: 1, schema: '' } };
  const facts: DatabaseFacts = { tables, furtherTables: 0, schema: '', usedPages: 1 };
  expect(rowsIn(facts)).toEqual({ users: 2, geo: null });
  expect(rowsIn({ ...facts, furtherTables: 1 })).toBeUndefined();
  expect(rowsIn(undefined)).toBeUndefined();
});
