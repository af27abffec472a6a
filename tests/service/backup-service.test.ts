import { afterEach, expect, jest, test } from 'bun:test';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  ask,
  makeDatabase,
  openElsewhere,
  openShop,
  refusal,
  scratchFolders,
  settle,
  touch,
} from '../support/scratch.ts';
import { jobsHere } from '../support/jobs-here.ts';
import { LOCK_FILE } from '../../src/engine/format/names.ts';
import { backupFetch } from '../../src/http/mount.ts';
import type { ServiceEvent } from '../../src/service/service-event.ts';
import type { Run, RunProgress } from '../../src/words/run.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { formatSize } from '../../src/service/log.ts';
import { settingsWith } from '../support/settings.ts';

const scratch = scratchFolders();
const minuteMs = 60_000;
const insert = "INSERT INTO notes (text) VALUES ('new') RETURNING id";
const foreign = 'backup-2024-01-15T10-30-00-000Z.sqlite';

afterEach(() => jest.useRealTimers());

/** Resolves when the run that is going has fixed its moment. */
function pinned(service: BackupService): Promise<RunProgress> {
  return new Promise((resolve) => {
    const end = service.on((event) => {
      if (event.type !== 'progress' || event.run.backup === null) return;
      end();
      resolve(event.run);
    });
  });
}

const filenames = async (service: BackupService) => (await service.getBackups()).map((backup) => backup.filename);

