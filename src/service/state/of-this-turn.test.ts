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

test('what was due before the value was found shares it, and what was due after it finds it anew', async () => {
  let found = 0;
  const value = new OfThisTurn(() => ++found);
  const seen: number[] = [];
  queueMicrotask(() => seen.push(value.get()));
  seen.push(value.get());
  queueMicrotask(() => seen.push(value.get()));
  await Promise.resolve();
  expect(seen).toEqual([1, 1, 2]);
});
