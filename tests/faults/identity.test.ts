/** Whose backups are these? Several databases over one folder or prefix, moves, renames, lost states, and places of before. */
import { beforeEach, expect, test } from 'bun:test';
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { FOUND_FILE, isBackupName, OWNER_FILE, RECORD_FILE } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { createServer } from '../../src/http/server.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { rememberDatabase } from '../../src/fleet/discovery.ts';
import { backUp, filesBelow, type Machine, machine, makeOld, open, recordOf, type } from '../support/many-machines.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, change, refusal, scratchFolders } from '../support/scratch.ts';

const BUCKET = 'my-backups';
const newFolder = scratchFolders();
const { server } = await openBucket(BUCKET);
let store: S3Store;
let prefixes = 0;
let prefix = '';

beforeEach(() => {
  server.faults.length = 0;
  prefix = `place-${++prefixes}`;
  store = createS3Store({ ...server, bucket: BUCKET, prefix });
});
const s3 = () => ({ ...s3Variables(server, { bucket: BUCKET, prefix }), BACKUP_S3_ENABLED: 'true' });
const keys = async () => (await Array.fromAsync(store.list(''))).map(({ key }) => key);
const mark = (path: string, text: string) =>
  change(path, `CREATE TABLE IF NOT EXISTS mark (text); DELETE FROM mark; INSERT INTO mark VALUES ('${text}')`);
const markOf = (path: string) => ask(path, 'SELECT text FROM mark');
const backupsIn = (folder: string) => readdirSync(folder).filter(isBackupName).sort().reverse();

/** Shop and blog on one machine, each by its own cron line, all else by default: one folder, one state. */
function twoInOneFolder(): { shop: Machine; blog: Machine } {
  const root = newFolder();
  const [shop, blog] = [machine(root, { name: 'shop.sqlite' }), machine(root, { name: 'blog.sqlite' })];
  mark(shop.database, 'shop');
  mark(blog.database, 'blog');
  return { shop, blog };
}

test('the first backup says whose the folder is, and each manifest bears the id of the database and its maker', async () => {
  const shop = machine(newFolder());
  const [name = ''] = await backUp(shop, 1);
  const record = recordOf(shop.backups);
  expect(record).toMatchObject({
    format: 'velist-backup-database/1',
    name: 'shop.sqlite',
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    path: expect.stringMatching(/^[0-9a-f]{64}$/),
    machine: expect.stringMatching(/^[0-9a-f]{64}$/),
    madeBy: { installation: expect.any(String), host: expect.any(String) },
  });
  const manifest = (await new Catalog(shop.backups).find(name)).manifest;
  expect(manifest).toMatchObject({ databaseId: record['id'], madeBy: record['madeBy'] });
  const before = readFileSync(join(shop.backups, RECORD_FILE), 'utf8');
  await backUp(shop, 2);
  expect(readFileSync(join(shop.backups, RECORD_FILE), 'utf8')).toBe(before);
  expect((await type(shop, 'status --json')).json.places).toEqual([
    { target: 'local', owner: 'ours', other: null, writer: null, sparesOthersUntil: null },
  ]);
});

test('a run that makes no backup makes no folder its own', async () => {
  const root = newFolder();
  const empty = machine(root, { name: 'empty.sqlite' });
  writeFileSync(empty.database, '');
  expect((await type(empty, 'backup')).code).toBe(1);
  expect(existsSync(join(empty.backups, RECORD_FILE))).toBe(false);
  await backUp(machine(root));
  expect(recordOf(empty.backups)).toMatchObject({ name: 'shop.sqlite' });
});