async function streamed(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Buffer> {
  return Buffer.from(await new Response(stream).arrayBuffer());
}

test('a backup by hand answers what was made, and log, list and history agree', async () => {
  await using shop = openShop(scratch());
  const { success, filename = '', size = 0, error, report } = await shop.service.performBackup('ada');
  expect([success, error, statSync(join(shop.backups, filename)).size]).toEqual([true, undefined, size]);
  expect(shop.log).toEqual([`info: Completed: ${filename} (${formatSize(size)})`]);
  const [item] = await shop.service.getBackups();
  expect(item).toEqual(
    expect.objectContaining({ filename, size, user: 'ada', trigger: 'manual', verified: true, foreign: false }),
  );
  expect(shop.service.getRuns()).toEqual([report]);
  expect(report.steps.map((step) => `${step.name} ${step.state}`)).toEqual(
    ['checkpoint', 'copy', 'verify', 'publish', 'prune'].map((name) => `${name} done`),
  );
});

test('a run that fails answers with the error and leaves a record', async () => {
  await using shop = openShop(scratch(), { form: null });
  const { success, error, filename } = await shop.service.performBackup();
  expect([success, filename, error?.code]).toEqual([false, undefined, 'DB_MISSING']);
  expect(shop.service.getRuns()[0]).toEqual(expect.objectContaining({ result: 'failed', backup: null, error }));
  expect(shop.log[0]).toStartWith('error: Failed: there is no file at');
});

test('a run whose end could not be said is over, and the next one is a run of its own', async () => {
  const folder = scratch();
  let isBroken = true;
  await using shop = openShop(folder, {
    form: null,
    log() {
      if (isBroken) throw new Error('the log is full');
    },
  });
  expect(await shop.service.performBackup().catch((error: unknown) => String(error))).toContain('the log is full');
  isBroken = false;
  makeDatabase(shop.databasePath);
  expect((await shop.service.performBackup()).success).toBe(true);
});

test('who asks before the moment is fixed joins the run that is going', async () => {
  await using shop = openShop(scratch());
  const results = await Promise.all([
    shop.service.performBackup(),
    shop.service.performBackup('ada'),
    shop.service.requestBackup('bob'),
    shop.service.performBackup('ada'),
  ]);
  expect(results[0]).toEqual(results[1]);
  expect(results[2].runId).toBe(results[0].report.id);
  expect(shop.service.getRuns().map(({ user }) => user)).toEqual(['ada, bob']);
});

test('who asks after it waits for one more run, shared by all', async () => {
  await using shop = openShop(scratch());
  const moment = pinned(shop.service);
  const first = shop.service.performBackup();
  await moment;
  const later = await Promise.all([
    shop.service.performBackup('ada'),
    shop.service.performBackup('bob'),
    shop.service.performBackup(),
  ]);
  expect(new Set(later.map((result) => result.filename)).size).toBe(1);
  expect(later[0]?.filename).not.toBe((await first).filename);
  expect(shop.service.getRuns().length).toBe(2);
  expect([shop.service.getRuns()[0]?.user, later[0]?.report.user]).toEqual(['ada, bob', 'ada, bob']);
  expect((await shop.service.getBackup(later[0]?.filename ?? '')).user).toBe('ada, bob');
});

test('a backup that has to wait for its turn is accepted at once, with the id of its run', async () => {
  await using shop = openShop(scratch());
  const moment = pinned(shop.service);
  const first = shop.service.performBackup();
  await moment;
  let hasEnded = false;
  const ended = first.then(() => {
    hasEnded = true;
  });
  const { runId } = await shop.service.requestBackup('ada');
  expect(hasEnded).toBe(false);
  // Whoever joins it is told the same.
  const joined = shop.service.performBackup('bob');
  expect((await shop.service.requestBackup('eve')).runId).toBe(runId);
  await ended;
  expect((await joined).report.id).toBe(runId);
  expect(shop.service.getRuns().map(({ id }) => id)).toEqual([runId, (await first).report.id]);
});

test('who joins a run that goes already is named in it, once', async () => {
  await using shop = openShop(scratch());
  const joined: Promise<unknown>[] = [];
  const end = shop.service.on((event) => {
    if (event.type !== 'progress' || joined.length > 0) return;
    for (const user of ['bob', 'ada', undefined]) joined.push(shop.service.performBackup(user));
  });
  await shop.service.performBackup('ada');
  end();
  expect(joined.length).toBe(3);
  await Promise.all(joined);
  expect(shop.service.getRuns().map(({ user }) => user)).toEqual(['ada, bob']);
});

test('asked for by hand, a backup of an unchanged database is made all the same', async () => {
  await using shop = openShop(scratch());
  settle(shop.databasePath);
  await shop.service.performBackup();
  expect((await shop.service.performBackup()).success).toBe(true);
  expect((await shop.service.getBackups()).length).toBe(2);
});

test('started, it makes a backup at once, then one every interval while the database changes', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch());
  settle(shop.databasePath);
  shop.service.start();
  shop.service.start();
  expect(shop.log).toEqual(['info: Auto-backup started. Interval: 10 minutes']);
  const first = await shop.ended((run) => run.trigger === 'start');
  expect(first.result).toBe('success');

  const steps: ServiceEvent[] = [];
  const end = shop.service.on((event) => event.type === 'progress' && steps.push(event));
  jest.advanceTimersByTime(10 * minuteMs);
  const second = await shop.ended((run) => run.trigger === 'schedule');
  end();
  expect(second).toEqual(expect.objectContaining({ result: 'unchanged', backup: first.backup, steps: [] }));
  // No job was started for it.
  expect(steps).toEqual([]);
  const { lastGood, schedule } = await shop.service.getStatus();
  expect(lastGood?.holdsAt).toEqual(second.endedAt);
  expect(schedule.running && schedule.nextRunAt).toEqual(new Date((second.plannedAt?.getTime() ?? 0) + 10 * minuteMs));

  ask(shop.databasePath, insert);
  jest.advanceTimersByTime(10 * minuteMs);
  const third = await shop.ended((run) => run.trigger === 'schedule' && run.result === 'success');
  expect(third.backup).not.toBe(first.backup);
  expect((await shop.service.getBackups()).length).toBe(2);
});

