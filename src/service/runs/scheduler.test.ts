import { afterEach, beforeEach, expect, jest, test } from 'bun:test';
import type { Schedule } from '../../words/schedule.ts';
import { Scheduler } from './scheduler.ts';

const minuteMs = 60_000;
const noon = new Date('2024-03-01T12:00:00Z');

beforeEach(() => jest.useFakeTimers({ now: noon }));
afterEach(() => jest.useRealTimers());

function scheduler(
  change: {
    schedule?: Schedule;
    hasDatabase?: () => boolean;
    run?: () => Promise<{ failed: boolean }>;
    onTick?: () => void;
    elapsedMs?: () => number;
  } = {},
) {
  const runs: string[] = [];
  const missing: Date[] = [];
  const faults: string[] = [];
  let skewMs = 0;
  const now = () => new Date(Date.now() + skewMs);
  const made = new Scheduler({
    schedule: () => change.schedule ?? { kind: 'interval', intervalMs: 10 * minuteMs },
    now,
    hasDatabase: change.hasDatabase ?? (() => true),
    onMissing: (plannedAt) => missing.push(plannedAt),
    run: async (trigger, plannedAt) => {
      runs.push(`${trigger} ${plannedAt.toISOString().slice(11, 19)}`);
      return await (change.run?.() ?? Promise.resolve({ failed: false }));
    },
    onTick: () => change.onTick?.(),
    onFault: (error) => faults.push(String(error)),
    ...(change.elapsedMs && { elapsedMs: change.elapsedMs }),
  });
  return {
    made,
    runs,
    missing,
    faults,
    jumpClock: (ms: number) => {
      skewMs += ms;
    },
    /** Time passes in steps that the timer's own sleeps fit into. */
    async pass(minutes: number) {
      for (let step = 0; step < minutes * 6; step++) {
        jest.advanceTimersByTime(10_000);
        await Promise.resolve();
        await Promise.resolve();
        await Promise.resolve();
      }
    },
  };
}

test('a run at once, then one every interval at its planned time', async () => {
  const { made, runs, pass } = scheduler();
  made.begin({ runAtOnce: true });
  await pass(25);
  expect(runs).toEqual(['start 12:00:00', 'schedule 12:10:00', 'schedule 12:20:00']);
  expect(made.nextRunAt).toEqual(new Date('2024-03-01T12:30:00Z'));
  made.end();
  await pass(25);
  expect(runs.length).toBe(3);
  expect(made.nextRunAt).toBeNull();
});

test('switched on later, it waits an interval', async () => {
  const { made, runs, pass } = scheduler();
  made.begin({ runAtOnce: false });
  await pass(9);
  expect(runs).toEqual([]);
  await pass(2);
  expect(runs).toEqual(['schedule 12:10:00']);
  made.end();
});

test('a timer of a year is not taken for one of a millisecond', async () => {
  const { made, runs, pass } = scheduler({ schedule: { kind: 'interval', intervalMs: 525_600 * minuteMs } });
  made.begin({ runAtOnce: true });
  await pass(60);
  expect(runs).toEqual(['start 12:00:00']);
  made.end();
});

test('after a sleep of hours one run is made, not one for each that was missed', async () => {
  const { made, runs, pass, jumpClock } = scheduler();
  made.begin({ runAtOnce: true });
  await pass(1);
  jumpClock(5 * 60 * minuteMs);
  await pass(1);
  expect(runs).toEqual(['start 12:00:00', 'schedule 12:10:00']);
  expect(made.nextRunAt).toEqual(new Date('2024-03-01T17:10:00Z'));
  made.end();
});

for (const schedule of [
  { kind: 'interval', intervalMs: 10 * minuteMs },
  { kind: 'cron', line: '*/10 * * * *' },
] as const) {
  test(`a clock that goes back a year does not stop a schedule by ${schedule.kind}`, async () => {
    const { made, runs, pass, jumpClock } = scheduler({ schedule });
    made.begin({ runAtOnce: true });
    await pass(1);
    jumpClock(-365 * 24 * 60 * minuteMs);
    await pass(11);
    expect(runs.length).toBe(2);
    made.end();
  });
}