test('two cron lines over one folder: the second one is refused, and neither loses, restores or counts the other', async () => {
  const { shop, blog } = twoInOneFolder();
  shop.env['BACKUP_RETENTION_COUNT'] = blog.env['BACKUP_RETENTION_COUNT'] = '3';
  const made = await backUp(shop, 3);
  for (let round = 0; round < 3; round++) {
    const { code, stderr } = await type(blog, 'backup');
    expect([code, stderr]).toEqual([1, expect.stringContaining('another database, shop.sqlite (since ')]);
    expect(stderr).toContain('velist-backup claim');
  }
  expect(backupsIn(shop.backups)).toEqual(made);

  const status = await type(blog, 'status');
  expect([status.code, status.stdout]).toEqual([
    3,
    expect.stringMatching(/^status {5}unprotected \(foreign-place\)$/m),
  ]);
  expect(status.stdout).toMatch(/^identity {3}local belongs to another database, shop\.sqlite since /m);
  expect((await type(blog, 'status --json')).json).toMatchObject({
    verdict: { code: 'foreign-place', tone: 'amber' },
    freshness: { state: 'unprotected' },
    local: { count: 0, sizeBytes: 0 },
    places: [
      {
        ...{ target: 'local', owner: 'foreign' },
        other: {
          ...{ name: 'shop.sqlite', isSameName: false, isSamePath: false, isSameMachine: true },
          newestBackup: { filename: made[0] },
        },
      },
    ],
  });
  // What the other one failed at is no news of this one.
  const ours = await type(shop, 'status --json');
  expect([ours.json.verdict.code, ours.json.lastBackupRun.result, ours.json.local.count]).toEqual([
    'protected',
    'success',
    3,
  ]);
  expect((await type(blog, 'list')).stdout).toContain('of shop.sqlite');
  expect((await type(shop, 'list')).stdout).not.toContain('of shop.sqlite');

  for (const argv of ['restore latest --online', `restore ${made[0]} --online`, 'restore latest --in-place']) {
    const { code, stderr } = await type(blog, argv);
    expect([argv, code, stderr]).toEqual([argv, 1, expect.stringContaining('FOREIGN_PLACE')]);
  }
  expect((await type(blog, `restore ${join(shop.backups, made[0] ?? '')} --online`)).stderr).toContain('FOREIGN_PLACE');
  expect(markOf(blog.database)).toBe('blog');
  const copy = await type(blog, `restore latest --to ${join(blog.root, 'copy.sqlite')}`);
  expect([copy.code, copy.stdout]).toEqual([0, expect.stringContaining('a backup of another database, shop.sqlite')]);
  expect(markOf(join(blog.root, 'copy.sqlite'))).toBe('shop');

  for (const argv of ['prune', 'adopt backup-2020-01-01T00-00-00-000Z.sqlite', 'undo', 'drill', 'verify latest']) {
    copyFileSync(join(shop.backups, made[0] ?? ''), join(shop.backups, 'backup-2020-01-01T00-00-00-000Z.sqlite'));
    expect([argv, (await type(blog, argv)).code]).not.toEqual([argv, 0]);
  }
  expect((await type(blog, 'prune --dry-run')).stdout).toContain('of another database: shop.sqlite');
  expect((await type(blog, 'kit')).stdout).not.toContain(made[0] ?? '');
  expect((await type(blog, 'doctor --json')).json.findings[0]).toMatchObject({ code: 'identity', severity: 'problem' });
  // By its exact name a person may do what a person may do.
  expect((await type(blog, `verify ${made[2]}`)).code).toBe(0);
  expect(backupsIn(shop.backups)).toContain(made[2] ?? '');
}, 120_000);

test('a missing database never gets the data of another one, unless somebody says so', async () => {
  const { shop, blog } = twoInOneFolder();
  await backUp(shop, 2);
  rmSync(blog.database);
  const refused = await type(blog, 'restore --if-missing');
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('are of another database: shop.sqlite')]);
  expect(existsSync(blog.database)).toBe(false);
  rmSync(shop.database);
  expect((await type(shop, 'restore --if-missing')).code).toBe(0);
  expect(markOf(shop.database)).toBe('shop');
  expect((await type(blog, 'restore --if-missing --from-other')).code).toBe(0);
  expect(markOf(blog.database)).toBe('shop');
}, 60_000);

