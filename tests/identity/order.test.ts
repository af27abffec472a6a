/**
 * The order of backups where clocks and machines betray: a machine that is set back to an image, a new one with a slow
 * clock, a state that was lost, two time zones. `latest` is what was committed last, and nothing new is pruned as old.
 */
import { afterAll, afterEach, beforeEach, expect, test } from 'bun:test';
import { cpSync, existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isBackupName } from '../../src/engine/format/names.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import type { BackupItem, Status } from '../../src/service/model.ts';
import { type AppHere, type AppHereOptions, listed, openApp } from '../support/app-here.ts';
import { moveClock } from '../support/moved-clock.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { scratchFolders } from '../support/scratch.ts';
import { execute, makeTable, run } from './program.ts';

const BUCKET = 'backups';
const PREFIX = 'shop';
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const newFolder = scratchFolders();
const clock = moveClock();
const { server, store } = await openBucket(BUCKET, PREFIX);

afterAll(async () => {
  clock[Symbol.dispose]();
});
beforeEach(() => clock.set(new Date('2026-05-04T09:00:00.000Z')));
afterEach(async () => {
  server.faults.length = 0;
  await store.deleteMany((await Array.fromAsync(store.list(''))).map(({ key }) => key));
});

/** Names of the backups whose manifest is there, oldest first by their name. */
const stored = async () =>
  (await Array.fromAsync(store.list('backup-'))).flatMap(({ key }) => {
    const name = key.replace(/\.json$/, '');
    return name !== key && isBackupName(name) ? [name] : [];
  });
const sequenceThere = async (name: string) =>
  Number(JSON.parse(new TextDecoder().decode(await getBytes(store, `${name}.json`, { limitBytes: 65_536 }))).sequence);
const s3 = (count = 3) => ({
  ...s3Variables(server, { bucket: BUCKET, prefix: PREFIX }),
  BACKUP_S3_ENABLED: 'true',
  BACKUP_RETENTION_COUNT: String(count),
});
const machine = (more: Partial<AppHereOptions> = {}) => openApp({ clock, folder: newFolder(), env: s3(), ...more });

async function latestOf(app: AppHere, argv = ''): Promise<unknown> {
  const to = join(newFolder(), 'latest.sqlite');
  await app.json(`restore latest --to ${to}${argv}`);
  return app.last(to);
}

test('a machine that was set back to an image goes on above what S3 holds: its new backups are stored and are the latest', async () => {
  const root = newFolder();
  const folder = join(root, 'machine');
  const app = openApp({ clock, folder, env: s3() });
  await app.backUp('first');
  cpSync(folder, join(root, 'image'), { recursive: true, preserveTimestamps: true });
  for (let round = 0; round < 8; round++) await app.backUp(`before ${round}`);
  rmSync(folder, { recursive: true });
  renameSync(join(root, 'image'), folder);
  const made: string[] = [];
  for (let round = 0; round < 3; round++) made.push(await app.backUp(`after ${round}`));
  expect(await stored()).toEqual(expect.arrayContaining(made));
  expect(await latestOf(app)).toBe('after 2');
  expect(await latestOf(app, ' --from s3')).toBe('after 2');
  const numbers = await Promise.all(made.map(sequenceThere));
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect((await listed(app)).ours.slice(0, 3)).toEqual(made.toReversed());
});

test('an image older than the first upload, and no image of the state at all', async () => {
  const root = newFolder();
  const folder = join(root, 'machine');
  const app = openApp({ clock, folder, env: s3() });
  cpSync(folder, join(root, 'image'), { recursive: true, preserveTimestamps: true });
  for (let round = 0; round < 4; round++) await app.backUp(`before ${round}`);
  rmSync(folder, { recursive: true });
  renameSync(join(root, 'image'), folder);
  expect(await app.backUp('after')).not.toBe('');
  expect(await latestOf(app)).toBe('after');
  expect(await latestOf(app, ' --from s3')).toBe('after');
});

test('set back while S3 is out of reach: what was made meanwhile is renumbered when it is there again, and nothing is lost', async () => {
  const root = newFolder();
  const folder = join(root, 'machine');
  const app = openApp({ clock, folder, env: { ...s3(), BACKUP_RETENTION_COUNT: '5' } });
  await app.backUp('first');
  cpSync(folder, join(root, 'image'), { recursive: true, preserveTimestamps: true });
  for (let round = 0; round < 5; round++) await app.backUp(`before ${round}`);
  rmSync(folder, { recursive: true });
  renameSync(join(root, 'image'), folder);
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  for (const round of [0, 1]) {
    app.sql(`INSERT INTO orders (text) VALUES ('away ${round}')`);
    clock.advance(15 * 60_000);
    expect((await app.cli('backup')).code).toBe(5);
  }
  expect(await latestOf(app, ' --from local')).toBe('away 1');
  server.faults.length = 0;
  clock.advance(DAY_MS);
  await app.backUp('back again');
  expect(await latestOf(app)).toBe('back again');
  expect(await latestOf(app, ' --from s3')).toBe('back again');
  // In the order in which they were made, at both places.
  const { backups } = await app.json<{ backups: BackupItem[] }>('list --target s3');
  const here = (await listed(app, 'list --target local')).ours;
  const there = backups.map(({ filename }) => filename).filter((name) => here.includes(name));
  expect(there).toEqual(here.filter((name) => there.includes(name)));
  expect(here.length).toBeGreaterThanOrEqual(4);
});

