/**
 * What flushed a whole history: an emptied database, a burst of backups by hand, a loop of restarts, a setting changed by
 * somebody who may not delete, a database that is gone or was replaced. With the defaults, as a user has them.
 */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Action } from '../../src/http/access/authorize.ts';
import { createServer } from '../../src/http/server.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import type { BackupItem, Status } from '../../src/service/model.ts';
import { type AppHere, openApp } from '../support/app-here.ts';
import { moveClock } from '../support/moved-clock.ts';
import { scratchFolders } from '../support/scratch.ts';

const HOUR_MS = 3_600_000;
const newFolder = scratchFolders();
const clock = moveClock();
afterAll(() => clock[Symbol.dispose]());
beforeEach(() => clock.set(new Date('2026-05-04T09:00:00.000Z')));

const open = (env: Record<string, string> = {}) => openApp({ clock, folder: newFolder(), env });
const rowsOf = (count: number) =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO orders (text) SELECT 'order ' || i FROM n`;
const statusOf = async (app: AppHere) => JSON.parse((await app.cli('status --json')).stdout) as Status;
/** Days before that have a backup still. */
const days = (app: AppHere) =>
  new Set(app.here().map((name) => name.slice('backup-'.length, 'backup-2026-05-04'.length)));

/** Three days of a backup every two hours, the newest an hour ago. */
async function makeHistory(app: AppHere): Promise<readonly string[]> {
  app.sql(rowsOf(60));
  for (let step = 0; step < 36; step++) {
    clock.advance(2 * HOUR_MS - 15 * 60_000);
    await app.backUp(`step ${step}`);
  }
  clock.advance(HOUR_MS);
  return app.here();
}

/** The routes, for somebody who has these rights and no other. */
async function ask(service: BackupService, rights: readonly Action[], path: string, body?: object) {
  const server = createServer({
    service,
    authorize: (_, action) => rights.includes(action) && { user: 'low' },
    nowMs: () => 0,
  });
  const init = { method: 'POST', body: body && JSON.stringify(body) };
  const response = await server.fetch(new Request(`https://app.example/backup${path}`, init));
  return { status: response.status, body: (await response.json()) as { error?: { code: string } } };
}

test('eleven backups asked for by somebody who may not delete leave yesterday and the day before', async () => {
  const app = open();
  await makeHistory(app);
  const before = days(app);
  expect(before.size).toBeGreaterThanOrEqual(3);
  await app.with(async (service) => {
    for (let asked = 0; asked < 11; asked++) {
      clock.advance(1_000);
      app.sql(`INSERT INTO orders (text) VALUES ('asked ${asked}')`);
      expect((await ask(service, ['backup'], '/now')).status).toBe(200);
    }
  });
  expect([...before].filter((day) => !days(app).has(day))).toEqual([]);
  // An hour of the last day is still an hour of the last day.
  const to = join(app.folder, 'yesterday.sqlite');
  const yesterday = new Date(Date.now() - 24 * HOUR_MS).toISOString();
  expect((await app.cli(`restore --at ${yesterday} --to ${to}`)).code).toBe(0);
});

test('a crash loop of an hour leaves the days before', async () => {
  const app = open();
  await makeHistory(app);
  const before = days(app);
  for (let start = 0; start < 20; start++) {
    clock.advance(3 * 60_000);
    app.sql(`INSERT INTO orders (text) VALUES ('start ${start}')`);
    await app.json('backup');
  }
  expect([...before].filter((day) => !days(app).has(day))).toEqual([]);
});

describe('settings of retention', () => {
  for (const change of [
    { retentionCount: 1 },
    { keepDaily: 0 },
    { revert: ['retentionCount'] },
    { keepHourly: 0, enabled: false },
  ])
    test(`${JSON.stringify(change)} is refused without the right to delete, and nothing is changed`, async () => {
      const app = open();
      await app.backUp();
      await app.with(async (service) => {
        if ('revert' in change) service.updateConfig({ retentionCount: 20 });
        const before = JSON.stringify(service.getConfig());
        const refused = await ask(service, ['read', 'backup', 'configure'], '/config', change);
        expect([refused.status, refused.body.error?.code]).toEqual([403, 'FORBIDDEN']);
        expect(JSON.stringify(service.getConfig())).toBe(before);
        expect((await ask(service, ['configure', 'delete'], '/config', change)).status).toBe(200);
      });
    });

  test('what has nothing to do with it needs the right to configure alone', async () => {
    const app = open();
    await app.with(async (service) => {
      expect((await ask(service, ['configure'], '/config', { intervalMinutes: 30 })).status).toBe(200);
      // Said again as it is: nothing is changed.
      expect(existsSync(join(app.backups, 'settings.json'))).toBe(true);
    });
  });
});

