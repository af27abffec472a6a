import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { manifestOf } from '../../../tests/support/scratch.ts';
import { type Backup, inOrder } from './folder-catalog.ts';
import type { Manifest } from '../format/manifest.ts';
import { DISK_RESERVE_BYTES, historyBudget } from '../disk/share.ts';
import { type Period, periodOf } from './periods.ts';
import { KEEP_BY_DEFAULT, KEEP_NONE, planRetention, type RetentionPolicy } from './retention.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const GB = 1024 ** 3;
const now = new Date('2024-03-01T12:00:00Z');
const byDefault: RetentionPolicy = { count: 10, startBurstMs: 10 * minuteMs, keep: KEEP_BY_DEFAULT };

let sequence = 0;
function backup(createdAt: Date, change: Partial<Manifest> & { readonly sizeBytes?: number } = {}): Backup {
  const { sizeBytes = GB } = change;
  const manifest = manifestOf(createdAt, { sizeBytes, sequence: ++sequence, ...change });
  return { name: manifest.name, path: `/backups/${manifest.name}`, sizeBytes, createdAt, manifest, fault: null };
}

const before = (ms: number, change?: Parameters<typeof backup>[1]) => backup(new Date(now.getTime() - ms), change);

/** A folder that is pruned after each backup, as `backup.ts` does it. */
class Folder {
  backups: readonly Backup[] = [];
  readonly #policy: RetentionPolicy;

  constructor(policy: RetentionPolicy) {
    this.#policy = policy;
  }

