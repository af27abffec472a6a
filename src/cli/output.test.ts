import { expect, test } from 'bun:test';
import { agoText, durationText } from './output.ts';

const now = new Date('2024-03-01T12:00:00Z');
const ago = (ms: number) => agoText(new Date(now.getTime() - ms), now);

test('an age is told in seconds, minutes and hours', () => {
  expect([0, 42_000, 200_000, 3_600_000 * 26].map(ago)).toEqual([
    ...['0 s ago', '42 s ago', '3 min 20 s ago', '26 h 0 min ago'],
  ]);
});

test('no age and no duration is negative: what a clock that went back put into the future is told as that', () => {
  for (const ms of [-1, -600, -4_000]) expect(ago(ms)).toBe('0 s ago');
  expect(ago(-6_000)).toBe('6 s in the future');
  expect(ago(-3 * 3_600_000)).toBe('3 h 0 min in the future');
  for (const ms of [-1, -61_000, -1e12]) expect(durationText(ms)).toBe('0 s');
});
