import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { Backup } from './folder-catalog.ts';
import type { DatabaseFacts, LossMark, Manifest } from '../format/manifest.ts';
import {
  findLoss,
  isOpen,
  isRecovered,
  LOSS_DAYS,
  LOSS_RULES,
  lossHolds,
  type LossRules,
  markLoss,
  type OwnChange,
} from './loss.ts';
import { planRetention } from './retention.ts';

const now = new Date('2024-03-01T12:00:00Z');
const hourMs = 3_600_000;
const pageSize = 4096;

type Rows = Readonly<Record<string, number | null>>;

/** As much content as rows; tables are alike unless told. */
function counted(rows: Rows, change: Partial<DatabaseFacts> & { readonly schemas?: Record<string, string> } = {}) {
  const { schemas = {}, ...more } = change;
  const tables = Object.entries(rows).map(([name, count]) => {
    const bytes = (count ?? 0) * 100;
    return [name, { rows: count, bytes, contentBytes: bytes, schema: schemas[name] ?? name }] as const;
  });
  const contentBytes = tables.reduce((sum, [, table]) => sum + table.contentBytes, 0);
  const facts: DatabaseFacts = {
    tables: Object.fromEntries(tables),
    ...{
      furtherTables: 0,
      furtherRows: 0,
      schema: 'x',
      usedPages: Math.ceil(contentBytes / pageSize) + 1,
      contentBytes,
    },
    ...more,
  };
  return { facts, pageSize };
}

function lost(before: Rows, after: Rows, rules: Partial<LossRules> = {}) {
  return findLoss(counted(before), counted(after), { ...LOSS_RULES, ...rules })?.tables ?? null;
}

test('a table that is empty or gone is a loss from 50 rows on', () => {
  const others = { customers: 500, tags: 5 };
  expect(lost({ ...others, orders: 50 }, { ...others, orders: 0 })).toEqual([{ name: 'orders', before: 50, after: 0 }]);
  expect(lost({ ...others, orders: 50 }, others)).toEqual([{ name: 'orders', before: 50, after: null }]);
  expect(lost({ ...others, orders: 49 }, { ...others, orders: 0 })).toBeNull();
  expect(lost({ ...others, orders: 49 }, others)).toBeNull();
});

test('more than half of the rows of a table is a loss from 1,000 rows on', () => {
  expect(lost({ orders: 1_000 }, { orders: 499 })).toEqual([{ name: 'orders', before: 1_000, after: 499 }]);
  expect(lost({ orders: 1_000 }, { orders: 500 })).toBeNull();
  const others = { carts: 5_000 };
  expect(lost({ ...others, orders: 999 }, { ...others, orders: 1 })).toBeNull();
});

test('nearly all rows of all tables together are a loss, as where an app begins anew in an emptied database', () => {
  expect(lost({ orders: 36 }, { orders: 1 })).toEqual([{ name: 'orders', before: 36, after: 1 }]);
  expect(lost({ orders: 30, carts: 10 }, { orders: 4, carts: 1 })).toBeNull();
  expect(lost({ orders: 19 }, { orders: 1 })).toBeNull();
});

test('both numbers can be set', () => {
  expect(lost({ orders: 1_000 }, { orders: 790 }, { percent: 20 })).not.toBeNull();
  expect(lost({ orders: 100 }, { orders: 10 }, { rows: 100 })).not.toBeNull();
  expect(lost({ orders: 5_000 }, { orders: 1 }, { percent: 100 })).toBeNull();
  expect(lost({ orders: 5_000 }, { orders: 0 }, { percent: 100 })).not.toBeNull();
});

test('that everything is gone is a loss however little it was', () => {
  expect(lost({ notes: 1, tags: 2, empty: 0 }, { notes: 0, tags: 0, empty: 0 })).toEqual([
    { name: 'tags', before: 2, after: 0 },
    { name: 'notes', before: 1, after: 0 },
  ]);
  expect(lost({ notes: 3 }, { other: 40 })).toEqual([{ name: 'notes', before: 3, after: null }]);
  expect(lost({ notes: 1, tags: 2 }, { notes: 1, tags: 0 })).toBeNull();
  expect(lost({ notes: 0 }, { other: 40 })).toBeNull();
  expect(lost({}, {})).toBeNull();
});

test('in a file that was exchanged a table that is gone is a loss however little it was', () => {
  const [before, after] = [counted({ users: 20, posts: 5, tags: 3 }), counted({ users: 500, orders: 80, tags: 3 })];
  expect(findLoss(before, after, LOSS_RULES)).toBeNull();
  expect(findLoss(before, after, LOSS_RULES, { isExchanged: true })?.tables).toEqual([
    { name: 'posts', before: 5, after: null },
  ]);
});

