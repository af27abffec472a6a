import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { Backup } from './folder-catalog.ts';
import type { Manifest } from '../format/manifest.ts';
import { PERIODS, type Period, periodOf } from './periods.ts';
import { isVerified, KEEP_NONE, planRetention, type RetentionPolicy } from './retention.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;
const now = new Date('2024-03-01T12:00:00Z');
const policy: RetentionPolicy = { count: 3, startBurstMs: 10 * minuteMs };

function backup(minutesAgo: number, change: Partial<Manifest> = {}): Backup {
  const createdAt = new Date(now.getTime() - minutesAgo * minuteMs);
  const manifest = manifestOf(createdAt, change);
  return { name: manifest.name, path: `/backups/${manifest.name}`, sizeBytes: 8192, createdAt, manifest, fault: null };
}

const foreign = (minutesAgo: number): Backup => ({ ...backup(minutesAgo), manifest: null });
const failed = { method: 'quick', at: now.toISOString(), complaint: 'row 7 missing from index' } as const;

function plan(backups: readonly Backup[], change: Partial<RetentionPolicy> = {}) {
  const { kept, removed } = planRetention(backups, { ...policy, ...change }, { now });
  return {
    kept: kept.map((entry) => entry.backup),
    removed: removed.map((entry) => entry.backup),
    reasonsOf: (wanted: Backup) => kept.find((entry) => entry.backup === wanted)?.reasons ?? [],
  };
}

test('the newest so many are kept, each with its place, and the rest go with a reason', () => {
  const backups = [10, 20, 30, 40, 50].map((minutes) => backup(minutes));
  const { kept, removed } = planRetention(backups, policy, { now });
  expect(kept.map(({ reasons }) => reasons)).toEqual([
    ['newest verified backup', 'one of the newest 3 (1)'],
    ['one of the newest 3 (2)'],
    ['one of the newest 3 (3)'],
  ]);
  expect(removed).toEqual([
    { backup: backups[3] as Backup, reason: 'older than the newest 3' },
    { backup: backups[4] as Backup, reason: 'older than the newest 3' },
  ]);
});

test('a pinned backup stays and takes nobody’s place', () => {
  const pinned = backup(1, { pinned: true });
  const old = backup(9_999, { pinned: true });
  const others = [10, 20, 30, 40].map((minutes) => backup(minutes));
  const { removed, reasonsOf } = plan([pinned, ...others, old]);
  expect(removed).toEqual(others.slice(3));
  expect(reasonsOf(old)).toEqual(['pinned']);
});

test('one that came from elsewhere stays, takes nobody’s place, and is no newest verified backup', () => {
  const arrived = { at: now.toISOString(), file: 'shop-copy.sqlite' };
  const strangers = [backup(5, { arrived }), backup(100_000, { arrived })] as const;
  const others = [10, 20, 30, 40].map((minutes) => backup(minutes, { verification: failed }));
  const good = backup(50);
  const { removed, reasonsOf } = plan([strangers[0], ...others, good, strangers[1]]);
  expect(removed).toEqual(others.slice(3));
  expect(reasonsOf(good)).toEqual(['newest verified backup']);
  for (const stranger of strangers)
    expect(reasonsOf(stranger)).toEqual(['came from elsewhere: only a person removes it']);
});

test('a foreign backup is never removed and takes nobody’s place', () => {
  const strangers = [foreign(5), foreign(100_000)];
  const others = [10, 20, 30, 40].map((minutes) => backup(minutes));
  const { removed, reasonsOf } = plan([strangers[0] as Backup, ...others, strangers[1] as Backup]);
  expect(removed).toEqual(others.slice(3));
  for (const stranger of strangers) expect(reasonsOf(stranger)).toEqual(['foreign: not made by this program']);
});

test('a backup whose manifest is unreadable is not ours to remove', () => {
  const unreadable: Backup = { ...foreign(100_000), fault: 'its manifest is far too large' };
  const others = [10, 20, 30, 40].map((minutes) => backup(minutes));
  expect(plan([...others, unreadable]).reasonsOf(unreadable)).toEqual(['its manifest is unreadable']);
});

test('the newest verified backup outlives newer ones that are damaged', () => {
  const good = backup(100);
  const sizeDiffers: Backup = { ...backup(4), fault: 'the file has 1 bytes, but its manifest says 8192' };
  const bad = [
    backup(1, { verification: failed }),
    backup(2, { verification: failed }),
    backup(3, { verification: failed }),
  ];
  const { removed, reasonsOf } = plan([...bad, sizeDiffers, good, backup(200)]);
  expect(reasonsOf(good)).toEqual(['newest verified backup']);
  expect(removed).toEqual([sizeDiffers, expect.objectContaining({ name: backup(200).name })]);
});

