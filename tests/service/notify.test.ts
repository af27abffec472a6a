/** Webhook and heartbeat of a real service, with a real receiver: what is said, how often, and what it never does. */
import { expect, test } from 'bun:test';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openDeadEnd, openReceiver, type Received } from '../support/receiver.ts';
import { startS3Server } from '../support/s3-server.ts';
import { runJob } from '../../src/engine/process/run-job.ts';
import { makeDatabase, openShop, scratchFolders } from '../support/scratch.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import type { NotifyOptions } from '../../src/service/service-options.ts';

const scratch = scratchFolders();
const minuteMs = 60_000;
/** A receiver in this process answers late when the machine is busy, and what was given up would be said twice. */
const soon = { timeoutMs: 60_000, retryFirstMs: 5, retryLongestMs: 40, lookMs: 20 };
const said = (requests: readonly Received[]) =>
  requests.map(({ body }) => (JSON.parse(body) as { event: string }).event);

/** A service whose clock is set by hand; it is started by its test. */
function openWatched(voices: NotifyOptions, change: Parameters<typeof openShop>[1] = {}) {
  const clock = { offsetMs: 0 };
  const shop = openShop(scratch(), {
    now: () => new Date(Date.now() + clock.offsetMs),
    settings: { enabled: false },
    voices: { waits: soon, ...voices },
    ...change,
  });
  const away = `${shop.databasePath}.away`;
  let looks = 0;
  const counting = (service: BackupService) => {
    const { getStatus } = service;
    service.getStatus = async () => {
      const status = await getStatus.call(service);
      looks++;
      return status;
    };
    return service;
  };
  const { again } = shop;
  counting(shop.service);
  return Object.assign(shop, {
    clock,
    again: (more?: Parameters<typeof again>[0]) => counting(again(more)),
    /**
     * Resolves when the webhook has looked again and again meanwhile, so that something not said can be told from something
     * not said yet. The second of two looks began after the call.
     */
    async looks(count = 4) {
      const until = looks + count;
      while (looks < until) await Bun.sleep(soon.lookMs);
    },
    /** Resolves when the webhook was called so often, and what it said is noted. */
    async called(count: number) {
      while (shop.log.filter((line) => line.startsWith('info: The webhook was called')).length < count)
        await Bun.sleep(5);
    },
    /** An empty file is no database: each run fails. */
    breakDatabase: () => {
      renameSync(shop.databasePath, away);
      writeFileSync(shop.databasePath, '');
    },
    loseDatabase: () => renameSync(shop.databasePath, away),
    mendDatabase: () => renameSync(away, shop.databasePath),
  });
}

test('a failure is said once, in words for people and fields for programs, and so is the recovery', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: `${receiver.url}/services/T0/B0/hush` });
  expect([shop.service.getConfig().notifies, shop.again({ voices: {} }).getConfig().notifies]).toEqual([true, false]);
  shop.service.start();
  const { filename = '' } = await shop.service.performBackup();
  shop.breakDatabase();
  for (let round = 0; round < 3; round++) await shop.service.performBackup();
  const [failure] = await receiver.until(1);
  await shop.looks();
  shop.mendDatabase();
  await shop.service.performBackup();
  const [, recovery] = await receiver.until(2);
  await shop.called(2);
  await shop.looks();
  expect(said(receiver.received)).toEqual(['failed', 'recovered']);

  expect(failure).toMatchObject({ method: 'POST', path: '/services/T0/B0/hush' });
  expect(failure?.headers['content-type']).toBe('application/json');
  const body = JSON.parse(failure?.body ?? '');
  expect(body).toMatchObject({
    content: body.text,
    ...{ event: 'failed', concerns: ['failed'], state: 'at-risk', database: 'shop.sqlite' },
    lastGood: { filename },
    error: { code: 'DB_EMPTY' },
  });
  expect(body.text).toStartWith('The backup of shop.sqlite failed: ');
  expect(body.text).toContain(`The newest good one is ${filename}`);
  expect(JSON.parse(recovery?.body ?? '')).toMatchObject({ concerns: [], error: null });
  expect(shop.log.filter((line) => line.includes('webhook'))).toEqual([
    'info: The webhook was called: failed.',
    'info: The webhook was called: recovered.',
  ]);
});

