/**
 * Folders that the version at 84b75aa left, before a place had an identity: all continues by itself, nothing is lost, and
 * what that version writes beside today's still counts.
 */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import type { Status } from '../../src/service/model.ts';
import { type AppHere, listed, openApp, prunePlan } from '../support/app-here.ts';
import { moveClock } from '../support/moved-clock.ts';
import { scratchFolders } from '../support/scratch.ts';
import { AFTER, copyOf } from './scene.ts';

const newFolder = scratchFolders();
const clock = moveClock();
afterAll(() => clock[Symbol.dispose]());
beforeEach(() => clock.set(AFTER));

/** By day and hour; names have milliseconds that the making of the fixtures decided. */
const at = (scene: AppHere, moment: string) =>
  scene.here().find((name) => name.startsWith(`backup-2026-03-${moment}`)) ?? expect.unreachable(`none of ${moment}`);
const moments = (names: readonly string[]) => names.map((name) => name.slice('backup-2026-03-'.length).slice(0, 5));
const ownerHere = async (scene: AppHere) =>
  (await scene.with((service) => service.getStatus())).places.find(({ target }) => target === 'local')?.owner;
const identityOf = (scene: AppHere) => join(scene.backups, 'database.json');

/** As the older version writes a manifest, and rewrites one: what it does not know is left out. */
function byOldVersion(scene: AppHere, { databaseId, madeBy, facts, loss, published, ...manifest }: Manifest): void {
  writeFileSync(join(scene.backups, `${manifest.name}.json`), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** A backup that the older version makes beside us, of that moment: numbered by the folder alone. */
function oldVersionBacksUp(scene: AppHere, like: string, hour: string): string {
  const name = `backup-2026-03-04T${hour}-00-00-000Z.sqlite`;
  const manifest = scene.manifest(like);
  const withManifest = scene.here().filter((one) => existsSync(join(scene.backups, `${one}.json`)));
  const sequence = 1 + Math.max(...withManifest.map((one) => scene.manifest(one).sequence ?? 0));
  const createdAt = `2026-03-04T${hour}:00:00.000Z`;
  writeFileSync(join(scene.backups, name), Bun.mmap(join(scene.backups, like)));
  byOldVersion(scene, { ...manifest, name, sequence, createdAt, artifact: { ...manifest.artifact, file: name } });
  return name;
}

describe('the folder of one database', () => {
  const open = (env: Record<string, string> = {}) => openApp({ clock, folder: copyOf('one', newFolder()), env });
  const asBefore = { BACKUP_KEEP_DAILY: '3' };

  test('is listed whole and is not taken for that of another; looking writes nothing', async () => {
    const scene = open();
    const before = readdirSync(scene.backups).sort();
    const { ours, others } = await listed(scene);
    expect([ours.toSorted(), others]).toEqual([[...scene.here()], []]);
    const status = await scene.with((service) => service.getStatus());
    expect([status.local.count, status.lastGood?.filename]).toEqual([11, at(scene, '04T11')]);
    expect(status.places.map(({ owner }) => owner)).not.toContain('foreign');
    expect((await prunePlan(scene)).kept.length).toBeGreaterThan(0);
    expect(readdirSync(scene.backups).sort()).toEqual(before);
  });

  test('is adopted by the next backup; retention goes on by the numbers that were set', async () => {
    const scene = open(asBefore);
    const before = scene.here();
    const newest = scene.manifest(at(scene, '04T13'));
    const first = await scene.backUp();
    const manifest = scene.manifest(first);
    expect(manifest.sequence).toBeGreaterThan(newest.sequence ?? 0);
    expect(existsSync(identityOf(scene))).toBe(true);
    expect(manifest.databaseId).toBe((await Bun.file(identityOf(scene)).json()).id);
    // The newest five stay, the newest of three days, the pinned, the safety backups and the stranger's file. The safety
    // backup of the killed restore is replaced by one that holds more.
    const gone = () => moments(before.filter((name) => !scene.here().includes(name)));
    expect(gone()).toEqual(['03T12', '04T13']);
    await scene.backUp();
    expect(gone()).toEqual(['03T12', '03T15', '04T13']);
    expect((await listed(scene)).others).toEqual([]);
    expect(await ownerHere(scene)).toBe('ours');
  });

  test('what was committed while a restore was killed is added to its safety backup', async () => {
    const scene = open();
    const killed = at(scene, '04T13');
    expect(scene.last(join(scene.backups, killed))).toBe('after the restore');
    await scene.backUp();
    expect(readdirSync(scene.backups).filter((entry) => entry.startsWith('.late-'))).toEqual([]);
    const { backups } = await scene.json<{ backups: { filename: string; safety: boolean }[] }>('list');
    const newest = backups.find(({ safety }) => safety)?.filename ?? '';
    expect(scene.last(join(scene.backups, newest))).toBe('committed at the last moment');
  });

  test('latest is the newest good one, and restores, drills and first boot take it', async () => {
    const scene = open();
    const to = join(scene.folder, 'new.sqlite');
    expect((await scene.json<{ backup: string }>(`restore latest --to ${to}`)).backup).toBe(at(scene, '04T11'));
    expect(scene.last(to)).toBe('at 04T11:00');
    const { drills } = await scene.json<{ drills: { result: string; backup: string }[] }>('drill');
    expect(drills).toMatchObject([{ result: 'proven', backup: at(scene, '04T11') }]);
    rmSync(scene.database);
    const boot = await scene.json<{ outcome: string; backup: string }>('restore --if-missing');
    expect(boot).toMatchObject({ outcome: 'restored', backup: at(scene, '04T11') });
  });

  test('pin, note, settings and the adopted file are as they were', async () => {
    const scene = open();
    await scene.backUp();
    expect(scene.manifest(at(scene, '03T09')).pinned).toBe(true);
    expect((await scene.with((service) => service.getConfig())).maxAgeMinutes).toBe(90);
    const adopted = await scene.with((service) => service.getBackup('backup-2026-03-03T17-00-00-000Z.sqlite'));
    const stranger = await scene.with((service) => service.getBackup('backup-2026-03-03T18-00-00-000Z.sqlite'));
    expect([adopted.foreign, stranger.foreign, stranger.other]).toEqual([false, true, null]);
    expect((await scene.cli('adopt backup-2026-03-03T18-00-00-000Z.sqlite')).code).toBe(0);
  });

  test('with the defaults of today none of it is removed: each hour, day and week stays', async () => {
    const scene = open();
    const before = scene.here();
    const late = at(scene, '04T13');
    await scene.backUp();
    await scene.backUp();
    // The killed restore's safety backup was replaced by the one that holds more.
    expect(before.filter((name) => !scene.here().includes(name))).toEqual([late]);
  });

  test('a backup that the older version makes beside us counts, as latest too, and so does a manifest it rewrote', async () => {
    const scene = open(asBefore);
    const ours = await scene.backUp('by the new version');
    byOldVersion(scene, { ...scene.manifest(ours), note: 'rewritten by the older version' });
    const theirs = oldVersionBacksUp(scene, at(scene, '04T11'), '15');
    const found = await listed(scene);
    expect([found.others, found.ours.slice(0, 2)]).toEqual([[], [theirs, ours]]);
    const to = join(scene.folder, 'new.sqlite');
    expect((await scene.json<{ backup: string }>(`restore latest --to ${to}`)).backup).toBe(theirs);
    const status = await scene.with((service) => service.getStatus());
    expect(status.lastGood?.filename).toBe(theirs);

    const next = await scene.backUp();
    expect((await listed(scene)).ours.slice(0, 3)).toEqual([next, theirs, ours]);
    const plan = await prunePlan(scene);
    for (const name of [next, theirs, ours])
      expect(plan.kept.find(({ filename }) => filename === name)?.reasons.join()).toContain('one of the newest 5');
  });

  test('a run history that was lost changes nothing: the folder is ours by its path', async () => {
    const scene = open();
    await scene.backUp();
    const storage = join(scene.folder, 'storage');
    for (const entry of readdirSync(storage)) if (entry !== 'backups') rmSync(join(storage, entry));
    const next = await scene.backUp();
    expect((await listed(scene)).ours[0]).toBe(next);
    expect(await ownerHere(scene)).toBe('ours');
  });

  test('a database by another name is refused there, and nothing is changed', async () => {
    const { folder } = open();
    const blog = openApp({ clock, folder: copyOf('mixed-names', newFolder()), file: 'blog.sqlite', table: 'posts' });
    const scene = openApp({
      clock,
      folder: blog.folder,
      file: 'blog.sqlite',
      storage: `../${folder.split('/').at(-1)}/storage`,
    });
    const before = readdirSync(scene.backups).sort();
    const { code, stderr } = await scene.cli('backup');
    expect([code, stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    expect(stderr).toContain('dev.sqlite');
    expect(
      readdirSync(scene.backups)
        .filter((entry) => !entry.startsWith('.'))
        .sort(),
    ).toEqual(before.filter((entry) => !entry.startsWith('.')));
  });
});

describe('the folder of a database that was restored in place again and again', () => {
  const open = () => openApp({ clock, folder: copyOf('replaced', newFolder()) });

  test('the last restore is undone', async () => {
    clock.set(new Date('2026-03-02T13:00:00.000Z'));
    const scene = open();
    expect(scene.last()).toBe('at 02T12:00');
    expect((await scene.cli('undo')).code).toBe(0);
    expect(scene.last()).toBe('replaced by a restore');
  });

  test('other inodes are not other databases: it goes on, and retention with it', async () => {
    const scene = openApp({
      clock,
      folder: copyOf('replaced', newFolder()),
      env: { BACKUP_RETENTION_COUNT: '2', BACKUP_KEEP_HOURLY: '0' },
    });
    await scene.backUp();
    expect(await ownerHere(scene)).toBe('ours');
    expect(
      moments((await listed(scene)).ours.filter((name) => !scene.manifest(name).trigger.includes('safety'))),
    ).toEqual(['04T14', '02T12']);
  });
});

describe('a folder that two databases share by other names', () => {
  function open(env: Record<string, string> = {}) {
    const folder = copyOf('mixed-names', newFolder());
    const shop = openApp({ clock, folder, file: 'shop.sqlite', env });
    const blog = openApp({ clock, folder, file: 'blog.sqlite', table: 'posts', env });
    return { shop, blog, folder };
  }

  test('each sees its own as its own, and the others as those of the other one', async () => {
    const { shop, blog } = open();
    for (const [scene, own, other] of [
      [shop, '00', 'blog.sqlite'],
      [blog, '30', 'shop.sqlite'],
    ] as const) {
      const { ours, others } = await listed(scene);
      expect(moments(ours)).toEqual(['02T11', '02T10', '02T09']);
      expect(ours.every((name) => name.includes(`-${own}-00-`))).toBe(true);
      expect(others.map(([, name]) => name)).toEqual([other, other, other]);
      const status = await scene.with((service) => service.getStatus());
      expect([status.local.count, status.lastGood?.filename, status.places[0]?.owner]).toEqual([3, ours[0], 'mixed']);
    }
  });

  test('both go on, retention of each takes its own alone, and nobody becomes the owner', async () => {
    const { shop, blog } = open({ BACKUP_RETENTION_COUNT: '2', BACKUP_KEEP_HOURLY: '0' });
    const before = (await listed(blog)).ours;
    const made = [await shop.backUp(), await shop.backUp(), await shop.backUp()];
    expect((await listed(shop)).ours).toEqual(made.toReversed().slice(0, 2));
    expect((await listed(blog)).ours).toEqual(before);
    const [first, second] = [await blog.backUp(), await blog.backUp()];
    expect((await listed(blog)).ours).toEqual([second, first]);
    expect((await listed(shop)).ours).toEqual(made.toReversed().slice(0, 2));
    expect(existsSync(identityOf(shop))).toBe(false);
    const ids = new Set([shop.manifest(made[2] ?? '').databaseId, blog.manifest(second).databaseId]);
    expect(ids.size).toBe(2);
  });

  test('what the older version goes on to write there is told apart by the name', async () => {
    const { shop, blog } = open({ BACKUP_RETENTION_COUNT: '2', BACKUP_KEEP_HOURLY: '0' });
    const ours = await shop.backUp();
    const theirs = oldVersionBacksUp(shop, at(shop, '02T11'), '16');
    expect((await listed(shop)).ours.slice(0, 2)).toEqual([theirs, ours]);
    expect((await listed(blog)).others.map(([name]) => name)).toContain(theirs);
    byOldVersion(shop, { ...shop.manifest(ours), pinned: true });
    expect((await listed(shop)).ours.slice(0, 2)).toEqual([theirs, ours]);
    await blog.backUp();
    await blog.backUp();
    await blog.backUp();
    expect(shop.here()).toEqual(expect.arrayContaining([ours, theirs]));
  });

  test('latest, undo, drill and first boot of one never take the backup of the other', async () => {
    const { shop, blog } = open();
    const to = join(shop.folder, 'new.sqlite');
    await shop.json(`restore latest --to ${to}`);
    expect(shop.last(to)).toBe('at 02T11:00');
    const { drills } = await shop.json<{ drills: { backup: string }[] }>('drill');
    expect(drills.map(({ backup }) => backup)).toEqual([(await listed(shop)).ours[0] ?? '']);
    await blog.json('restore latest --in-place');
    expect((await shop.cli('undo')).stderr).toContain('NOTHING_TO_UNDO');
    rmSync(shop.database);
    await shop.json('restore --if-missing');
    expect(shop.last()).toBe('at 02T11:00');
  });

  test('a backup of the other one replaces no live database, unless that is said', async () => {
    const { shop, blog } = open();
    const [theirs = ''] = (await listed(blog)).ours;
    for (const how of ['--online', '--in-place']) {
      const refused = await shop.cli(`restore ${theirs} ${how}`);
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
    }
    expect(shop.last()).toBe('at 02T11:00');
    expect((await shop.cli(`restore ${theirs} --to ${join(shop.folder, 'copy.sqlite')}`)).code).toBe(0);
    expect((await shop.cli(`restore ${theirs} --in-place --from-other`)).code).toBe(0);
    expect((await shop.cli('undo')).code).toBe(0);
    expect(shop.last()).toBe('at 02T11:00');
  });

  test('a third one is refused', async () => {
    const { folder } = open();
    const news = openApp({ clock, folder, file: 'shop.sqlite' });
    await Bun.write(join(folder, 'news.sqlite'), Bun.file(news.database));
    const refused = await openApp({ clock, folder, file: 'news.sqlite' }).cli('backup');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('FOREIGN_PLACE')]);
  });
});

describe('a folder that two databases of one name share', () => {
  function open() {
    const folder = copyOf('mixed-same-name', newFolder());
    const env = { BACKUP_RETENTION_COUNT: '1', BACKUP_KEEP_HOURLY: '0' };
    const a = openApp({ clock, folder, file: 'a/app.sqlite', env });
    const b = openApp({ clock, folder, file: 'b/app.sqlite', table: 'posts', env });
    return { a, b };
  }

  test('both go on; of what nobody can tell apart nothing is removed, and it is said why', async () => {
    const { a, b } = open();
    const before = a.here();
    const [, , ...newest] = [await a.backUp(), await b.backUp(), await a.backUp(), await b.backUp()];
    expect(a.here()).toEqual(expect.arrayContaining([...before, ...newest]));
    const { kept, removed } = await prunePlan(a);
    expect(removed).toEqual([]);
    const reasons = new Map(kept.map(({ filename, reasons }) => [filename, reasons.join('; ')]));
    expect(reasons.get(before[0] ?? '')).toContain('nothing shows whose this one is');
    const status: Status = await a.with((service) => service.getStatus());
    expect(status.places[0]?.owner).toBe('mixed');
  });

  test('what each makes from now on is its own: latest and first boot of one never take the other’s', async () => {
    const { a, b } = open();
    const first = await a.backUp('of a');
    const second = await b.backUp('of b');
    expect((await listed(a)).ours).not.toContain(second);
    expect((await listed(b)).ours).not.toContain(first);
    const to = join(a.folder, 'new.sqlite');
    expect((await a.json<{ backup: string }>(`restore latest --to ${to}`)).backup).toBe(first);
    rmSync(a.database);
    await a.json('restore --if-missing');
    expect(a.last()).toBe('of a');
  });
});
