import { expect, test } from 'bun:test';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { join } from 'node:path';
import type { FollowedDatabase } from '../sqlite/followed-database.ts';
import { LogLimits } from './log-limits.ts';

const scratch = scratchFolders();
const MIB = 1024 * 1024;

/** The limits of a database of 400 MB with so many megabytes in its log; all of it may change. */
function limitsOf(logMegabytes: number, mergedMegabytes: number) {
  const pageSize = 4_096;
  const size = { megabytes: 400, logMegabytes, mergedMegabytes };
  const pagesOf = (megabytes: number) => (megabytes * MIB) / pageSize;
  let [shortened, asked] = [0, 0];
  const database = {
    ...{ path: join(scratch(), 'app.sqlite'), pageSize },
    get pinnedPages() {
      return pagesOf(size.megabytes);
    },
    index: () => ({
      ...{ salts: '', frames: pagesOf(size.logMegabytes), mergedFrames: pagesOf(size.mergedMegabytes) },
      ...{ pages: 1, checksum: [0, 0] },
    }),
    shorten: () => shortened++,
  } as unknown as FollowedDatabase;
  const limits = new LogLimits(database, () => {
    asked++;
    return { by: [{ pid: 42, name: `reader ${asked}` }], unseen: null };
  });
  return { limits, size, shortened: () => shortened, asked: () => asked };
}

test('past a quarter of the database a log is told, and past four times that it is let go', async () => {
  expect(limitsOf(90, 0).limits.look().warning).toBeNull();
  expect(limitsOf(110, 100).limits.look().warning).toContain('reader 1 (42)');
  const { limits, shortened } = limitsOf(410, 400);
  expect((await refusal(() => limits.look())).code).toBe('LOG_TOO_LONG');
  expect(shortened()).toBe(1);
});

test('a log that is all merged holds nothing up, however long one transaction made it', () => {
  const { limits } = limitsOf(2_000, 2_000);
  limits.refuseLong();
  expect(limits.look()).toEqual({ logBytes: 0, warning: null });
});

test('one log that is too long is one warning, and who reads it is asked once', () => {
  const { limits, size, asked } = limitsOf(110, 0);
  const { warning } = limits.look();
  size.logMegabytes = 300;
  expect([limits.look().warning, asked()]).toEqual([warning, 1]);
  size.logMegabytes = 50;
  expect(limits.look().warning).toBeNull();
  size.logMegabytes = 110;
  expect([limits.look().warning?.includes('reader 2'), asked()]).toEqual([true, 2]);
});

test('a database that grew may have a longer log', async () => {
  const { limits, size } = limitsOf(90, 0);
  limits.look();
  size.megabytes = 4_000;
  size.logMegabytes = 500;
  expect(limits.look().warning).toBeNull();
  size.megabytes = 100;
  expect((await refusal(() => limits.look())).code).toBe('LOG_TOO_LONG');
});
