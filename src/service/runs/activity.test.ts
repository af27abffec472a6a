import { expect, test } from 'bun:test';
import type { ErrorCode } from '../../words/errors.ts';
import type { RunOutcome } from '../../words/run.ts';
import { type ActivityFacts, composeActivity, type RunMark, type ScheduleSpan } from './activity.ts';
import type { BackupItem, Placement } from '../backups/shown-backup.ts';

const now = new Date('2024-03-02T12:00:00Z');
const at = (text: string) => new Date(`2024-03-02T${text}:00Z`);
const minutes = (count: number) => ({ kind: 'interval', intervalMs: count * 60_000 }) as const;

/** A planned run that took its time at the second it was planned for. */
function run(time: string, change: Change = {}, outcome: RunOutcome = succeeded): RunMark {
  const when = at(time);
  return {
    ...{ id: time, plannedAt: when, startedAt: when, endedAt: new Date(when.getTime() + 1_000) },
    backup: `backup of ${time}`,
    ...change,
    ...outcome,
  };
}
type Change = Partial<Pick<RunMark, 'id' | 'plannedAt' | 'startedAt' | 'endedAt' | 'backup'>>;
const succeeded: RunOutcome = { result: 'success', sizeBytes: 1_000, error: null };
const unchanged: RunOutcome = { result: 'unchanged', sizeBytes: null, error: null };
const ends = (result: 'failed' | 'stopped', code: ErrorCode, message: string): RunOutcome => ({
  ...{ result, sizeBytes: null, error: { code, message, hint: '' } },
});
const failed = (time: string, code: ErrorCode, message: string, change: Change = {}) =>
  run(time, { backup: null, ...change }, ends('failed', code, message));

function kept(time: string, s3: Placement['status'] | null = null): BackupItem {
  const error = { code: 'S3_UNREACHABLE', message: 's3.test does not answer', hint: 'Ask.' } as const;
  const placements: Record<Placement['status'], Placement> = {
    stored: { target: 's3', status: 'stored', at: at(time), error: null, where: null, sizeBytes: null },
    waiting: { target: 's3', status: 'waiting', at: null, error: null, where: null, sizeBytes: null },
    failed: { target: 's3', status: 'failed', at: null, error, where: null, sizeBytes: null },
  };
  return {
    ...{ filename: `backup of ${time}`, size: 1_000, createdAt: at(time), trigger: 'schedule', user: null },
    ...{ verified: true, verification: { state: 'unchecked' }, foreign: false, pinned: false, note: null },
    ...{ safety: false, sha256: null, pages: null, pageSize: null, other: null, rows: null, changes: null, loss: null },
    placements: s3 === null ? [] : [placements[s3]],
  };
}

function span(began: string, seen: string, change: Partial<ScheduleSpan> = {}): ScheduleSpan {
  return { beganAt: at(began), plannedAt: at(began), seenAt: at(seen), schedule: minutes(60), ...change };
}

function compose(facts: Partial<ActivityFacts>) {
  const runs = facts.runs ?? [];
  return composeActivity({
    ...{ range: '24h', now, schedule: minutes(60), isEnabled: true, spans: [], runs, runningSince: null, backups: [] },
    firstPlannedAt: runs.find(({ plannedAt }) => plannedAt)?.plannedAt ?? null,
    removal: () => null,
    isUploading: () => false,
    ...facts,
  });
}

/** `08:00 kept`, without the bars in which nothing was planned. */
function bars(facts: Partial<ActivityFacts>): string[] {
  return compose(facts)
    .bars.filter(({ state }) => state !== 'none')
    .map(({ from, state, runs, reason }) => {
      const several = runs > 1 ? ` of ${runs}` : '';
      return `${from.toISOString().slice(11, 16)} ${state}${several}${reason ? `: ${reason}` : ''}`;
    });
}

const running = [span('08:00', '12:00')];
const hourly = ['08:00', '09:00', '10:00', '11:00', '12:00'].map((time) => run(time));
const allKept = hourly.map(({ id }) => kept(id));

