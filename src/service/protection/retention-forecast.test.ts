import { expect, test } from 'bun:test';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import { KEEP_BY_DEFAULT, KEEP_NONE } from '../../engine/catalog/retention.ts';
import { forecastRetention } from './retention-forecast.ts';

const GB = 1024 ** 3;
const now = new Date('2024-03-01T12:00:00Z');
const copy = (change: Partial<Manifest> = {}) => {
  const manifest = manifestOf(now, { sizeBytes: GB, ...change });
  return { name: manifest.name, sizeBytes: GB, createdAt: now, manifest, fault: null };
};
const policy = { count: 10, startBurstMs: 600_000, keep: KEEP_NONE, byDefault: null };
const byDefault = { ...policy, keep: KEEP_BY_DEFAULT, byDefault: { databases: 1 } };
const facts = {
  copies: [copy(), copy({ trigger: 'safety' }), copy({ pinned: true }), { ...copy(), manifest: null }],
  databaseBytes: 2 * GB,
  disk: { diskBytes: 500 * GB, freeBytes: 400 * GB },
  now,
};

test('safety copies, pinned ones and foreign files are counted beside what the numbers say', () => {
  expect(forecastRetention({ ...facts, retention: policy })).toEqual({
    ...{ bytes: 13 * GB, eachBytes: GB, besideBytes: 3 * GB },
    ...{ budgetBytes: null, fitting: null, note: null },
  });
  const keep = { ...KEEP_NONE, daily: 7 };
  expect(forecastRetention({ ...facts, retention: { ...policy, keep } }).bytes).toBe(20 * GB);
});

test('what is held for a loss is counted beside them, as long as nobody said that it was meant', () => {
  const before = copy();
  const lost = (accepted: { at: string; user: null } | null) =>
    copy({
      name: 'backup-2024-03-01T12-10-00-000Z.sqlite',
      loss: { before: before.name, dayBefore: null, tables: [], usedPages: { before: 2, after: 1 }, accepted },
    });
  const beside = (first: ReturnType<typeof copy>) =>
    forecastRetention({ ...facts, copies: [first, before], retention: policy }).besideBytes;
  expect(beside(lost(null))).toBe(2 * GB);
  expect(beside(lost({ at: now.toISOString(), user: null }))).toBe(0);
});

test('before the first backup the size of the database is the measure', () => {
  const { bytes, eachBytes } = forecastRetention({ ...facts, copies: [], retention: policy });
  expect([bytes, eachBytes]).toEqual([20 * GB, 2 * GB]);
});

for (const [diskBytes, fitting, bytes, words] of [
  [
    500 * GB,
    35,
    48 * GB,
    'no more than 100.0 GB: a fifth of the disk, or less while it is nearly full. There is room for all of them.',
  ],
  [100 * GB, 7, 20 * GB, 'There is room for about 7 of these 35.'],
  [50 * GB, 0, 13 * GB, 'There is no room for any of them: only the newest 10 stay.'],
] as const) {
  test(`of the default ${fitting} fit on a disk of ${diskBytes / GB} GB, and the note says so`, () => {
    const disk = { ...facts.disk, diskBytes };
    const forecast = forecastRetention({ ...facts, disk, retention: byDefault });
    expect([forecast.fitting, forecast.bytes, forecast.budgetBytes]).toEqual([fitting, bytes, diskBytes / 5]);
    expect(forecast.note).toStartWith(
      'By default the newest of each of the last 24 hours, 7 days and 4 weeks stays beside the newest 10, as long as',
    );
    expect(forecast.note).toContain(words);
  });
}

test('several databases share the fifth', () => {
  const { budgetBytes, note } = forecastRetention({
    ...facts,
    retention: { ...byDefault, byDefault: { databases: 5 } },
  });
  expect(budgetBytes).toBe(20 * GB);
  expect(note).toContain('a fifth of the disk, shared by 5 databases, or less');
});
