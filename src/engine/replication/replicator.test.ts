import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { takeLock } from '../disk/lock.ts';
import { addFailedCommit } from '../../../tests/support/failed-commit.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { type SqlProcess, startSqlProcess } from '../../../tests/support/sql-process.ts';
import { MARKS_LOCK, pendingMarks, readMarks, writeMarks } from './marks.ts';
import { materialize } from './materialize.ts';
import { removePause, writePause } from './pause.ts';
import type { WishedMoment } from './plan.ts';
import { Replicator } from './replicator.ts';
import type { StreamStatus } from './status.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

/**
 * A clock on which no half minute is over while a test runs, however slow the machine is: what was captured would be merged
 * then, and a segment that a test damages would be needed by nobody.
 */
const HALF_MINUTE_MS = 30_000;
let begunMs = 0;
beforeEach(() => {
  begunMs = Date.now();
});
function withinHalfMinute(): Date {
  const beginMs = Math.floor(begunMs / HALF_MINUTE_MS) * HALF_MINUTE_MS;
  return new Date(beginMs + Math.min(Date.now() - begunMs, HALF_MINUTE_MS - 1));
}

const HOUR_MS = 3_600_000;
const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];

interface Running extends AsyncDisposable {
  readonly statuses: StreamStatus[];
  readonly replicator: Replicator;
  until(wanted: (status: StreamStatus) => boolean): Promise<StreamStatus>;
  stop(): Promise<void>;
}

function start(databasePath: string, folder: string, now = withinHalfMinute): Running {
  const abort = new AbortController();
  const statuses: StreamStatus[] = [];
  const looks = new Set<() => void>();
  const replicator = new Replicator(
    { databasePath, folder, intervalMs: 50, windowsMs, bytesMax: null },
    {
      signal: abort.signal,
      now,
      onStatus(status) {
        statuses.push(status);
        for (const look of looks) look();
      },
    },
  );
  const ended = replicator.run();
  const stop = async () => {
    abort.abort();
    await ended;
  };
  const running: Running = {
    statuses,
    replicator,
    until: (wanted) =>
      new Promise((resolve) => {
        const look = () => {
          const found = statuses.find(wanted);
          if (!found) return;
          looks.delete(look);
          resolve(found);
        };
        looks.add(look);
        look();
      }),
    stop,
    [Symbol.asyncDispose]: stop,
  };
  open.push(running);
  return running;
}