test('where half of the tables are gone it is another database, however little they held', () => {
  expect(lost({ users: 20, posts: 5 }, { users: 500, orders: 80 })).toEqual([
    { name: 'posts', before: 5, after: null },
  ]);
  expect(lost({ users: 20, posts: 5, empty: 0 }, { users: 500, posts: 5 })).toBeNull();
  // A queue of a few rows that runs dry is there still.
  expect(lost({ users: 20, queue: 5 }, { users: 20, queue: 0 })).toBeNull();
});

test('a table that was renamed is not gone', () => {
  expect(lost({ orders: 800, customers: 5 }, { old_orders: 800, customers: 5 })).toBeNull();
  // Several that became one, and one of which a part went its usual way.
  expect(lost({ o2023: 300, o2024: 200, x: 5 }, { orders: 500, x: 5 })).toBeNull();
  expect(lost({ orders: 800, x: 5 }, { old_orders: 500, x: 5 })).toBeNull();
  expect(lost({ orders: 800, x: 5 }, { old_orders: 300, x: 5 })).not.toBeNull();
  // A new table with far more rows has others.
  expect(lost({ orders: 800, x: 5 }, { events: 9_000, x: 5 })).not.toBeNull();
  // The rows of one new table stand for one old table.
  expect(lost({ a: 800, b: 800, x: 5 }, { c: 900, x: 5 })).toEqual([{ name: 'b', before: 800, after: null }]);
});

test('the only table that was renamed is known by its definition, and another database by its lack of one', () => {
  const before = counted({ orders: 800 }, { schemas: { orders: 'as it was' } });
  const renamed = counted({ old_orders: 800 }, { schemas: { old_orders: 'as it was' } });
  const other = counted({ users: 900 }, { schemas: { users: 'of another program' } });
  expect(findLoss(before, renamed, LOSS_RULES)).toBeNull();
  expect(findLoss(before, other, LOSS_RULES)?.tables).toEqual([{ name: 'orders', before: 800, after: null }]);
});

test('tables that the app empties are left out, in rows, pages and everything', () => {
  expect(lost({ Cache: 90_000, notes: 5 }, { Cache: 0, notes: 5 }, { ignore: ['cache'] })).toBeNull();
  expect(lost({ cache: 9 }, { cache: 0 }, { ignore: ['cache'] })).toBeNull();
  expect(lost({ cache: 90_000, notes: 5 }, { cache: 0, notes: 0 }, { ignore: ['cache'] })).toEqual([
    { name: 'notes', before: 5, after: 0 },
  ]);
});

test('content that is gone with all rows left is a loss, pages that a vacuum gave back are none', () => {
  const [before, cleared] = [
    { usedPages: 1_000, contentBytes: 3_000_000 },
    { usedPages: 300, contentBytes: 900_000 },
  ];
  const of = (change: Partial<DatabaseFacts>) => counted({ files: 40 }, change);
  expect(findLoss(of(before), of(cleared), LOSS_RULES)).toEqual({
    tables: [],
    usedPages: { before: 1_000, after: 300 },
  });
  expect(findLoss(of(before), of({ ...cleared, contentBytes: 2_900_000 }), LOSS_RULES)).toBeNull();
  expect(findLoss(of({ ...before, usedPages: 255 }), of({ ...cleared, usedPages: 2 }), LOSS_RULES)).toBeNull();
  // Larger pages are fewer.
  const larger = { ...of({ usedPages: 70, contentBytes: 900_000 }), pageSize: 65_536 };
  expect(findLoss(of(before), larger, LOSS_RULES)).toBeNull();
});

test('rows that nobody can count are no loss', () => {
  expect(lost({ search: null, notes: 5 }, { notes: 5 })).toBeNull();
  expect(lost({ search: 5_000, notes: 5 }, { search: null, notes: 5 })).toBeNull();
});

test('a table beyond the end of a list that was cut is not gone', () => {
  const before = counted({ a: 500, b: 500, z: 500 });
  const cut = counted({ a: 500, b: 500 }, { furtherTables: 1, furtherRows: 500 });
  expect(findLoss(before, cut, LOSS_RULES)).toBeNull();
  const without = counted({ a: 500, c: 500 }, { furtherTables: 1, furtherRows: 500 });
  expect(findLoss(before, without, LOSS_RULES)).toBeNull(); // renamed
  const gone = counted({ a: 500, c: 5 }, { furtherTables: 1, furtherRows: 500 });
  expect(findLoss(before, gone, LOSS_RULES)?.tables).toEqual([{ name: 'b', before: 500, after: null }]);
});

test('the worst is told first, and no more than a few', () => {
  const before = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`t${at}`, 1_000 + at]));
  const tables = lost({ ...before, rest: 5 }, { rest: 5 }) ?? [];
  expect(tables).toHaveLength(20);
  expect(tables[0]).toEqual({ name: 't49', before: 1_049, after: null });
});

