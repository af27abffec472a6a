import { expect, test } from 'bun:test';
import type { Backup } from '../../http/contract.ts';
import { lossVerb } from './accepted-loss.ts';
import { keptForLosses, type Loss, lossTag, pagesLost } from './loss.ts';

const day = 24 * 3_600_000;
const now = Date.parse('2026-11-22T10:34:18.000Z');

function loss(tables: Loss['tables'], change: Partial<Loss> = {}): Loss {
  return { before: 'b', dayBefore: 'd', tables, usedPages: { before: 400, after: 48 }, accepted: null, ...change };
}

test('a loss is said by its worst table', () => {
  const other = { name: 'users', before: 10, after: 2 };
  expect(lossTag(loss([{ name: 'orders', before: 8_310, after: 0 }, other]))).toBe('orders is empty');
  expect(lossTag(loss([{ name: 'orders', before: 8_310, after: null }, other]))).toBe('orders is gone');
  expect(lossTag(loss([{ name: 'orders', before: 8_310, after: 3_210 }]))).toBe('orders lost 5,100 rows');
  expect(lossTag(loss([]))).toBe('much was lost');
  expect(pagesLost(loss([]))).toBe('88%');
  expect(lossVerb([{ name: 'orders', before: 9, after: 0 }, other])).toBe('cut down');
});

test('what is kept for a loss is said until somebody answers, or its 30 days are over', () => {
  const at = (age: number, marked: Loss | null) =>
    // Only these parts of a backup are looked at.
    ({ createdAt: new Date(now - age).toISOString(), loss: marked }) as Backup;
  const kept = (age: number, marked: Loss) => [...keptForLosses([at(age, marked), at(0, null)], now)];
  const open = loss([]);
  expect(kept(day, open)).toEqual([
    ['b', 'Before the loss, kept'],
    ['d', 'A day before the loss, kept'],
  ]);
  expect(kept(day, { ...open, dayBefore: null })).toHaveLength(1);
  expect(kept(31 * day, open)).toEqual([]);
  expect(kept(day, { ...open, accepted: { at: '', user: null } })).toEqual([]);
});
