import { expect, test } from 'bun:test';
import { OfThisTurn } from './of-this-turn.ts';

test('a value is found once in a stretch of code, and anew after each wait and each change', async () => {
  let found = 0;
  const value = new OfThisTurn(() => ++found);
  expect([value.get(), value.get()]).toEqual([1, 1]);
  await Promise.resolve();
  expect(value.get()).toBe(2);
  value.drop();
  expect(value.get()).toBe(3);
  // What was held before the change ends nothing that came after it.
  await Promise.resolve();
  expect(value.get()).toBe(4);
});