test('a failed run is tried again after one minute, then two, then four, until it succeeds', async () => {
  let failures = 3;
  const { made, runs, pass } = scheduler({ run: async () => ({ failed: failures-- > 0 }) });
  made.begin({ runAtOnce: true });
  await pass(9);
  expect(runs).toEqual(['start 12:00:00', 'schedule 12:01:00', 'schedule 12:03:00', 'schedule 12:07:00']);
  expect(made.nextRunAt?.getTime()).toBeLessThanOrEqual(noon.getTime() + 20 * minuteMs);
  made.end();
});

test('a run that takes longer than the interval is not joined by a second one', async () => {
  const finish = Promise.withResolvers<{ failed: boolean }>();
  const { made, runs, pass } = scheduler({ run: () => finish.promise });
  made.begin({ runAtOnce: true });
  await pass(35);
  expect(runs).toEqual(['start 12:00:00']);
  finish.resolve({ failed: false });
  await pass(10);
  expect(runs).toEqual(['start 12:00:00', 'schedule 12:40:00']);
  made.end();
});

test('without a database it says so once, looks every few seconds, and runs when it is there', async () => {
  let there = false;
  const { made, runs, missing, pass } = scheduler({ hasDatabase: () => there });
  made.begin({ runAtOnce: true });
  await pass(12);
  expect([runs, missing]).toEqual([[], [noon]]);
  there = true;
  await pass(0.5);
  expect(runs.length).toBe(1);
  made.end();
});

test('a database that vanishes between two runs is missed at the next wake, and backed up as soon as it is back', async () => {
  let there = true;
  const { made, runs, missing, pass } = scheduler({ hasDatabase: () => there });
  made.begin({ runAtOnce: true });
  await pass(2);
  there = false;
  await pass(1);
  expect(missing.map((at) => at.getTime() < noon.getTime() + 4 * minuteMs)).toEqual([true]);
  await pass(1);
  there = true;
  await pass(0.5);
  expect(runs.length).toBe(2);
  // And once more when it goes once more.
  there = false;
  await pass(1);
  expect(missing.length).toBe(2);
  made.end();
});

test('a fault of a run or of a wake ends neither the schedule nor the app', async () => {
  let isBroken = true;
  const broken = () => {
    if (isBroken) throw new Error('no descriptor left');
  };
  const { made, runs, faults, pass } = scheduler({
    run: async () => {
      broken();
      return { failed: false };
    },
    onTick: broken,
  });
  made.begin({ runAtOnce: true });
  await pass(5);
  expect(faults.length).toBeGreaterThan(1);
  isBroken = false;
  const before = runs.length;
  const told = faults.length;
  await pass(21);
  expect(runs.length).toBeGreaterThanOrEqual(before + 2);
  expect(faults.length).toBe(told);
  made.end();
});

test('a run that says nothing any more, and a timer that does not come, are told after their time', async () => {
  let elapsedMs = 0;
  const { made, pass } = scheduler({ run: () => new Promise(() => {}), elapsedMs: () => elapsedMs });
  expect(made.stalledSince(minuteMs)).toBeNull();
  made.begin({ runAtOnce: true });
  await pass(1);
  elapsedMs += 2 * minuteMs;
  // Its wakes are no signs of life of the run.
  await pass(1);
  expect(made.stalledSince(3 * minuteMs)).toBeNull();
  expect(made.stalledSince(minuteMs)?.getTime()).toBe(Date.now() - 2 * minuteMs);
  made.heard();
  expect(made.stalledSince(minuteMs)).toBeNull();
  made.end();
  elapsedMs += 60 * minuteMs;
  expect(made.stalledSince(minuteMs)).toBeNull();
});

test('a schedule whose runs end is never told to stand still', async () => {
  let elapsedMs = 0;
  const { made, pass } = scheduler({ elapsedMs: () => elapsedMs });
  made.begin({ runAtOnce: true });
  for (let minute = 0; minute < 60; minute++) {
    elapsedMs += minuteMs;
    await pass(1);
    expect(made.stalledSince(minuteMs)).toBeNull();
  }
  made.end();
});
