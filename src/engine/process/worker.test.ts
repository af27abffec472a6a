import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { type SqlProcess, startSqlProcess } from '../../../tests/support/sql-process.ts';
import { Worker, type WorkerOptions } from './worker.ts';
import { node26 as node } from '../../../tests/support/runtimes.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const environment = { PATH: process.env['PATH'] ?? '' };
const started: Worker<'replicate'>[] = [];
const apps: SqlProcess[] = [];
afterEach(async () => {
  for (const worker of started.splice(0)) await worker.stop();
  for (const app of apps.splice(0)) await app[Symbol.asyncDispose]();
});

async function makeDatabase(): Promise<{ path: string; folder: string; database: SqlProcess }> {
  const path = join(scratch(), 'app.sqlite');
  const database = startSqlProcess(path);
  apps.push(database);
  await database.run('PRAGMA journal_mode = WAL');
  await database.run('CREATE TABLE notes (text)');
  return { path, folder: scratch(), database };
}

/** A busy machine may take long to start a process: that is no silence. */
const quick = { beatMs: 50, silenceMs: 60_000, firstDelayMs: 20, delayMsMax: 80, stopMs: 60_000 };
const INSERT = "INSERT INTO notes VALUES ('a')";

function followOrder(path: string, folder: string) {
  const keep = { windowsMs: [60_000], bytesMax: null };
  return { type: 'follow' as const, id: 'app', databasePath: path, folder, intervalMs: 20, ...keep };
}

/** A worker that is started and follows a database, and what it said in the order in which it came. */
function replicate(path: string, folder: string, more: Partial<WorkerOptions<'replicate'>> = {}) {
  const said: string[] = [];
  const waiting = new Set<() => void>();
  const say = (what: string) => {
    said.push(what);
    for (const look of waiting) look();
  };
  const worker = new Worker({
    ...{ kind: 'replicate' as const, request: {}, environment, times: quick },
    onMessage(news) {
      if (news.type === 'status') say(`${news.status.phase} ${news.status.bookmark}`);
      else if (news.type === 'refused') say(`refused ${news.error.code}`);
      else say(news.type === 'flushed' ? `flushed ${news.bookmark}` : 'left');
    },
    onStart() {
      say('started');
      worker.send(followOrder(path, folder));
    },
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

test('messages go both ways: a commit is told, a flush is answered, and what is left is let go', async () => {
  const { path, folder, database } = await makeDatabase();
  const { worker, said, until } = replicate(path, folder);
  await until(() => said.includes('capturing 0000000000000001'));
  await database.run(INSERT);
  await until(() => said.includes('capturing 0000000000000002'));
  await database.run(INSERT);
  worker.send({ type: 'flush', id: 'app', call: 1 });
  await until(() => said.includes('flushed 0000000000000003'));
  worker.send({ type: 'leave', id: 'app' });
  await until(() => said.includes('left'));
  worker.send({ type: 'flush', id: 'app', call: 2 });
  await until(() => said.includes('refused NOT_DURABLE'));
  // Nobody else has it open, so it may leave WAL mode.
  expect(await database.run('PRAGMA journal_mode = DELETE')).toEqual([{ journal_mode: 'delete' }]);
});

test('a worker that ends is started again, after a delay that grows, and works as before', async () => {
  const { path, folder, database } = await makeDatabase();
  const { worker, said, until } = replicate(path, folder);
  for (let round = 1; round <= 4; round++) {
    await until(() => count(said, 'started') === round);
    process.kill(worker.pid ?? 0, 'SIGKILL');
    await until(() => count(said, 'JOB_DIED') === round);
  }
  expect(said.filter((what) => what.startsWith('JOB_DIED'))).toEqual(
    [20, 40, 80, 80].map((ms) => `JOB_DIED the worker ended (SIGKILL), again in ${ms} ms`),
  );
  await until(() => said.at(-1)?.startsWith('capturing') === true);
  const before = said.length;
  await database.run(INSERT);
  await until(() => said.length > before);
  expect(said.at(-1)).toStartWith('capturing');
});

test('a worker that gives no sign of life is killed, and another takes its place', async () => {
  const { path, folder } = await makeDatabase();
  const { worker, said, until } = replicate(path, folder, { times: { ...quick, silenceMs: 3_000 } });
  // One that takes long to start is silent, too, and another takes its place before this begins.
  await until(() => said.at(-1) === 'capturing 0000000000000001');
  const { pid = 0 } = worker;
  const begun = count(said, 'started');
  process.kill(pid, 'SIGSTOP');
  await until(() => count(said, 'started') > begun);
  expect(said.at(-2)).toContain('it gave no sign of life and was killed');
  expect(isAlive(pid)).toBe(false);
});

test('a worker that cannot be started is reported and tried again', async () => {
  const { path, folder } = await makeDatabase();
  const { said, until } = replicate(path, folder, { kind: 'nothing-of-ours' as 'replicate' });
  await until(() => count(said, 'again in 40 ms') === 1);
});

test('stopped, it has ended; it can be started again', async () => {
  const { path, folder } = await makeDatabase();
  const { worker, said, until } = replicate(path, folder);
  await until(() => said.includes('started'));
  const { pid = 0 } = worker;
  await worker.stop();
  const sent = worker.send({ type: 'leave', id: 'app' });
  expect([isAlive(pid), worker.pid, sent]).toEqual([false, undefined, false]);
  worker.start();
  await until(() => count(said, 'started') === 2);
  await worker.stop();
  // In the turn in which it was started, too.
  worker.start();
  await worker.stop();
  expect(worker.pid).toBeUndefined();
  expect(count(said, 'JOB_DIED')).toBe(0);
});

test.each([
  ['Bun', process.execPath, []],
  ['Node', node, ['--experimental-strip-types', '--no-warnings']],
])(
  'on %s, it ends with its owner, and keeps no owner alive',
  async (_, runtime, flags) => {
    const { path, folder, database } = await makeDatabase();
    const program = join(scratch(), 'owner.mts');
    const module = JSON.stringify(new URL('./worker.ts', import.meta.url).href);
    writeFileSync(
      program,
      `const { Worker } = await import(${module});
    const worker = new Worker({
      kind: 'replicate', request: {}, environment: process.env, onMessage() {},
      onStart() {
        worker.send(${JSON.stringify(followOrder(path, folder))});
        console.log(worker.pid);
      },
    });
    worker.start();
    const alive = setInterval(() => {}, 1_000);
    // From then on only the worker could keep it alive.
    process.stdin.once('data', () => {
      clearInterval(alive);
      process.stdin.destroy();
    });`,
    );
    for (const how of ['stay', 'end']) {
      const owner = spawn(runtime, [...flags, program], {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: environment,
      });
      const ended = new Promise((resolve) => owner.once('exit', (code, signal) => resolve(signal ?? code)));
      const pid = Number(await new Promise<string>((resolve) => createInterface(owner.stdout).once('line', resolve)));
      expect(isAlive(pid)).toBe(true);
      if (how === 'stay') owner.kill('SIGKILL');
      else owner.stdin.write('end\n');
      expect(await ended).toBe(how === 'stay' ? 'SIGKILL' : 0);
      while (isAlive(pid)) await sleep(20);
      expect(await database.run('SELECT count(*) AS n FROM notes')).toEqual([{ n: 0 }]);
    }
  },
  60_000,
);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
