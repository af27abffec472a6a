import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { startSqlProcess } from '../../../tests/support/sql-process.ts';
import { workers } from '../../../tests/support/workers.ts';
import { writePause } from '../../engine/replication/pause.ts';
import type { StreamStatus } from '../../engine/replication/status.ts';
import { Replication } from './replication.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of open.splice(0).toReversed()) await end();
});

const HOUR_MS = 3_600_000;
const signal = new AbortController().signal;

/** A database that is followed. */
async function follow(replication: Replication) {
  const databasePath = join(scratch(), 'app.sqlite');
  const folder = join(scratch(), 'continuous');
  const app = startSqlProcess(databasePath);
  open.push(async () => await app[Symbol.asyncDispose]());
  await app.run('PRAGMA journal_mode = WAL');
  await app.run('CREATE TABLE t (x)');
  let [phase, look] = ['', () => {}];
  const onStatus = (status: StreamStatus) => {
    phase = status.phase;
    look();
  };
  const until = (wanted: StreamStatus['phase']) =>
    new Promise<void>((resolve) => {
      look = () => {
        if (phase === wanted) resolve();
      };
      look();
    });
  const id = replication.follow(
    { databasePath, folder, intervalMs: 50, windowsMs: [HOUR_MS, HOUR_MS, HOUR_MS, HOUR_MS], bytesMax: null },
    { onStatus, onDown: () => {} },
    { stopMs: 10_000 },
  );
  open.push(() => replication.leave(id, { waitMs: 10_000 }));
  await until('capturing');
  return { id, folder, until };
}

test('when all leave at once, the process of all ends, and the next one has its own', async () => {
  const replication = new Replication({ PATH: process.env['PATH'] ?? '' });
  const [one, other] = [await follow(replication), await follow(replication)];
  expect(workers().length).toBe(1);
  await Promise.all([one, other].map(({ id }) => replication.leave(id, { waitMs: 10_000 })));
  expect(workers()).toEqual([]);
  const { id } = await follow(replication);
  await replication.durable(id, [], { timeoutMs: 10_000 });
});

test('nobody waits for a capture that rests, does not answer, or has left', async () => {
  const replication = new Replication({ PATH: process.env['PATH'] ?? '' });
  const [rests, leaves] = [await follow(replication), await follow(replication)];
  await replication.hold(rests.id, signal);
  writePause(rests.folder, { reason: 'asked', since: new Date().toISOString(), user: null });
  await rests.until('paused');
  expect((await refusal(() => replication.hold(rests.id, signal))).code).toBe('NOT_DURABLE');
  expect(await replication.cut(rests.id, { salts: '', frames: 0 }, signal)).toBeNull();
  const [worker = expect.unreachable('a process captures')] = workers();
  process.kill(worker, 'SIGSTOP');
  try {
    const abort = new AbortController();
    const stopped = refusal(() => replication.hold(leaves.id, abort.signal));
    abort.abort();
    expect((await stopped).code).toBe('NOT_DURABLE');
    const left = refusal(() => replication.hold(leaves.id, signal));
    await replication.leave(leaves.id, { waitMs: 100 });
    expect((await left).code).toBe('NOT_DURABLE');
  } finally {
    process.kill(worker, 'SIGCONT');
  }
});