test('a safety backup is kept for 30 days beside the count, then goes', () => {
  const young = backup(30 * 1_440 - 1, { trigger: 'safety' });
  const old = backup(30 * 1_440, { trigger: 'safety' });
  const others = [10, 20, 30].map((minutes) => backup(minutes));
  const { kept, reasonsOf } = plan([...others, young, old]);
  expect(kept).toEqual([...others, young]);
  expect(reasonsOf(young)).toEqual(['safety backup younger than 30 days']);
  expect(planRetention([...others, old], policy, { now }).removed[0]?.reason).toBe('safety backup older than 30 days');
});

test('a safety backup that a clock behind made counts its age from the backup before it', () => {
  const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000).toISOString();
  const others = [10, 20, 30].map((minutes) => backup(minutes));
  const made = (days: number) => backup(50 * 525_600, { trigger: 'safety', madeAfter: daysAgo(days) });
  const { kept } = plan([...others, made(29)]);
  expect(kept).toEqual([...others, made(29)]);
  expect(plan([...others, made(30)]).removed).toEqual([made(30)]);
  // That one was made by a clock ahead.
  expect(plan([...others, made(-1)]).removed).toEqual([made(-1)]);
});

test('of several starts within one interval the oldest and the newest are kept and counted', () => {
  const starts = [1, 2, 3, 4, 5].map((minutes) => backup(minutes, { trigger: 'start' }));
  const scheduled = [20, 30].map((minutes) => backup(minutes));
  const { kept, removed } = plan([...starts, ...scheduled]);
  expect(kept).toEqual([starts[0], starts[4], scheduled[0]] as Backup[]);
  expect(removed).toEqual([...starts.slice(1, 4), scheduled[1]] as Backup[]);
});

test('starts further apart than an interval are ordinary backups', () => {
  const starts = [1, 11, 21].map((minutes) => backup(minutes, { trigger: 'start' }));
  expect(plan(starts).removed).toEqual([]);
});

test('a crash loop of a start every ten seconds spends two places an interval, not one a start', () => {
  const history = Array.from({ length: 20 }, (_, index) => backup(600 + 10 * index));
  let backups: readonly Backup[] = history;
  const loopMinutes = 45;
  for (let minutes = loopMinutes; minutes > 0.1; minutes -= 1 / 6) {
    const at = new Date(now.getTime() - minutes * minuteMs);
    const started: Backup = { ...backup(minutes, { trigger: 'start' }), createdAt: at };
    backups = planRetention([started, ...backups], { count: 20, startBurstMs: 10 * minuteMs }, { now: at }).kept.map(
      (entry) => entry.backup,
    );
  }
  const intervals = Math.ceil(loopMinutes / 10);
  expect(backups.filter((entry) => history.includes(entry)).length).toBe(20 - 2 * intervals);
  expect(backups.filter((entry) => !history.includes(entry)).length).toBe(2 * intervals);
});

test('starts made while the clock ran back are still judged by their time', () => {
  const starts = [-30, -31, -32, 1].map((minutes) => backup(minutes, { trigger: 'start' }));
  expect(plan(starts, { count: 10 }).removed).toEqual([starts[1] as Backup]);
});

const anyBackup = fc
  .record({
    minutesAgo: fc.integer({ min: -1_000, max: 60 * 1_440 }),
    trigger: fc.constantFrom('start', 'schedule', 'manual', 'cli', 'safety'),
    pinned: fc.boolean(),
    kind: fc.constantFrom('own', 'own', 'own', 'foreign', 'damaged', 'short', 'unreadable'),
  })
  .map(({ minutesAgo, trigger, pinned, kind }): Backup => {
    const own = backup(minutesAgo, { trigger, pinned, ...(kind === 'damaged' ? { verification: failed } : {}) });
    if (kind === 'foreign') return { ...own, manifest: null };
    if (kind === 'unreadable') return { ...own, manifest: null, fault: 'unreadable' };
    return kind === 'short' ? { ...own, fault: 'short' } : own;
  });

const hours = (many: number) => 60 * many;
const days = (many: number) => hours(24) * many;
const reasonsOfAll = (backups: readonly Backup[], change: Partial<RetentionPolicy>) =>
  planRetention(backups, { ...policy, ...change }, { now }).kept.map(({ reasons }) => reasons);

test('beside the count the newest of each of the last days that have one is kept', () => {
  const backups = [10, days(1), days(1) + 10, days(4), days(9)].map((minutes) => backup(minutes));
  expect(reasonsOfAll(backups, { count: 1, keep: { ...KEEP_NONE, daily: 3 } })).toEqual([
    ['newest verified backup', 'one of the newest 1 (1)', 'newest of day 2024-03-01 (daily 1 of 3)'],
    ['newest of day 2024-02-29 (daily 2 of 3)'],
    ['newest of day 2024-02-26 (daily 3 of 3)'],
  ]);
  const { removed } = planRetention(backups, { ...policy, count: 1, keep: { ...KEEP_NONE, daily: 3 } }, { now });
  expect(removed).toEqual(
    [backups[2], backups[4]].map((entry) => ({
      backup: entry as Backup,
      reason: 'older than the newest 1, and not the newest of a kept day',
    })),
  );
});