  add(at: Date, change?: Parameters<typeof backup>[1]): void {
    const all = inOrder([backup(at, change), ...this.backups]);
    this.backups = planRetention(all, this.#policy, { now: at }).kept.map((entry) => entry.backup);
  }

  /** One every ten minutes, for so many days. */
  live(days: number): void {
    for (let ms = days * dayMs; ms > 0; ms -= 10 * minuteMs) this.add(new Date(now.getTime() - ms));
  }

  periods(period: Period): readonly string[] {
    return [...new Set(this.backups.map(({ createdAt }) => periodOf(createdAt, period)))];
  }
}

describe('the history of a default folder with room enough', () => {
  const folderOfAMonth = () => {
    const folder = new Folder({ ...byDefault, budgetBytes: 1_000 * GB });
    folder.live(30);
    return folder;
  };

  test('goes back a day by hours, a week by days and a month by weeks beside the newest ten', () => {
    const folder = folderOfAMonth();
    expect(folder.periods('hourly').length).toBeGreaterThanOrEqual(24);
    expect(folder.periods('daily').slice(0, 7)).toEqual([
      ...['2024-03-01', '2024-02-29', '2024-02-28', '2024-02-27', '2024-02-26', '2024-02-25', '2024-02-24'],
    ]);
    expect(folder.periods('weekly').length).toBe(4);
    expect(folder.backups.slice(0, 10).map(({ createdAt }) => now.getTime() - createdAt.getTime())).toEqual(
      Array.from({ length: 10 }, (_, index) => (index + 1) * 10 * minuteMs),
    );
  });

  test('"give me yesterday back" works on the second day', () => {
    const folder = new Folder({ ...byDefault, budgetBytes: 1_000 * GB });
    folder.live(1.5);
    expect(folder.periods('daily')).toContain('2024-02-29');
  });

  for (const [what, times, trigger] of [
    ['a script that backs up eleven times', 11, 'manual'],
    ['a burst of a thousand backups by hand', 1_000, 'manual'],
    ['a crash loop of a thousand starts', 1_000, 'start'],
  ] as const) {
    test(`outlives ${what}: only the hour that it happened in loses something`, () => {
      const folder = folderOfAMonth();
      const earlier = folder.backups.filter(({ createdAt }) => now.getTime() - createdAt.getTime() > hourMs);
      const wanted = (period: Period) => new Set(earlier.map((one) => periodOf(one.createdAt, period)));
      const [hours, days, weeks] = [wanted('hourly'), wanted('daily'), wanted('weekly')];
      for (let index = 0; index < times; index++) folder.add(new Date(now.getTime() + index * 3_000), { trigger });
      expect([...days].filter((day) => !folder.periods('daily').includes(day))).toEqual([]);
      // Older than four weeks and 24 hours they go as time passes, with a burst or without.
      expect([...weeks].filter((week) => !folder.periods('weekly').includes(week)).length).toBeLessThanOrEqual(1);
      expect([...hours].filter((hour) => !folder.periods('hourly').includes(hour)).length).toBeLessThanOrEqual(1);
    });
  }

  test('outlives retention that was set to one backup', () => {
    const folder = folderOfAMonth();
    const { kept } = planRetention(folder.backups, { ...byDefault, count: 1, budgetBytes: 1_000 * GB }, { now });
    expect(new Set(kept.map((entry) => periodOf(entry.backup.createdAt, 'daily'))).size).toBeGreaterThanOrEqual(7);
  });
});

describe('the budget', () => {
  const days = Array.from({ length: 9 }, (_, index) => before(index * dayMs + minuteMs));
  const hours = Array.from({ length: 6 }, (_, index) => before((index + 1) * hourMs + 2 * minuteMs));
  const all = [...days, ...hours].toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
  const kept = (copies: number, count = 1) => {
    const policy = { ...byDefault, count, budgetBytes: copies * GB };
    return planRetention(all, policy, { now }).kept.map((entry) => entry.backup);
  };

  test('admits the days first, then the weeks, then the hours, each from the newest on', () => {
    expect(kept(3)).toEqual(expect.arrayContaining(days.slice(0, 3)));
    expect(kept(3).length).toBe(3);
    expect(kept(7)).toEqual(expect.arrayContaining(days.slice(0, 7)));
    // The oldest stands for the weeks that are yet to come.
    expect(kept(8)).toEqual(expect.arrayContaining([...days.slice(0, 7), days[8] as Backup]));
    const nine = kept(9);
    expect(nine.filter((one) => hours.includes(one))).toEqual([hours[0] as Backup]);
    expect(nine.length).toBe(9);
  });

  test('never takes one of the newest, of the safety backups, of the pinned and foreign ones', () => {
    const safety = before(2 * hourMs, { trigger: 'safety' });
    const pinned = before(200 * dayMs, { pinned: true });
    const foreign = { ...before(300 * dayMs), manifest: null };
    const policy = { ...byDefault, count: 4, budgetBytes: 0 };
    const plan = planRetention([...all.slice(0, 4), safety, ...all.slice(4), pinned, foreign], policy, { now });
    expect(plan.kept.map((entry) => entry.backup)).toEqual([...all.slice(0, 4), safety, pinned, foreign]);
    expect(plan.removed[0]?.reason).toBe(
      'older than the newest 4, and the default share of the disk for backups is used up',
    );
  });

  test('counts safety backups, pinned and foreign ones too', () => {
    const safety = Array.from({ length: 5 }, (_, index) => before((index + 1) * hourMs, { trigger: 'safety' }));
    const plan = planRetention([...all, ...safety], { ...byDefault, count: 1, budgetBytes: 8 * GB }, { now });
    // Five safety backups, and of the days the newest three.
    expect(plan.kept.filter(({ backup: one }) => days.includes(one)).length).toBe(3);
  });

  test('one that does not fit ends it: a smaller one of long ago is no substitute', () => {
    const small = before(3 * dayMs, { sizeBytes: 1 });
    const large = before(2 * dayMs, { sizeBytes: 50 * GB });
    const newest = before(minuteMs);
    const policy = { ...byDefault, count: 1, keep: { ...KEEP_NONE, daily: 7 }, budgetBytes: 10 * GB };
    expect(planRetention([newest, large, small], policy, { now }).kept.map(({ backup: one }) => one)).toEqual([newest]);
  });

  test('without one every number holds as before', () => {
    const plan = (policy: RetentionPolicy) => planRetention(all, policy, { now });
    expect(plan({ ...byDefault, budgetBytes: 1_000 * GB })).toEqual(plan(byDefault));
  });
});

const anyFolder = fc.array(
  fc.record({
    hoursAgo: fc.integer({ min: 0, max: 40 * 24 }),
    minute: fc.nat({ max: 59 }),
    sizeBytes: fc.integer({ min: 1, max: 5 }),
    trigger: fc.constantFrom('start', 'schedule', 'manual', 'safety'),
    pinned: fc.boolean(),
    isGood: fc.boolean(),
  }),
  { maxLength: 60 },
);
const toBackups = (given: readonly (typeof anyFolder extends fc.Arbitrary<infer Given> ? Given : never)[number][]) =>
  given.map(({ hoursAgo, minute, sizeBytes, trigger, pinned, isGood }) =>
    before(hoursAgo * hourMs + minute * minuteMs, {
      ...{ sizeBytes, trigger, pinned: pinned && hoursAgo % 5 === 0 },
      verification: { method: 'quick', at: now.toISOString(), complaint: isGood ? null : 'row 7 missing from index' },
    }),
  );

test('whatever there is: what stays anyway is never removed for want of room, and the calendar stays below the budget', () => {
  fc.assert(
    fc.property(anyFolder, fc.nat({ max: 120 }), fc.integer({ min: 1, max: 12 }), (given, budgetBytes, count) => {
      const backups = toBackups(given);
      const policy = { ...byDefault, count };
      const names = (plan: { kept: readonly { backup: Backup }[] }) => plan.kept.map((entry) => entry.backup);
      const alone = names(planRetention(backups, { ...policy, keep: KEEP_NONE }, { now }));
      const within = names(planRetention(backups, { ...policy, budgetBytes }, { now }));
      const bytes = (some: readonly Backup[]) => some.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      expect(bytes(within)).toBeLessThanOrEqual(Math.max(budgetBytes, bytes(alone)));
      // One of a burst of starts that the calendar keeps takes the place of another.
      const counted = (some: readonly Backup[]) =>
        some.filter(({ manifest }) => manifest?.trigger !== 'safety' && !manifest?.pinned).length;
      expect(counted(within)).toBeGreaterThanOrEqual(counted(alone));
    }),
    { seed: 20_241_129, numRuns: 1_000 },
  );
});

test('carried out twice in a row, the second plan within a budget removes nothing', () => {
  fc.assert(
    fc.property(anyFolder, fc.nat({ max: 120 }), fc.integer({ min: 1, max: 12 }), (given, budgetBytes, count) => {
      const policy = { ...byDefault, count, budgetBytes };
      const once = planRetention(toBackups(given), policy, { now }).kept.map((entry) => entry.backup);
      expect(planRetention(once, policy, { now }).removed).toEqual([]);
    }),
    { seed: 20_241_130, numRuns: 2_000 },
  );
});

describe('what a history may take', () => {
  const copies = (many: number) => Array.from({ length: many }, () => ({ sizeBytes: GB }));

  test('is a fifth of the disk, for all databases on it together', () => {
    expect(historyBudget(copies(3), { diskBytes: 500 * GB, freeBytes: 400 * GB })).toBe(100 * GB);
    expect(historyBudget(copies(3), { diskBytes: 500 * GB, freeBytes: 400 * GB }, 4)).toBe(25 * GB);
  });

  test('leaves room for the next backup, a restore and a drill', () => {
    expect(historyBudget(copies(10), { diskBytes: 500 * GB, freeBytes: 7 * GB + DISK_RESERVE_BYTES })).toBe(13 * GB);
  });

  test('gives back as much as a run added where others fill the disk, and no more at a stroke', () => {
    expect(historyBudget(copies(30), { diskBytes: 500 * GB, freeBytes: 0 })).toBe(29 * GB);
    expect(historyBudget(copies(30), { diskBytes: 500 * GB, freeBytes: 2 * GB })).toBe(29 * GB);
  });

  test('is nothing where there is nothing', () => {
    expect(historyBudget([], { diskBytes: 0, freeBytes: 0 })).toBe(0);
  });
});