async function startApp(path = join(scratch(), 'app.sqlite')) {
  const app = startSqlProcess(path);
  open.push(app);
  await app.run('PRAGMA journal_mode = WAL');
  await app.run('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  return { path, app, folder: join(scratch(), 'continuous') };
}

const insert = (app: SqlProcess, rows: number, bytes = 100) =>
  app.run(`BEGIN; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
    INSERT INTO t (text) SELECT hex(randomblob(${bytes / 2})) FROM n; COMMIT`);

/** All rows of the moment, as text. */
async function restored(folder: string, wish: WishedMoment): Promise<string> {
  const to = join(scratch(), 'restored.sqlite');
  await materialize(folder, wish, to);
  const database = new DatabaseSync(to, { readOnly: true });
  try {
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
    return JSON.stringify(database.prepare('SELECT * FROM t ORDER BY id').all());
  } finally {
    database.close();
  }
}

const content = async (app: SqlProcess) => JSON.stringify(await app.run('SELECT * FROM t ORDER BY id'));
const level0 = (folder: string) => readdirSync(join(folder, 'ltx', '0')).sort();
const txid = (bookmark: string) => ({ txid: BigInt(`0x${bookmark}`) });

test('every captured moment comes back as it was, and the newest', async () => {
  const { path, app, folder } = await startApp();
  const running = start(path, folder);
  await running.until(({ phase }) => phase === 'capturing');
  const moments: [string, string][] = [];
  for (let k = 0; k < 20; k++) {
    await insert(app, 1 + k);
    if (k % 5 === 4) await app.run(`DELETE FROM t WHERE id % 3 = ${k % 3}`);
    if (k % 7 === 6) await app.run('VACUUM');
    const { bookmark } = await running.replicator.flush();
    moments.push([bookmark, await content(app)]);
  }
  await running.stop();
  for (const [bookmark, rows] of moments) expect(await restored(folder, txid(bookmark))).toBe(rows);
  expect(await restored(folder, { latest: true })).toBe(await content(app));
  expect(running.statuses.some(({ rebased }) => rebased !== null)).toBe(false);
});

test('the log begins anew again and again, by us and by the app, and nothing is read twice', async () => {
  const { path, app, folder } = await startApp();
  const running = start(path, folder);
  await running.until(({ phase }) => phase === 'capturing');
  for (let k = 0; k < 40; k++) {
    await insert(app, 40, 4_000);
    if (k % 4 === 3) await app.run('PRAGMA wal_checkpoint(PASSIVE)');
    await running.replicator.flush();
  }
  expect((await app.run('PRAGMA wal_checkpoint(PASSIVE)'))[0]?.['log']).toBeLessThan(2_000);
  await running.stop();
  expect(await restored(folder, { latest: true })).toBe(await content(app));
  expect(running.statuses.some(({ rebased }) => rebased !== null)).toBe(false);
});

test('checkpoints of the app that wait for all readers do not wait for us', async () => {
  const { path, app, folder } = await startApp();
  const running = start(path, folder);
  await running.until(({ phase }) => phase === 'capturing');
  await app.run('PRAGMA busy_timeout = 50000');
  for (const mode of ['TRUNCATE', 'RESTART', 'FULL', 'TRUNCATE', 'RESTART', 'FULL']) {
    await insert(app, 20);
    const [row] = await app.run(`PRAGMA wal_checkpoint(${mode})`);
    expect([mode, row?.['busy']]).toEqual([mode, 0]);
  }
  await running.replicator.flush();
  expect(await restored(folder, { latest: true })).toBe(await content(app));
  expect(running.statuses.at(-1)?.rebased).toBeNull();
});

describe('stopped and started again', () => {
  async function stopped() {
    const { path, app, folder } = await startApp();
    await insert(app, 2_000);
    const first = start(path, folder);
    await first.until(({ phase }) => phase === 'capturing');
    await insert(app, 10);
    await first.replicator.flush();
    await first.stop();
    return { path, app, folder };
  }

  async function startedAgain(path: string, folder: string, app: SqlProcess) {
    const again = start(path, folder);
    await again.until(({ phase }) => phase === 'capturing');
    await again.replicator.flush();
    const rebased = again.statuses.at(-1)?.rebased ?? null;
    expect(await restored(folder, { latest: true })).toBe(await content(app));
    await insert(app, 3);
    await again.replicator.flush();
    expect(await restored(folder, { latest: true })).toBe(await content(app));
    return rebased;
  }

  test('with nothing written meanwhile it goes on', async () => {
    const { path, app, folder } = await stopped();
    expect(await startedAgain(path, folder, app)).toBeNull();
  });

  test('with commits meanwhile, which begin the log anew, it goes on', async () => {
    const { path, app, folder } = await stopped();
    await insert(app, 10);
    expect(await startedAgain(path, folder, app)).toBeNull();
  });

  test('with the app closed in order and opened again it goes on, and reads nothing', async () => {
    const { path, app, folder } = await stopped();
    await app.close();
    expect(await startedAgain(path, folder, app)).toBeNull();
  });

  test('with a log that was merged and began anew it is compared: that is the trap in which others lost commits', async () => {
    for (const commits of [5, 30]) {
      const { path, app, folder } = await stopped();
      for (let k = 0; k < 60; k++) await insert(app, 1, 1_000);
      expect((await app.run('PRAGMA wal_checkpoint(PASSIVE)'))[0]?.['busy']).toBe(0);
      for (let k = 0; k < commits; k++) await insert(app, 1);
      const rebased = await startedAgain(path, folder, app);
      expect(rebased?.pages).toBeLessThan(100);
    }
  });

  test('with a reader that kept the log until it was merged, and a new log of the next number, it is compared', async () => {
    const { path, app, folder } = await startApp();
    await insert(app, 100);
    const first = start(path, folder);
    await first.until(({ phase }) => phase === 'capturing');
    await insert(app, 10);
    // A reader in the middle of the log: our last checkpoint can't end it.
    await app.run('BEGIN', 'reader');
    await app.run('SELECT count(*) FROM t', 'reader');
    await first.stop();
    await insert(app, 60);
    await app.run('COMMIT', 'reader');
    await app.run('PRAGMA wal_checkpoint(PASSIVE)');
    await insert(app, 2);
    expect(await startedAgain(path, folder, app)).not.toBeNull();
  });

  test('with the app closed, written to and closed again, it is compared', async () => {
    const { path, app, folder } = await stopped();
    await app.close();
    await insert(app, 20);
    await app.close();
    await insert(app, 1);
    const rebased = await startedAgain(path, folder, app);
    expect(rebased?.reason).toContain('nothing proves');
  });

  test('with the checksums lost, they come from the stream', async () => {
    const { path, app, folder } = await stopped();
    rmSync(join(folder, 'sums'));
    expect(await startedAgain(path, folder, app)).toBeNull();
  });

  test('with a stream that is damaged, all pages are captured anew', async () => {
    const { path, app, folder } = await stopped();
    rmSync(join(folder, 'sums'));
    rmSync(join(folder, 'ltx', '9', readdirSync(join(folder, 'ltx', '9'))[0] ?? ''));
    for (const name of level0(folder).slice(0, -1)) rmSync(join(folder, 'ltx', '0', name));
    const rebased = await startedAgain(path, folder, app);
    expect(rebased?.reason).toBe('its checksums are lost');
  });
});

test('a database in another journal mode is refused with what to do', async () => {
  const path = join(scratch(), 'app.sqlite');
  const app = startSqlProcess(path);
  open.push(app);
  await app.run('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  const running = start(path, join(scratch(), 'continuous'));
  const { error } = await running.until(({ phase }) => phase === 'waiting');
  expect([error?.code, error?.message]).toEqual(['UNSUPPORTED', expect.stringContaining('journal mode delete')]);
});

test('a clock that is set back again and again holds up no capture', async () => {
  const { path, app, folder } = await startApp();
  let looks = 0;
  const running = start(path, folder, () => new Date(Date.now() - ++looks * HOUR_MS));
  await running.until(({ phase }) => phase === 'capturing');
  for (let round = 0; round < 3; round++) {
    // While much is written it goes by the clock alone.
    for (let k = 0; k < 50; k++) await insert(app, 1);
    const before = running.statuses.at(-1)?.bookmark ?? '';
    await insert(app, 1);
    await running.until(({ bookmark }) => (bookmark ?? '') > before);
  }
});

test('a second one for the same stream waits for the first', async () => {
  const { path, folder } = await startApp();
  const first = start(path, folder);
  await first.until(({ phase }) => phase === 'capturing');
  const second = start(path, folder);
  expect((await second.until(({ phase }) => phase === 'waiting')).error?.code).toBe('BUSY');
  await first.stop();
  await second.until(({ phase }) => phase === 'capturing');
});

test('it writes nothing to the database, and an idle one costs no segment', async () => {
  const { path, app, folder } = await startApp();
  const running = start(path, folder);
  await running.until(({ phase }) => phase === 'capturing');
  // Read by another process: to close the database in this one would drop the locks of the pin.
  const digests = () => spawnSync('sha256sum', [path, `${path}-wal`]).stdout.toString();
  const before = digests();
  const files = level0(folder).length;
  for (let looks = 0; looks < 10; looks++) await running.replicator.flush();
  expect([before.length > 0, digests()]).toEqual([true, before]);
  expect(level0(folder).length).toBe(files);
  expect((await app.run('SELECT count(*) AS n FROM sqlite_schema'))[0]?.['n']).toBe(1);
});

describe('planted faults are found, and named rightly', () => {
  /** All of the log is in the main file, and the app is connected. */
  async function captured() {
    const { path, app, folder } = await startApp();
    await insert(app, 200);
    const running = start(path, folder);
    await running.until(({ phase }) => phase === 'capturing');
    await insert(app, 1_000, 6_000);
    const { bookmark } = await running.replicator.flush();
    await running.until((status) => status.bookmark === bookmark && status.logBytes === 0);
    return { path, app, folder, running };
  }

  /** By another process: to close the file in this one would drop the locks of the pin. */
  function flip(path: string, ...offsets: number[]) {
    const script = `const { openSync, readSync, writeSync } = require('fs'); const f = openSync(process.argv[1], 'r+');
      for (const at of process.argv.slice(2).map(Number)) { const b = Buffer.alloc(1); readSync(f, b, 0, 1, at); b[0] ^= 4; writeSync(f, b, 0, 1, at); }`;
    expect(spawnSync(process.execPath, ['-e', script, path, ...offsets.map(String)]).stderr.toString()).toBe('');
  }

  test('a bit in a page of the live file; what was captured stays true, and nothing takes the damage in', async () => {
    const { path, app, folder, running } = await captured();
    const rows = await content(app);
    flip(path, 4096 * 100 + 2_000);
    const { untrue } = await running.until((status) => status.untrue !== null);
    expect([untrue?.at, untrue?.error.code]).toEqual(['file', 'DB_DAMAGED']);
    expect(untrue?.error.message).toContain('page 101 (t)');
    expect(await restored(folder, { latest: true })).toBe(rows);
  });

  test('a damaged file stays known through a pause and a new start, until another takes its place', async () => {
    const { path, app, folder, running } = await captured();
    const rows = await content(app);
    flip(path, 4096 * 100 + 2_000);
    const { untrue } = await running.until((status) => status.untrue !== null);
    writePause(folder, { reason: 'asked', since: new Date().toISOString(), user: null });
    expect((await running.until(({ phase }) => phase === 'paused')).untrue).toEqual(untrue);
    // Nothing proves then that the log goes on, and a comparison would take the damage in.
    for (let k = 0; k < 60; k++) await insert(app, 1, 1_000);
    await app.run('PRAGMA wal_checkpoint(PASSIVE)');
    for (let k = 0; k < 5; k++) await insert(app, 1);
    await running.stop();
    removePause(folder);
    const again = start(path, folder);
    const waiting = await again.until(({ phase }) => phase === 'waiting');
    expect([waiting.untrue, waiting.error?.code]).toEqual([untrue, 'DB_DAMAGED']);
    await again.stop();
    expect(await restored(folder, { latest: true })).toBe(rows);
    // As soon as the page is true, nothing keeps the rest from being compared.
    flip(path, 4096 * 100 + 2_000);
    const repaired = start(path, folder);
    const compared = await repaired.until(({ phase }) => phase === 'capturing');
    expect([compared.untrue, compared.rebased]).toEqual([null, expect.anything()]);
    await repaired.replicator.flush();
    expect(await restored(folder, { latest: true })).toBe(await content(app));
    flip(path, 4096 * 100 + 2_000);
    await repaired.until((status) => status.phase === 'capturing' && status.untrue !== null);
    await repaired.stop();
    // Another file, as a restore puts it there.
    const other = join(scratch(), 'other.sqlite');
    await app.run(`VACUUM INTO '${other}'`);
    await app.close();
    renameSync(other, path);
    await app.run('PRAGMA journal_mode = WAL');
    const healed = start(path, folder);
    expect((await healed.until(({ phase }) => phase === 'capturing')).untrue).toBeNull();
  });

  test('a damaged page is looked at first after a new start, and clears when it is true', async () => {
    const { path, app, folder, running } = await captured();
    flip(path, 4096 * 100 + 2_000);
    const { untrue } = await running.until((status) => status.untrue !== null);
    await running.stop();
    const again = start(path, folder);
    await again.until(({ phase, caughtUpAt }) => phase === 'capturing' && caughtUpAt !== null);
    await insert(app, 1);
    await again.replicator.flush();
    expect(again.statuses.filter((status) => status.untrue?.since !== untrue?.since)).toEqual([]);
    flip(path, 4096 * 100 + 2_000);
    await again.until((status) => status.untrue === null);
  });

  test('the same bit in two pages, and two pages that changed places', async () => {
    const { path, running } = await captured();
    flip(path, 4096 * 100 + 2_000, 4096 * 101 + 2_000);
    expect((await running.until((status) => status.untrue !== null)).untrue?.at).toBe('file');
  });

  test('a bit in a segment: a restore says so, and the stream is whole again after a new beginning', async () => {
    const { path, app, folder, running } = await captured();
    const last = level0(folder).at(-1) ?? '';
    flip(join(folder, 'ltx', '0', last), 3_000);
    await expect(restored(folder, { latest: true })).rejects.toThrow('LTX');
    // The page that only this segment has is damaged in the file as well, so that the witness asks the stream.
    flip(path, 4096 * 1_000 + 500);
    const { untrue } = await running.until((status) => status.untrue !== null);
    expect([untrue?.at, untrue?.error.code]).toEqual(['stream', 'STREAM_UNTRUE']);
    const { rebased } = await running.until((status) => status.rebased !== null && status.phase === 'capturing');
    expect(rebased?.reason).toBe('its checksums are lost');
    await insert(app, 1);
  });

  test('a damaged segment is known as soon as it is to be merged, and the stream begins anew, once', async () => {
    const { path, app, folder, running } = await captured();
    await insert(app, 1);
    await running.replicator.flush();
    await running.stop();
    flip(join(folder, 'ltx', '0', level0(folder).at(-1) ?? ''), 150);
    const later = start(path, folder, () => new Date(Date.now() + 2 * 60_000));
    const { untrue } = await later.until((status) => status.untrue !== null);
    expect([untrue?.at, untrue?.error.code]).toEqual(['stream', 'STREAM_UNTRUE']);
    await later.until((status) => status.rebased !== null && status.warnings.length > 0);
    await insert(app, 1);
    const { bookmark } = await later.replicator.flush();
    expect(await restored(folder, txid(bookmark))).toBe(await content(app));
    expect(new Set(later.statuses.flatMap(({ rebased }) => rebased?.at ?? [])).size).toBe(1);
  });

  test('a commit that failed is behind the end of the log, and is not captured', async () => {
    const { path, app, folder, running } = await captured();
    await insert(app, 1);
    const { bookmark } = await running.replicator.flush();
    addFailedCommit(path, "INSERT INTO t (text) VALUES ('phantom')");
    expect((await running.replicator.flush()).bookmark).toBe(bookmark);
    expect(await restored(folder, { latest: true })).toBe(await content(app));
    await insert(app, 1);
    await running.replicator.flush();
    expect(await restored(folder, { latest: true })).toBe(await content(app));
    expect(running.statuses.at(-1)?.rebased).toBeNull();
  });

  test('a segment that is lost, and one of another database', async () => {
    const { app, folder, running } = await captured();
    await insert(app, 1);
    await running.replicator.flush();
    await insert(app, 1);
    await running.replicator.flush();
    await running.stop();
    const names = level0(folder);
    const place = join(folder, 'ltx', '0');
    const middle = join(place, names.at(-2) ?? '');
    const other = await startApp();
    const foreign = start(other.path, other.folder);
    await foreign.until(({ phase }) => phase === 'capturing');
    for (let k = 0; k < 8; k++) {
      await insert(other.app, 1);
      await foreign.replicator.flush();
    }
    await foreign.stop();
    const aside = readFileSync(middle);
    rmSync(middle);
    await expect(restored(folder, { latest: true })).rejects.toThrow('missing');
    const stranger = level0(other.folder).find((name) => name === names.at(-2));
    expect(stranger).toBeDefined();
    writeFileSync(middle, readFileSync(join(other.folder, 'ltx', '0', stranger ?? '')));
    await expect(restored(folder, { latest: true })).rejects.toThrow('not what was captured');
    writeFileSync(middle, aside);
    expect(await restored(folder, { latest: true })).toBe(await content(app));
  });
});

describe('a segment that is gone at a start is known then, and the stream begins anew, once', () => {
  const ways = {
    'one in the middle': (names: readonly string[]) => names.slice(-2, -1),
    'the newest': (names: readonly string[]) => names.slice(-1),
    'all that were captured': (names: readonly string[]) => names,
  };
  for (const [way, lostOf] of Object.entries(ways)) {
    test(way, async () => {
      const { path, app, folder } = await startApp();
      const running = start(path, folder);
      await running.until(({ phase }) => phase === 'capturing');
      const moments: [string, string][] = [];
      for (let k = 0; k < 4; k++) {
        await insert(app, 1);
        moments.push([(await running.replicator.flush()).bookmark, await content(app)]);
      }
      await running.stop();
      const [last = ''] = moments.at(-1) ?? [];
      const lost = lostOf(level0(folder));
      // A name that is none, as a damaged folder has it, is as good as gone.
      for (const name of lost) renameSync(join(folder, 'ltx', '0', name), join(folder, 'ltx', '0', `${name}~`));
      if (way === 'all that were captured') rmSync(join(folder, 'ltx', '9'), { recursive: true });
      const again = start(path, folder);
      const { untrue, rebased } = await again.until(({ phase }) => phase === 'capturing');
      expect([untrue?.at, untrue?.error.code, rebased === null]).toEqual(['stream', 'STREAM_UNTRUE', false]);
      await insert(app, 1);
      const { bookmark } = await again.replicator.flush();
      expect(await restored(folder, txid(bookmark))).toBe(await content(app));
      await again.stop();
      // No name means another state than the one that was promised for it.
      for (const [promised, rows] of moments) {
        const found = await restored(folder, txid(promised)).catch(() => 'none');
        expect([rows, 'none']).toContain(found);
      }
      expect(bookmark > last).toBe(true);
      const third = start(path, folder);
      const healed = await third.until(({ phase }) => phase === 'capturing');
      expect([healed.untrue, healed.rebased]).toEqual([null, null]);
    });
  }
});

test('a status file that says nonsense holds up no start', async () => {
  const { path, app, folder } = await startApp();
  await insert(app, 1);
  for (const text of ['', 'null', '[]', '{"bookmark":"?"}', '{"bookmark":7}']) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'status.json'), text);
    const running = start(path, folder);
    const { untrue, rebased } = await running.until(({ phase }) => phase === 'capturing');
    expect([text, untrue, rebased]).toEqual([text, null, null]);
    await running.stop();
  }
});

