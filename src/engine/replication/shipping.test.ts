import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { type SqlProcess, startSqlProcess } from '../../../tests/support/sql-process.ts';
import { FOLDER_MARK } from '../store/folder/kind.ts';
import { materialize } from './materialize.ts';
import { Replicator } from './replicator.ts';
import type { Shipped, ShipTarget } from './shipper.ts';
import type { StreamStatus } from './status.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});

const HOUR_MS = 3_600_000;
const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];

function newTarget(recipients: readonly string[] = [], name = 'nas'): ShipTarget & { readonly path: string } {
  const path = scratch();
  writeFileSync(join(path, FOLDER_MARK), '');
  return { name, access: { kind: 'folder', path }, prefix: 'app', recipients, path };
}

/** Where the stream lies there: the layout is that of a stream here. */
const streamAt = ({ path }: { readonly path: string }) => join(path, 'app', 'continuous');

/** @param targets without `path`, which the worker's order has not. */
function start(databasePath: string, folder: string, targets: readonly ShipTarget[], shipMs = 10_000) {
  const abort = new AbortController();
  const looks = new Set<() => void>();
  let status: StreamStatus | null = null;
  const replicator = new Replicator(
    { databasePath, folder, intervalMs: 50, windowsMs, bytesMax: null, targets, shipMs },
    {
      signal: abort.signal,
      now: () => new Date(),
      onStatus(told) {
        status = told;
        for (const look of looks) look();
      },
    },
  );
  const ended = replicator.run();
  const stop = async () => {
    abort.abort();
    await ended;
  };
  const until = (wanted: (status: StreamStatus) => boolean) =>
    new Promise<StreamStatus>((resolve) => {
      const look = () => {
        if (status === null || !wanted(status)) return;
        looks.delete(look);
        resolve(status);
      };
      looks.add(look);
      look();
    });
  open.push({ [Symbol.asyncDispose]: stop });
  return {
    replicator,
    stop,
    until,
    shippedWhen: async (wanted: (shipped: Shipped) => boolean) =>
      await until(({ targets: [one] }) => one !== undefined && wanted(one)),
  };
}

