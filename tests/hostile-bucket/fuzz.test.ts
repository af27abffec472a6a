import { expect, test } from 'bun:test';
import { fuzzBucket } from './fuzz.ts';

test('a bucket that lies and harms hangs nothing, places nothing, and is told in words that are safe to print', async () => {
  const { hangs, escapes, crashes, outcomes, cases } = await fuzzBucket({
    ...{ seed: 20_261_130, objects: 300, answers: 150, downloads: 60 },
  });
  expect({ hangs, escapes, crashes }).toEqual({ hangs: [], escapes: [], crashes: [] });
  expect(cases).toEqual({ objects: 300, answers: 150, downloads: 60 });
  // They reach what judges them.
  for (const outcome of ['ok', 'VERIFY_FAILED', 'S3_FAILED', 'S3_UNREACHABLE', 'UNSUPPORTED'])
    expect([outcome, (outcomes[outcome] ?? 0) > 3]).toEqual([outcome, true]);
}, 120_000);