test('while there are fewer periods than asked for the oldest good one stays, and goes when they have come', () => {
  const keep = { ...KEEP_NONE, daily: 3 };
  const first = [10, 20, 30, 40].map((minutes) => backup(minutes));
  expect(reasonsOfAll(first, { count: 1, keep })).toEqual([
    ['newest verified backup', 'one of the newest 1 (1)', 'newest of day 2024-03-01 (daily 1 of 3)'],
    ['oldest (daily 2 of 3)'],
  ]);
  const later = [10, days(1), days(2), days(2) + 10].map((minutes) => backup(minutes));
  expect(reasonsOfAll(later, { count: 1, keep }).flat()).not.toContain(expect.stringContaining('oldest'));
  const damaged = [...first, backup(50, { verification: failed })];
  expect(reasonsOfAll(damaged, { count: 1, keep }).at(-1)).toEqual(['oldest (daily 2 of 3)']);
});

test('one backup may stand for an hour, a day, a week, a month and a year at once', () => {
  const keep = { hourly: 1, daily: 1, weekly: 1, monthly: 1, yearly: 2 };
  expect(reasonsOfAll([backup(10), backup(days(400))], { count: 1, keep })).toEqual([
    [
      ...['newest verified backup', 'one of the newest 1 (1)', 'newest of hour 2024-03-01T11 (hourly 1 of 1)'],
      ...['newest of day 2024-03-01 (daily 1 of 1)', 'newest of week 2024-W09 (weekly 1 of 1)'],
      ...['newest of month 2024-03 (monthly 1 of 1)', 'newest of year 2024 (yearly 1 of 2)'],
    ],
    ['newest of year 2023 (yearly 2 of 2)'],
  ]);
});

test('a damaged, a pinned and a safety backup stand for no day; the good one before them does', () => {
  const good = backup(days(2) + 30);
  const others = [
    backup(days(2), { verification: failed }),
    backup(days(2) + 10, { pinned: true }),
    backup(days(2) + 20, { trigger: 'safety' }),
  ];
  const keep = { ...KEEP_NONE, daily: 2 };
  const { removed, reasonsOf } = plan([backup(1), ...others, good], { count: 1, keep });
  expect(reasonsOf(good)).toEqual(['newest of day 2024-02-28 (daily 2 of 2)']);
  expect(removed).toEqual([others[0] as Backup]);
});

test('a start between others that is the newest of its hour stays', () => {
  const starts = [10, 62, 64, 66, 118].map((minutes) => backup(minutes, { trigger: 'start' }));
  const keep = { ...KEEP_NONE, hourly: 2 };
  const { kept, reasonsOf } = plan(starts, { count: 1, startBurstMs: hours(3) * minuteMs, keep });
  expect(kept).toEqual([starts[0], starts[1]] as Backup[]);
  expect(reasonsOf(starts[1] as Backup)).toEqual(['newest of hour 2024-03-01T10 (hourly 2 of 2)']);
});

test('a clock that went back and forth gives no day two places', () => {
  const backups = [10, days(1), 20, days(1) + 10, days(2)].map((minutes) => backup(minutes));
  const { kept } = plan(backups, { count: 1, keep: { ...KEEP_NONE, daily: 3 } });
  expect(kept).toEqual([backups[0], backups[1], backups[4]] as Backup[]);
});

test('years of a backup every six hours thin out to the numbers asked for', () => {
  const keep = { hourly: 0, daily: 7, weekly: 4, monthly: 12, yearly: 3 };
  let backups: readonly Backup[] = [];
  for (let minutes = days(365 * 4); minutes > 0; minutes -= hours(6)) {
    const at = new Date(now.getTime() - minutes * minuteMs);
    backups = planRetention([backup(minutes), ...backups], { ...policy, keep }, { now: at }).kept.map(
      (entry) => entry.backup,
    );
  }
  expect(backups.map(({ name }) => name.slice(7, 17))).toEqual([
    ...['2024-03-01', '2024-03-01', '2024-02-29', '2024-02-28', '2024-02-27', '2024-02-26'],
    ...['2024-02-25', '2024-02-24', '2024-02-18', '2024-02-11', '2024-01-31', '2023-12-31', '2023-11-30'],
    ...['2023-10-31', '2023-09-30', '2023-08-31', '2023-07-31', '2023-06-30', '2023-05-31', '2023-04-30'],
    ...['2022-12-31'],
  ]);
});