test('an unchanged database is backed up anew at half of the days after which a bucket removes its copy', async () => {
  jest.useFakeTimers({ now: new Date() });
  const keys = { accessKeyId: 'key', secretAccessKey: 'secret', maxAttempts: 1 };
  const nowhere = { bucket: 'b', region: 'us-east-1', endpoint: 'http://127.0.0.1:9', ...keys };
  await using shop = openShop(scratch(), {
    s3: { ...nowhere, retentionCount: null, lifecycleDays: 30 },
    settings: { s3Enabled: true },
  });
  settle(shop.databasePath);
  shop.service.start();
  const first = await shop.ended((run) => run.trigger === 'start');
  const nextAt = async (days: number) => {
    const at = first.endedAt.getTime() + days * 1_440 * minuteMs;
    jest.setSystemTime(at);
    const isNext = ({ kind, trigger, startedAt }: Run) =>
      kind === 'backup' && trigger === 'schedule' && startedAt.getTime() >= at;
    const next = shop.ended(isNext);
    jest.advanceTimersByTime(minuteMs);
    return (await next).result;
  };
  expect(await nextAt(1)).toBe('unchanged');
  expect(await nextAt(14.9)).toBe('unchanged');
  expect(await nextAt(15.1)).toBe('success');
});

test('with skipUnchanged off, each run makes a backup', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch(), { skipUnchanged: false });
  settle(shop.databasePath);
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  jest.advanceTimersByTime(10 * minuteMs);
  expect((await shop.ended((run) => run.trigger === 'schedule')).result).toBe('success');
});

test('a backup folder that can not be read fails the run and not the app, and the schedule goes on', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch());
  settle(shop.databasePath);
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  renameSync(shop.backups, `${shop.backups}.away`);
  writeFileSync(shop.backups, 'a file in its place');
  jest.advanceTimersByTime(10 * minuteMs);
  const failed = await shop.ended((run) => run.result === 'failed');
  expect(failed.error?.code).toBe('FOLDER_MISSING');
  rmSync(shop.backups);
  renameSync(`${shop.backups}.away`, shop.backups);
  jest.advanceTimersByTime(2 * minuteMs);
  expect((await shop.ended((run) => run.trigger === 'schedule' && run.result !== 'failed')).result).toBe('unchanged');
});

test('a run history that is locked by another program fails no backup', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  shop.service.getRuns();
  const other = await openElsewhere(join(folder, 'state.sqlite'));
  await other.ask('BEGIN IMMEDIATE');
  expect((await shop.service.performBackup()).success).toBe(true);
  expect(shop.log.at(-1)).toStartWith('warn: The run history could not be written');
  await other.kill();
});

test('switched off, start schedules nothing and everything by hand works', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch(), { settings: { enabled: false } });
  shop.service.start();
  jest.advanceTimersByTime(60 * minuteMs);
  expect((await shop.service.getStatus()).schedule).toEqual(
    expect.objectContaining({ enabled: false, running: false, nextRunAt: null }),
  );
  expect(shop.service.getRuns()).toEqual([]);
  expect((await shop.service.performBackup()).success).toBe(true);
});

test('switched on by updateConfig, the schedule starts without a backup at once; off again, it ends; both outlast a restart', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch(), { settings: { enabled: false } });
  shop.service.start();
  const config = shop.service.updateConfig({ enabled: true, intervalMinutes: 30 });
  expect([config.enabled, config.intervalMinutes, config.changed]).toEqual([
    true,
    30,
    { enabled: false, intervalMinutes: 10 },
  ]);
  jest.advanceTimersByTime(29 * minuteMs);
  expect(shop.service.getRuns()).toEqual([]);
  jest.advanceTimersByTime(1 * minuteMs);
  expect((await shop.ended((run) => run.trigger === 'schedule')).result).toBe('success');
  expect(shop.again().getConfig()).toEqual(config);

  shop.service.updateConfig({ enabled: false });
  expect((await shop.service.getStatus()).schedule.running).toBe(false);
  expect(shop.again().getConfig().changed).toEqual({ intervalMinutes: 10 });
  expect(shop.service.updateConfig({ revert: ['intervalMinutes'] }).intervalMinutes).toBe(10);
  expect(shop.again().getConfig().changed).toEqual({});
});

