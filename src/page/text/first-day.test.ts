import { expect, test } from 'bun:test';
import type { Backup, Config, Run, Status } from '../../http/contract.ts';
import { type FirstDayFacts, placeOnAxis, reachLines, stepsOf } from './first-day.ts';
import { hasChart, isFirstDay } from './is-first-day.ts';

const now = Date.parse('2026-11-22T13:34:18.000Z');
const iso = (minutesAgo: number) => new Date(now - minutesAgo * 60_000).toISOString();
const backup = (minutesAgo: number) =>
  ({ filename: `b${minutesAgo}`, createdAt: iso(minutesAgo), size: 14.2 * 1024 ** 2, verified: true }) as Backup;
const run = (minutesAgo: number, kind: Run['kind'] = 'backup') =>
  ({
    kind,
    result: 'success',
    backup: `b${minutesAgo}`,
    startedAt: iso(minutesAgo),
    endedAt: new Date(now - minutesAgo * 60_000 + 412).toISOString(),
  }) as Run;
const place = (change: object = {}) => ({ target: 'local', proven: null, drill: null, ...change });
const bucket = (change: object = {}) => ({
  target: 's3',
  enabled: true,
  bucket: 'my-backups',
  where: 's3://my-backups',
  stored: 0,
  waiting: 1,
  error: null,
  ...change,
});

/** Two backups, here alone; only what the steps look at. */
function facts({
  status = {},
  config = {},
  ...rest
}: { status?: object; config?: object | null } & Partial<
  Omit<FirstDayFacts, 'status' | 'config'>
> = {}): FirstDayFacts {
  const known = {
    verdict: { code: 'protected' },
    schedule: { enabled: true, cron: null, intervalMinutes: 10, nextRunAt: iso(-5) },
    ...{ targets: [], run: null, freshness: { targets: [place()] }, lastGood: { filename: 'b4' } },
    local: { forecast: { fitting: null } },
  };
  const settings = {
    ...{ enabled: true, intervalMinutes: 10, retentionCount: 6, cron: null, notifies: false, keepIsDefault: true },
    ...{ keepHourly: 24, keepDaily: 7, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 },
  };
  return {
    ...{ backups: [backup(4), backup(14)], runs: [run(4), run(14)], now, zone: 'Europe/Berlin' },
    status: { ...known, ...status } as unknown as Status, // what the steps look at
    config: config && ({ ...settings, ...config } as Config),
    ...rest,
  };
}
const step = (name: string, given: FirstDayFacts) =>
  stepsOf(given).find((one) => one.name === name) ?? expect.unreachable(name);
const said = (name: string, given: FirstDayFacts) => {
  const { isDone, detail, action } = step(name, given);
  return [isDone, detail, action?.label ?? null];
};

test('the first backup is done when it was checked, with its time, size and how long it took', () => {
  expect(said('backup', facts())).toEqual([true, '14:20, 14.2 MB in 412 ms', null]);
  const none = { backups: [], runs: [] };
  expect(said('backup', facts({ ...none, status: { lastGood: null } }))).toEqual([
    false,
    'It is made at 14:39:18',
    null,
  ]);
  expect(said('backup', facts({ ...none, status: { lastGood: null, run: {} } }))).toEqual([
    false,
    'It is being made',
    null,
  ]);
  const off = { schedule: { enabled: false, nextRunAt: null }, lastGood: null };
  expect(said('backup', facts({ ...none, status: off }))).toEqual([false, 'Backup Now makes it', null]);
});

test('the schedule counts when a run is planned', () => {
  expect(said('schedule', facts())).toEqual([true, 'Every 10 minutes, also after a restart', null]);
  const of = (schedule: object) =>
    said('schedule', facts({ status: { schedule: { enabled: true, cron: null, nextRunAt: iso(-5), ...schedule } } }));
  expect(of({ cron: '0 3 * * *' })).toEqual([true, 'By the schedule 0 3 * * *, also after a restart', null]);
  expect(of({ enabled: false })).toEqual([false, 'Only by hand', 'Turn on']);
  expect(of({ nextRunAt: null })).toEqual([false, 'The schedule was not started', null]);
});