test('nothing that only grows is a loss, and what lost nothing by name and rows is none', () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd', 'e', '__proto__', 'constructor');
  const database = fc.dictionary(names, fc.nat({ max: 100_000 }));
  fc.assert(
    fc.property(database, fc.dictionary(names, fc.nat({ max: 1_000 })), (before, more) => {
      const after: Record<string, number> = { ...before };
      for (const [name, rows] of Object.entries(more))
        after[name] = (Object.hasOwn(before, name) ? (before[name] ?? 0) : 0) + rows;
      expect(lost(before, after)).toBeNull();
    }),
    { seed: 20_261_129, numRuns: 500 },
  );
});

// ── which two are compared ──

let made = 0;
function backup(
  hoursAgo: number,
  rows: Rows,
  change: Partial<Manifest> = {},
): Backup & { readonly manifest: Manifest } {
  const createdAt = new Date(now.getTime() - hoursAgo * hourMs);
  const manifest = manifestOf(createdAt, {
    sequence: 1_000_000 - hoursAgo * 100 + (made++ % 50),
    facts: counted(rows).facts,
    ...change,
  });
  return { name: manifest.name, path: `/backups/${manifest.name}`, sizeBytes: 8192, createdAt, manifest, fault: null };
}

function mark(last: ReturnType<typeof backup>, earlier: readonly Backup[], ownChange: OwnChange | null = null) {
  const factsOf = ({ manifest }: Backup) => manifest?.facts ?? null;
  return markLoss(last.manifest, earlier, { rules: LOSS_RULES, ownChange, factsOf });
}

const full = { orders: 8_310, customers: 40 };
const emptied = { orders: 0, customers: 40 };

test('a loss is marked with the backup before it and the newest one that is a day older', () => {
  const earlier = [1, 2, 10, 24, 25, 26, 60].map((hours) => backup(hours, full));
  expect(mark(backup(0, emptied), earlier)).toEqual({
    before: earlier[0]?.name ?? '',
    dayBefore: earlier[4]?.name ?? '',
    tables: [{ name: 'orders', before: 8_310, after: 0 }],
    usedPages: { before: counted(full).facts.usedPages, after: counted(emptied).facts.usedPages },
    accepted: null,
  });
  expect(mark(backup(0, emptied), earlier.slice(0, 2))?.dayBefore).toBeNull();
});

test('a damaged backup is compared with nothing, the good one before it is', () => {
  const complaint = { method: 'quick', at: now.toISOString(), complaint: 'row 7 is missing' } as const;
  const earlier = [backup(1, emptied, { verification: complaint }), backup(2, full)];
  expect(mark(backup(0, emptied), earlier)?.before).toBe(earlier[1]?.name ?? '');
});

test('the backup after the marked one shows nothing new', () => {
  expect(mark(backup(0, emptied), [backup(1, emptied), backup(2, full)])).toBeNull();
});

test('what we did ourselves is no loss: a restore or an undo, a migration', () => {
  const before = backup(2, full);
  expect(mark(backup(0, emptied), [backup(1, full, { trigger: 'safety' }), before])).toBeNull();
  expect(mark(backup(0, emptied), [backup(2, full, { beforeMigration: true, pinned: true })])).toBeNull();
  // A note is what anybody may type.
  expect(mark(backup(0, emptied), [backup(2, full, { note: 'before a migration', pinned: true })])).not.toBeNull();
  const migrated = (hoursAgo: number) => ({ at: new Date(now.getTime() - hoursAgo * hourMs), restored: null });
  expect(mark(backup(0, emptied), [before], migrated(1))).toBeNull();
  expect(mark(backup(0, emptied), [before], migrated(3))).not.toBeNull();
});

test('after a restore the next backup is compared with the one that was restored', () => {
  const [grown, restored] = [backup(2, { ...full, more: 5_000 }), backup(5, full)];
  const safety = backup(1, { ...full, more: 5_000 }, { trigger: 'safety' });
  const ownChange = { at: new Date(now.getTime() - hourMs / 2), restored: restored.name };
  expect(mark(backup(0, full), [safety, grown, restored], ownChange)).toBeNull();
  expect(mark(backup(0, emptied), [safety, grown, restored], ownChange)?.before).toBe(restored.name);
  // An undo brings a safety backup back.
  const undone = { ...ownChange, restored: safety.name };
  expect(mark(backup(0, { ...full, more: 0 }), [safety, grown, restored], undone)?.before).toBe(safety.name);
  expect(mark(backup(0, emptied), [safety, grown], ownChange)).toBeNull();
});

