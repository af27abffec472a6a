import { describe, expect, test } from 'bun:test';
import {
  age,
  ago,
  clockTime,
  countChange,
  countdown,
  dayHeading,
  dayTime,
  duration,
  exactSize,
  listed,
  listTime,
  minutes,
  moment,
  momentsApart,
  nameTime,
  offset,
  sentence,
  shortInterval,
  shownName,
  size,
  sizeChange,
  zoneName,
} from './format.ts';

const now = Date.parse('2026-11-22T10:34:18.000Z');
const minuteMs = 60_000;

describe('sizes', () => {
  test('have three significant digits and no idle zeros', () => {
    expect([0, 512, 1024, 1536, 86_016, 14_889_779, 148_478_361, 2 ** 31].map(size)).toEqual([
      '0 B',
      '512 B',
      '1 KB',
      '1.5 KB',
      '84 KB',
      '14.2 MB',
      '142 MB',
      '2 GB',
    ]);
  });

  test('that round up to 1024 are written in the next unit', () => {
    expect(size(1024 ** 2 - 1)).toBe('1 MB');
    expect(size(1024 ** 3 - 1)).toBe('1 GB');
  });

  test('differ with a sign and a true minus', () => {
    expect(sizeChange(20_480)).toBe('+20 KB');
    expect(sizeChange(-8192)).toBe('−8 KB');
    expect(sizeChange(0)).toBe('same size');
    expect(countChange(-1188)).toBe('−1,188');
    expect(exactSize(14_889_779)).toBe('14,889,779 bytes');
  });
});

describe('durations', () => {
  test('are as exact as they are short', () => {
    expect([6, 412, 1400, 9960, 42_000, 59_999, 300_000, 11_640_000, 2 * 86_400_000].map(duration)).toEqual([
      '6 ms',
      '412 ms',
      '1.4 s',
      '9 s',
      '42 s',
      '59 s',
      '5 min',
      '3 h 14 min',
      '2 days',
    ]);
  });

  test('of settings are whole words', () => {
    expect([1, 10, 60, 90, 100, 1440, 2880].map(minutes)).toEqual([
      '1 minute',
      '10 minutes',
      '1 hour',
      '1 h 30 min',
      '1 h 40 min',
      '1 day',
      '2 days',
    ]);
    expect([10, 60, 90, 1440].map(shortInterval)).toEqual(['Every 10m', 'Every 1h', 'Every 90m', 'Every 1d']);
  });

  test('since a moment get coarser with age', () => {
    expect(ago(now + 500, now)).toBe('just now');
    expect(ago(now - 12_000, now)).toBe('12 s ago');
    expect(ago(now - 4 * minuteMs, now)).toBe('4 min ago');
    expect(age(18 * 60 * minuteMs + 17 * minuteMs)).toBe('18 h');
    expect(age(3 * 24 * 60 * minuteMs)).toBe('3 days');
  });

  test('are never negative, however far in the future a clock that went back has put the moment', () => {
    for (const ms of [-1, -500, -61_000, -3 * 24 * 60 * minuteMs]) {
      expect([age(ms), duration(ms), ago(now - ms, now)]).toEqual(['0 s', '0 ms', 'just now']);
    }
  });

  test('until a moment never fall below zero', () => {
    expect(countdown(342_000)).toBe('5:42');
    expect(countdown(3_942_000)).toBe('1:05:42');
    expect(countdown(-5)).toBe('0:00');
  });
});

