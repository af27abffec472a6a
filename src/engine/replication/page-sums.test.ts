import { expect, test } from 'bun:test';
import { PageSet } from './page-sums.ts';

test('it holds what was added, and nothing else, whatever the number', () => {
  const added = [1, 31, 32, 33, 1_023, 1_024, 70_000, 2 ** 24];
  const set = new PageSet();
  const near = added.flatMap((number) => [number - 1, number, number + 1]);
  for (const number of added) set.add(number);
  expect(near.filter((number) => set.has(number))).toEqual(near.filter((number) => added.includes(number)));
  set.clear();
  expect(near.filter((number) => set.has(number))).toEqual([]);
});
