/** A database whose file is gone, as a real service sees it: the alarm, what stands still meanwhile, and the way back. */
import { afterEach, expect, jest, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  ask,
  makeDatabase,
  openElsewhere,
  openShop,
  refusal,
  scratchFolders,
  settle,
  type Shop,
} from '../support/scratch.ts';
import { isFailing } from '../../src/service/protection/freshness.ts';
import { BRING_BACK } from '../../src/service/protection/missing.ts';

const scratch = scratchFolders();
const minuteMs = 60_000;
const count = 'SELECT count(*) FROM notes';

afterEach(() => jest.useRealTimers());

async function backUp({ service }: Shop): Promise<string> {
  const { filename, error } = await service.performBackup();
  if (!filename) throw new Error(error?.message);
  return filename;
}

function lose({ databasePath }: Shop): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(databasePath + suffix, { force: true });
}

const failures = (shop: Shop) => shop.service.getRuns().filter(({ result }) => result === 'failed');
const verdictOf = async (shop: Shop) => (await shop.service.getStatus()).verdict;

test('the verdict is red, health fails, no undo is promised, and all that is known of the last good one stays', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  await shop.service.restore(filename);
  expect((await shop.service.getStatus()).undo).not.toBeNull();
  lose(shop);
  const { verdict, freshness, lastGood, undo, database } = await shop.service.getStatus();
  // The word of the restore a moment ago is no longer true.
  expect([verdict, undo, database.exists]).toEqual([{ code: 'missing', tone: 'red' }, null, false]);
  expect(lastGood?.filename).toBe(filename);
  expect([freshness.state, freshness.cause, isFailing(freshness)]).toEqual(['at-risk', 'missing', true]);
  const { findings } = await shop.service.diagnose();
  expect(findings[0]).toMatchObject({
    code: 'database',
    severity: 'problem',
    fix: expect.stringContaining(BRING_BACK),
  });
});

test('a lost run history and a folder alone tell of it too', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  await backUp(shop);
  await shop.service.close();
  lose(shop);
  for (const name of readdirSync(folder).filter((one) => one.startsWith('state'))) rmSync(join(folder, name));
  expect((await shop.again().getStatus()).verdict.code).toBe('missing');
});

test('a missing database whose backups are gone as well is missed all the same', async () => {
  await using shop = openShop(scratch());
  await backUp(shop);
  lose(shop);
  rmSync(shop.backups, { recursive: true });
  const { verdict, freshness } = await shop.service.getStatus();
  expect([verdict.code, freshness.state]).toEqual(['missing', 'unprotected']);
});

test('one line of the run log says when it began, however often somebody looks, over restarts and by cron', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch());
  settle(shop.databasePath);
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  lose(shop);
  // Noted at once, not only when the next run is due.
  jest.advanceTimersByTime(30_000);
  const began = await shop.ended((run) => run.result === 'failed');
  expect(began.error).toMatchObject({ code: 'DB_MISSING', hint: expect.stringContaining(BRING_BACK) });
  expect(began.plannedAt?.getTime()).toBeLessThanOrEqual(began.endedAt.getTime());
  jest.advanceTimersByTime(60 * minuteMs);
  await shop.service.stop();
  shop.service.start();
  jest.advanceTimersByTime(60 * minuteMs);
  jest.useRealTimers();
  await shop.service.performBackup(undefined, { trigger: 'cli' });
  expect(failures(shop).map(({ id }) => id)).toEqual([began.id]);
  // A user who asks by hand is answered, and that stands in the log.
  const { error } = await shop.service.performBackup('ada');
  expect(error?.code).toBe('DB_MISSING');
  expect(failures(shop)).toHaveLength(2);
});