test('wrong settings are refused with a message per field, and nothing changes', async () => {
  await using shop = openShop(scratch());
  const error = await refusal(() =>
    shop.service.updateConfig({ intervalMinutes: 0, retentionCount: 1.5, s3Path: '../elsewhere' }),
  );
  expect(error.code).toBe('BAD_CONFIG');
  expect(Object.keys((error as { fields?: object }).fields ?? {})).toEqual([
    'intervalMinutes',
    'retentionCount',
    's3Path',
  ]);
  expect((await refusal(() => shop.service.updateConfig({ s3Enabled: true }))).code).toBe('BAD_CONFIG');
  expect((await refusal(() => shop.service.updateConfig({ colour: 'red' } as object))).code).toBe('BAD_CONFIG');
  expect(shop.service.getConfig().changed).toEqual({});
  expect(existsSync(shop.backups)).toBe(false);
});

test('settings that are unreadable are left alone: the environment holds, and the log warns', async () => {
  await using shop = openShop(scratch());
  mkdirSync(shop.backups);
  for (const text of ['{"enabled": fal', '{"intervalMinutes": "often"}', '[]']) {
    writeFileSync(join(shop.backups, 'settings.json'), text);
    const service = shop.again();
    expect(service.getConfig()).toEqual(expect.objectContaining({ enabled: true, intervalMinutes: 10, changed: {} }));
    expect(shop.log.at(-1)).toContain('is unreadable');
    expect(readFileSync(join(shop.backups, 'settings.json'), 'utf8')).toBe(text);
  }
});

test('stopping cancels what is going, ends what is queued before it begins, and resolves when both have ended', async () => {
  // A job of this process is stopped where it is, however fast it would go on.
  await using shop = openShop(scratch(), { runJob: jobsHere({ now: () => new Date() }) });
  const ended: Promise<unknown>[] = [];
  const end = shop.service.on((event) => {
    if (event.type !== 'progress' || event.run.backup === null) return;
    end();
    const queued = shop.service.performBackup();
    ended.push(first, queued, shop.service.stop());
  });
  const first = shop.service.performBackup();
  await first;
  expect(await Promise.all(ended)).toMatchObject([
    ...Array.from({ length: 2 }, () => ({ report: { result: 'stopped' } })),
    undefined,
  ]);
  expect(await filenames(shop.service)).toEqual([]);
  // Stopped is not closed: by hand it still works.
  expect((await shop.service.performBackup()).success).toBe(true);
});

test('stopped in the turn in which a backup was asked for, none is made', async () => {
  await using shop = openShop(scratch());
  const asked = shop.service.performBackup();
  await shop.service.stop();
  expect((await asked).report.result).toBe('stopped');
  expect(await shop.service.stopRun()).toBe(false);
});

test('before the app made its database it waits calmly, says so once in the log, and makes a backup when it is there', async () => {
  jest.useFakeTimers({ now: new Date() });
  await using shop = openShop(scratch(), { form: null });
  shop.service.start();
  jest.advanceTimersByTime(2 * minuteMs);
  const { database, verdict } = await shop.service.getStatus();
  expect([database.exists, verdict]).toEqual([false, { code: 'none', tone: 'grey' }]);
  expect(shop.service.getRuns()).toEqual([]);
  await shop.logged('warn: Waiting for a database');
  makeDatabase(shop.databasePath);
  jest.advanceTimersByTime(30_000);
  expect((await shop.ended((run) => run.result === 'success')).backup).toBeString();
  expect(shop.log.filter((line) => line.startsWith('warn: Waiting for a database'))).toHaveLength(1);
});