async function startApp(path = join(scratch(), 'app.sqlite')) {
  const app = startSqlProcess(path);
  open.push(app);
  await app.run('PRAGMA journal_mode = WAL');
  await app.run('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  return { path, app, folder: join(scratch(), 'continuous') };
}

const insert = (app: SqlProcess) => app.run('INSERT INTO t (text) VALUES (hex(randomblob(40)))');
const content = async (app: SqlProcess) => JSON.stringify(await app.run('SELECT * FROM t ORDER BY id'));

async function restored(folder: string, bookmark?: string): Promise<string> {
  const to = join(scratch(), 'restored.sqlite');
  await materialize(folder, bookmark === undefined ? { latest: true } : { txid: BigInt(`0x${bookmark}`) }, to);
  const database = new DatabaseSync(to, { readOnly: true });
  try {
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
    return JSON.stringify(database.prepare('SELECT * FROM t ORDER BY id').all());
  } finally {
    database.close();
  }
}

const level0 = (folder: string) => readdirSync(join(folder, 'ltx', '0')).sort();

const DURABLE_MS = 30_000;

test('what is durable is at each target, whatever becomes of this machine', async () => {
  const { path, app, folder } = await startApp();
  const targets = [newTarget(), newTarget([], 'other')];
  const running = start(path, folder, targets);
  await running.until(({ phase }) => phase === 'capturing');
  const moments: [string, string][] = [];
  for (let k = 0; k < 10; k++) {
    await insert(app);
    const { bookmark } = await running.replicator.durable(null, DURABLE_MS);
    moments.push([bookmark, await content(app)]);
    // At that very moment, without what is here.
    for (const target of targets) expect(await restored(streamAt(target))).toBe(await content(app));
  }
  await running.stop();
  for (const target of targets)
    for (const [bookmark, rows] of moments) expect(await restored(streamAt(target), bookmark)).toBe(rows);
  // The first is all pages, which level 9 has; it follows when nothing else is to do.
  for (const target of targets) expect(level0(streamAt(target)).slice(-10)).toEqual(level0(folder).slice(-10));
});

test('a segment keeps the time of its moment', async () => {
  const { path, app, folder } = await startApp();
  const target = newTarget();
  const running = start(path, folder, [target]);
  await running.until(({ phase }) => phase === 'capturing');
  await insert(app);
  await running.replicator.durable(null, DURABLE_MS);
  await running.stop();
  for (const name of level0(streamAt(target))) {
    const there = statSync(join(streamAt(target), 'ltx', '0', name)).mtimeMs;
    expect(Math.round(there)).toBe(Math.round(statSync(join(folder, 'ltx', '0', name)).mtimeMs));
  }
});

test('a target that was away catches up in order, and says meanwhile since when it is behind', async () => {
  const { path, app, folder } = await startApp();
  const target = newTarget();
  const mark = join(target.path, FOLDER_MARK);
  const running = start(path, folder, [target]);
  await running.until(({ phase }) => phase === 'capturing');
  await insert(app);
  await running.replicator.durable(null, DURABLE_MS);
  rmSync(mark);
  await insert(app);
  const refused = await refusal(() => running.replicator.durable(null, 200));
  expect(refused.code).toBe('NOT_DURABLE');
  const away = await running.shippedWhen(({ error }) => error !== null);
  expect(away.targets[0]).toMatchObject({ error: { code: 'FOLDER_MISSING' }, behindSince: expect.any(String) });
  for (let k = 0; k < 5; k++) {
    await insert(app);
    await running.replicator.flush();
  }
  writeFileSync(mark, '');
  await running.replicator.durable(null, DURABLE_MS);
  expect(await restored(streamAt(target))).toBe(await content(app));
  const back = await running.shippedWhen(({ error, behindSince }) => error === null && behindSince === null);
  expect(back.targets[0]?.waitingBytes).toBe(0);
});

test('what could not be shipped at the end is shipped at the next start', async () => {
  const { path, app, folder } = await startApp();
  const target = newTarget();
  const mark = join(target.path, FOLDER_MARK);
  const first = start(path, folder, [target], 0);
  await first.until(({ phase }) => phase === 'capturing');
  await first.replicator.durable(null, DURABLE_MS);
  rmSync(mark);
  await insert(app);
  await first.stop();
  writeFileSync(mark, '');
  const before = await restored(streamAt(target));
  expect(before).not.toBe(await content(app));
  const second = start(path, folder, [target]);
  await second.until(({ phase }) => phase === 'capturing');
  await second.replicator.durable(null, DURABLE_MS);
  expect(await restored(streamAt(target))).toBe(await content(app));
  expect(readdirSync(join(streamAt(target), 'ltx', '9')).length).toBe(1);
});

test.each([['plain'], ['sealed']])('a start goes on where the target ends: %s', async (form) => {
  const recipients = form === 'sealed' ? [await identityToRecipient(await generateIdentity())] : [];
  const { path, app, folder } = await startApp();
  const target = newTarget(recipients);
  for (let run = 0; run < 3; run++) {
    const running = start(path, folder, [target]);
    await running.until(({ phase }) => phase === 'capturing');
    await insert(app);
    await running.replicator.durable(null, DURABLE_MS);
    await running.stop();
  }
  const names = readdirSync(join(streamAt(target), 'ltx'), { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  expect(names.every(({ name }) => name.endsWith('.age') === (form === 'sealed'))).toBe(true);
  // One image for all three starts.
  expect(readdirSync(join(streamAt(target), 'ltx', '9')).length).toBe(1);
  const first = level0(streamAt(target)).at(-1) ?? '';
  const begin = readFileSync(join(streamAt(target), 'ltx', '0', first))
    .subarray(0, 4)
    .toString();
  expect(begin).toBe(form === 'sealed' ? 'age-' : 'LTX1');
});

test('a machine that lost its stream goes on above what the target holds', async () => {
  const { path, app, folder } = await startApp();
  const target = newTarget();
  const first = start(path, folder, [target]);
  await first.until(({ phase }) => phase === 'capturing');
  await insert(app);
  const { bookmark } = await first.replicator.durable(null, DURABLE_MS);
  const rows = await content(app);
  await first.stop();
  rmSync(folder, { recursive: true });
  await insert(app);
  const second = start(path, folder, [target]);
  await second.until(({ phase }) => phase === 'capturing');
  const after = await second.replicator.durable(null, DURABLE_MS);
  expect(after.bookmark > bookmark).toBe(true);
  expect(await restored(streamAt(target))).toBe(await content(app));
  expect(await restored(streamAt(target), bookmark)).toBe(rows);
});

test('a machine that was set back mixes nothing: what it does then stands above what the target holds', async () => {
  const { path, app, folder } = await startApp();
  const target = newTarget();
  const first = start(path, folder, [target]);
  await first.until(({ phase }) => phase === 'capturing');
  await insert(app);
  await first.replicator.durable(null, DURABLE_MS);
  await first.stop();
  await app[Symbol.asyncDispose]();
  const image = scratch();
  cpSync(path, join(image, 'app.sqlite'));
  cpSync(folder, join(image, 'continuous'), { recursive: true, preserveTimestamps: true });

  const again = startSqlProcess(path);
  open.push(again);
  const second = start(path, folder, [target]);
  await second.until(({ phase }) => phase === 'capturing');
  for (let k = 0; k < 3; k++) {
    await insert(again);
    await second.replicator.durable(null, DURABLE_MS);
  }
  const lost = await second.replicator.durable(null, DURABLE_MS);
  const lostRows = await content(again);
  await second.stop();
  await again[Symbol.asyncDispose]();

  const setBack = startSqlProcess(join(image, 'app.sqlite'));
  open.push(setBack);
  await insert(setBack);
  const third = start(join(image, 'app.sqlite'), join(image, 'continuous'), [target]);
  await third.until(({ phase }) => phase === 'capturing');
  await insert(setBack);
  const { bookmark } = await third.replicator.durable(null, DURABLE_MS);
  expect(bookmark > lost.bookmark).toBe(true);
  expect(await restored(streamAt(target))).toBe(await content(setBack));
  expect(await restored(streamAt(target), lost.bookmark)).toBe(lostRows);
});

test('two that write to one place: the second is told, and replaces nothing', async () => {
  const target = newTarget();
  const [one, other] = [await startApp(), await startApp()];
  const first = start(one.path, one.folder, [target]);
  await first.until(({ phase }) => phase === 'capturing');
  await insert(one.app);
  const { bookmark } = await first.replicator.durable(null, DURABLE_MS);
  // Somebody writes what this machine would write next.
  const next = (BigInt(`0x${bookmark}`) + 1n).toString(16).padStart(16, '0');
  const foreign = join(streamAt(target), 'ltx', '0', `${next}-${next}.ltx`);
  mkdirSync(join(other.folder), { recursive: true });
  writeFileSync(`${foreign}.tmp`, 'of another writer');
  renameSync(`${foreign}.tmp`, foreign);
  await insert(one.app);
  const refused = await refusal(() => first.replicator.durable(null, DURABLE_MS));
  expect([refused.code, refused.message]).toEqual(['NOT_DURABLE', expect.stringContaining('somebody else wrote')]);
  const told = await first.shippedWhen(({ error }) => error?.code === 'STREAM_TAKEN');
  expect(told.targets[0]?.bookmark).toBe(bookmark);
  expect(readFileSync(foreign, 'utf8')).toBe('of another writer');
});

test('a segment that was stored although its answer was lost is known for our own', async () => {
  const { path, app, folder } = await startApp();
  const target = newTarget();
  const first = start(path, folder, [target]);
  await first.until(({ phase }) => phase === 'capturing');
  const { bookmark } = await first.replicator.durable(null, DURABLE_MS);
  first.replicator.setTargets([]);
  await insert(app);
  const after = await first.replicator.flush();
  expect(after.bookmark > bookmark).toBe(true);
  const name = `${after.bookmark}-${after.bookmark}.ltx`;
  cpSync(join(folder, 'ltx', '0', name), join(streamAt(target), 'ltx', '0', name));
  first.replicator.setTargets([target]);
  await insert(app);
  await first.replicator.durable(null, DURABLE_MS);
  expect(await restored(streamAt(target))).toBe(await content(app));
  expect(readdirSync(join(streamAt(target), 'ltx', '9')).length).toBe(1);
});