test('without anything to compare with, or without numbers, nothing is marked', () => {
  expect(mark(backup(0, emptied), [])).toBeNull();
  expect(mark(backup(0, emptied), [backup(1, {}, { facts: undefined })])).toBeNull();
  expect(mark(backup(0, {}, { facts: undefined }), [backup(1, full)])).toBeNull();
});

test('another inode of the database’s file makes it an exchanged one', () => {
  const stamp = (inode: string) => ({ main: { inode, sizeBytes: 1, modifiedNs: '1' }, wal: null, recordedAtMs: 1 });
  const before = backup(1, { users: 20, posts: 5, tags: 3 }, { stamp: stamp('7') });
  const after = { users: 400, tags: 3 };
  expect(mark(backup(0, after, { stamp: stamp('7') }), [before])).toBeNull();
  expect(mark(backup(0, after, { stamp: stamp('8') }), [before])?.tables).toEqual([
    { name: 'posts', before: 5, after: null },
  ]);
});

// ── as long as nobody answered ──

function marked(hoursAgo: number, before: Backup, dayBefore: Backup | null, change: Partial<LossMark> = {}) {
  const loss: LossMark = {
    ...{
      before: before.name,
      dayBefore: dayBefore?.name ?? null,
      tables: [{ name: 'orders', before: 8_310, after: 0 }],
    },
    ...{ usedPages: { before: 300, after: 20 }, accepted: null },
    ...change,
  };
  return backup(hoursAgo, emptied, { loss });
}

const reasonsOf = (backups: readonly Backup[], count: number) => {
  const { kept } = planRetention(backups, { count, startBurstMs: 0 }, { now });
  return new Map(kept.map(({ backup: { name }, reasons }) => [name, reasons]));
};

test('retention keeps the backup before a loss and one a day older, however small its count and often it runs', () => {
  for (const count of [1, 2, 3]) {
    const older = Array.from({ length: 60 }, (_, hours) => backup(50 + hours, full));
    const [before, dayBefore] = [older[0] as Backup, older[24] as Backup];
    const shows = marked(49, before, dayBefore);
    const newer = Array.from({ length: 48 }, (_, hours) => backup(1 + hours, emptied));
    const kept = reasonsOf([...newer, shows, ...older], count);
    expect([...kept.keys()]).toEqual([...newer.slice(0, count), shows, before, dayBefore].map(({ name }) => name));
    expect(kept.get(shows.name)).toEqual(['shows a loss that nobody has accepted']);
    expect(kept.get(before.name)).toEqual([`last before the loss in ${shows.name}`]);
    expect(kept.get(dayBefore.name)).toEqual([`a day before the loss in ${shows.name}`]);
  }
});

test('they go when somebody said that it was meant, and after 30 days', () => {
  const accepted = { at: now.toISOString(), user: 'ada' };
  const before = backup(30, full);
  expect(reasonsOf([backup(1, emptied), marked(20, before, null, { accepted }), before], 1).size).toBe(1);
  const old = backup(24 * LOSS_DAYS + 2, full);
  const shows = marked(24 * LOSS_DAYS + 1, old, null);
  expect(isOpen(shows, now)).toBe(false);
  expect(reasonsOf([backup(1, emptied), shows, old], 1).size).toBe(1);
  const later = marked(24 * LOSS_DAYS - 1, old, null);
  expect(reasonsOf([backup(1, emptied), later, old], 1).size).toBe(3);
});

test('where the named backups are not at this place, others stand in for them', () => {
  const absent = backup(2, full);
  const older = [3, 10, 20, 28, 40].map((hours) => backup(hours, full));
  const damaged = backup(2.5, full, { verification: { method: 'quick', at: now.toISOString(), complaint: 'bad' } });
  const shows = marked(1, absent, absent);
  const holds = lossHolds([shows, damaged, ...older], now);
  expect([...holds.keys()].map(({ name }) => name)).toEqual([shows, older[0], older[3]].map((one) => one?.name ?? ''));
});

test('an alarm is over when the rows are back', () => {
  const { loss } = marked(1, backup(2, full), null).manifest;
  if (!loss) throw new Error('it is marked');
  expect(isRecovered(loss, counted(full).facts)).toBe(true);
  expect(isRecovered(loss, counted({ orders: 8_000 }).facts)).toBe(true);
  expect(isRecovered(loss, counted({ orders: 5_000 }).facts)).toBe(false);
  expect(isRecovered(loss, counted({ customers: 9_000 }).facts)).toBe(false);
  const ofPages = { ...loss, tables: [] };
  expect(isRecovered(ofPages, counted({}, { usedPages: 290 }).facts)).toBe(true);
  expect(isRecovered(ofPages, counted({}, { usedPages: 200 }).facts)).toBe(false);
});