test('a foreign backup is listed, never pruned, and adopted after a check', async () => {
  await using shop = openShop(scratch(), { settings: { retentionCount: 1 } });
  mkdirSync(shop.backups);
  makeDatabase(join(shop.backups, foreign), { rows: 5 });
  await shop.service.performBackup();
  const { filename } = await shop.service.performBackup();
  expect(await filenames(shop.service)).toEqual([filename ?? '', foreign]);
  expect(await shop.service.getBackup(foreign)).toEqual(
    expect.objectContaining({ foreign: true, verified: false, verification: { state: 'unchecked' } }),
  );
  expect((await refusal(() => shop.service.updateBackup(foreign, { pinned: true }))).code).toBe('BAD_BACKUP');

  const adopted = await shop.service.adoptBackup(foreign);
  expect(adopted).toEqual(expect.objectContaining({ foreign: false, verified: true, pages: adopted.size / 4096 }));
  expect((await shop.service.prune({ dryRun: true })).removed.map((entry) => entry.filename)).toEqual([foreign]);
  expect((await shop.service.prune()).removed.map((entry) => entry.filename)).toEqual([foreign]);
  expect(await filenames(shop.service)).toEqual([filename ?? '']);
});

test('a foreign file that is no sound database is not adopted', async () => {
  await using shop = openShop(scratch());
  mkdirSync(shop.backups);
  writeFileSync(join(shop.backups, foreign), 'made by hand');
  expect((await refusal(() => shop.service.adoptBackup(foreign))).code).toBe('VERIFY_FAILED');
  expect(readdirSync(shop.backups).filter((name) => !name.startsWith(LOCK_FILE))).toEqual([foreign]);
});

test('a note may have 200 letters, whoever writes it', async () => {
  await using shop = openShop(scratch());
  const { filename = '' } = await shop.service.performBackup();
  await shop.service.updateBackup(filename, { note: 'x'.repeat(200) });
  const tooLong = { pinned: true, note: 'y'.repeat(201) };
  const error = await refusal(() => shop.service.updateBackup(filename, tooLong));
  expect([error.code, error.message]).toEqual(['BAD_REQUEST', 'the note has 201 letters, and may have 200']);
  const routes = backupFetch(shop.service, { authorize: () => true });
  const request = new Request(`http://localhost/backup/api/backups/${filename}`, {
    method: 'PATCH',
    body: JSON.stringify(tooLong),
  });
  const answer = await routes(request);
  expect([answer.status, await answer.json()]).toEqual([422, { error: error.toJSON() }]);
  expect(await shop.service.getBackup(filename)).toMatchObject({ pinned: false, note: 'x'.repeat(200) });
});

test('a pinned backup outlives retention, and its note is kept', async () => {
  await using shop = openShop(scratch(), { settings: { retentionCount: 1 } });
  const { filename = '' } = await shop.service.performBackup();
  const item = await shop.service.updateBackup(filename, { pinned: true, note: 'before the migration' });
  expect([item.pinned, item.note]).toEqual([true, 'before the migration']);
  expect((await shop.service.updateBackup(filename, {})).note).toBe('before the migration');
  await shop.service.performBackup();
  await shop.service.performBackup();
  expect(await filenames(shop.service)).toContain(filename);
  expect((await shop.service.getBackups()).length).toBe(2);
});

test('days to keep can be changed while running, and the plan says which backup stands for one', async () => {
  await using shop = openShop(scratch(), { settings: { retentionCount: 1 } });
  mkdirSync(shop.backups);
  makeDatabase(join(shop.backups, foreign), { rows: 5 });
  await shop.service.adoptBackup(foreign);
  expect(shop.service.updateConfig({ keepDaily: 2 })).toMatchObject({ keepDaily: 2, changed: { keepDaily: 0 } });
  await shop.service.performBackup();
  const { filename = '' } = await shop.service.performBackup();
  expect(await filenames(shop.service)).toEqual([filename, foreign]);
  expect((await shop.again().prune({ dryRun: true })).kept.at(-1)).toEqual({
    filename: foreign,
    reasons: ['newest of day 2024-01-15 (daily 2 of 2)'],
  });
  expect((await refusal(() => shop.service.updateConfig({ keepDaily: -1 }))).code).toBe('BAD_CONFIG');
  expect(shop.service.updateConfig({ revert: ['keepDaily'] }).keepDaily).toBe(0);
  expect((await shop.service.prune()).removed).toEqual([{ filename: foreign, reason: 'older than the newest 1' }]);
});

