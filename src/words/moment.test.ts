import { expect, test } from 'bun:test';
import { parseMoment, sayMoment } from './moment.ts';

/** A Wednesday morning, local time. */
const now = new Date(2024, 0, 17, 9, 15, 30);
const at = (text: string) => {
  const moment = parseMoment(text, now);
  return (
    moment && [moment.getMonth() + 1, moment.getDate(), moment.getHours(), moment.getMinutes(), moment.getSeconds()]
  );
};

test('a date with a time is local, and with a zone it is of that zone', () => {
  for (const text of ['2024-01-15T10:30', '2024-01-15 10:30', ' 2024-01-15  10:30:00 '])
    expect(at(text)).toEqual([1, 15, 10, 30, 0]);
  for (const text of ['2024-01-15T10:30:00Z', '2024-01-15 11:30+01:00', '2024-01-15t10:30:00.000z'])
    expect(parseMoment(text, now)?.toISOString()).toBe('2024-01-15T10:30:00.000Z');
});

test('a day alone means its end', () => {
  expect(at('2024-01-15')).toEqual([1, 15, 23, 59, 59]);
  expect(at('yesterday')).toEqual([1, 16, 23, 59, 59]);
});

test('a day alone means its beginning if that is asked for, and a time is a time all the same', () => {
  for (const [text, iso] of [
    ['2024-01-15', new Date(2024, 0, 15)],
    ['yesterday', new Date(2024, 0, 16)],
    ['today', new Date(2024, 0, 17)],
    ['yesterday 18:00', new Date(2024, 0, 16, 18)],
    ['2024-01-15T10:30:00.250', new Date(2024, 0, 15, 10, 30, 0, 250)],
  ] as const)
    expect([text, parseMoment(text, now, 'beginning')]).toEqual([text, iso]);
});

test('a time alone means the last time that it was so late', () => {
  expect(at('8:30')).toEqual([1, 17, 8, 30, 0]);
  expect(at('09:15:30')).toEqual([1, 17, 9, 15, 30]);
  expect(at('10:30')).toEqual([1, 16, 10, 30, 0]);
});

test('yesterday and today take a time', () => {
  expect(at('yesterday 18:00')).toEqual([1, 16, 18, 0, 0]);
  expect(at('Yesterday at 18:00')).toEqual([1, 16, 18, 0, 0]);
  expect(at('today 08:00')).toEqual([1, 17, 8, 0, 0]);
});

test('so long ago: hours by the clock, days by the calendar', () => {
  expect(at('2 hours ago')).toEqual([1, 17, 7, 15, 30]);
  expect(at('an hour ago')).toEqual([1, 17, 8, 15, 30]);
  expect(at('90m ago')).toEqual([1, 17, 7, 45, 30]);
  expect(at('30 seconds ago')).toEqual([1, 17, 9, 15, 0]);
  expect(at('2 days ago')).toEqual([1, 15, 9, 15, 30]);
  expect(at('a week ago')).toEqual([1, 10, 9, 15, 30]);
});

test('what says no moment is null', () => {
  const texts = [
    '',
    'latest',
    '25:00',
    '10:60',
    '2024-02-30',
    '2024-13-01',
    '2024-1-5',
    'tomorrow',
    '2 hours',
    '-1 hours ago',
  ];
  for (const text of [...texts, '2024-01-15T10:30:00Q', '9999999 days ago', 'yesterday 24:10'])
    expect([text, parseMoment(text, now)]).toEqual([text, null]);
});

test('a moment is said in its zone and in UTC', () => {
  const moment = new Date('2024-01-15T23:30:00Z');
  expect(sayMoment(moment, 'UTC')).toBe('2024-01-15 23:30:00 UTC');
  expect(sayMoment(moment, 'America/New_York')).toBe('2024-01-15 18:30:00 America/New_York (23:30:00 UTC)');
  expect(sayMoment(moment, 'Europe/Berlin')).toBe('2024-01-16 00:30:00 Europe/Berlin (2024-01-15 23:30:00 UTC)');
});