test('--from-other puts another database in place, and undo brings back what was there', async () => {
  const { shop, blog } = twoInOneFolder();
  const made = await backUp(shop, 2);
  const { code, stdout } = await type(blog, 'restore latest --online --from-other');
  expect([code, stdout]).toEqual([0, expect.stringContaining('undo')]);
  expect(markOf(blog.database)).toBe('shop');
  // The safety copy lies in the folder of the other one, and counts for nothing there.
  shop.env['BACKUP_RETENTION_COUNT'] = '1';
  await backUp(shop);
  expect(backupsIn(shop.backups).length).toBe(2);
  expect(backupsIn(shop.backups)).not.toContain(made[1] ?? '');
  expect((await type(shop, 'status --json')).json.undo).toBeNull();
  expect((await type(blog, 'undo')).code).toBe(0);
  expect(markOf(blog.database)).toBe('blog');
  expect((await type(blog, 'backup')).code).toBe(1);
}, 60_000);

test('the page is told whose a backup is, may restore it when it says so, and may claim the folder', async () => {
  const { shop, blog } = twoInOneFolder();
  const [newest = ''] = await backUp(shop, 2);
  await using opened = open(blog);
  const routes = createServer({ service: opened.service, authorize: () => ({ user: 'ada' }), onError: () => {} });
  const send = async (method: string, path: string, body?: object) => {
    const text = body && JSON.stringify(body);
    const answer = await routes.fetch(new Request(`https://app.example/backup${path}`, { method, body: text }));
    return { status: answer.status, json: JSON.parse(await answer.text()) };
  };
  const now = await send('POST', '/now');
  expect([now.status, now.json.error.code]).toEqual([409, 'FOREIGN_PLACE']);
  expect(now.json.error.message).not.toContain(blog.root);
  expect((await send('GET', '/api/backups')).json.backups[0]).toMatchObject({
    filename: newest,
    other: { name: 'shop.sqlite' },
  });
  expect((await send('GET', '/api/status')).json.verdict).toMatchObject({
    code: 'foreign-place',
    detail: expect.stringContaining('shop.sqlite'),
  });
  expect((await send('GET', `/api/backups/${newest}/restore`)).json.warnings[0]).toContain(
    'another database, shop.sqlite',
  );
  const body = { confirm: 'blog.sqlite' };
  const refused = await send('POST', `/api/backups/${newest}/restore`, body);
  expect([refused.status, refused.json.error.code]).toEqual([409, 'FOREIGN_PLACE']);
  expect(markOf(blog.database)).toBe('blog');
  expect((await send('POST', '/config', { retentionCount: 1 })).json.error.code).toBe('FOREIGN_PLACE');
  expect((await send('POST', `/api/backups/${newest}/restore`, { ...body, fromOther: true })).status).toBe(200);
  expect(markOf(blog.database)).toBe('shop');

  const claimed = await send('POST', '/api/claim');
  expect([claimed.status, claimed.json]).toMatchObject([
    200,
    { target: 'local', changed: true, before: { name: 'shop.sqlite' }, ours: 3, others: 0 },
  ]);
  expect((await send('POST', '/now')).status).toBe(200);
  expect((await send('GET', '/api/status')).json.places[0]).toMatchObject({ owner: 'ours', other: null });
  expect((await send('POST', '/api/claim', { target: 's3' })).status).toBe(422);
}, 60_000);