test('a deleted backup is gone, and names that are none delete nothing', async () => {
  await using shop = openShop(scratch());
  const { filename = '' } = await shop.service.performBackup();
  for (const name of ['../shop.sqlite', 'settings.json', `${filename}.json`, LOCK_FILE, '..', '']) {
    expect([name, (await refusal(() => shop.service.deleteBackup(name))).code]).toEqual([name, 'BAD_NAME']);
  }
  expect((await refusal(() => shop.service.deleteBackup(filename, { target: 's3' }))).code).toBe('BAD_REQUEST');
  await shop.service.deleteBackup(filename, { user: 'ada' });
  expect([await filenames(shop.service), existsSync(join(shop.backups, `${filename}.json`))]).toEqual([[], false]);
  expect((await refusal(() => shop.service.deleteBackup(filename))).code).toBe('GONE');
  expect(existsSync(shop.databasePath)).toBe(true);
});

test('two that prune at once: what the other one removed is not said to be there', async () => {
  await using shop = openShop(scratch());
  for (let count = 0; count < 4; count++) await shop.service.performBackup();
  const strict = { settings: settingsWith({ retentionCount: 1 }) };
  const both = [shop.again(strict), shop.again(strict)];
  const results = await Promise.all(both.map((service) => service.prune()));
  expect(results.flatMap(({ removed }) => removed).length).toBe(3);
  expect(results.map(({ kept }) => kept.length)).toEqual([1, 1]);
});

test('an opened backup streams exactly its bytes, in whole and in part', async () => {
  await using shop = openShop(scratch(), { form: { rows: 20_000 } });
  const { filename = '' } = await shop.service.performBackup();
  const bytes = readFileSync(join(shop.backups, filename));
  const { sha256 } = await shop.service.getBackup(filename);
  for (const [from, to] of [
    [0, bytes.length - 1],
    [0, 0],
    [bytes.length - 1, bytes.length - 1],
    [300_000, 700_000],
  ] as const) {
    const opened = await shop.service.openBackup(filename);
    const { mtimeMs } = statSync(join(shop.backups, filename));
    expect([opened.sizeBytes, opened.etag]).toEqual([
      bytes.length,
      `"${sha256}-${bytes.length}-${Math.trunc(mtimeMs)}"`,
    ]);
    expect((await streamed(opened.stream(from, to))).equals(bytes.subarray(from, to + 1))).toBe(true);
  }
});

test('a backup that is replaced while it is downloaded is sent as it was opened, and the new one has another tag', async () => {
  await using shop = openShop(scratch(), { form: { rows: 20_000 } });
  const { filename = '' } = await shop.service.performBackup();
  const path = join(shop.backups, filename);
  const bytes = readFileSync(path);
  const opened = await shop.service.openBackup(filename);
  writeFileSync(`${path}.other`, bytes.toReversed());
  renameSync(`${path}.other`, path);
  expect((await streamed(opened.stream(0, bytes.length - 1))).equals(bytes)).toBe(true);
  // As large as the first, and its manifest still claims the digest.
  const replaced = await shop.service.openBackup(filename);
  expect(replaced.sizeBytes).toBe(opened.sizeBytes);
  expect(replaced.etag).not.toBe(opened.etag);
  await replaced.close();
});