describe('moments', () => {
  test('are written in the chosen zone', () => {
    expect(clockTime(now, 'UTC')).toBe('10:34:18');
    expect(clockTime(now, 'Europe/Berlin')).toBe('11:34:18');
    expect(offset(now, 'Europe/Berlin')).toBe('UTC+1');
    expect(offset(now, 'America/St_Johns')).toBe('UTC−3:30');
    expect(offset(now, 'UTC')).toBe('UTC');
    expect(zoneName('America/St_Johns')).toBe('St Johns time');
  });

  test('in the doubled hour of autumn say which one they mean', () => {
    expect(clockTime(Date.parse('2026-10-25T00:30:00Z'), 'Europe/Berlin')).toBe('02:30:00 UTC+2');
    expect(clockTime(Date.parse('2026-10-25T01:30:00Z'), 'Europe/Berlin')).toBe('02:30:00 UTC+1');
    expect(clockTime(Date.parse('2026-10-25T02:30:00Z'), 'Europe/Berlin')).toBe('03:30:00');
  });

  test('belong to the day of the chosen zone', () => {
    const lateEvening = Date.parse('2026-11-21T23:30:00Z');
    expect(dayHeading(lateEvening, now, 'Europe/Berlin')).toBe('Today, 22 November');
    expect(dayHeading(lateEvening, now, 'UTC')).toBe('Yesterday, 21 November');
    expect(dayHeading(Date.parse('2025-03-03T12:00:00Z'), now, 'UTC')).toBe('3 March 2025');
    expect(moment(now - 4 * minuteMs, now, 'UTC')).toBe('10:30');
    expect(moment(lateEvening, now, 'UTC')).toBe('21 November, 23:30');
  });

  test('are read from a backup’s name, and from no other name', () => {
    expect(nameTime('backup-2026-11-22T10-30-00-000Z.sqlite')).toBe(Date.parse('2026-11-22T10:30:00.000Z'));
    expect(nameTime('backup-2026-13-22T10-30-00-000Z.sqlite')).toBeNull();
    expect(nameTime('dev.sqlite')).toBeNull();
  });
});

test('a server’s message becomes a sentence, but a path keeps its letters', () => {
  expect(sentence('the disk is full')).toBe('The disk is full.');
  expect(sentence('db/dev.sqlite does not exist')).toBe('db/dev.sqlite does not exist.');
  expect(sentence('Try again!')).toBe('Try again!');
});

test('a name out of a database is text: signs for what controls, nothing that turns the line, an end', () => {
  expect(shownName('orders')).toBe('orders');
  expect(shownName('a\nb\u0000\u007f')).toBe('a␊b␀␡');
  expect(shownName('a\u202eb')).toBe('ab');
  expect(shownName('x'.repeat(70))).toBe(`${'x'.repeat(60)}…`);
});

test('names in a row end with how many more there are', () => {
  expect(listed(['a'])).toBe('a');
  expect(listed(['a', 'b', 'c'])).toBe('a, b and c');
  expect(listed(['a', 'b', 'c', 'd'])).toBe('a, b and 2 more');
});

test('a moment in a sentence says its day', () => {
  const hour = 3_600_000;
  expect(dayTime(now - hour, now, 'UTC')).toBe('09:34 today');
  expect(dayTime(now - 24 * hour, now, 'UTC')).toBe('10:34 yesterday');
  expect(dayTime(now - 72 * hour, now, 'UTC')).toBe('10:34 on 19 November');
});

test('a list shows seconds only where two moments would look alike, and the offset where the hour comes twice', () => {
  const at = Date.parse('2026-11-22T10:30:07.000Z');
  expect(listTime(at, 'UTC', { hasSeconds: false })).toBe('10:30');
  expect(listTime(at, 'UTC', { hasSeconds: true })).toBe('10:30:07');
  expect(listTime(Date.parse('2026-10-25T00:30:00.000Z'), 'Europe/Berlin', { hasSeconds: false })).toBe(
    '02:30:00 UTC+2',
  );
});

test('two moments have seconds where they would look alike', () => {
  const hour = 3_600_000;
  expect(momentsApart([now - hour, now], now, 'UTC')).toEqual(['09:34', '10:34']);
  expect(momentsApart([now - 9_000, now], now, 'UTC')).toEqual(['10:34:09', '10:34:18']);
  expect(momentsApart([now - 48 * hour - 9_000, now - 48 * hour], now, 'UTC')).toEqual([
    '20 November, 10:34:09',
    '20 November, 10:34:18',
  ]);
});