test('a database that was renamed, or moved with its folder, goes on after a claim; its backups are its own', async () => {
  const shop = machine(newFolder());
  shop.env['BACKUP_RETENTION_COUNT'] = '2';
  const made = await backUp(shop, 2);
  renameSync(shop.database, join(shop.root, 'store.sqlite'));
  const renamed = machine(shop.root, { name: 'store.sqlite', env: { BACKUP_RETENTION_COUNT: '2' } });
  expect((await type(renamed, 'backup')).code).toBe(1);
  const claimed = await type(renamed, 'claim');
  expect([claimed.code, claimed.stdout]).toEqual([
    0,
    expect.stringMatching(
      /, which was of shop\.sqlite, belongs to this database now, and 2 backups there with it\. None/,
    ),
  ]);
  expect((await type(renamed, 'claim')).stdout).toContain('belongs to this database already');
  const fresh = await backUp(renamed, 3);
  // For a week the claim may have been a mistake.
  expect(backupsIn(shop.backups)).toEqual([fresh[0] ?? '', fresh[1] ?? '', ...made]);
  expect((await type(renamed, 'prune --dry-run')).stdout).toContain('it is from before the claim');
  expect(
    (await type(renamed, 'list --json')).json.backups.every(({ other }: { other: unknown }) => other === null),
  ).toBe(true);
  expect(recordOf(shop.backups)).toMatchObject({ name: 'shop.sqlite' });
  expect(JSON.parse(readFileSync(join(shop.backups, OWNER_FILE), 'utf8'))).toMatchObject({ name: 'store.sqlite' });
  // The history of before is still known: it lies in the same state.
  expect((await type(renamed, 'status --json')).json.verdict.code).toBe('protected');
  // One that stayed at the old place is the stranger now.
  const left = machine(shop.root);
  expect((await type(left, 'backup')).stderr).toContain('another database, store.sqlite');

  const moved = join(newFolder(), 'moved');
  cpSync(shop.root, moved, { recursive: true });
  const there = machine(moved, { name: 'store.sqlite' });
  expect((await type(there, 'backup')).code).toBe(1);
  expect((await type(there, 'claim')).code).toBe(0);
  expect((await type(there, 'backup')).code).toBe(0);
}, 120_000);