test('a missing database is said once, whatever fails for that and however old its backups get, and so is its return', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  const { filename = '' } = await shop.service.performBackup();
  shop.loseDatabase();
  const [missing] = await receiver.until(1);
  for (let round = 0; round < 3; round++) await shop.service.performBackup();
  shop.clock.offsetMs = 31 * minuteMs;
  await shop.looks();
  expect(said(receiver.received)).toEqual(['missing']);
  expect(JSON.parse(missing?.body ?? '')).toMatchObject({
    ...{ event: 'missing', concerns: ['missing'], state: 'at-risk', lastGood: { filename } },
    text: expect.stringMatching(/^shop\.sqlite is missing: there is no file at its path\. No backup is removed/),
  });
  shop.clock.offsetMs = 0;
  shop.mendDatabase();
  const [, back] = await receiver.until(2);
  await shop.looks();
  expect(said(receiver.received)).toEqual(['missing', 'recovered']);
  expect(JSON.parse(back?.body ?? '')).toMatchObject({ ended: ['missing'], concerns: [] });
});

test('before the app made its database nobody is woken', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url }, { form: null, settings: { enabled: true } });
  shop.service.start();
  await shop.service.performBackup();
  await shop.looks();
  expect(receiver.received).toEqual([]);
  makeDatabase(shop.databasePath);
  expect((await shop.service.performBackup()).success).toBe(true);
  await shop.looks();
  expect(receiver.received).toEqual([]);
});

test('a backup that became too old is said without any run', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.service.performBackup();
  shop.clock.offsetMs = 31 * minuteMs;
  const [stale] = await receiver.until(1);
  expect(JSON.parse(stale?.body ?? '')).toMatchObject({ event: 'stale', state: 'late', error: null });
  await shop.looks();
  expect(said(receiver.received)).toEqual(['stale']);
  shop.clock.offsetMs = 0;
  expect(said(await receiver.until(2))).toEqual(['stale', 'recovered']);
});

test('a damaged newest backup is said, and an emptied folder too', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.service.performBackup();
  const { filename = '' } = await shop.service.performBackup();
  writeFileSync(join(shop.backups, filename), 'damage', { flag: 'r+' });
  await shop.service.verifyBackup(filename);
  expect(said(await receiver.until(1))).toEqual(['damaged']);
  // The damaged one last: without it the older one would be the newest, and all would be well for a moment.
  for (const item of (await shop.service.getBackups()).toReversed()) await shop.service.deleteBackup(item.filename);
  const [, stale] = await receiver.until(2);
  expect(JSON.parse(stale?.body ?? '')).toMatchObject({ event: 'stale', state: 'unprotected', lastGood: null });
});

test('after a restart with a folder that can not be read it is said, and who else keeps its state there is not touched', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.service.performBackup();
  await shop.service.close();
  rmSync(shop.backups, { recursive: true });
  writeFileSync(shop.backups, 'a file where the folder was');
  const again = shop.again();
  again.start();
  const [first] = await receiver.until(1);
  expect(JSON.parse(first?.body ?? '').text).toContain("can't be listed (FOLDER_MISSING)");
  expect((await again.getStatus()).freshness).toMatchObject({ state: 'unprotected', cause: 'damaged' });
  // Another database with the same state file says nothing of a recovery: nothing was wrong with it.
  const other = join(dirname(shop.databasePath), 'other');
  const neighbour = shop.again({ backupsPath: other });
  neighbour.start();
  await neighbour.performBackup();
  await shop.looks();
  expect(said(receiver.received)).not.toContain('recovered');
});

test('when all is well nothing is said, nor before the very first backup', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.looks();
  for (let round = 0; round < 3; round++) await shop.service.performBackup();
  await shop.looks();
  expect(receiver.received).toEqual([]);
});