for (const [what, skewMs] of [
  ['an hour', HOUR_MS],
  ['ten days', 10 * DAY_MS],
  ['a year', 365 * DAY_MS],
] as const)
  test(`a new machine whose clock is ${what} slow stores what it makes, and that is the latest`, async () => {
    const before = machine();
    for (let round = 0; round < 4; round++) await before.backUp(`before ${round}`);
    const after = machine({ skewMs: () => -skewMs });
    after.lose();
    await after.json('restore --if-missing');
    expect(after.last()).toBe('before 3');
    const made = [await after.backUp('after 0'), await after.backUp('after 1')];
    expect(await stored()).toEqual(expect.arrayContaining(made));
    expect(await latestOf(after)).toBe('after 1');
    expect(await latestOf(after, ' --from s3')).toBe('after 1');
    const { verdict, freshness, lastGood } = JSON.parse((await after.cli('status --json')).stdout) as Status;
    expect(lastGood?.filename).toBe(made[1] ?? '');
    expect([freshness.state, verdict.code]).not.toContain('late');
  });

test('a clock that was a year fast and is put right: newer backups are newer, and no age is negative', async () => {
  let skewMs = 365 * DAY_MS;
  const app = machine({ skewMs: () => skewMs });
  await app.backUp('fast');
  skewMs = 0;
  const right = await app.backUp('right');
  expect((await listed(app)).ours[0]).toBe(right);
  expect(await latestOf(app)).toBe('right');
  const told = [
    await app.cli('status'),
    await app.cli('list'),
    await app.cli('list --target s3'),
    await app.cli('doctor'),
    await app.cli('prune --dry-run'),
  ];
  for (const { stdout, stderr } of told)
    expect(`${stdout}${stderr}`).not.toMatch(/-\d+(\.\d+)? ?(s|m|min|h|d|seconds|minutes|hours|days)\b/);
});

test('a run history that was lost changes no number', async () => {
  const app = machine();
  await app.backUp();
  const before = app.manifest(await app.backUp()).sequence ?? 0;
  for (const entry of readdirSync(join(app.folder, 'storage')))
    if (entry !== 'backups') rmSync(join(app.folder, 'storage', entry), { recursive: true });
  const name = await app.backUp();
  expect(app.manifest(name).sequence).toBeGreaterThan(before);
  expect(await stored()).toContain(name);
});

test('a folder that was lost goes on above S3, also when the clock went back meanwhile', async () => {
  let skewMs = 0;
  const app = machine({ skewMs: () => skewMs });
  for (let round = 0; round < 4; round++) await app.backUp(`before ${round}`);
  rmSync(app.backups, { recursive: true });
  skewMs = -30 * DAY_MS;
  const name = await app.backUp('after');
  expect(await stored()).toContain(name);
  expect(await latestOf(app)).toBe('after');
  rmSync(app.backups, { recursive: true });
  expect(await latestOf(app)).toBe('after');
});

test('what S3 alone holds is the latest where it is newer than what is here', async () => {
  const root = newFolder();
  const folder = join(root, 'machine');
  const app = openApp({ clock, folder, env: s3() });
  await app.backUp('old');
  cpSync(folder, join(root, 'image'), { recursive: true, preserveTimestamps: true });
  const newest = await app.backUp('new');
  rmSync(folder, { recursive: true });
  renameSync(join(root, 'image'), folder);
  const to = join(root, 'latest.sqlite');
  expect(await app.json(`restore latest --to ${to}`)).toMatchObject({ backup: newest });
  app.lose();
  expect(await app.json('restore --if-missing')).toMatchObject({ backup: newest, from: 's3' });
});

test('two time zones number and prune alike', async () => {
  clock.reset();
  const cwd = newFolder();
  makeTable(join(cwd, 'app.sqlite'), 'orders');
  const env = { ...s3(), DATABASE_URL: 'app.sqlite' };
  const zones = ['Pacific/Kiritimati', 'America/Los_Angeles'];
  for (let round = 0; round < 4; round++) {
    execute(join(cwd, 'app.sqlite'), `INSERT INTO orders (v) VALUES ('round ${round}')`);
    expect((await run('backup', { cwd, env: { ...env, TZ: zones[round % 2] ?? '' } })).code).toBe(0);
  }
  const plans = await Promise.all(
    zones.map(async (TZ) => (await run('prune --dry-run --json', { cwd, env: { ...env, TZ } })).json()),
  );
  expect(plans[0]).toEqual(plans[1]);
  const lists = await Promise.all(
    zones.map(async (TZ) =>
      (await run('list --target s3 --json', { cwd, env: { ...env, TZ } })).json<{ backups: BackupItem[] }>(),
    ),
  );
  const names = lists.map(({ backups }) => backups.map(({ filename }) => filename));
  expect(names[0]).toEqual(names[1]);
  expect(names[0]).toEqual((await stored()).toReversed());
  expect(existsSync(join(cwd, 'storage/backups/database.json'))).toBe(true);
});