const table: [sentence: string, facts: Partial<ActivityFacts>, expected: string[]][] = [
  ['nothing is known', {}, []],
  [
    'each planned run is a bar, and the one that is due this moment has not come yet',
    { spans: running, runs: hourly.slice(0, 4), backups: allKept },
    ['08:00 kept', '09:00 kept', '10:00 kept', '11:00 kept'],
  ],
  [
    'a backup that is gone says why, where it is known',
    {
      ...{ spans: running, runs: hourly.slice(0, 4), backups: allKept.slice(2) },
      removal: (name) => (name === 'backup of 08:00' ? 'Removed by retention.' : null),
    },
    ['08:00 pruned: Removed by retention.', '09:00 pruned', '10:00 kept', '11:00 kept'],
  ],
  [
    'a backup without its copy on S3 shows it, unless it is on its way, there, or removed there on purpose',
    {
      ...{ spans: running, runs: hourly.slice(0, 4) },
      backups: [kept('08:00', 'stored'), kept('09:00', 'failed'), kept('10:00'), kept('11:00', 'waiting')],
      isUploading: (name) => name === 'backup of 11:00',
    },
    ['08:00 kept', '09:00 no-s3: s3.test does not answer.', '10:00 kept', '11:00 kept'],
  ],
  [
    'a failed run tells its error, and nothing of a fault inside the server',
    {
      spans: running,
      runs: [
        failed('08:00', 'DISK_FULL', 'the disk is full'),
        failed('09:00', 'INTERNAL', 'secret'),
        failed('10:00', 'DB_DAMAGED', 'dev.sqlite is damaged'),
        run('11:00', {}, unchanged),
      ],
    },
    [
      '08:00 failed: The disk is full.',
      '09:00 failed: The run failed; the log of the server says why.',
      '10:00 failed: dev.sqlite is damaged.',
      '11:00 unchanged',
    ],
  ],
  [
    'while the app was down, what was planned is missed, up to its next start',
    {
      spans: [span('06:00', '07:30'), span('10:30', '12:00')],
      runs: [run('06:00'), run('07:00'), run('10:30'), run('11:30')],
      backups: ['06:00', '07:00', '10:30', '11:30'].map((time) => kept(time)),
    },
    [
      '06:00 kept',
      '07:00 kept',
      ...['08:00', '09:00', '10:00'].map((time) => `${time} missed: The app was not running.`),
      '10:30 kept',
      '11:30 kept',
    ],
  ],
  [
    'an app that is down now shows what it misses',
    { spans: [span('08:00', '09:30')], runs: hourly.slice(0, 2), backups: allKept },
    ['08:00 kept', '09:00 kept', '10:00 missed: The app was not running.', '11:00 missed: The app was not running.'],
  ],
  [
    'while auto-backup was off nothing is missed, also when the app was down later',
    {
      spans: [
        span('06:00', '07:30'),
        span('07:30', '07:30', { schedule: null }),
        span('10:30', '12:00', { plannedAt: at('11:30') }),
      ],
      runs: [run('06:00'), run('07:00'), run('11:30')],
      backups: ['06:00', '07:00', '11:30'].map((time) => kept(time)),
    },
    ['06:00 kept', '07:00 kept', '11:30 kept'],
  ],
  [
    'off now: what is planned no more is not missed',
    {
      isEnabled: false,
      spans: [span('08:00', '08:30'), span('08:30', '08:30', { schedule: null })],
      runs: [run('08:00')],
    },
    ['08:00 pruned'],
  ],
  [
    'a run by hand counts, and covers the planned one that it overlaps',
    {
      spans: running,
      runs: [
        run('08:00'),
        run('08:20', { plannedAt: null }),
        run('09:00', { endedAt: at('10:10') }),
        run('11:00', {}, unchanged),
      ],
      backups: [kept('08:20'), kept('09:00')],
    },
    ['08:00 kept of 2', '09:00 kept', '11:00 unchanged'],
  ],
  [
    'a run that is going misses nothing',
    { spans: running, runs: hourly.slice(0, 2), backups: allKept, runningSince: at('10:00') },
    ['08:00 kept', '09:00 kept'],
  ],
  [
    'tried again, a run is one bar with the run that failed',
    {
      spans: running,
      runs: [failed('08:00', 'DISK_FULL', 'the disk is full'), run('08:01'), run('09:01'), run('10:01'), run('11:01')],
      backups: ['08:01', '09:01', '10:01', '11:01'].map((time) => kept(time)),
    },
    ['08:00 failed: The disk is full.', '08:01 kept', '09:01 kept', '10:01 kept', '11:01 kept'],
  ],
  [
    'after a sleep the run stands where it began, and what was slept through is missed',
    {
      spans: [span('08:00', '08:30'), span('11:10', '12:00')],
      runs: [run('08:00'), run('11:10', { plannedAt: at('09:00') })],
      backups: [kept('08:00'), kept('11:10')],
    },
    [
      '08:00 kept',
      ...['09:00', '10:00', '11:00'].map((time) => `${time} missed: The app was not running.`),
      '11:10 kept',
    ],
  ],
  [
    'one that was stopped by hand is missed, and says so',
    {
      spans: running,
      runs: [
        run('08:00'),
        run('09:00', { backup: null }, ends('stopped', 'ABORTED', 'the run was stopped')),
        run('10:00'),
        run('11:00'),
      ],
      backups: allKept,
    },
    ['08:00 kept', '09:00 missed: The run was stopped.', '10:00 kept', '11:00 kept'],
  ],
  [
    'runs from before the schedule was noted are planned by the one of today, without a reason',
    {
      spans: [span('11:30', '12:00')],
      runs: [run('08:00'), run('10:00'), run('11:30')],
      backups: [...allKept, kept('11:30')],
    },
    ['08:00 kept', '09:00 missed', '10:00 kept', '11:00 missed', '11:30 kept'],
  ],
  [
    'a cron line plans its own times',
    {
      schedule: { kind: 'cron', line: '30 */2 * * *' },
      spans: [span('07:00', '12:00', { schedule: { kind: 'cron', line: '30 */2 * * *' }, plannedAt: at('08:30') })],
      runs: [run('08:30')],
      backups: [kept('08:30')],
    },
    ['08:30 kept', '10:30 missed'],
  ],
];

