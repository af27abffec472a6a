import { expect, test } from 'bun:test';
import { refusal } from '../../tests/support/scratch.ts';
import { momentOf, readRestorePoint, type RestorePointGiven } from './restore-point.ts';

const now = new Date(2024, 0, 17, 9, 15);
const read = (given: unknown) => readRestorePoint(given as RestorePointGiven, now);

test('a name, the latest, a moment', () => {
  expect(read({ backup: 'a' })).toEqual({ backup: 'a' });
  expect(read({ latest: true })).toEqual({ latest: true });
  const at = new Date(2024, 0, 16, 18);
  expect(read({ at })).toEqual({ at });
  expect(read({ at: 'yesterday 18:00' })).toEqual({ at });
  expect(read({ at: '2024-01-15T10:30:00Z', latest: undefined })).toEqual({ at: new Date('2024-01-15T10:30:00Z') });
});

test('what is no restore point is refused, and the hint lists the forms', async () => {
  const wrong = [null, {}, { latest: false }, { latest: true, at: now }, { backup: 1 }, { at: now, mode: 'online' }];
  for (const given of wrong) {
    const error = await refusal(() => read(given));
    expect([error.code, error.hint]).toEqual(['BAD_REQUEST', expect.stringContaining('{ latest: true }')]);
  }
  for (const at of ['teatime', '', '25:00', new Date(Number.NaN), 12, null]) {
    const error = await refusal(() => read({ at }));
    expect([error.code, error.hint]).toEqual(['BAD_REQUEST', expect.stringContaining('yesterday 18:00')]);
  }
  expect((await refusal(() => read({ at: 'x'.repeat(500) }))).message.length).toBeLessThan(150);
});

test('a moment is said with its zone, what names none is not', () => {
  const said = momentOf(read({ at: '2024-01-15T10:30:00Z' }))?.said;
  expect(said).toMatch(/10:30:00 UTC/);
  expect(momentOf({ latest: true })).toBe(null);
});