test('the chart has one failed bar, and none for each run that could not be', async () => {
  jest.useFakeTimers({ now: new Date('2024-03-01T12:00:00Z') });
  await using shop = openShop(scratch());
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  lose(shop);
  jest.advanceTimersByTime(30_000);
  await shop.ended((run) => run.result === 'failed');
  for (let step = 0; step < 6 * 60; step++) jest.advanceTimersByTime(10_000);
  const bars = async () =>
    (await shop.service.getActivity('24h')).bars.flatMap(({ state }) => (state === 'none' ? [] : [state]));
  // The first run was within the minute before, and of two in one bar the worst is shown.
  expect(await bars()).toEqual(['failed']);
  // Also when it began before the day that is shown.
  for (let step = 0; step < 30 * 60 * 2; step++) jest.advanceTimersByTime(30_000);
  expect(await bars()).toEqual([]);
});

test('the file is missed and found again by itself while the schedule runs, and a backup follows at once', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch());
  settle(shop.databasePath);
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  const aside = `${shop.databasePath}.aside`;
  renameSync(shop.databasePath, aside);
  jest.advanceTimersByTime(30_000);
  await shop.ended((run) => run.result === 'failed');
  expect((await verdictOf(shop)).code).toBe('missing');
  renameSync(aside, shop.databasePath);
  const before = shop.service.getRuns().length;
  jest.advanceTimersByTime(10_000);
  await shop.ended((run) => run.trigger === 'schedule' && run.result !== 'failed');
  expect(shop.service.getRuns().length).toBe(before + 1);
  expect((await verdictOf(shop)).code).toBe('protected');
});

test('who has the page open sees it go and come back, without a schedule too', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch(), { settings: { enabled: false } });
  await backUp(shop);
  shop.service.start();
  const seen: string[] = [];
  const looked: Promise<unknown>[] = [];
  const end = shop.service.on(({ type }) => {
    if (type === 'status') looked.push(verdictOf(shop).then(({ code }) => seen.push(code)));
  });
  const aside = `${shop.databasePath}.aside`;
  for (const [from, to] of [
    [shop.databasePath, aside],
    [aside, shop.databasePath],
  ] as const) {
    renameSync(from, to);
    for (let round = 0; round < 3; round++) jest.advanceTimersByTime(10_000);
    await Promise.all(looked);
  }
  end();
  expect([...new Set(seen)]).toEqual(['missing', 'off']);
});

test('nothing is removed while it is missing, by nobody’s wish', async () => {
  await using shop = openShop(scratch());
  for (let round = 0; round < 3; round++) await backUp(shop);
  shop.service.updateConfig({ retentionCount: 1 });
  lose(shop);
  for (const dryRun of [true, false]) {
    const { kept, removed } = await shop.service.prune({ dryRun });
    expect([kept.length, removed.length]).toEqual([3, 0]);
    expect(kept.at(-1)?.reasons).toEqual(['held: shop.sqlite is missing, nothing is removed until it is back']);
  }
  expect(await shop.service.getBackups()).toHaveLength(3);
  makeDatabase(shop.databasePath);
  expect((await shop.service.prune()).removed).toHaveLength(2);
});

for (const journalMode of ['wal', 'delete'] as const) {
  test(`a backup is brought back to its place, in ${journalMode} mode as it was, with no safety backup and no undo`, async () => {
    await using shop = openShop(scratch(), { form: { journalMode } });
    const filename = await backUp(shop);
    lose(shop);
    const plan = await shop.service.planRestore(filename);
    expect([plan.now, plan.modes, plan.warnings]).toEqual([null, ['missing', 'offline'], []]);
    const restored = await shop.service.restore(filename, { mode: 'missing', user: 'ada' });
    expect(restored).toMatchObject({ success: true, mode: 'missing', path: shop.databasePath, safetyBackup: null });
    expect(restored.report.steps.map(({ name }) => name)).toEqual(['check', 'place', 'prove']);
    expect([ask(shop.databasePath, count), ask(shop.databasePath, 'PRAGMA journal_mode')]).toEqual([100, journalMode]);
    const { verdict, undo } = await shop.service.getStatus();
    expect([verdict.code, undo]).toEqual(['restored', null]);
    expect((await refusal(() => shop.service.undoRestore())).code).toBe('NOTHING_TO_UNDO');
    expect(await shop.service.getBackups()).toHaveLength(1);
  });
}

