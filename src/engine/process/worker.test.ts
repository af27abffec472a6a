import { afterEach, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { isAlive } from '../stories/watch-state.ts';
import { Worker, type WorkerOptions } from './worker.ts';

const scratch = scratchFolders();
const environment = { PATH: process.env['PATH'] ?? '' };
const node = fileURLToPath(new URL('../../../node_modules/node/bin/node', import.meta.url));
const started: Worker<'watch-state'>[] = [];
afterEach(async () => {
  for (const worker of started.splice(0)) await worker.stop();
});

function makeState(): { path: string; database: DatabaseSync } {
  const path = join(scratch(), 'state.sqlite');
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE notes (text)');
  return { path, database };
}

const quick = { beatMs: 50, silenceMs: 500, firstDelayMs: 20, delayMsMax: 80, stopMs: 2_000 };

/** A worker that is started, and what it said in the order in which it came. */
function watch(path: string, more: Partial<WorkerOptions<'watch-state'>> = {}) {
  const said: string[] = [];
  const waiting = new Set<() => void>();
  const say = (what: string) => {
    said.push(what);
    for (const look of waiting) look();
  };
  const worker = new Worker({
    ...{ kind: 'watch-state' as const, request: { path, everyMs: 20 }, environment, times: quick },
    onMessage: () => say('changed'),
    onStart: () => say('started'),
    onDown: (error, retryInMs) => say(`${error.code} ${error.message}, again in ${retryInMs} ms`),
    ...more,
  });
  started.push(worker);
  worker.start();
  const until = (isThere: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (isThere()) resolve();
      };
      waiting.add(look);
      look();
    });
  return { worker, said, until };
}

const count = (said: readonly string[], what: string) => said.filter((one) => one.includes(what)).length;

test('a commit of another process is told, and nothing else is', async () => {
  const { path, database } = makeState();
  const { worker, said, until } = watch(path);
  await until(() => said.length === 2);
  await sleep(200);
  expect(said).toEqual(['started', 'changed']);
  database.exec("INSERT INTO notes VALUES ('b')");
  await until(() => said.length > 2);
  await sleep(100);
  expect(said).toEqual(['started', 'changed', 'changed']);
  await worker.stop();
  database.close();
});

test('a state that comes to be is a change', async () => {
  const path = join(scratch(), 'state.sqlite');
  const { said, until } = watch(path);
  await until(() => said.includes('changed'));
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE notes (text)');
  await until(() => count(said, 'changed') > 1);
  database.close();
});

test('a message goes down: the end of a process that is followed is a change, and is told once', async () => {
  const { path, database } = makeState();
  const other = spawn('sleep', ['60']);
  // Sent before the worker listens.
  const { said, until } = watch(path, {
    onStart: () => void started.at(-1)?.send({ pids: [other.pid ?? 0, process.pid] }),
  });
  await sleep(300);
  expect(said).toEqual(['changed']);
  other.kill('SIGKILL');
  await until(() => said.length > 1);
  await sleep(100);
  expect(said).toEqual(['changed', 'changed']);
  database.close();
});

test('a worker that ends is started again, after a delay that grows, and works as before', async () => {
  const { path, database } = makeState();
  const { worker, said, until } = watch(path);
  for (let round = 1; round <= 4; round++) {
    await until(() => count(said, 'started') === round);
    process.kill(worker.pid ?? 0, 'SIGKILL');
    await until(() => count(said, 'JOB_DIED') === round);
  }
  expect(said.filter((what) => what.startsWith('JOB_DIED'))).toEqual(
    [20, 40, 80, 80].map((ms) => `JOB_DIED the worker ended (SIGKILL), again in ${ms} ms`),
  );
  await until(() => count(said, 'started') === 5 && said.at(-1) === 'changed');
  const before = said.length;
  database.exec("INSERT INTO notes VALUES ('a')");
  await until(() => said.length > before);
  database.close();
});

test('a worker that gives no sign of life is killed, and another takes its place', async () => {
  const { path, database } = makeState();
  const { worker, said, until } = watch(path);
  await until(() => said.includes('started'));
  const { pid = 0 } = worker;
  process.kill(pid, 'SIGSTOP');
  await until(() => count(said, 'started') === 2);
  expect(said.at(-2)).toContain('it gave no sign of life and was killed');
  expect(isAlive(pid)).toBe(false);
  database.close();
});

test('a worker that can not be started is reported and tried again', async () => {
  const { path, database } = makeState();
  const { said, until } = watch(path, { kind: 'nothing-of-ours' as 'watch-state' });
  await until(() => count(said, 'again in 40 ms') === 1);
  database.close();
});

test('stopped, it has ended; it can be started again', async () => {
  const { path, database } = makeState();
  const { worker, said, until } = watch(path);
  await until(() => said.includes('started'));
  const { pid = 0 } = worker;
  await worker.stop();
  expect([isAlive(pid), worker.pid, worker.send({ pids: [] })]).toEqual([false, undefined, false]);
  worker.start();
  await until(() => count(said, 'started') === 2);
  await worker.stop();
  // In the turn in which it was started, too.
  worker.start();
  await worker.stop();
  expect(worker.pid).toBeUndefined();
  expect(count(said, 'JOB_DIED')).toBe(0);
  database.close();
});

test.each([
  ['Bun', process.execPath, []],
  ['Node', node, ['--experimental-strip-types', '--no-warnings']],
])('on %s, it ends with its owner, and keeps no owner alive', async (_, runtime, flags) => {
  const { path, database } = makeState();
  const program = join(scratch(), 'owner.mts');
  const module = JSON.stringify(new URL('./worker.ts', import.meta.url).href);
  writeFileSync(
    program,
    `const { Worker } = await import(${module});
    const worker = new Worker({
      kind: 'watch-state', request: { path: ${JSON.stringify(path)}, everyMs: 20 }, environment: process.env,
      onMessage() {}, onStart: () => console.log(worker.pid),
    });
    worker.start();
    if (process.argv[2] === 'stay') setInterval(() => {}, 1_000);
    else setTimeout(() => {}, 1_500);`,
  );
  for (const how of ['stay', 'end']) {
    const owner = spawn(runtime, [...flags, program, how], { stdio: ['ignore', 'pipe', 'inherit'], env: environment });
    const ended = new Promise((resolve) => owner.once('exit', (code, signal) => resolve(signal ?? code)));
    const pid = Number(await new Promise<string>((resolve) => createInterface(owner.stdout).once('line', resolve)));
    expect(isAlive(pid)).toBe(true);
    if (how === 'stay') owner.kill('SIGKILL');
    expect(await ended).toBe(how === 'stay' ? 'SIGKILL' : 0);
    while (isAlive(pid)) await sleep(20);
  }
  database.close();
});