test('two processes of one app say each thing once, and a turn that a dead one took ends', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  const other = shop.again({ voices: { waits: soon, webhookUrl: receiver.url } });
  shop.service.start();
  other.start();
  await shop.service.performBackup();
  shop.breakDatabase();
  await Promise.all([shop.service.performBackup(), other.performBackup()]);
  await receiver.until(1);
  await shop.looks();
  shop.mendDatabase();
  await other.performBackup();
  await shop.called(2);
  await shop.looks();
  expect(said(receiver.received)).toEqual(['failed', 'recovered']);

  const state = new DatabaseSync(join(dirname(shop.databasePath), 'state.sqlite'));
  const taken = state.prepare("UPDATE notes SET value = ? WHERE key = 'saying'");
  expect(Number(taken.run(`another ${Date.now() + soon.timeoutMs}`).changes)).toBe(1);
  shop.breakDatabase();
  await shop.service.performBackup();
  await shop.looks();
  expect(said(receiver.received)).toEqual(['failed', 'recovered']);
  taken.run(`another ${Date.now() - 1}`);
  expect(said(await receiver.until(3))).toEqual(['failed', 'recovered', 'failed']);
  state.close();
});

test('what could not be noted hides nothing that comes later', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.service.performBackup();
  const state = new DatabaseSync(join(dirname(shop.databasePath), 'state.sqlite'));
  const full = (on: string) =>
    state.exec(`CREATE TRIGGER full BEFORE INSERT ON notes ${on} BEGIN SELECT RAISE(ABORT, 'disk is full'); END`);
  const fail = async () => {
    shop.breakDatabase();
    await shop.service.performBackup();
  };
  const succeed = async () => {
    shop.mendDatabase();
    await shop.service.performBackup();
  };
  await fail();
  await shop.called(1);
  full("WHEN new.key = 'said'");
  await succeed();
  await shop.called(2);
  await shop.looks();
  expect(shop.log.join('\n')).toContain('warn: What was sent to the webhook could not be recorded');
  state.exec('DROP TRIGGER full');
  await fail();
  expect(said(await receiver.until(3))).toEqual(['failed', 'recovered', 'failed']);
  await shop.called(3);
  full('');
  await succeed();
  await shop.called(4);
  await fail();
  await shop.called(5);
  await shop.looks();
  state.exec('DROP TRIGGER full');
  await succeed();
  expect(said(await receiver.until(6)).slice(3)).toEqual(['recovered', 'failed', 'recovered']);
  state.close();
});

test('what another process said meanwhile counts, though things are again as they were', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.service.performBackup();
  shop.breakDatabase();
  await shop.service.performBackup();
  await shop.called(1);
  // As if another process had said that all is well, before it failed again.
  const state = new DatabaseSync(join(dirname(shop.databasePath), 'state.sqlite'));
  state.exec("UPDATE notes SET value = '' WHERE key = 'said'");
  state.close();
  expect(said(await receiver.until(2))).toEqual(['failed', 'failed']);
});

test('a look that has nothing to say writes nothing', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  await shop.service.performBackup();
  const state = new DatabaseSync(join(dirname(shop.databasePath), 'state.sqlite'));
  state.exec('BEGIN IMMEDIATE');
  await shop.looks();
  state.exec('ROLLBACK');
  state.close();
  expect(shop.log.filter((line) => /webhook/.test(line))).toEqual([]);
});

test('failing uploads and a failed drill are said, and their ends', async () => {
  await using receiver = await openReceiver();
  const server = await startS3Server();
  await using _stopped = { [Symbol.asyncDispose]: () => server.close() };
  await server.createBucket('voices');
  await using shop = openWatched(
    { webhookUrl: receiver.url },
    {
      s3: { ...server, bucket: 'voices', retentionCount: null },
      settings: { enabled: false, s3Enabled: true },
      drills: { scheduled: false, sql: 'SELECT count(*) > 1000000 FROM notes' },
    },
  );
  server.faults.push({ match: /PUT/, effect: { status: 403, code: 'AccessDenied' }, times: 1_000_000 });
  shop.service.start();
  await shop.service.performBackup();
  const [offsite] = await receiver.until(1);
  expect(JSON.parse(offsite?.body ?? '')).toMatchObject({ event: 'offsite', error: { code: 'S3_DENIED' } });
  await shop.service.drill({ target: 'local' });
  expect(said(await receiver.until(2))).toEqual(['offsite', 'drill']);
  server.faults.length = 0;
  await shop.service.performBackup();
  const [, , over] = await receiver.until(3);
  expect(JSON.parse(over?.body ?? '')).toMatchObject({ event: 'recovered', ended: ['offsite'], concerns: ['drill'] });
});

