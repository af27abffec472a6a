import { expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';
import { isLocked, takeLock } from './lock.ts';

const scratch = scratchFolders();
const signal = new AbortController().signal;

test('a free lock is taken, held against a second taker, and free again when disposed', async () => {
  const path = join(scratch(), '.lock');
  {
    using _held = await takeLock(path, { waitMs: 0, signal });
    expect((await refusal(() => takeLock(path, { waitMs: 0, signal }))).code).toBe('BUSY');
  }
  (await takeLock(path, { waitMs: 0, signal }))[Symbol.dispose]();
});

test('a lock that another process holds is busy, and the system releases it when that one is killed', async () => {
  const path = join(scratch(), '.lock');
  (await takeLock(path, { waitMs: 0, signal }))[Symbol.dispose]();
  const other = await openElsewhere(path);
  await other.ask('BEGIN EXCLUSIVE');
  expect((await refusal(() => takeLock(path, { waitMs: 0, signal }))).code).toBe('BUSY');
  const waiting = takeLock(path, { waitMs: 10_000, signal });
  await other.kill();
  (await waiting)[Symbol.dispose]();
  expect(existsSync(path)).toBe(true);
});

test('waiting for a lock ends with the signal', async () => {
  const path = join(scratch(), '.lock');
  using _held = await takeLock(path, { waitMs: 0, signal });
  const abort = new AbortController();
  const waiting = takeLock(path, { waitMs: 10_000, signal: abort.signal }).catch(
    (error: unknown) => BackupError.from(error).code,
  );
  abort.abort();
  expect(await waiting).toBe('ABORTED');
});

test('a lock file that can not be used is set aside and named, and never one that somebody holds', async () => {
  const path = join(scratch(), '.lock');
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  writeFileSync(path, 'something else, that is no database and never will be one');
  (await takeLock(path, { waitMs: 0, signal, warn }))[Symbol.dispose]();
  const [aside = ''] = readdirSync(dirname(path)).filter((name) => name.startsWith('.lock.unusable-'));
  expect(warnings).toEqual([expect.stringContaining(`it was moved to ${join(dirname(path), aside)}`)]);
  expect(readFileSync(join(dirname(path), aside), 'utf8')).toStartWith('something else');

  const other = await openElsewhere(path);
  await other.ask('BEGIN EXCLUSIVE');
  // Through its inode, as a careless program would.
  writeFileSync(path, 'something else again, in the file that is locked');
  const { code, hint } = await refusal(() => takeLock(path, { waitMs: 0, signal, warn }));
  expect([code === 'BUSY' || code === 'NO_PERMISSION', hint]).toEqual([true, expect.stringMatching(/Wait|chown/)]);
  expect([warnings.length, readdirSync(dirname(path)).filter((name) => name.includes('unusable')).length]).toEqual([
    1, 1,
  ]);
  await other.kill();
});

test('whether a lock is held is seen without taking it, and what is no lock is held by nobody', async () => {
  const path = join(scratch(), '.lock');
  expect([isLocked(path), existsSync(path)]).toEqual([false, false]);
  {
    using _held = await takeLock(path, { waitMs: 0, signal });
    expect(isLocked(path)).toBe(true);
  }
  expect(isLocked(path)).toBe(false);
  (await takeLock(path, { waitMs: 0, signal }))[Symbol.dispose]();
  writeFileSync(path, 'something else, that is no database and never will be one');
  expect([isLocked(path), isLocked(scratch())]).toEqual([false, false]);
});