test('a link to the live database under a backup’s name is neither served nor verified, adopted or restored', async () => {
  await using shop = openShop(scratch());
  mkdirSync(shop.backups);
  linkSync(shop.databasePath, join(shop.backups, foreign));
  const { service } = shop;
  for (const story of [
    () => service.openBackup(foreign),
    () => service.verifyBackup(foreign),
    () => service.adoptBackup(foreign),
    () => service.planRestore(foreign),
    () => service.restore(foreign),
  ]) {
    expect((await refusal(story)).code).toBe('BAD_BACKUP');
  }
  rmSync(join(shop.backups, foreign));
  symlinkSync(shop.databasePath, join(shop.backups, foreign));
  expect(await service.getBackups()).toEqual([]);
  expect((await refusal(() => service.openBackup(foreign))).code).toBe('NO_BACKUP');
});

test('backups stay in their order when the clock jumps back between runs', async () => {
  await using shop = openShop(scratch());
  const names: string[] = [];
  for (let run = 0; run < 3; run++) names.unshift((await shop.service.performBackup()).filename ?? '');
  // The newest bears the oldest name, as after a jump.
  const newest = names[0] ?? '';
  const older = 'backup-2020-01-01T00-00-00-000Z.sqlite';
  const manifest = JSON.parse(readFileSync(join(shop.backups, `${newest}.json`), 'utf8'));
  rmSync(join(shop.backups, `${newest}.json`));
  renameSync(join(shop.backups, newest), join(shop.backups, older));
  const moved = { ...manifest, name: older, artifact: { ...manifest.artifact, file: older } };
  writeFileSync(join(shop.backups, `${older}.json`), JSON.stringify(moved));
  expect(await filenames(shop.service)).toEqual([older, ...names.slice(1)]);
  expect((await shop.service.getStatus()).lastGood?.filename).toBe(older);
});

test('the history outlasts a restart, and its loss loses no backup', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { report, filename = '' } = await shop.service.performBackup();
  await shop.service.close();
  expect(shop.again().getRuns()).toEqual([report]);
  await using other = openShop(folder, { form: null, statePath: join(folder, 'other.sqlite') });
  writeFileSync(join(folder, 'other.sqlite'), 'junk '.repeat(1_000));
  expect(other.service.getRuns()).toEqual([]);
  expect(await filenames(other.service)).toEqual([filename]);
  expect(other.log[0]).toContain('was damaged');
});

test('the activity shows what was kept, pruned and missed, also of an app that was down or switched off', async () => {
  jest.useFakeTimers({ now: new Date('2024-03-02T08:00:00Z') });
  await using shop = openShop(scratch(), {
    settings: { retentionCount: 1, intervalMinutes: 60 },
    skipUnchanged: false,
  });
  const bars = async (service: BackupService) =>
    (await service.getActivity('24h')).bars
      .filter(({ state }) => state !== 'none')
      .map(({ from, state, reason }) => `${from.toISOString().slice(11, 16)} ${state}${reason ? `: ${reason}` : ''}`);
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  jest.advanceTimersByTime(61 * minuteMs);
  await shop.ended((run) => run.trigger === 'schedule');
  const done = ['08:00 pruned: Removed by retention.', '09:00 kept'];
  expect(await bars(shop.service)).toEqual(done);
  await shop.service.stop();
  jest.setSystemTime(new Date('2024-03-02T11:30:00Z'));
  const missed = ['10:00 missed: The app was not running.', '11:00 missed: The app was not running.'];
  expect(await bars(shop.service)).toEqual([...done, ...missed]);
  const again = shop.again();
  again.updateConfig({ enabled: false });
  again.start();
  jest.setSystemTime(new Date('2024-03-02T15:00:00Z'));
  expect(await bars(again)).toEqual([...done, ...missed]);
  const { sizes, counts } = await again.getActivity('24h');
  expect([sizes.length, counts]).toEqual([2, { good: 2, failed: 0, missed: 2 }]);
});

test('where a copy is and how much it takes is told as configured', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { filename = '', size } = await shop.service.performBackup();
  const [item] = await shop.service.getBackups();
  expect(item?.placements).toEqual([
    {
      ...{ target: 'local', status: 'stored', at: item?.createdAt ?? expect.unreachable('no backup'), error: null },
      ...{ where: join(folder, 'backups', filename), sizeBytes: size ?? null },
    },
  ]);
  expect((await shop.service.getStatus()).database.growthBytes).toBe(0);
});

