import { expect, test } from 'bun:test';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { join } from 'node:path';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { LogLimits } from './log-limits.ts';

const scratch = scratchFolders();
const MIB = 1024 * 1024;

/** Of a database of 400 MB with so many of them in its log. */
function limitsOf(logMegabytes: number, mergedMegabytes: number) {
  const pageSize = 4_096;
  const frames = (logMegabytes * MIB) / pageSize;
  const mergedFrames = (mergedMegabytes * MIB) / pageSize;
  let shortened = 0;
  const database = {
    ...{ path: join(scratch(), 'app.sqlite'), pageSize, pinnedPages: (400 * MIB) / pageSize },
    index: () => ({ salts: '', frames, mergedFrames, pages: 1, checksum: [0, 0] }),
    shorten: () => shortened++,
  } as unknown as FollowedDatabase;
  return { limits: new LogLimits(database), shortened: () => shortened };
}

test('past a quarter of the database a log is told, and past four times that it is let go', async () => {
  expect(limitsOf(90, 0).limits.look().warning).toBeNull();
  expect(limitsOf(110, 100).limits.look().warning).toContain('115 MB');
  const { limits, shortened } = limitsOf(410, 400);
  expect((await refusal(() => limits.look())).code).toBe('LOG_TOO_LONG');
  expect(shortened()).toBe(1);
});

test('a log that is all merged holds nothing up, however long one transaction made it', () => {
  const { limits } = limitsOf(2_000, 2_000);
  limits.refuseLong();
  expect(limits.look()).toEqual({ logBytes: 0, warning: null });
});
