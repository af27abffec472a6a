/**
 * Two machines and one prefix: staging that was started with the environment of production, and a second machine with
 * the default path. One writes there at a time; nobody's copies are removed for somebody else's, and `latest` of each is
 * its own.
 */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { isBackupName } from '../../src/engine/format/names.ts';
import type { Status } from '../../src/service/model.ts';
import { type AppHere, listed, openApp } from '../support/app-here.ts';
import { moveClock } from '../support/moved-clock.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { scratchFolders } from '../support/scratch.ts';
import { execute, makeTable, run, type Served, serve } from './program.ts';

const BUCKET = 'backups';
const PREFIX = 'backups/database';
const DAY_MS = 86_400_000;
const newFolder = scratchFolders();
const clock = moveClock();
const { server, store } = await openBucket(BUCKET);

afterAll(async () => {
  clock[Symbol.dispose]();
});
beforeEach(() => clock.set(new Date('2026-05-04T09:00:00.000Z')));
afterEach(async () => {
  server.faults.length = 0;
  await store.deleteMany((await Array.fromAsync(store.list(''))).map(({ key }) => key));
});

const keys = async () =>
  (await Array.fromAsync(store.list(`${PREFIX}/`))).map(({ key }) => key.slice(PREFIX.length + 1));
/** Names of the backups whose manifest is there, oldest first. */
const stored = async () => (await keys()).map((key) => key.replace(/\.json$/, '')).filter((name, at, all) => isBackupName(name) && all.indexOf(name) !== at); // prettier-ignore
const environment = (retention = 3) => ({
  ...s3Variables(server, { bucket: BUCKET, prefix: PREFIX }),
  BACKUP_S3_ENABLED: 'true',
  BACKUP_RETENTION_COUNT: String(retention),
});
const machine = (file: string, table?: string, retention = 3) =>
  openApp({ clock, folder: newFolder(), file, table, env: environment(retention) });

/** A backup as cron makes it, whether it comes to S3 or not; answers the exit code. */
async function cronLine(app: AppHere, text: string): Promise<number> {
  clock.advance(15 * 60_000);
  app.sql(`INSERT INTO ${app.table} (text) VALUES ('${text}')`);
  return (await app.cli('backup')).code;
}

async function latestOf(app: AppHere, argv = ''): Promise<unknown> {
  const to = join(newFolder(), 'latest.sqlite');
  await app.json(`restore latest --to ${to}${argv}`);
  return app.last(to);
}

