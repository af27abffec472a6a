/**
 * Prefixes on S3 that the version at 84b75aa left: of one database, of two, and one whose copies are packed. All goes on
 * by itself, on the machine that made them and on a new one, and nobody's copies are removed for somebody else's.
 */
import { afterAll, afterEach, beforeEach, expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isBackupName } from '../../src/engine/format/names.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { type AppHere, listed, openApp, prunePlan } from '../support/app-here.ts';
import { moveClock } from '../support/moved-clock.ts';
import { type S3Server, startS3Server } from '../support/s3-server.ts';
import { scratchFolders } from '../support/scratch.ts';
import { BUCKET, loadBucket } from './fixtures.ts';
import { AFTER, bucketVariables, copyOf } from './scene.ts';

const newFolder = scratchFolders();
const clock = moveClock();
clock.set(AFTER);
afterAll(() => clock[Symbol.dispose]());
let server: S3Server;
let store: S3Store;

beforeEach(async () => {
  clock.set(AFTER);
  server = await startS3Server();
  await loadBucket(server);
  store = createS3Store({ ...server, bucket: BUCKET, prefix: '' });
});
afterEach(async () => {
  store.close();
  await server.close();
});

const keys = async (prefix: string) => (await Array.fromAsync(store.list(prefix))).map(({ key }) => key);
/** Names of the backups whose manifest is there, oldest first. */
const stored = async (prefix: string) =>
  (await keys(`${prefix}/`)).flatMap((key) => {
    const name = key.slice(prefix.length + 1).replace(/\.json$/, '');
    return key.endsWith('.json') && isBackupName(name) ? [name] : [];
  });
const textOf = async (key: string) =>
  JSON.parse(new TextDecoder().decode(await getBytes(store, key, { limitBytes: 65_536 })));
const retention = (count: number) => ({ BACKUP_S3_RETENTION_COUNT: String(count) });

/** The uploads that were noted, as if the server had always stood where it stands now. */
function moveServer(statePath: string): void {
  const state = new DatabaseSync(statePath);
  for (const table of ['s3_uploads', 's3_backups', 's3_notes'])
    state.exec(`UPDATE ${table} SET place = '${server.endpoint}' || substr(place, instr(place, '/${BUCKET}/'))`);
  state.close();
}

function one(env: Record<string, string> = {}): AppHere {
  const folder = copyOf('s3-one', newFolder());
  moveServer(join(folder, 'storage/velist-backup.sqlite'));
  return openApp({ clock, folder, env: { ...bucketVariables(server, 'one'), ...env } });
}

test('the machine that made them goes on: nothing is uploaded twice, the prefix gets an identity, retention its turn', async () => {
  const scene = one(retention(3));
  const before = await stored('one');
  const { ours, others } = await listed(scene, 'list --target s3');
  expect([ours.toReversed(), others]).toEqual([before, []]);
  server.requests.length = 0;
  const made = await scene.backUp();
  const puts = server.requests.filter(({ method }) => method === 'PUT').map(({ url }) => url);
  expect(puts.filter((url) => before.some((name) => url.includes(name)))).toEqual([]);
  const identity = await textOf('one/database.json');
  expect(identity).toMatchObject({ format: 'velist-backup-database/1', name: 'dev.sqlite' });
  expect((await textOf(`one/${made}.json`)).databaseId).toBe(identity.id);
  // The newest of the three is pinned, and takes no place.
  expect(await stored('one')).toEqual([...before, made]);
  const next = await scene.backUp();
  const [, second = '', pinned = ''] = before;
  expect(await stored('one')).toEqual([second, pinned, made, next]);
  expect(scene.log.join('\n')).not.toContain('No longer on S3');
});

test('a machine that lost everything lists, restores and starts with them, and goes on above their numbers', async () => {
  const scene = one();
  const database = join(scene.folder, 'dev.sqlite');
  rmSync(join(scene.folder, 'storage'), { recursive: true });
  rmSync(database);
  const before = await stored('one');
  expect((await listed(scene, 'list --target s3')).ours.toReversed()).toEqual(before);
  const to = join(scene.folder, 'new.sqlite');
  expect((await scene.json<{ backup: string }>(`restore latest --to ${to}`)).backup).toBe(before[2] ?? '');
  expect(await scene.json('restore --if-missing')).toMatchObject({ outcome: 'restored', backup: before[2] ?? '' });
  expect(scene.last(database)).toBe('at 02T11:00');
  const made = await scene.backUp();
  const sequence = (await textOf(`one/${before[2]}.json`)).sequence;
  expect((await textOf(`one/${made}.json`)).sequence).toBeGreaterThan(sequence);
  expect(await stored('one')).toEqual([...before, made]);
});

