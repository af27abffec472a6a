import { expect, test } from 'bun:test';
import { refusal } from '../../../tests/support/scratch.ts';
import type { JobRequest } from '../../engine/process/protocol.ts';
import { JobSlots } from './job-slots.ts';

/** Only these parts of a request decide. */
const request = (kind: string, trigger?: string) => ({ kind, trigger }) as JobRequest;
const scheduled = request('backup', 'schedule');

/** Work that goes on until it is told to end. */
function startJobs(turns: JobSlots) {
  const going: string[] = [];
  const endings = new Map<string, () => void>();
  const start = (name: string, of: JobRequest, signal?: AbortSignal) =>
    turns.take(
      of,
      () => {
        going.push(name);
        return new Promise<void>((resolve) => endings.set(name, resolve));
      },
      signal,
    );
  const end = async (name: string) => {
    going.splice(going.indexOf(name), 1);
    endings.get(name)?.();
    await settled();
  };
  return { going, start, end };
}
/** All that could go on by itself has. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('two scheduled copies go at once, the others wait in line', async () => {
  const { going, start, end } = startJobs(new JobSlots());
  for (const name of ['a', 'b', 'c', 'd']) void start(name, scheduled);
  expect(going).toEqual(['a', 'b']);
  await end('b');
  expect(going).toEqual(['a', 'c']);
  await end('a');
  await end('c');
  await end('d');
  void start('e', scheduled);
  void start('f', scheduled);
  expect(going).toEqual(['e', 'f']);
});

test('what a person asked for waits for nobody, and uploads hold up no copy', async () => {
  const { going, start } = startJobs(new JobSlots());
  for (const name of ['a', 'b', 'c']) void start(name, request('upload'));
  for (const name of ['d', 'e', 'f']) void start(name, scheduled);
  void start('mine', request('backup', 'manual'));
  void start('restore', request('restore'));
  expect(going).toEqual(['a', 'b', 'd', 'e', 'mine', 'restore']);
});

test('one that is stopped in line leaves it, and a failure gives its place to the next', async () => {
  const turns = new JobSlots();
  const { going, start, end } = startJobs(turns);
  void start('a', scheduled);
  let fail = () => {};
  const failing = turns.take(scheduled, () => new Promise((_, reject) => (fail = () => reject(new Error('no')))));
  const stop = new AbortController();
  const stopped = refusal(() => start('b', scheduled, stop.signal));
  void start('c', scheduled);
  stop.abort();
  expect((await stopped).code).toBe('ABORTED');
  fail();
  await failing.catch(() => {});
  await settled();
  expect(going).toEqual(['a', 'c']);
  await end('a');
});

test('drills wait for each other and hold up no copy', async () => {
  const { going, start } = startJobs(new JobSlots());
  for (const name of ['a', 'b', 'c']) void start(name, request('drill', 'schedule'));
  for (const name of ['d', 'e']) void start(name, scheduled);
  expect(going).toEqual(['a', 'b', 'd', 'e']);
});

test('a backup whose check takes long leaves its place to others, and takes no second one with it', async () => {
  const turns = new JobSlots({ checkHoldsMs: 1 });
  const going: string[] = [];
  const ends: (() => void)[] = [];
  const start = (name: string, isChecking: boolean) =>
    turns.take(scheduled, (onChecking) => {
      going.push(name);
      if (isChecking) onChecking();
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const first = start('a', true);
  void start('b', false);
  const third = start('c', true);
  expect(going).toEqual(['a', 'b']);
  while (going.length < 3) await settled();
  void start('d', false);
  while (going.length < 4) await settled();
  void start('e', false);
  for (const end of ends) end();
  await Promise.all([first, third]);
  await settled();
  expect(going).toEqual(['a', 'b', 'c', 'd', 'e']);
});