describe('two databases by other names', () => {
  test('the second uploads nothing there, says whose it is, and is not called protected', async () => {
    const shop = machine('shop.sqlite');
    const blog = machine('blog.sqlite', 'posts');
    for (let round = 0; round < 3; round++) expect(await cronLine(shop, `shop ${round}`)).toBe(0);
    const before = await keys();
    for (let round = 0; round < 4; round++) expect(await cronLine(blog, `blog ${round}`)).toBe(5);
    expect(await keys()).toEqual(before);
    expect(blog.log.join('\n')).toContain('shop.sqlite');
    const status = JSON.parse((await blog.cli('status --json')).stdout) as Status;
    expect([status.freshness.state, status.verdict.code]).toEqual(['at-risk', 'foreign-place']);
    expect(status.places.find(({ target }) => target === 's3')).toMatchObject({
      owner: 'foreign',
      other: { name: 'shop.sqlite' },
    });
    expect(await latestOf(blog)).toBe('blog 3');
    expect(await latestOf(shop)).toBe('shop 2');
    expect((await blog.cli('prune --target s3')).code).toBe(1);
    expect(await keys()).toEqual(before);
  });

  for (const name of ['blog.sqlite', 'shop.sqlite'])
    test(`a service over another ${name} takes nothing there either: the first goes on writing`, async () => {
      clock.reset();
      const shop = newFolder();
      makeTable(join(shop, 'shop.sqlite'), 'orders');
      const cron = () => run('backup --database shop.sqlite', { cwd: shop, env: environment() });
      expect((await cron()).code).toBe(0);
      const before = (await keys()).filter((key) => !key.startsWith('writer/'));
      const writers = (await keys()).filter((key) => key.startsWith('writer/'));
      const blog = newFolder();
      makeTable(join(blog, name), 'posts');
      await using served = await serve(`--database ${name}`, { cwd: blog, env: environment() });
      await served.says(/Not uploaded to S3/);
      expect((await keys()).filter((key) => !key.startsWith('writer/'))).toEqual(before);
      expect((await keys()).filter((key) => key.startsWith('writer/'))).toEqual(writers);
      execute(join(shop, 'shop.sqlite'), "INSERT INTO orders (v) VALUES ('more')");
      const next = await cron();
      expect([next.code, next.stderr]).toEqual([0, '']);
    });

  for (const name of ['blog.sqlite', 'shop.sqlite'])
    for (const argv of ['backup', 'prune --target s3'])
      test(`${argv} for another ${name} does not become the writer there`, async () => {
        const shop = machine('shop.sqlite');
        await cronLine(shop, 'of shop');
        const before = await keys();
        const other = machine(name, 'posts');
        for (let round = 0; round < 2; round++) {
          other.sql("INSERT INTO posts (text) VALUES ('of another')");
          await other.cli(argv);
          clock.advance(15 * 60_000);
        }
        expect(await keys()).toEqual(before);
        expect(other.log.join('\n')).not.toMatch(/took .* over/i);
      });

  test('latest from there never is the other one’s: over a live database it is refused', async () => {
    const shop = machine('shop.sqlite');
    const blog = machine('blog.sqlite', 'posts');
    await cronLine(shop, 'of shop');
    await cronLine(blog, 'of blog');
    expect((await blog.cli('restore latest --online --from s3')).code).not.toBe(0);
    expect(blog.last()).toBe('of blog');
    expect((await listed(blog, 'list --target s3')).ours).toEqual([]);
    expect((await blog.cli('drill --from s3')).code).not.toBe(0);
  });

  test('a new machine with the default path gets nothing of the other one by first boot', async () => {
    const shop = machine('shop.sqlite');
    await cronLine(shop, 'of shop');
    const blog = machine('blog.sqlite', 'posts');
    blog.lose();
    const boot = await blog.cli('restore --if-missing');
    expect([boot.code, boot.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
  });
});

describe('staging with the environment of production', () => {
  test('beside a production that runs it writes and removes nothing there, and says who writes', async () => {
    clock.reset();
    const folder = newFolder();
    makeTable(join(folder, 'app.sqlite'), 'orders');
    const env = { ...environment(2), DATABASE_URL: 'app.sqlite' };
    await using production: Served = await serve('', { cwd: folder, env });
    await production.says(/Uploaded to S3/);
    const staging = newFolder();
    // With the same name alone it would be another database; what was brought back from there is this one.
    expect((await run('restore --if-missing', { cwd: staging, env })).code).toBe(0);
    const before = await stored();
    for (let round = 0; round < 3; round++) {
      execute(join(staging, 'app.sqlite'), "INSERT INTO orders (v) VALUES ('staging')");
      const made = await run('backup', { cwd: staging, env });
      expect([made.code, `${made.stdout}${made.stderr}`]).toEqual([
        5,
        expect.stringMatching(/has been writing to .* since .*BACKUP_S3_PATH.*claim/),
      ]);
    }
    expect(await stored()).toEqual(before);
    const status = (await run('status --json', { cwd: staging, env })).json<Status>();
    expect(status.freshness).toMatchObject({ state: 'at-risk', cause: 'other-writer' });
    expect(status.places.find(({ target }) => target === 's3')?.writer?.kind).toBe('other');
    expect((await run('prune --target s3', { cwd: staging, env })).code).toBe(1);
    expect(await stored()).toEqual(before);
    // Production goes on as if nobody was there.
    execute(join(folder, 'app.sqlite'), "INSERT INTO orders (v) VALUES ('production')");
    const now = await fetch(`${production.url}/now`, { method: 'POST' });
    expect(((await now.json()) as { s3Uploaded: boolean }).s3Uploaded).toBe(true);
  });

  test('as two cron lines: nothing that production made is removed by staging, however often it runs', async () => {
    const production = machine('app.sqlite');
    const staging = machine('app.sqlite', undefined, 1);
    for (let round = 0; round < 3; round++) expect(await cronLine(production, `production ${round}`)).toBe(0);
    const before = await stored();
    for (let round = 0; round < 5; round++) await cronLine(staging, `staging ${round}`);
    expect(await stored()).toEqual(expect.arrayContaining(before));
    expect(staging.log.join('\n')).not.toContain('No longer on S3');
  });

  test('as two cron lines: latest of each is its own, and retention of each counts its own', async () => {
    const production = machine('app.sqlite');
    const staging = machine('app.sqlite');
    for (let round = 0; round < 3; round++) {
      await cronLine(production, `production ${round}`);
      await cronLine(staging, `staging ${round}`);
    }
    expect(await latestOf(production)).toBe('production 2');
    expect(await latestOf(production, ' --from s3')).toBe('production 2');
    expect(await latestOf(staging)).toBe('staging 2');
    const ofProduction = production.here();
    expect(await stored()).toEqual(expect.arrayContaining([...ofProduction]));
    for (const app of [production, staging]) expect(app.log.join('\n')).not.toContain('No longer on S3');
  });

  test('a machine that lost its state takes over without a word of a person, and spares what is there for a week', async () => {
    const before = machine('app.sqlite', undefined, 2);
    for (let round = 0; round < 2; round++) await cronLine(before, `before ${round}`);
    const old = await stored();
    const after = machine('app.sqlite', undefined, 1);
    after.lose();
    await after.json('restore --if-missing');
    expect(after.last()).toBe('before 1');
    for (let round = 0; round < 3; round++) expect(await cronLine(after, `after ${round}`)).toBe(0);
    expect(await stored()).toEqual(expect.arrayContaining(old));
    expect(await latestOf(after)).toBe('after 2');
    clock.advance(7 * DAY_MS);
    await cronLine(after, 'after a week');
    await cronLine(after, 'after a week, again');
    expect((await stored()).filter((name) => old.includes(name))).toEqual([]);
  });

  test('claim ends the week', async () => {
    const before = machine('app.sqlite', undefined, 2);
    for (let round = 0; round < 2; round++) await cronLine(before, `before ${round}`);
    const after = machine('app.sqlite', undefined, 1);
    after.lose();
    await after.json('restore --if-missing');
    await cronLine(after, 'after');
    expect(await stored()).toHaveLength(3);
    expect((await after.cli('claim --target s3')).code).toBe(0);
    await cronLine(after, 'after the claim');
    expect(await stored()).toHaveLength(1);
  });

  test('a clone, installation and all, and the machine it was made of: only one of them writes at a time', async () => {
    clock.reset();
    const folder = newFolder();
    makeTable(join(folder, 'app.sqlite'), 'orders');
    const env = { ...environment(2), DATABASE_URL: 'app.sqlite' };
    expect((await run('backup', { cwd: folder, env })).code).toBe(0);
    const clone = newFolder();
    expect(Bun.spawnSync(['cp', '-a', `${folder}/.`, clone]).exitCode).toBe(0);
    await using original = await serve('', { cwd: folder, env });
    execute(join(folder, 'app.sqlite'), "INSERT INTO orders (v) VALUES ('original')");
    await fetch(`${original.url}/now`, { method: 'POST' });
    await original.says(/Uploaded to S3/);
    const before = await stored();
    // It lies at another path here; on a machine of its own it would not.
    expect((await run('claim', { cwd: clone, env })).code).toBe(0);
    execute(join(clone, 'app.sqlite'), "INSERT INTO orders (v) VALUES ('clone')");
    const made = await run('backup', { cwd: clone, env });
    expect([made.code, `${made.stdout}${made.stderr}`]).toEqual([
      5,
      expect.stringMatching(/with the id of this one .* has been writing to/),
    ]);
    expect(await stored()).toEqual(before);
  });

  test('what was not released is taken after three silent ticks, and not before', async () => {
    clock.reset();
    const folder = newFolder();
    makeTable(join(folder, 'app.sqlite'), 'orders');
    const env = { ...environment(2), DATABASE_URL: 'app.sqlite', BACKUP_INTERVAL_MINUTES: '10' };
    const production = await serve('', { cwd: folder, env });
    await production.says(/Uploaded to S3/);
    await production.kill();
    const next = machine('app.sqlite');
    next.lose();
    await next.json('restore --if-missing');
    next.sql('ALTER TABLE orders ADD COLUMN text');
    expect(await cronLine(next, 'next')).toBe(5);
    clock.advance(60 * 60_000);
    expect(await cronLine(next, 'next')).toBe(0);
    expect(next.log.join('\n')).toMatch(/took over|takes over|is gone|silent/i);
  });
});