const anyKeep = fc.record<Record<Period, number>>({
  hourly: fc.nat({ max: 5 }),
  daily: fc.nat({ max: 5 }),
  weekly: fc.nat({ max: 4 }),
  monthly: fc.nat({ max: 3 }),
  yearly: fc.nat({ max: 2 }),
});

test('whatever there is, the newest good one of each of the last periods stays, and no more than asked for', () => {
  fc.assert(
    fc.property(fc.array(anyBackup, { maxLength: 60 }), anyKeep, (backups, keep) => {
      const { kept } = planRetention(backups, { ...policy, keep }, { now });
      const ours = backups.filter(
        (entry) => isVerified(entry) && !entry.manifest?.pinned && entry.manifest?.trigger !== 'safety',
      );
      for (const period of PERIODS) {
        const periods = [...new Set(ours.map(({ createdAt }) => periodOf(createdAt, period)))].slice(0, keep[period]);
        const newest = periods.map((name) => ours.find(({ createdAt }) => periodOf(createdAt, period) === name));
        const expected = [...new Set([...newest, ...ours.slice(-1)])].slice(0, keep[period]);
        const stands = kept.filter(({ reasons }) => reasons.some((reason) => reason.includes(`(${period} `)));
        expect(stands.map((entry) => entry.backup)).toEqual(expected as Backup[]);
      }
    }),
    { seed: 20_240_304, numRuns: 500 },
  );
});

test('higher numbers remove nothing that lower ones keep', () => {
  fc.assert(
    fc.property(fc.array(anyBackup, { maxLength: 40 }), anyKeep, anyKeep, (backups, keep, more) => {
      const sum = Object.fromEntries(PERIODS.map((period) => [period, keep[period] + more[period]]));
      const lower = plan(backups, { count: 100, keep }).kept;
      const higher = plan(backups, { count: 100, keep: { ...KEEP_NONE, ...sum } }).kept;
      expect(lower.filter((entry) => !higher.includes(entry))).toEqual([]);
    }),
    { seed: 20_240_305, numRuns: 300 },
  );
});

test('while something holds it back nothing is removed, and the plan says why', () => {
  fc.assert(
    fc.property(fc.array(anyBackup, { maxLength: 40 }), anyKeep, (backups, keep) => {
      const held = planRetention(backups, { ...policy, keep }, { now, hold: 'held: the live database is damaged' });
      expect(held.removed).toEqual([]);
      expect(held.kept.every(({ reasons }) => reasons.length > 0)).toBe(true);
    }),
    { seed: 20_240_306, numRuns: 200 },
  );
});

test('whatever there is, kept and removed are all, and what must never go stays', () => {
  fc.assert(
    fc.property(
      fc.array(anyBackup, { maxLength: 40 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 120 }),
      (backups, count, minutes) => {
        const { kept, removed } = planRetention(backups, { count, startBurstMs: minutes * minuteMs }, { now });
        const keptSet = new Set(kept.map((entry) => entry.backup));
        const removedSet = new Set(removed.map((entry) => entry.backup));
        expect(keptSet.size + removedSet.size).toBe(backups.length);
        expect(backups.every((entry) => keptSet.has(entry) !== removedSet.has(entry))).toBe(true);
        expect(kept.every((entry) => entry.reasons.length > 0) && removed.every((entry) => entry.reason !== '')).toBe(
          true,
        );
        const newestVerified = backups.find(isVerified);
        if (newestVerified) expect(keptSet).toContain(newestVerified);
        for (const entry of removedSet) {
          expect(entry.manifest).not.toBeNull();
          expect(entry.manifest?.pinned).toBe(false);
          const youngSafety =
            entry.manifest?.trigger === 'safety' && now.getTime() - entry.createdAt.getTime() < 30 * dayMs;
          expect(youngSafety).toBe(false);
        }
        const counted = kept.filter((entry) => entry.reasons.some((reason) => reason.startsWith('one of the newest')));
        expect(counted.length).toBeLessThanOrEqual(count);
      },
    ),
    { seed: 20_240_301, numRuns: 500 },
  );
});

test('carried out twice in a row, the second plan removes nothing', () => {
  fc.assert(
    fc.property(
      fc.array(anyBackup, { maxLength: 60 }),
      fc.record({ count: fc.integer({ min: 1, max: 8 }), startBurstMs: fc.constantFrom(10, 60, 1_440, 5_000) }),
      anyKeep,
      (backups, { count, startBurstMs }, keep) => {
        const asked = { count, startBurstMs: startBurstMs * minuteMs, keep };
        const kept = planRetention(backups, asked, { now }).kept.map((entry) => entry.backup);
        expect(planRetention(kept, asked, { now }).removed).toEqual([]);
      },
    ),
    { seed: 20_240_302, numRuns: 1_000 },
  );
});