test('without an address nobody is told and nothing is logged', async () => {
  await using shop = openWatched({});
  shop.service.start();
  shop.breakDatabase();
  await shop.service.performBackup();
  await Bun.sleep(4 * soon.lookMs);
  expect(shop.log.filter((line) => /webhook|heartbeat/.test(line))).toEqual([]);
});

test('a restart repeats nothing, and says the recovery that came meanwhile', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  shop.service.start();
  shop.breakDatabase();
  await shop.service.performBackup();
  // Sent and not yet answered it would be said again: rather twice than never.
  await shop.called(1);
  await shop.service.stop();
  const second = shop.again();
  second.start();
  await second.performBackup();
  await shop.looks();
  await second.stop();
  expect(said(receiver.received)).toEqual(['failed']);
  shop.mendDatabase();
  await shop.again({ voices: {} }).performBackup();
  shop.again().start();
  expect(said(await receiver.until(2))).toEqual(['failed', 'recovered']);
});

test('at a start after a long night the backup that is being made is waited for', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url }, { settings: { enabled: true }, form: { rows: 20_000 } });
  mkdirSync(shop.backups);
  makeDatabase(join(shop.backups, 'backup-2024-01-15T10-30-00-000Z.sqlite'), { rows: 5 });
  await shop.service.adoptBackup('backup-2024-01-15T10-30-00-000Z.sqlite');
  expect((await shop.service.getStatus()).freshness.state).toBe('late');
  shop.service.start();
  await shop.ended((run) => run.trigger === 'start');
  await shop.looks();
  expect(receiver.received).toEqual([]);
});

test('a receiver that answers 500 and resets is told when it is back, once, and the log complains once', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  receiver.answers = [500, 'reset', 301, 429];
  shop.service.start();
  shop.breakDatabase();
  await shop.service.performBackup();
  expect(said(await receiver.until(5))).toEqual(Array(5).fill('failed'));
  await shop.looks();
  expect(receiver.received.length).toBe(5);
  const warnings = shop.log.filter((line) => line.startsWith('warn') && line.includes('webhook'));
  expect(warnings).toEqual(['warn: The webhook could not be called: it answered 500. It is retried.']);
});

test('what came and went while the receiver was away is not said', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url });
  const { promise: away, resolve: isBack } = Promise.withResolvers<number>();
  receiver.answers = [away];
  shop.service.start();
  shop.breakDatabase();
  await shop.service.performBackup();
  await receiver.until(1);
  shop.mendDatabase();
  await shop.service.performBackup();
  await shop.looks();
  isBack(503);
  await shop.logged('warn: The webhook could not be called: it answered 503. It is retried.');
  await shop.looks();
  expect(said(receiver.received)).toEqual(['failed']);
});

test('a receiver that hangs holds up no run and no stop', async () => {
  await using receiver = await openReceiver();
  const patient = { ...soon, timeoutMs: 60_000 };
  await using shop = openWatched({ webhookUrl: receiver.url, heartbeatUrl: `${receiver.url}/beat`, waits: patient });
  receiver.answers = Array(20).fill('hang');
  shop.service.start();
  expect((await shop.service.performBackup()).success).toBe(true);
  shop.breakDatabase();
  await shop.service.performBackup();
  await receiver.until(2);
  shop.mendDatabase();
  expect((await shop.service.performBackup()).success).toBe(true);
  const startedMs = performance.now();
  await shop.service.stop();
  expect(performance.now() - startedMs).toBeLessThan(patient.timeoutMs / 2);
  expect(receiver.received.length).toBe(2);
});

test('a receiver that hangs is given up after the time limit and tried again', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({ webhookUrl: receiver.url, waits: { ...soon, timeoutMs: 300 } });
  receiver.answers = ['hang'];
  shop.service.start();
  shop.breakDatabase();
  await shop.service.performBackup();
  expect(said(await receiver.until(2))).toEqual(['failed', 'failed']);
  expect(shop.log).toContain('warn: The webhook could not be called: it did not answer within 0.3 s. It is retried.');
});