test('a mark that cannot be written down just now holds up no capture, and is made later', async () => {
  const { path, app, folder } = await startApp();
  const running = start(path, folder);
  await running.until(({ phase }) => phase === 'capturing');
  const lock = await takeLock(join(folder, MARKS_LOCK), { waitMs: 60_000, signal: new AbortController().signal });
  writeMarks(folder, [{ name: 'before import 42', at: new Date().toISOString(), bookmark: null }]);
  await insert(app, 5);
  for (let k = 0; k < 3; k++) await running.replicator.flush();
  expect(pendingMarks(folder).length).toBe(1);
  lock[Symbol.dispose]();
  await running.replicator.flush();
  const [made] = readMarks(folder);
  expect(await restored(folder, txid(made?.bookmark ?? ''))).toBe(await content(app));
  expect(running.statuses.flatMap(({ error }) => error ?? [])).toEqual([]);
});

test('marks that cannot be read hold up no capture, and nothing is removed meanwhile', async () => {
  const { path, app, folder } = await startApp();
  const running = start(path, folder);
  await running.until(({ phase }) => phase === 'capturing');
  writeFileSync(join(folder, 'marks.json'), '[{"name": "before imp');
  await insert(app, 5);
  const { bookmark } = await running.replicator.flush();
  expect(await restored(folder, txid(bookmark))).toBe(await content(app));
  await running.stop();
  expect(running.statuses.filter(({ error }) => error !== null)).toEqual([]);
});
