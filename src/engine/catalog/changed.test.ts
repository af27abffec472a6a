import { expect, test } from 'bun:test';
import { isChangedSince } from './changed.ts';

const published = 1_709_294_400_123_456_789n;
const isChanged = (modifiedNs: bigint) => isChangedSince(String(published), modifiedNs);

test('another time is a change, however near, and the same one is none', () => {
  expect(isChanged(published)).toBe(false);
  for (const apart of [1n, -1n, 1_000_001n, 86_400n * 10n ** 9n, -(3_600n * 10n ** 9n)])
    expect([apart, isChanged(published + apart)]).toEqual([apart, true]);
});

test('a disk or a program that keeps coarser times than ours changes nothing', () => {
  const cut = (unit: bigint) => (published / unit) * unit;
  for (const unit of [100n, 1_000n, 1_000_000n, 10_000_000n, 10n ** 9n, 2n * 10n ** 9n]) {
    expect([unit, isChanged(cut(unit)), isChanged(cut(unit) + unit)]).toEqual([unit, false, false]);
  }
  for (const seconds of [-4n, 4n, 3_600n]) expect(isChanged(cut(2n * 10n ** 9n) + seconds * 10n ** 9n)).toBe(true);
});
