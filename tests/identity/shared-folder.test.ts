/**
 * Two databases and one folder: a second cron line with the defaults, a second `serve`, the folder of another one named
 * by hand. The folder belongs to the first; the other one is refused, removes nothing and never puts its data, or the
 * first one's, where it does not belong.
 */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isBackupName } from '../../src/engine/format/names.ts';
import { createServer } from '../../src/http/server.ts';
import { guardMigration } from '../../src/service/restores/migration-guard.ts';
import type { Status } from '../../src/service/model.ts';
import { listed, openApp } from '../support/app-here.ts';
import { moveClock } from '../support/moved-clock.ts';
import { refusal, scratchFolders } from '../support/scratch.ts';
import { execute, makeTable, run, serve, tablesOf } from './program.ts';

const newFolder = scratchFolders();

describe('two cron lines with the defaults', () => {
  let cwd: string;
  const env = { BACKUP_RETENTION_COUNT: '3' };
  const backups = () => join(cwd, 'storage/backups');
  const names = () => readdirSync(backups()).filter(isBackupName).sort();
  const cron = (argv: string, more: Record<string, string> = {}) => run(argv, { cwd, env: { ...env, ...more } });

  beforeEach(async () => {
    cwd = newFolder();
    makeTable(join(cwd, 'shop.sqlite'), 'shop');
    makeTable(join(cwd, 'blog.sqlite'), 'blog');
    for (let round = 1; round <= 3; round++) {
      expect((await cron('backup --database shop.sqlite --quiet')).code).toBe(0);
      execute(join(cwd, 'shop.sqlite'), `INSERT INTO shop (v) VALUES ('${round}')`);
    }
  });

  test('the second is refused with whose folder it is, and the first keeps every backup', async () => {
    const before = names();
    for (let round = 1; round <= 4; round++) {
      const refused = await cron('backup --database blog.sqlite');
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
      expect(refused.stderr).toContain('shop.sqlite');
      // What to do, and nothing that could lose data.
      expect(refused.stderr).toContain('BACKUP_LOCAL_PATH');
      expect(refused.stderr).toContain('claim');
    }
    expect(names()).toEqual(before);
    for (const name of before) expect(tablesOf(join(backups(), name))).toEqual(['shop']);
    const prune = await cron('prune --database blog.sqlite', { BACKUP_RETENTION_COUNT: '1' });
    expect([prune.code, prune.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    expect(names()).toEqual(before);
  });

  test('status calls the second unprotected, and says why; the first stays protected', async () => {
    await cron('backup --database blog.sqlite');
    const status = await cron('status --database blog.sqlite --json');
    expect(status.code).not.toBe(0);
    const { verdict, freshness, lastGood, local, places } = status.json<Status>();
    expect([verdict.code, freshness.state, lastGood, local.count]).toEqual(['foreign-place', 'unprotected', null, 0]);
    expect(places).toMatchObject([{ target: 'local', owner: 'foreign', other: { name: 'shop.sqlite' } }]);
    expect((await cron('status --database blog.sqlite')).stdout).toContain('shop.sqlite');
    const doctor = await cron('doctor --database blog.sqlite');
    expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining('shop.sqlite')]);
    const first = (await cron('status --database shop.sqlite --json')).json<Status>();
    expect([first.freshness.state === 'unprotected', first.local.count]).toEqual([false, 3]);
  });

  test('first boot of the second brings back nothing of the first, and begins nothing empty over the mix-up', async () => {
    for (const file of ['blog.sqlite', 'blog.sqlite-wal', 'blog.sqlite-shm']) rmSync(join(cwd, file), { force: true });
    const boot = await cron('restore --if-missing --database blog.sqlite');
    expect([boot.code, boot.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    expect(existsSync(join(cwd, 'blog.sqlite'))).toBe(false);
    expect((await cron('restore --if-missing --database blog.sqlite --from-other')).code).toBe(0);
    expect(tablesOf(join(cwd, 'blog.sqlite'))).toEqual(['shop']);
    // The first one's own start.
    for (const file of ['shop.sqlite', 'shop.sqlite-wal', 'shop.sqlite-shm']) rmSync(join(cwd, file), { force: true });
    expect((await cron('restore --if-missing --database shop.sqlite')).code).toBe(0);
    expect(tablesOf(join(cwd, 'shop.sqlite'))).toEqual(['shop']);
  });

  test('neither latest nor a name of the first replaces the second, unless that is said', async () => {
    const blog = join(cwd, 'blog.sqlite');
    for (const argv of [
      'restore latest --online',
      `restore ${names()[0]} --online`,
      `restore ${names()[0]} --in-place`,
    ]) {
      const refused = await cron(`${argv} --database blog.sqlite`);
      expect([argv, refused.code === 0, tablesOf(blog)]).toEqual([argv, false, ['blog']]);
    }
    expect((await cron('undo --database blog.sqlite')).code).toBe(3);
    // To a new file it harms nobody, and the answer says whose it is.
    const copy = await cron('restore latest --to copy.sqlite --database blog.sqlite');
    expect([copy.code, `${copy.stdout}${copy.stderr}`]).toEqual([0, expect.stringContaining('shop.sqlite')]);
    expect(tablesOf(join(cwd, 'copy.sqlite'))).toEqual(['shop']);
  });

  test('its list shows them as those of the first, and each can be looked at by its name', async () => {
    const { backups: items } = (await cron('list --database blog.sqlite --json')).json<{
      backups: { filename: string; other: { name: string } | null }[];
    }>();
    expect(items.map(({ other }) => other?.name)).toEqual(['shop.sqlite', 'shop.sqlite', 'shop.sqlite']);
    expect((await cron('list --database blog.sqlite')).stdout).toContain('shop.sqlite');
    expect((await cron(`verify ${names()[0]} --database blog.sqlite`)).code).toBe(0);
  });

  test('claim makes it the folder of the second from then on, and the first is told', async () => {
    const before = names();
    expect((await cron('claim --database blog.sqlite')).code).toBe(0);
    expect((await cron('backup --database blog.sqlite')).code).toBe(0);
    const first = await cron('backup --database shop.sqlite');
    expect([first.code, first.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    expect(names()).toEqual(expect.arrayContaining(before));
  });
});

test('serve that is to bring its database back does not start on top of a mix-up', async () => {
  const cwd = newFolder();
  makeTable(join(cwd, 'shop.sqlite'), 'shop');
  expect((await run('backup --database shop.sqlite', { cwd })).code).toBe(0);
  const ended = await run('serve --restore-if-missing --database blog.sqlite', { cwd, env: { PORT: '0' } });
  expect([ended.code === 0, `${ended.stdout}${ended.stderr}`]).toEqual([
    false,
    expect.stringContaining('FOREIGN_PLACE'),
  ]);
  expect(existsSync(join(cwd, 'blog.sqlite'))).toBe(false);
});

test('two services beside each other: the second makes no backup there, and says so as long as it lasts', async () => {
  const cwd = newFolder();
  makeTable(join(cwd, 'shop.sqlite'), 'shop');
  makeTable(join(cwd, 'blog.sqlite'), 'blog');
  await using shop = await serve('--database shop.sqlite', { cwd });
  await shop.says(/Completed: backup-/);
  await using blog = await serve('--database blog.sqlite', { cwd });
  await blog.says(/FOREIGN_PLACE|belongs to shop\.sqlite|shop\.sqlite/);
  const health = async (url: string) =>
    (await (await fetch(`${url}/health`)).json()) as { status: string; verdict: string };
  expect(await health(blog.url)).toMatchObject({ status: 'failing', verdict: 'foreign-place' });
  expect((await health(shop.url)).verdict).not.toBe('foreign-place');
  const asked = await fetch(`${blog.url}/now`, { method: 'POST' });
  expect([asked.status, ((await asked.json()) as { error: { code: string } }).error.code]).toEqual([
    409,
    'FOREIGN_PLACE',
  ]);
  const [name = '', ...more] = readdirSync(join(cwd, 'storage/backups')).filter(isBackupName);
  expect([tablesOf(join(cwd, 'storage/backups', name)), more]).toEqual([['shop'], []]);
});

describe('the folder of another one named by hand', () => {
  const clock = moveClock();
  afterAll(() => clock[Symbol.dispose]());
  const start = new Date('2026-05-04T09:00:00.000Z');
  const open = (folder: string, file: string, more: { storage?: string; table?: string } = {}) =>
    openApp({ clock, folder, file, ...more });
  const identityIn = (backups: string) =>
    JSON.parse(readFileSync(join(backups, 'database.json'), 'utf8')) as Record<string, unknown>;
  beforeEach(() => clock.set(start));

  test('in no way does a command for b change the folder of a', async () => {
    const folder = newFolder();
    const a = open(folder, 'a.sqlite');
    const b = open(folder, 'b.sqlite', { table: 'posts' });
    for (let round = 0; round < 3; round++) await a.backUp();
    const seen = () =>
      readdirSync(a.backups).flatMap((entry) =>
        entry.startsWith('.') ? [] : [[entry, Bun.hash(readFileSync(join(a.backups, entry)))]],
      );
    const before = seen();
    for (const argv of [
      'backup',
      'prune',
      'restore latest --online',
      'restore latest --in-place',
      'undo',
      'status',
      'list',
      'drill',
      'doctor',
      'restore --if-missing',
      'prune --dry-run',
      'kit',
    ])
      // one after the other
      await b.cli(argv);
    expect(seen()).toEqual(before);
    expect(tablesOf(b.database)).toEqual(['posts']);
  });

  test('a restore over HTTP of a backup of the other one asks for a second word', async () => {
    const folder = newFolder();
    const a = open(folder, 'a.sqlite');
    const b = open(folder, 'b.sqlite', { table: 'posts' });
    const theirs = await a.backUp('of a');
    b.sql("INSERT INTO posts (text) VALUES ('of b')");
    await b.with(async (service) => {
      const server = createServer({ service, authorize: () => ({ user: 'ada' }) });
      const restore = async (body: object) => {
        const request = new Request(`https://app.example/backup/api/backups/${theirs}/restore`, {
          method: 'POST',
          body: JSON.stringify({ confirm: 'b.sqlite', ...body }),
        });
        const answer = (await (await server.fetch(request)).json()) as { error?: { code: string } };
        return answer.error?.code ?? 'restored';
      };
      for (const mode of ['online', 'offline']) expect(await restore({ mode })).toBe('FOREIGN_PLACE');
      expect(b.last()).toBe('of b');
      expect(await restore({ mode: 'offline', fromOther: true })).toBe('restored');
    });
    expect(tablesOf(b.database)).toEqual(['orders']);
    // What was there before comes back.
    expect(await b.cli('undo')).toMatchObject({ code: 0 });
    expect(b.last()).toBe('of b');
  });

  test('an undo is of its own database: the other one neither makes it nor takes it away', async () => {
    const folder = newFolder();
    const a = open(folder, 'a.sqlite');
    const b = open(folder, 'b.sqlite', { table: 'posts' });
    const theirs = await a.backUp('backed up');
    a.sql("INSERT INTO orders (text) VALUES ('replaced')");
    expect(await a.cli('restore latest --in-place')).toMatchObject({ code: 0 });
    expect(await b.cli('undo')).toMatchObject({ code: 3, stderr: expect.stringContaining('NOTHING_TO_UNDO') });
    expect(tablesOf(b.database)).toEqual(['posts']);
    b.lose();
    expect(await b.cli(`restore ${theirs} --in-place --from-other`)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('which was missing. Nothing is overwritten, so there is nothing to undo.'),
    });
    expect(a.last()).toBe('backed up');
    expect(await a.cli('undo --in-place')).toMatchObject({ code: 0 });
    expect(a.last()).toBe('replaced');
  });

  test('a migration does not begin where no backup could be made before it', async () => {
    const folder = newFolder();
    const a = open(folder, 'a.sqlite');
    const b = open(folder, 'b.sqlite', { table: 'posts' });
    await a.backUp();
    const begun: string[] = [];
    const refused = await refusal(() => b.with((service) => guardMigration(service, () => begun.push('begun'))));
    expect([refused.code, begun]).toEqual(['FOREIGN_PLACE', []]);
  });

  test('two databases of one name in two folders are two databases', async () => {
    const folder = newFolder();
    const a = open(folder, 'a/app.sqlite', { storage: 'storage' });
    const b = open(folder, 'b/app.sqlite', { storage: 'storage', table: 'posts' });
    const name = await a.backUp();
    const refused = await b.cli('backup');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    expect((await listed(b)).others.map(([filename]) => filename)).toEqual([name]);
    b.lose();
    expect((await b.cli('restore --if-missing')).code).toBe(1);
    expect(existsSync(b.database)).toBe(false);
  });

  test('identity is written once, and never again', async () => {
    const a = open(newFolder(), 'a.sqlite');
    await a.backUp();
    const identity = identityIn(a.backups);
    expect(identity).toMatchObject({ format: 'velist-backup-database/1', name: 'a.sqlite' });
    // Nothing of this machine can be read off it.
    expect(JSON.stringify(identity)).not.toContain(a.folder);
    const manifest = a.manifest(await a.backUp());
    expect([manifest.databaseId, manifest.madeBy]).toEqual([
      String(identity['id']),
      identity['madeBy'] as typeof manifest.madeBy,
    ]);
    expect(identityIn(a.backups)).toEqual(identity);
    await a.cli('claim');
    expect(identityIn(a.backups)).toEqual(identity);
  });

  test('of two first backups at once one owns the folder, and the other is refused', async () => {
    const folder = newFolder();
    const a = open(folder, 'a.sqlite');
    const b = open(folder, 'b.sqlite', { table: 'posts' });
    const codes = await Promise.all([a.cli('backup'), b.cli('backup')]).then((told) => told.map(({ code }) => code));
    expect(codes.toSorted()).toEqual([0, 1]);
    const [winner, loser] = codes[0] === 0 ? [a, b] : [b, a];
    expect((await listed(winner)).ours).toHaveLength(1);
    expect((await listed(loser)).ours).toEqual([]);
  });

  test('by whatever name the path is called, it is the same database', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'app'));
    const a = open(folder, 'app/a.sqlite');
    symlinkSync(join(folder, 'app'), join(folder, 'current'));
    await a.backUp();
    for (const file of ['current/a.sqlite', './app/../app/a.sqlite']) {
      const same = open(folder, file);
      await same.backUp();
      expect((await listed(same)).others).toEqual([]);
    }
    expect((await listed(a)).ours).toHaveLength(3);
  });

  test('the run history and the installation may be lost: the folder knows its database by the path', async () => {
    const a = open(newFolder(), 'a.sqlite');
    await a.backUp();
    for (const entry of readdirSync(join(a.folder, 'storage')))
      if (entry !== 'backups') rmSync(join(a.folder, 'storage', entry), { recursive: true });
    const next = await a.backUp();
    expect((await listed(a)).ours[0]).toBe(next);
    expect(a.manifest(next).databaseId).toBe(String(identityIn(a.backups)['id']));
  });

  test('a database that moved is refused until somebody says that it is the same; then all is its own', async () => {
    const folder = newFolder();
    const before = open(folder, 'old/a.sqlite', { storage: 'storage' });
    const names = [await before.backUp(), await before.backUp()];
    renameSync(join(folder, 'old'), join(folder, 'new'));
    const after = open(folder, 'new/a.sqlite', { storage: 'storage' });
    const refused = await after.cli('backup');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    expect((await after.cli('claim')).code).toBe(0);
    const next = await after.backUp();
    expect((await listed(after)).ours).toEqual([next, ...names.toReversed()]);
    expect(after.manifest(next).databaseId).toBe(after.manifest(names[0] ?? '').databaseId);
  });

  test('a database that got another name keeps its history after a claim, in a second claim too', async () => {
    const folder = newFolder();
    const first = open(folder, 'a.sqlite');
    const names = [await first.backUp()];
    for (const name of ['b.sqlite', 'c.sqlite']) {
      for (const file of readdirSync(folder).filter((entry) => /^[abc]\.sqlite$/.test(entry)))
        renameSync(join(folder, file), join(folder, name));
      const renamed = open(folder, name);
      expect((await renamed.cli('backup')).code).toBe(1);
      expect((await renamed.cli('claim')).code).toBe(0);
      names.unshift(await renamed.backUp());
      expect((await listed(renamed)).ours).toEqual(names);
    }
  });
});