test('a heartbeat is sent when a backup begins, ends and fails, at the addresses of healthchecks.io', async () => {
  await using receiver = await openReceiver();
  const options = { heartbeatUrl: `${receiver.url}/ping/hush?create=1` };
  let begun = 0;
  await using shop = openWatched(options, {
    // A ping that a newer one followed is not sent: each run lasts until its begin was told.
    runJob: async (request, given) => {
      await receiver.until(2 * begun++ + 1);
      return await runJob(request, given);
    },
  });
  shop.service.start();
  await shop.service.performBackup();
  await receiver.until(2);
  shop.breakDatabase();
  await shop.service.performBackup();
  const pings = await receiver.until(4);
  expect(pings.map(({ method, path }) => `${method} ${path}`)).toEqual([
    ...['GET /ping/hush/start?create=1', 'GET /ping/hush?create=1'],
    ...['GET /ping/hush/start?create=1', 'GET /ping/hush/fail?create=1'],
  ]);
});

test('a ping that a newer one followed is no longer tried, and the newer one is', async () => {
  await using receiver = await openReceiver();
  await using shop = openWatched({
    heartbeatUrl: receiver.url,
    waits: { ...soon, retryFirstMs: 60_000, retryLongestMs: 60_000 },
  });
  receiver.answers = [500];
  shop.service.start();
  await shop.service.performBackup();
  await receiver.until(2);
  await Bun.sleep(4 * soon.lookMs);
  expect(receiver.received.map(({ path }) => path)).toEqual(['/start', '/']);
});

test('no address, no password and no folder of this machine is in a log line or a message', async () => {
  await using receiver = await openReceiver();
  const address = (path: string) => `${receiver.url}/${path}`.replace('//', '//ada:s3cret@');
  await using shop = openWatched({ webhookUrl: address('hush'), heartbeatUrl: address('beat-hush') });
  receiver.answers = [500, 500, 500];
  shop.service.start();
  await shop.service.performBackup();
  shop.breakDatabase();
  await shop.service.performBackup();
  const hooks = () => receiver.received.filter(({ method }) => method === 'POST');
  while (hooks().length === 0) await receiver.until(receiver.received.length + 1);
  while (!shop.log.some((line) => line.includes('was not'))) await Bun.sleep(5);
  await shop.looks();
  expect(hooks()[0]?.headers.authorization).toBe(`Basic ${btoa('ada:s3cret')}`);
  const texts = [
    ...shop.log.filter((line) => /webhook|heartbeat/.test(line)),
    ...hooks().map(({ body }) => body),
  ].join();
  expect(texts).toContain('was not');
  expect(texts).not.toMatch(/hush|s3cret|ada|127\.0\.0\.1/);
  expect(
    hooks()
      .map(({ body }) => body)
      .join(),
  ).not.toContain(join(shop.databasePath, '..'));
});

test('where nobody listens the log says so without the address', async () => {
  await using deadEnd = await openDeadEnd();
  await using shop = openWatched({ heartbeatUrl: `${deadEnd.url}/hush` });
  shop.service.start();
  await shop.service.performBackup();
  while (!shop.log.some((line) => line.includes('heartbeat'))) await Bun.sleep(5);
  expect(shop.log.find((line) => line.includes('heartbeat'))).toMatch(
    /^warn: The heartbeat was not sent: it cannot be reached( \(\w+\))?\. It is retried\.$/,
  );
});

test('where the state can not be kept, what happens is told all the same, once', async () => {
  await using receiver = await openReceiver();
  const file = join(scratch(), 'no-folder');
  writeFileSync(file, '');
  await using shop = openWatched({ webhookUrl: receiver.url }, { statePath: join(file, 'state.sqlite') });
  shop.service.start();
  shop.breakDatabase();
  for (let round = 0; round < 2; round++) await shop.service.performBackup();
  await receiver.until(1);
  await shop.looks();
  expect(said(receiver.received)).toEqual(['failed']);
});