describe('an emptied database', () => {
  async function emptied() {
    const app = open();
    await makeHistory(app);
    const before = app.here();
    app.sql('DELETE FROM orders');
    return { app, before, last: before.at(-1) ?? '' };
  }

  test('is stored, marked and told; the verdict is red until somebody says that it was meant', async () => {
    const { app, last } = await emptied();
    clock.advance(10 * 60_000);
    const { filename } = await app.json<{ filename: string }>('backup');
    expect(app.manifest(filename).loss).toMatchObject({
      before: last,
      tables: [{ name: 'orders', after: 0 }],
      accepted: null,
    });
    const status = await statusOf(app);
    expect([status.verdict.code, status.loss?.filename]).toEqual(['loss', filename]);
    const told = await app.cli('status');
    expect([told.code, told.stdout]).toEqual([1, expect.stringContaining('orders')]);
    const { backups } = await app.json<{ backups: BackupItem[] }>('list');
    expect(backups[0]?.loss?.before).toBe(last);
    expect((await app.cli('accept-loss')).code).toBe(0);
    expect((await statusOf(app)).verdict.code).not.toBe('loss');
  });

  test('however often it is backed up for 29 days, the last one before and one a day older stay, and come back', async () => {
    const { app, last } = await emptied();
    await app.json('backup');
    for (let day = 0; day < 29; day++) {
      for (let run = 0; run < 12; run++) {
        clock.advance(HOUR_MS);
        app.sql(`INSERT INTO orders (text) VALUES ('after ${day}.${run}')`);
        if (run % 4 === 0) await app.json('backup');
      }
      clock.advance(12 * HOUR_MS);
      await app.json('backup');
    }
    expect(app.here()).toContain(last);
    const marked = app
      .here()
      .map((name) => app.manifest(name))
      .find(({ loss }) => loss);
    expect(app.here()).toContain(marked?.loss?.dayBefore ?? 'none');
    expect((await app.cli(`restore ${last} --in-place`)).code).toBe(0);
    expect(app.last()).toBe('step 35');
  });

  test('one that was emptied and has a few rows again is told too, as an app makes them at its next start', async () => {
    const { app } = await emptied();
    app.sql("INSERT INTO orders (text) VALUES ('of the new start')");
    clock.advance(HOUR_MS);
    await app.json('backup');
    expect((await statusOf(app)).verdict.code).toBe('loss');
  });

  test('our own restore and undo raise no alarm', async () => {
    const { app, last } = await emptied();
    clock.advance(HOUR_MS);
    await app.json('backup');
    await app.json('accept-loss');
    await app.json(`restore ${last} --in-place`);
    clock.advance(HOUR_MS);
    await app.backUp();
    expect((await statusOf(app)).loss).toBeNull();
    await app.cli('undo');
    clock.advance(2 * HOUR_MS);
    await app.backUp();
    expect((await statusOf(app)).loss).toBeNull();
  });
});

describe('a database that is gone', () => {
  test('is red, names the newest good backup, and comes back by one step without a promise of undo', async () => {
    const app = open();
    await app.backUp('one');
    const newest = await app.backUp('two');
    app.lose();
    const status = await statusOf(app);
    expect([status.verdict.code, status.verdict.tone, status.lastGood?.filename]).toEqual(['missing', 'red', newest]);
    const told = await app.cli('status');
    expect(told.code).not.toBe(0);
    const refused = await app.cli('backup');
    expect(refused.code).not.toBe(0);
    const result = await app
      .json<{ safetyBackup: string | null }>('restore latest --in-place')
      .catch(() => app.json<{ safetyBackup: string | null }>('restore --if-missing'));
    expect(result.safetyBackup ?? null).toBeNull();
    expect(app.last()).toBe('two');
    const undo = await app.cli('undo');
    expect(undo.code).toBe(3);
  });

  test('the button of the page brings it back without a word to confirm, and never over a file that is there', async () => {
    const app = open();
    const newest = await app.backUp('two');
    app.lose();
    await app.with(async (service) => {
      const path = `/api/backups/${newest}/restore`;
      expect((await ask(service, ['restore'], path, { mode: 'missing' })).status).toBe(200);
      expect(app.last()).toBe('two');
      app.sql("INSERT INTO orders (text) VALUES ('three')");
      const refused = await ask(service, ['restore'], path, { mode: 'missing' });
      expect([refused.status, refused.body.error?.code]).toEqual([409, 'TARGET_EXISTS']);
      expect(app.last()).toBe('three');
      expect((await service.getStatus()).undo).toBeNull();
    });
  });

  test('nothing is pruned while it is gone', async () => {
    const app = open({ BACKUP_RETENTION_COUNT: '2', BACKUP_KEEP_HOURLY: '0' });
    await app.backUp();
    await app.backUp();
    app.lose();
    const tighter = openApp({ clock, folder: newFolder(), env: {} });
    expect(tighter.here()).toEqual([]);
    await app.with(async (service) => {
      service.updateConfig({ retentionCount: 1 });
      const { removed } = await service.prune();
      expect(removed).toEqual([]);
    });
    expect(app.here()).toHaveLength(2);
  });
});

describe('a database that was replaced', () => {
  test('by a new file that has nothing to do with it: the history stays', async () => {
    const app = open();
    await makeHistory(app);
    const last = app.here().at(-1) ?? '';
    app.lose();
    const fresh = openApp({ clock, folder: app.folder, table: 'orders' });
    fresh.sql('DROP TABLE orders; CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)');
    for (let round = 0; round < 30; round++) {
      clock.advance(HOUR_MS);
      fresh.sql(`INSERT INTO users (name) VALUES ('user ${round}')`);
      await fresh.json('backup');
    }
    expect(fresh.here()).toContain(last);
    expect((await statusOf(fresh)).verdict.code).toBe('loss');
    expect(readFileSync(join(fresh.backups, `${last}.json`), 'utf8')).toContain(last);
  });
});