test('a key that may only read lists and restores, and nothing is tried to be written', async () => {
  const scene = one();
  rmSync(join(scene.folder, 'storage'), { recursive: true });
  server.faults.push({ match: /^(PUT|POST|DELETE)/, effect: { status: 403, code: 'AccessDenied' } });
  server.requests.length = 0;
  expect((await listed(scene, 'list --target s3')).ours).toHaveLength(3);
  await scene.json(`restore latest --from s3 --to ${join(scene.folder, 'new.sqlite')}`);
  await scene.cli('status');
  expect(server.requests.map(({ method }) => method).filter((method) => method !== 'GET' && method !== 'HEAD')).toEqual(
    [],
  );
});

test('copies that are packed go on being packed; the old ones restore, and a drill proves them', async () => {
  const folder = copyOf('s3-sealed', newFolder());
  const env = { ...bucketVariables(server, 'sealed'), BACKUP_COMPRESSION: 'zstd' };
  const scene = openApp({ clock, folder, env });
  const [, , newest = ''] = await stored('sealed');
  const to = join(folder, 'new.sqlite');
  expect((await scene.json<{ backup: string }>(`restore latest --from s3 --to ${to}`)).backup).toBe(newest);
  expect(scene.last(to)).toBe('at 02T11:30');
  const { drills } = await scene.json<{ drills: object[] }>('drill --from s3');
  expect(drills).toMatchObject([{ result: 'proven', backup: newest }]);
  const made = await scene.backUp();
  expect(await keys('sealed/')).toContain(`sealed/${made}.zst`);
  expect(await stored('sealed')).toHaveLength(4);
});

test('a prefix of two databases by other names: each goes on with its own', async () => {
  const folder = copyOf('s3-mixed', newFolder());
  const env = { ...bucketVariables(server, 'mixed'), ...retention(1) };
  const shop = openApp({ clock, folder, file: 'shop/shop.sqlite', storage: 'shop/storage', env });
  const blog = openApp({ clock, folder, file: 'blog/blog.sqlite', storage: 'blog/storage', table: 'posts', env });
  const isOf = (name: string, minute: string) => name.includes(`-${minute}-00-`);
  const before = await stored('mixed');
  const ofBlog = before.filter((name) => isOf(name, '20'));
  const there = await listed(shop, 'list --target s3');
  expect([there.ours.every((name) => isOf(name, '10')), there.others.map(([, name]) => name)]).toEqual([
    true,
    ['blog.sqlite', 'blog.sqlite', 'blog.sqlite'],
  ]);
  const to = join(folder, 'new.sqlite');
  await shop.json(`restore latest --from s3 --to ${to}`);
  expect(shop.last(to)).toBe('at 02T11:10');

  const made = [await shop.backUp(), await shop.backUp()];
  expect((await stored('mixed')).toSorted()).toEqual([...ofBlog, made[1] ?? ''].toSorted());
  expect(await keys('mixed/database.json')).toEqual([]);
  // Another machine wrote there between: for a week blog removes only what it made itself since then.
  const last = [await blog.backUp(), await blog.backUp()];
  expect((await stored('mixed')).toSorted()).toEqual([...ofBlog, made[1] ?? '', last[1] ?? ''].toSorted());
  for (const scene of [shop, blog]) expect(scene.log.join('\n')).not.toContain('No longer on S3');

  // A new machine for one of them, with nothing but the variables.
  rmSync(join(folder, 'shop'), { recursive: true });
  await shop.json('restore --if-missing');
  expect(shop.last()).toBe('one more');
});

test('a prefix of two machines by one name: nothing of either is removed, and each goes on', async () => {
  const folder = copyOf('s3-same-name', newFolder());
  const env = { ...bucketVariables(server, 'same-name'), ...retention(1) };
  const open = (name: string) =>
    openApp({ clock, folder, file: `${name}/dev.sqlite`, storage: `${name}/storage`, env });
  const [production, staging] = [open('production'), open('staging')];
  const before = await stored('same-name');
  const made = await production.backUp('of production');
  const other = await staging.cli('backup');
  expect(await stored('same-name')).toEqual(expect.arrayContaining([...before, made]));
  expect((await prunePlan(production, ' --target s3')).removed).toEqual([]);
  // Whether staging may write is decided elsewhere; that its backup is safe in its folder is not open.
  expect([0, 5]).toContain(other.code);
  const to = join(folder, 'new.sqlite');
  await production.json(`restore latest --to ${to}`);
  expect(production.last(to)).toBe('of production');
});

test('a database by another name is refused at the prefix of one, and its backups stay in its folder', async () => {
  const folder = copyOf('mixed-names', newFolder());
  const blog = openApp({ clock, folder, file: 'blog.sqlite', table: 'posts', env: bucketVariables(server, 'one') });
  const before = await keys('one/');
  const { code, stderr } = await blog.cli('backup');
  expect([code, stderr]).toEqual([5, expect.stringContaining('not yet at S3')]);
  expect(await keys('one/')).toEqual(before);
  expect(blog.log.join('\n')).toMatch(/Not uploaded to S3.*dev\.sqlite.*BACKUP_S3_PATH/);
  const status = await blog.cli('status');
  expect(status.stdout).toContain('dev.sqlite');
  expect(status.code).not.toBe(0);
});