test('the size of the log is told beside that of the database', async () => {
  await using shop = openShop(scratch());
  const app = await openElsewhere(shop.databasePath);
  await app.ask('PRAGMA journal_mode = WAL');
  await app.ask('INSERT INTO notes (text) VALUES (hex(randomblob(9000))) RETURNING 1');
  const { sizeBytes, logBytes } = (await shop.service.getStatus()).database;
  expect(logBytes).toBe(statSync(`${shop.databasePath}-wal`).size);
  expect(logBytes).toBeGreaterThan(9_000);
  expect(sizeBytes - logBytes).toBe(statSync(shop.databasePath).size);
  await app.kill();
});

test('a verdict says protected after a backup, and none before', async () => {
  await using shop = openShop(scratch());
  expect((await shop.service.getStatus()).verdict.code).toBe('none');
  await shop.service.performBackup();
  expect((await shop.service.getStatus()).verdict.code).toBe('protected');
  utimesSync(shop.databasePath, new Date(), new Date());
  expect((await shop.service.getStatus()).local).toEqual(expect.objectContaining({ count: 1, keep: 10 }));
});

test('a backup that someone removed from the folder is missed, one that was deleted here is not', async () => {
  await using shop = openShop(scratch());
  const { filename: kept = '' } = await shop.service.performBackup();
  const { filename: lost = '' } = await shop.service.performBackup();
  const file = join(shop.backups, lost);
  const manifest = readFileSync(`${file}.json`, 'utf8');
  const bytes = readFileSync(file);
  rmSync(file);
  rmSync(`${file}.json`);
  const missed = (await shop.service.getStatus()).verdict;
  expect([missed.code, missed.tone]).toEqual(['damaged', 'red']);
  expect(missed.detail).toStartWith(`${lost} is no longer`);
  writeFileSync(file, bytes);
  touch(file);
  writeFileSync(`${file}.json`, manifest);
  // Written anew, it has another time.
  expect((await shop.service.getStatus()).verdict.code).toBe('changed');
  await shop.service.verifyBackup(lost);
  expect((await shop.service.getStatus()).verdict.code).toBe('protected');
  writeFileSync(`${file}.json`, 'half a mani');
  expect((await shop.service.getStatus()).verdict.code).toBe('damaged');
  writeFileSync(`${file}.json`, manifest);
  await shop.service.deleteBackup(lost);
  expect((await shop.service.getStatus()).verdict.code).toBe('protected');
  expect(await filenames(shop.service)).toEqual([kept]);
});

test('a backup that is gone says who removed it and when', async () => {
  await using shop = openShop(scratch(), { settings: { retentionCount: 1 } });
  const { filename: pruned = '' } = await shop.service.performBackup();
  const { filename: deleted = '' } = await shop.service.performBackup();
  await shop.service.deleteBackup(deleted, { user: 'ada' });
  const tell = async (name: string) => {
    const { code, message } = await refusal(() => shop.service.getBackup(name));
    return `${code} ${message}`;
  };
  expect(await tell(pruned)).toMatch(/^GONE backup-.* no longer exists: it was removed by retention at 20\d\d-/);
  expect(await tell(deleted)).toMatch(/ it was removed by ada at /);
  expect(await tell(foreign)).toStartWith('NO_BACKUP');
});

test('a damaged state is said once, whoever opens it first', async () => {
  const folder = scratch();
  writeFileSync(join(folder, 'state.sqlite'), 'junk '.repeat(1_000));
  await using shop = openShop(folder);
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  expect(shop.log.filter((line) => line.includes('was damaged'))).toHaveLength(1);
});

test('making a service has no effects: no folder, no file, no timer', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  expect(shop.service.getConfig().enabled).toBe(true);
  expect(readdirSync(folder)).toEqual(['shop.sqlite']);
});