test('a lost state, or another machine id, changes nothing for the folder', async () => {
  const shop = machine(newFolder());
  await backUp(shop, 2);
  const { id } = recordOf(shop.backups);
  rmSync(join(shop.root, 'state'), { recursive: true });
  // As a container that was made anew has it.
  const path = join(shop.backups, RECORD_FILE);
  writeFileSync(path, readFileSync(path, 'utf8').replace(/("machine": ")[0-9a-f]{4}/, '$10000'));
  const [name = ''] = await backUp(shop);
  expect((await new Catalog(shop.backups).find(name)).manifest?.databaseId).toBe(id);
  expect((await type(shop, 'status')).code).toBe(0);
});

/** The backups and the state are lost; the database is there. */
function loseDisk({ root, backups }: Machine): void {
  for (const lost of [backups, join(root, 'state')]) rmSync(lost, { recursive: true });
}

test('a name alone gives a database no id: another one of that name is refused at the target', async () => {
  await backUp(machine(newFolder(), { env: s3() }), 1);
  const before = await keys();
  const { code, stderr } = await type(machine(newFolder(), { env: s3() }), 'backup');
  expect([code, stderr]).toEqual([5, expect.stringContaining('another database, shop.sqlite')]);
  expect(await keys()).toEqual(before);
});

test('what was brought back from a target goes on under its id, on a machine without disk and state', async () => {
  const old = machine(newFolder(), { env: s3() });
  await backUp(old, 2);
  const { id } = recordOf(old.backups);
  expect(await keys()).toContain(RECORD_FILE);
  const built = machine(newFolder(), { env: s3() });
  rmSync(built.database);
  expect((await type(built, 'restore --if-missing')).code).toBe(0);
  const [name = ''] = await backUp(built);
  expect(recordOf(built.backups)).toMatchObject({ id });
  expect((await new Catalog(built.backups).find(name)).manifest?.databaseId).toBe(id);
  expect((await type(built, 'status --json')).json.places).toMatchObject([
    { owner: 'ours' },
    { target: 's3', owner: 'ours' },
  ]);
});

test('a machine that could not ask takes the id over when the target is back', async () => {
  const old = machine(newFolder(), { env: s3() });
  await backUp(old, 1);
  const { id } = recordOf(old.backups);
  loseDisk(old);
  const built = old;
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  await backUp(built);
  expect(recordOf(built.backups)).toMatchObject({ provisional: true });
  server.faults.length = 0;
  const [name = ''] = await backUp(built);
  expect(await keys()).toContain(`${name}.json`);
  const [last = ''] = await backUp(built);
  expect((await new Catalog(built.backups).find(last)).manifest?.databaseId).toBe(id);
  expect((await type(built, 'list --json')).json.backups.every(({ other }: { other: unknown }) => other === null)).toBe(
    true,
  );
}, 60_000);

test('another database at the prefix is refused there: it goes on locally, removes nothing, and says whose it is', async () => {
  const shop = machine(newFolder(), { env: { ...s3(), BACKUP_S3_RETENTION_COUNT: '2' } });
  const made = await backUp(shop, 2);
  mark(shop.database, 'shop');
  const blog = machine(newFolder(), { name: 'blog.sqlite', env: { ...s3(), BACKUP_S3_RETENTION_COUNT: '1' } });
  mark(blog.database, 'blog');
  for (let round = 0; round < 3; round++) {
    const { code, stderr } = await type(blog, 'backup');
    expect([code, stderr]).toEqual([5, expect.stringContaining('another database, shop.sqlite')]);
  }
  const there = (await keys()).filter((key) => key.startsWith('backup-'));
  expect(there).toEqual(made.toReversed().flatMap((name) => [name, `${name}.json`]));
  const { json } = await type(blog, 'status --json');
  expect([json.verdict.code, json.freshness.state, json.s3.stored]).toEqual(['foreign-place', 'at-risk', 0]);
  expect(json.places[1]).toMatchObject({
    target: 's3',
    owner: 'foreign',
    other: { name: 'shop.sqlite', newestBackup: { filename: made[0] } },
  });
  expect((await type(blog, 'status')).code).toBe(1);
  // Its own are the newest, whatever lies there.
  expect((await type(blog, 'restore latest --online')).code).toBe(0);
  expect(markOf(blog.database)).toBe('blog');
  expect((await type(blog, 'restore latest --from s3 --online')).stderr).toContain('FOREIGN_PLACE');
  expect((await type(blog, 'prune --target s3')).stderr).toContain('FOREIGN_PLACE');
  expect((await type(blog, 'prune --target s3 --dry-run')).stdout).toContain('of another database: shop.sqlite');
  expect((await type(blog, 'drill --from s3')).stdout).toContain('no backup of this database');
  expect((await type(shop, 'status --json')).json.verdict.code).toBe('protected');

  // It was the same one after all.
  const claimed = await type(blog, 'claim --target s3');
  expect([claimed.code, claimed.stdout]).toEqual([0, expect.stringContaining('which was of shop.sqlite')]);
  const [name = ''] = await backUp(blog);
  expect(await keys()).toEqual(expect.arrayContaining([name, ...made]));
  expect(
    (await type(blog, 'list --target s3 --json')).json.backups.every(({ other }: { other: unknown }) => other === null),
  ).toBe(true);
  expect((await type(blog, 'status --json')).json.freshness.state).toBe('protected');
}, 180_000);

test('a folder of before is taken over by the database that its manifests name', async () => {
  const shop = machine(newFolder(), { env: { ...s3(), BACKUP_RETENTION_COUNT: '3' } });
  const made = await backUp(shop, 2);
  await makeOld(shop);
  await store.deleteMany([RECORD_FILE]);
  rmSync(join(shop.root, 'state'), { recursive: true });
  const before = filesBelow(shop.backups);
  expect((await type(shop, 'list --json')).json.backups.map(({ other }: { other: unknown }) => other)).toEqual([
    null,
    null,
  ]);
  expect((await type(shop, 'status --json')).json.places[0].owner).toBe('ours');
  expect(filesBelow(shop.backups)).toEqual(before);
  const fresh = await backUp(shop, 2);
  expect(backupsIn(shop.backups)).toEqual([...fresh, made[0] ?? '']);
  const { id } = recordOf(shop.backups);
  expect(JSON.parse(await Bun.file(join(shop.backups, `${fresh[0]}.json`)).text()).databaseId).toBe(id);
  expect(await keys()).toContain(RECORD_FILE);
}, 60_000);

test('a mixed folder of before accepts both, and each goes by its own backups alone', async () => {
  const root = newFolder();
  const [shop, blog] = ['shop.sqlite', 'blog.sqlite'].map((name) =>
    machine(root, { name, env: { BACKUP_RETENTION_COUNT: '2' } }),
  );
  if (!shop || !blog) throw new Error('both are there');
  mark(shop.database, 'shop');
  mark(blog.database, 'blog');
  const ofShop = await backUp(shop, 2);
  await makeOld(shop);
  // The old version let the other one in.
  const elsewhere = machine(root, { name: 'blog.sqlite', env: { BACKUP_LOCAL_PATH: join(root, 'elsewhere') } });
  const ofBlog = await backUp(elsewhere, 2);
  await makeOld(elsewhere);
  for (const name of ofBlog.flatMap((one) => [one, `${one}.json`]))
    copyFileSync(join(elsewhere.backups, name), join(shop.backups, name));

  const freshShop = await backUp(shop, 1);
  const freshBlog = await backUp(blog, 2);
  expect(existsSync(join(shop.backups, RECORD_FILE))).toBe(false);
  expect(new Set(backupsIn(shop.backups))).toEqual(new Set([...freshShop, ofShop[0] ?? '', ...freshBlog]));
  expect((await type(shop, 'status --json')).json).toMatchObject({
    local: { count: 2 },
    places: [{ owner: 'mixed' }],
    lastGood: { filename: freshShop[0] },
  });
  expect((await type(shop, 'restore latest --online')).code).toBe(0);
  expect(markOf(shop.database)).toBe('shop');
  expect((await type(shop, `restore ${freshBlog[0]} --online`)).stderr).toContain('FOREIGN_PLACE');
  expect((await type(shop, 'doctor --json')).json.findings).toContainEqual(
    expect.objectContaining({ code: 'identity', severity: 'info' }),
  );
  // A third one has no business there.
  expect((await type(machine(root, { name: 'wiki.sqlite' }), 'backup')).stderr).toContain('FOREIGN_PLACE');
}, 90_000);

test('where two databases of one name took turns nothing that may be the other’s is removed, and that is said', async () => {
  const [root, folder] = [newFolder(), join(newFolder(), 'backups')];
  const env = { BACKUP_LOCAL_PATH: folder };
  const [a, b] = [join(root, 'a'), join(root, 'b')].map((disk) => machine(disk, { name: 'dev.sqlite', env }));
  if (!a || !b) throw new Error('both are there');
  const old: string[] = [];
  for (const one of [a, b, a, b]) {
    old.push(...(await backUp(one)));
    await makeOld(a);
    for (const disk of [a, b]) rmSync(join(disk.root, 'state'), { recursive: true, force: true });
  }
  a.env['BACKUP_RETENTION_COUNT'] = '2';
  const fresh = await backUp(a, 3);
  expect(backupsIn(folder)).toEqual([fresh[0] ?? '', fresh[1] ?? '', ...old.toReversed()].sort().reverse());
  expect((await type(a, 'prune --dry-run')).stdout).toContain('several databases are called dev.sqlite');
  // What bears the id of one is the other's no more.
  const ofB = await type(b, 'list --json');
  const other = (name: string | undefined) =>
    ofB.json.backups.find(({ filename }: { filename: string }) => filename === name)?.other;
  expect([other(fresh[0]), other(old[0])]).toEqual([{ id: expect.any(String), name: 'dev.sqlite' }, null]);
}, 60_000);

test('manifests that an older version wrote or changed still count', async () => {
  const shop = machine(newFolder(), { env: { BACKUP_RETENTION_COUNT: '2' } });
  const [name = ''] = await backUp(shop, 2);
  const catalog = new Catalog(shop.backups);
  const { databaseId, madeBy, published, ...old } = (await catalog.find(name)).manifest ?? {};
  writeFileSync(join(shop.backups, `${name}.json`), JSON.stringify({ ...old, note: 'by an older version' }));
  const { json } = await type(shop, 'status --json');
  expect([json.verdict.code, json.lastGood.filename, json.local.count]).toEqual(['protected', name, 2]);
  const [newest] = await backUp(shop);
  expect(backupsIn(shop.backups)).toEqual([newest ?? '', name]);
});

test('looking writes nothing: no record, no owner, no installation, here or there', async () => {
  const shop = machine(newFolder(), { env: s3() });
  await backUp(shop, 2);
  await makeOld(shop);
  await store.deleteMany([RECORD_FILE]);
  const disk = newFolder();
  const other = machine(disk, { env: { ...s3(), BACKUP_LOCAL_PATH: shop.backups } });
  const before = [filesBelow(shop.backups), await keys()];
  server.requests.length = 0;
  // As a key that may only read.
  server.faults.push({ match: /^(PUT|POST|DELETE) /, effect: { status: 403, code: 'AccessDenied' } });
  for (const argv of [
    ...['list', 'list --target s3', 'status', 'prune --dry-run', 'prune --dry-run --target s3'],
    ...[`restore latest --to ${join(disk, 'a.sqlite')}`, `restore latest --from s3 --to ${join(disk, 'b.sqlite')}`],
  ])
    expect([argv, (await type(other, argv)).code]).toEqual([argv, argv === 'status' ? expect.any(Number) : 0]);
  expect(server.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([]);
  expect([filesBelow(shop.backups), await keys()]).toEqual(before);
  expect(filesBelow(disk).filter((path) => /installation|database\.json|owner\.json/.test(path))).toEqual([]);
}, 60_000);

test('a record that nobody can read stops what writes, and hides nothing', async () => {
  const shop = machine(newFolder());
  const made = await backUp(shop, 2);
  writeFileSync(join(shop.backups, RECORD_FILE), '{ "format": "velist-backup-database/9" }');
  const refused = await type(shop, 'backup');
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("can't be read: database.json")]);
  expect((await type(shop, 'claim')).code).toBe(2);
  expect((await type(shop, 'list --json')).json.backups.map(({ filename }: { filename: string }) => filename)).toEqual(
    made,
  );
  expect(backupsIn(shop.backups)).toEqual(made);
  rmSync(join(shop.backups, RECORD_FILE));
  expect((await type(shop, 'backup')).code).toBe(0);
});

test('two databases that begin in one folder at once leave one owner, and the other one is told', async () => {
  const { shop, blog } = twoInOneFolder();
  await using first = open(shop);
  await using second = open(blog);
  const results = await Promise.all([first.service.performBackup(), second.service.performBackup()]);
  expect(results.map(({ success, error }) => (success ? 'made' : error?.code)).sort()).toEqual([
    'FOREIGN_PLACE',
    'made',
  ]);
  expect(backupsIn(shop.backups).length).toBe(1);
});

test('what the discovery of an older version noted under the name of the record is kept', async () => {
  const shop = machine(newFolder());
  await backUp(shop);
  await makeOld(shop);
  writeFileSync(join(shop.backups, RECORD_FILE), '{"file":"shop.sqlite"}\n');
  expect((await type(shop, 'status --json')).json.places[0].owner).toBe('ours');
  await backUp(shop);
  expect(recordOf(shop.backups)).toMatchObject({ name: 'shop.sqlite', format: 'velist-backup-database/1' });
  expect(readFileSync(join(shop.backups, FOUND_FILE), 'utf8')).toBe('{"file":"shop.sqlite"}\n');
  await rememberDatabase(shop.backups, 'shop.sqlite');
  expect(recordOf(shop.backups)).toMatchObject({ name: 'shop.sqlite' });
});

test('a service in a folder of another database says so at each run, and settings saved there are not its own', async () => {
  const { shop, blog } = twoInOneFolder();
  {
    await using opened = open(shop);
    await opened.service.performBackup();
    opened.service.updateConfig({ retentionCount: 7 });
  }
  await using opened = open(blog);
  expect(opened.service.getConfig().retentionCount).toBe(10);
  const { success, error } = await opened.service.performBackup();
  expect([success, error?.code]).toEqual([false, 'FOREIGN_PLACE']);
  expect((await refusal(() => opened.service.updateConfig({ retentionCount: 1 }))).code).toBe('FOREIGN_PLACE');
  expect((await opened.service.getActivity('24h')).sizes).toEqual([]);
  expect(opened.service.getRuns().map(({ kind, result }) => `${kind} ${result}`)).toEqual(['backup failed']);
});