for (const [sentence, facts, expected] of table) test(sentence, () => expect(bars(facts)).toEqual(expected));

const every = (count: number, stepMinutes: number): RunMark[] =>
  Array.from({ length: count }, (_, index) => {
    const when = new Date(now.getTime() - index * stepMinutes * 60_000);
    return run('12:00', { id: `${index}`, plannedAt: when, startedAt: when, endedAt: when, backup: null });
  }).reverse();

for (const [range, stepMinutes, most] of [
  ['24h', 1, 288],
  ['24h', 5, 288],
  ['7d', 10, 168],
  ['7d', 60, 168],
  ['30d', 1, 168],
  ['30d', 1_440, 168],
] as const) {
  test(`${range} of runs every ${stepMinutes} minutes: at most ${most} bars, without gaps, none missed`, () => {
    const runs = every(31 * 1_440, stepMinutes);
    const beganAt = runs[0]?.startedAt ?? now;
    const schedule = minutes(stepMinutes);
    const spans = [{ beganAt, plannedAt: beganAt, seenAt: now, schedule }];
    const activity = compose({ range, schedule, runs, spans });
    expect(activity.bars.length).toBeLessThanOrEqual(most);
    expect(activity.bars.length).toBeGreaterThan(most === 288 ? 280 : 28);
    expect(activity.bars[0]?.from).toEqual(activity.from);
    expect(activity.bars.at(-1)?.to).toEqual(now);
    for (const [index, bar] of activity.bars.entries()) expect(activity.bars[index + 1]?.from ?? now).toEqual(bar.to);
    expect(activity.counts).toEqual({ good: activity.counts.good, failed: 0, missed: 0 });
    expect(activity.bars.reduce((sum, bar) => sum + bar.runs, 0)).toBe(activity.counts.good);
  });
}

test('the size is a point a bar, an unchanged run goes on with it, and the counts tell the whole', () => {
  const { sizes, counts } = compose({
    spans: running,
    runs: [
      run('08:00'),
      run('09:00', { backup: 'backup of 08:00' }, unchanged),
      failed('10:00', 'DISK_FULL', 'the disk is full'),
    ],
  });
  expect(sizes).toEqual([
    { at: at('08:00'), sizeBytes: 1_000 },
    { at: at('09:00'), sizeBytes: 1_000 },
  ]);
  expect(counts).toEqual({ good: 2, failed: 1, missed: 1 });
});

test('while there is no file nothing is missed, from the run that found none to the next one', () => {
  const missing = failed('09:00', 'DB_MISSING', 'there is no file at db/dev.sqlite');
  const facts = { runs: [run('08:00'), missing], backups: [kept('08:00')] };
  const one = '09:00 failed: There is no file at db/dev.sqlite.';
  expect(bars({ ...facts, spans: running })).toEqual(['08:00 kept', one]);
  // The app slept too: nobody knows whether there was one.
  expect(bars({ ...facts, spans: [span('08:00', '09:30')] })).toEqual([
    ...['08:00 kept', one],
    ...['10:00', '11:00'].map((time) => `${time} missed: The app was not running.`),
  ]);
  const back = { runs: [...facts.runs, run('10:00')], backups: [kept('08:00'), kept('10:00')] };
  expect(bars({ ...back, spans: running })).toEqual(['08:00 kept', one, '10:00 kept', '11:00 missed']);
});
