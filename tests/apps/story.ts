/**
 * What every app goes through whose database others may read: backed up while it commits; restored online while it
 * commits, and undone; refused in place while it has the database open, then restored in place, and undone. After each
 * step the app itself says what it has. Its writes are numbered, so that a lost one is seen.
 */
import { expect } from 'bun:test';
import { goOn, type Workplace } from './work.ts';

export interface RecordingApp {
  readonly database: string;
  /**
   * What it says when its transaction has read, somebody else commits, and then it wants to write: SQLite refuses that at
   * once, whatever the app's patience, and the user tries again. Left out where it begins as one that writes.
   */
  readonly busyWords?: RegExp;
  /** Commits that number. */
  write(number: number): Promise<unknown>;
  /** The numbers that are there, in order; of another file too. */
  written(path?: string): Promise<readonly number[]>;
  /** Has the app judge the file; throws what it complains about. */
  check(path?: string): Promise<void>;
  /** Keeps the database open, resting. */
  hold(): Promise<Hold>;
  /** What runs of it ends. It starts again when it is asked something. */
  stop(): Promise<void>;
}

export interface Hold {
  /** As a refusal names it. */
  readonly process: string;
  release(): Promise<void>;
}

export async function tellStory(place: Workplace, app: RecordingApp): Promise<void> {
  const guard = place.guard(app.database);
  const write = (number: number) => app.write(number);
  const seen = async (path?: string) => {
    await app.check(path);
    return await app.written(path);
  };

  // Backed up while it commits: no commit is refused, all that was committed before is in it, nothing is out of order.
  let writer = goOn(1, write);
  await writer.more(2);
  const before = writer.done;
  const backup = await guard.backUp();
  const after = writer.done + 1;
  await writer.more(2);
  await writer.stop();
  const copy = place.path('copy.sqlite');
  await guard.does(`restore ${backup} --to ${copy}`);
  const copied = [...(await seen(copy))];
  expect(copied).toEqual(upTo(copied.length));
  expect(copied.length).toBeGreaterThanOrEqual(before);
  expect(copied.length).toBeLessThanOrEqual(after);
  expect(await seen()).toEqual(upTo(writer.done));

  // Restored online while it commits: every commit is on one side of the restore.
  const start = writer.done + 1;
  const resting = await app.hold();
  writer = goOn(start, write, app.busyWords);
  await writer.more(1);
  await guard.does(`restore ${backup} --online --yes`);
  await writer.more(2);
  await writer.stop();
  await resting.release();
  const restored = await seen();
  const since = restored.slice(copied.length);
  const firstSince = since[0] ?? 0;
  expect(restored.slice(0, copied.length)).toEqual(copied);
  expect(firstSince).toBeGreaterThan(start);
  expect(since).toEqual(upTo(start + writer.done - 1).slice(firstSince - 1));

  // What the undo brings back holds each commit until the restore took its place.
  await guard.does('undo --yes');
  const everything = upTo(firstSince - 1);
  expect(await seen()).toEqual(everything);

  // In place: not while somebody has it open.
  const holding = await app.hold();
  const refusal = await guard.refuses(`restore ${backup} --in-place --yes`);
  expect(refusal).toContain(holding.process);
  expect(refusal).toContain('RESTORE_IN_USE');
  expect(await seen()).toEqual(everything);
  await holding.release();
  await app.stop();
  await guard.does(`restore ${backup} --in-place --yes`);
  expect(await seen()).toEqual(copied);
  await app.write(firstSince);
  expect(await seen()).toEqual([...copied, firstSince]);
  await app.stop();
  await guard.does('undo --in-place --yes');
  expect(await seen()).toEqual(everything);
  await app.stop();
}

/** 1, 2 and so on. */
export const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);