test('a copy elsewhere counts when it is stored, not when it is set up', () => {
  const of = (...targets: object[]) => said('copy', facts({ status: { targets } }));
  expect(of()).toEqual([false, 'If this disk fails, all backups go with it', 'Set up S3']);
  expect(said('copy', facts({ backups: [backup(4)] }))[1]).toBe('If this disk fails, the backup goes with it');
  expect(of(bucket())).toEqual([false, 'The first copy is on its way', null]);
  expect(of(bucket({ error: { message: 'the bucket is gone' } }))).toEqual([false, 'S3: The bucket is gone.', null]);
  expect(of(bucket({ stored: 2 }))).toEqual([true, '2 copies in my-backups', null]);
  expect(of(bucket({ stored: 2, enabled: false }))[0]).toBe(false);
  expect(of(bucket({ target: 'folder', bucket: null, where: '/mnt/nas', stored: 1 }))[1]).toBe('1 copy in /mnt/nas');
});

test('a restore counts when a drill proved one', () => {
  const of = (change: object, status: object = {}) =>
    said('restore', facts({ status: { freshness: { targets: [place(change)] }, ...status } }));
  expect(of({})).toEqual([false, 'Into a temporary file. Your database is not touched', 'Run a drill']);
  expect(of({}, { lastGood: null })[2]).toBeNull();
  expect(of({ drill: { result: 'failed' } })).toEqual([
    false,
    'The last one failed; the check-up shows why',
    'Run a drill',
  ]);
  expect(of({ proven: { at: iso(2), ms: 3_200 } })).toEqual([true, '14:32, from Local in 3.2 s', null]);
});

test('somebody hears of failures when a webhook or a heartbeat is set', () => {
  expect(said('notify', facts())).toEqual([false, 'A webhook is called when a backup fails or is late', 'Add']);
  expect(said('notify', facts({ config: null }))[2]).toBeNull();
  expect(said('notify', facts({ config: { notifies: true } }))).toEqual([
    true,
    'A webhook or a heartbeat is set',
    null,
  ]);
});

test('how far back it will go follows the settings', () => {
  const of = (config: object | null, status: object = {}) => reachLines(facts({ config, status }));
  expect(of({})).toEqual([
    'The last hour: one every 10 minutes',
    'Before that: one an hour for 24 hours, one a day for 7 days',
  ]);
  expect(of({}, { local: { forecast: { fitting: 7 } } })[1]).toEndWith(', as far as the disk has room');
  expect(of({ keepHourly: 0, keepDaily: 0, intervalMinutes: 60, retentionCount: 48 })).toEqual([
    'The last 2 days: one every hour',
  ]);
  expect(of({ retentionCount: 10 })[0]).toBe('The last 1 h 40 min: one every 10 minutes');
  expect(of({ cron: '0 3 * * *' })).toEqual(['The last 6 backups, in the rhythm of your schedule']);
  expect(of({ enabled: false })).toEqual(['The last 6 backups that you make']);
  expect(of(null)).toEqual([]);
});

test('it shows until the sixth backup, beside the chart for a day, and never above what has to be decided', () => {
  const many = (count: number, kind?: Run['kind']) =>
    Array.from({ length: count }, (_, index) => run(index * 10 + 4, kind));
  expect([isFirstDay(facts()), hasChart(facts())]).toEqual([true, false]);
  expect(isFirstDay(facts({ backups: [], runs: [] }))).toBe(true);
  // Retention has removed what was made.
  const sixth = facts({ backups: [backup(4)], runs: many(6) });
  expect([isFirstDay(sixth), hasChart(sixth)]).toEqual([true, true]);
  expect(hasChart(facts({ backups: [backup(4)], runs: many(6, 'upload') }))).toBe(false);
  expect(isFirstDay(facts({ runs: [...many(6), run(1_441)] }))).toBe(false);
  expect(isFirstDay(facts({ runs: many(100) }))).toBe(false);
  for (const code of ['missing', 'loss', 'foreign-place'])
    expect(isFirstDay(facts({ status: { verdict: { code } } }))).toBe(false);
});

test('the axis begins with the first backup and has room for the first minutes', () => {
  const span = { firstMs: now - 600_000, lastMs: now };
  expect(placeOnAxis(span.firstMs, span)).toBe(0);
  expect(placeOnAxis(span.lastMs, span)).toBeCloseTo(0.083, 3);
  expect(placeOnAxis(span.firstMs + 86_400_000, span)).toBe(1);
  // Daily backups: the newest is on it, too.
  expect(placeOnAxis(now, { firstMs: now - 4 * 86_400_000, lastMs: now })).toBeLessThan(1);
});
