import { expect, test } from 'bun:test';
import { checkCron, isDue, nextRun, type Schedule, SLEEP_MAX_MS, gapsOf } from './schedule.ts';

const minuteMs = 60_000;
const every = (minutes: number): Schedule => ({ kind: 'interval', intervalMs: minutes * minuteMs });
const at = (text: string) => new Date(`2024-03-01T${text}Z`);

test('the next run is anchored to the planned time, however long the run took', () => {
  expect(nextRun(every(10), at('12:00:00'), at('12:00:00'))).toEqual(at('12:10:00'));
  expect(nextRun(every(10), at('12:00:00'), at('12:07:31'))).toEqual(at('12:10:00'));
});

test('a run that ends exactly when the next is due leaves that one to the next interval', () => {
  expect(nextRun(every(10), at('12:00:00'), at('12:10:00'))).toEqual(at('12:20:00'));
});

test('what was missed while the machine slept is skipped, and the anchor stays', () => {
  expect(nextRun(every(10), at('12:00:00'), at('17:34:12'))).toEqual(at('17:40:00'));
});

test('after the clock went back the next run is one interval from now', () => {
  expect(nextRun(every(10), at('12:00:00'), at('09:15:00'))).toEqual(at('09:25:00'));
});

test('an interval longer than a timer can count is planned exactly', () => {
  const planned = nextRun(every(35_792), at('12:00:00'), at('12:00:00'));
  expect(planned.getTime() - at('12:00:00').getTime()).toBe(35_792 * minuteMs);
  expect(nextRun(every(525_600), at('12:00:00'), at('12:00:00')).getFullYear()).toBe(2025);
  expect(SLEEP_MAX_MS).toBeLessThanOrEqual(30_000);
});

test('a run is due at its planned time and after it, not before', () => {
  expect(isDue(at('12:00:00'), at('11:59:59'))).toBe(false);
  expect(isDue(at('12:00:00'), at('12:00:00'))).toBe(true);
  expect(isDue(at('12:00:00'), at('18:00:00'))).toBe(true);
});

test('a cron line comes due at its next time after now, whatever was planned before', () => {
  const schedule: Schedule = { kind: 'cron', line: '*/15 * * * *' };
  expect(nextRun(schedule, at('12:00:00'), at('12:00:00'))).toEqual(at('12:15:00'));
  expect(nextRun(schedule, at('03:00:00'), at('12:31:07'))).toEqual(at('12:45:00'));
  expect(nextRun(schedule, at('23:00:00'), at('12:31:07'))).toEqual(at('12:45:00'));
});

test('a cron line has its longest gap at night or over the weekend', () => {
  const hours = (line: string) => {
    const { shortestMs, longestMs } = gapsOf({ kind: 'cron', line }, at('12:00:00'));
    return [shortestMs / 3_600_000, longestMs / 3_600_000];
  };
  expect(hours('0 9-17 * * *')).toEqual([1, 16]);
  expect(hours('0 3 * * MON-FRI')).toEqual([24, 72]);
  expect(hours('0 * * * *')).toEqual([1, 1]);
  expect(hours('0 0 1 1 *')[1]).toBeGreaterThan(8_000);
  expect(gapsOf({ kind: 'interval', intervalMs: 600_000 }, at('12:00:00')).longestMs).toBe(600_000);
});

test('a cron line of five fields that comes due is accepted', () => {
  for (const line of ['0 3 * * *', '*/5 * * * *', '0 0 29 2 *', '30 2 * * MON-FRI', '@daily'])
    expect(checkCron(line)).toBeNull();
});

test('a cron line that is none, has seconds, or never comes due is refused with the reason', () => {
  expect(checkCron('0 3 * *')).toBe('five fields are needed');
  expect(checkCron('*/5 * * * * *')).toBe('five fields are needed');
  expect(checkCron('0 0 30 2 *')).toBe('it never comes due');
  for (const line of ['61 * * * *', 'every day at three o’clock', '@sometimes', ''])
    expect(checkCron(line)).toBeString();
});