test('where a file has appeared it is left as it is, whatever it holds', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  lose(shop);
  for (const text of ['', 'not a database']) {
    writeFileSync(shop.databasePath, text);
    const error = await refusal(() => shop.service.restore(filename, { mode: 'missing' }));
    expect([error.code, error.hint]).toEqual([
      'TARGET_EXISTS',
      'Nothing was changed. Look at that file first; a restore over it makes a safety backup of it.',
    ]);
    expect(await Bun.file(shop.databasePath).text()).toBe(text);
  }
  rmSync(shop.databasePath);
  // A part of a database.
  writeFileSync(`${shop.databasePath}-wal`, 'frames');
  expect((await refusal(() => shop.service.restore(filename, { mode: 'missing' }))).code).toBe('RESTORE_IN_USE');
  rmSync(`${shop.databasePath}-wal`);
  await shop.service.restore(filename, { mode: 'missing' });
  expect(ask(shop.databasePath, count)).toBe(100);
});

test('a link to a disk that is not mounted is missing, and nothing is put in its place', async () => {
  const [folder, disk] = [scratch(), scratch()];
  symlinkSync(join(disk, 'shop.sqlite'), join(folder, 'shop.sqlite'));
  await using shop = openShop(folder);
  const filename = await backUp(shop);
  for (const name of readdirSync(disk)) rmSync(join(disk, name));
  expect((await verdictOf(shop)).code).toBe('missing');
  for (const mode of ['missing', 'offline'] as const)
    expect((await refusal(() => shop.service.restore(filename, { mode }))).code).toBe('DB_MISSING');
  expect(readdirSync(disk)).toEqual([]);
});

test('the folder of the database is made, and a damaged backup is not placed', async () => {
  const folder = scratch();
  mkdirSync(join(folder, 'data'));
  await using shop = openShop(folder, { databasePath: join(folder, 'data', 'shop.sqlite') });
  const filename = await backUp(shop);
  rmSync(dirname(shop.databasePath), { recursive: true });
  expect((await verdictOf(shop)).code).toBe('missing');
  const path = join(shop.backups, filename);
  renameSync(path, `${path}.aside`);
  writeFileSync(path, 'damage');
  expect((await refusal(() => shop.service.restore(filename, { mode: 'missing' }))).code).toBe('VERIFY_FAILED');
  expect(existsSync(shop.databasePath)).toBe(false);
  renameSync(`${path}.aside`, path);
  await shop.service.restore(filename, { mode: 'missing' });
  expect(ask(shop.databasePath, count)).toBe(100);
});

test('a process that still has the removed file open is named in the plan', async () => {
  if (process.platform !== 'linux') return;
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const app = await openElsewhere(shop.databasePath);
  lose(shop);
  const plan = await shop.service.planRestore(filename, { mode: 'offline' });
  expect([plan.mode, plan.undo, plan.openIn.map(({ pid }) => pid)]).toEqual(['missing', false, [app.process.pid ?? 0]]);
  expect(plan.warnings).toEqual([
    `${plan.openIn[0]?.name} (process ${app.process.pid}) has the removed file still open, and anything it writes there is lost: restart it after the restore.`,
  ]);
  // It writes to a file that is gone, so it is in nobody's way.
  await shop.service.restore(filename, { mode: 'missing' });
  expect(ask(shop.databasePath, count)).toBe(100);
  await app.kill();
});

test('before the first backup there is no alarm: the app may start after us', async () => {
  await using shop = openShop(scratch(), { form: null });
  const { error } = await shop.service.performBackup();
  expect([error?.code, error?.hint]).toEqual([
    'DB_MISSING',
    'Check DATABASE_URL, or start the app that creates the database.',
  ]);
  const { verdict, freshness } = await shop.service.getStatus();
  expect([verdict, freshness.cause]).toEqual([{ code: 'none', tone: 'grey' }, 'none']);
});
