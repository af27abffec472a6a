import { expect, test } from 'bun:test';
import { searchHistory } from './history-search.ts';

const today = '2026-11-22';
const entry = (moment: string, text = '', isGood = true) => {
  const [day = '', time = ''] = moment.split(' ');
  return { moment, day, time, text: `backup ${moment} ${text}`, isGood };
};
const entries = [
  entry('2026-11-22 11:30:00', 'safety'),
  entry('2026-11-21 17:02:10', 'pinned before migration'),
  entry('2026-11-21 16:50:00', 'damaged', false),
  entry('2026-11-21 16:40:00'),
  entry('2026-11-20 23:00:00'),
  entry('2025-11-23 09:00:00'),
];
const found = (wanted: string) => searchHistory(wanted, entries, today).entries.map(({ moment }) => moment);
const held = (wanted: string) => searchHistory(wanted, entries, today).held?.moment ?? null;

test('words must all be in a row, whatever their case', () => {
  expect(found('')).toHaveLength(6);
  expect(found(' Pinned MIGRATION ')).toEqual(['2026-11-21 17:02:10']);
  expect(found('damaged')).toEqual(['2026-11-21 16:50:00']);
  expect(found('pinned safety')).toEqual([]);
  // A time alone is a word.
  expect(found('17:02')).toEqual(['2026-11-21 17:02:10']);
  expect(held('17:02')).toBeNull();
});

test.each([
  ['today', '2026-11-22'],
  ['yesterday', '2026-11-21'],
  ['21 nov', '2026-11-21'],
  ['21. November', '2026-11-21'],
  ['21 Nov 2026', '2026-11-21'],
  ['2026-11-20', '2026-11-20'],
  // Without a year the last such day.
  ['23 nov', '2025-11-23'],
  ['23 Nov, 2025', '2025-11-23'],
])('“%s” is a day', (wanted, day) => {
  const all = entries.filter((one) => one.day === day).map(({ moment }) => moment);
  expect(all.length).toBeGreaterThan(0);
  expect(found(wanted)).toEqual(all);
  expect(held(wanted)).toBeNull();
});

test('a day with a time finds the newest good backup from before, also of an earlier day', () => {
  expect(held('yesterday 17:02')).toBe('2026-11-21 17:02:10');
  expect(held('yesterday 17:00')).toBe('2026-11-21 16:40:00');
  expect(held('21 nov 9:15')).toBe('2026-11-20 23:00:00');
  expect(found('21 nov 9:15')).toEqual([
    ...['2026-11-21 17:02:10', '2026-11-21 16:50:00', '2026-11-21 16:40:00', '2026-11-20 23:00:00'],
  ]);
  expect(held('1 jan 2020 10:00')).toBeNull();
  expect(found('yesterday 25:00')).toEqual([]);
});
