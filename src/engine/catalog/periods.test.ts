import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { PERIODS, periodOf } from './periods.ts';

test('a moment has an hour, a day, a week, a month and a year of UTC', () => {
  const moment = new Date('2024-01-15T10:30:00+14:00');
  expect(PERIODS.map((period) => periodOf(moment, period))).toEqual([
    '2024-01-14T20',
    '2024-01-14',
    '2024-W02',
    '2024-01',
    '2024',
  ]);
});

test('weeks are those of ISO 8601 around a new year', () => {
  const weeks = {
    '2020-12-31': '2020-W53',
    '2021-01-03': '2020-W53',
    '2021-01-04': '2021-W01',
    '2024-12-29': '2024-W52',
    '2024-12-30': '2025-W01',
    '2027-01-01': '2026-W53',
  };
  for (const [day, week] of Object.entries(weeks)) {
    expect([day, periodOf(new Date(`${day}T23:59:59.999Z`), 'weekly')]).toEqual([day, week]);
  }
});

test('two moments share a week when no Monday lies between them', () => {
  const dayMs = 86_400_000;
  // The first Monday of 1970 was the 5th.
  const weekNumber = (moment: Date) => Math.floor((moment.getTime() - 4 * dayMs) / (7 * dayMs));
  const moments = fc.date({ min: new Date('1990-01-01'), max: new Date('2090-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(moments, fc.integer({ min: 0, max: 9 * dayMs }), (earlier, laterMs) => {
      const later = new Date(earlier.getTime() + laterMs);
      expect(periodOf(earlier, 'weekly') === periodOf(later, 'weekly')).toBe(weekNumber(earlier) === weekNumber(later));
    }),
    { seed: 20_240_303, numRuns: 2_000 },
  );
});
