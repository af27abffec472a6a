/** What is newest, when machines are set back, clocks are wrong, states are lost and targets are out of reach. */
import { beforeEach, expect, test } from 'bun:test';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { formatManifest, type Manifest, parseManifest } from '../../src/engine/format/manifest.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { backUp, type Machine, machine, open, type } from '../support/many-machines.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, change, scratchFolders } from '../support/scratch.ts';

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
const s3 = (more: Record<string, string> = {}) => ({
  ...s3Variables(server, { bucket: BUCKET, prefix }),
  BACKUP_S3_ENABLED: 'true',
  ...more,
});
function mark({ database }: Machine, text: string): void {
  change(database, `CREATE TABLE IF NOT EXISTS mark (text); DELETE FROM mark; INSERT INTO mark VALUES ('${text}')`);
}
const markOf = (path: string) => ask(path, 'SELECT text FROM mark');
const there = async () =>
  (await Array.fromAsync(store.list('backup-'))).flatMap(({ key }) => (key.endsWith('.json') ? key.slice(0, -5) : []));

async function numberThere(name: string, sequence: number): Promise<void> {
  const bytes = await getBytes(store, `${name}.json`, { limitBytes: 1024 * 1024 });
  const manifest = parseManifest(new TextDecoder().decode(bytes), name);
  const changed: Manifest = { ...manifest, sequence };
  await store.put(
    `${name}.json`,
    (async function* () {
      yield new TextEncoder().encode(formatManifest(changed));
    })(),
  );
}

/** The newest that `latest` brings to a new file on that machine, by what it holds. */
async function latest(on: Machine, more = ''): Promise<unknown> {
  const to = join(newFolder(), 'latest.sqlite');
  const { code, stderr } = await type(on, `restore latest${more} --to ${to}`);
  expect([code, stderr]).toEqual([0, expect.any(String)]);
  return markOf(to);
}

test('a machine that is set back to an older image goes on above what S3 holds, says so, and removes nothing there', async () => {
  const root = newFolder();
  const disk = join(root, 'disk');
  const shop = machine(disk, { env: s3({ BACKUP_RETENTION_COUNT: '3' }) });
  mark(shop, 'first');
  await backUp(shop);
  cpSync(disk, join(root, 'image'), { recursive: true });
  for (const text of ['lost-1', 'lost-2', 'lost-3', 'lost-4']) {
    mark(shop, text);
    await backUp(shop);
  }
  const lost = await there();
  expect(lost.length).toBe(3);
  rmSync(disk, { recursive: true });
  cpSync(join(root, 'image'), disk, { recursive: true });
  // Whatever the clock says: as if backups had been made in a row.
  for (const [index, name] of lost.entries()) await numberThere(name, 4_000_000_000 + index);

  const made: string[] = [];
  for (const text of ['after-1', 'after-2', 'after-3']) {
    mark(shop, text);
    const { code, stdout } = await type(shop, 'backup --json');
    expect(code).toBe(0);
    made.push(JSON.parse(stdout).filename);
  }
  expect(await there()).toEqual(expect.arrayContaining([...lost, ...made]));
  const here = await new Catalog(shop.backups).list();
  const numbers = here.map(({ manifest }) => manifest?.sequence);
  expect(numbers.slice(0, 3)).toEqual([4_000_000_005, 4_000_000_004, 4_000_000_003]);
  expect(await latest(shop)).toBe('after-3');
  expect(await latest(shop, ' --from s3')).toBe('after-3');

  const { json } = await type(shop, 'status --json');
  expect(json.verdict).toMatchObject({
    code: 'cloned',
    tone: 'amber',
    detail: expect.stringContaining(lost.at(-1) ?? ''),
  });
  expect((await type(shop, 'status')).stdout).toStartWith('status     at-risk (cloned)\n');
  expect((await type(shop, 'prune --target s3 --dry-run')).stdout).toContain('set back to an older image');
  expect((await type(shop, 'prune --target s3')).stdout).toContain('0 removed');

  // A person says that this machine goes on.
  await type(shop, 'claim --target s3');
  expect((await type(shop, 'status --json')).json.verdict.code).toBe('protected');
  mark(shop, 'after-4');
  const [newest = ''] = await backUp(shop);
  expect(await there()).toEqual([made[1] ?? '', made[2] ?? '', newest]);
}, 120_000);

test('on a machine without disk and state new backups rank above the old ones, whatever their numbers are', async () => {
  const old = machine(newFolder(), { env: s3({ BACKUP_RETENTION_COUNT: '2' }) });
  mark(old, 'old');
  const [name = ''] = await backUp(old);
  // As a machine with a fast clock numbers them.
  await numberThere(name, 5_000_000_000);
  const built = machine(newFolder(), { env: s3({ BACKUP_RETENTION_COUNT: '2' }) });
  for (const end of ['', '-wal', '-shm']) rmSync(built.database + end, { force: true });
  expect((await type(built, 'restore --if-missing')).code).toBe(0);
  mark(built, 'new');
  const [fresh = ''] = await backUp(built);
  expect((await new Catalog(built.backups).find(fresh)).manifest?.sequence).toBe(5_000_000_001);
  expect(await latest(built, ' --from s3')).toBe('new');
  expect((await type(built, 'list --json')).json.backups[0].filename).toBe(fresh);
}, 60_000);

test('what waited while S3 was away is numbered anew, in its order, when S3 proves higher numbers', async () => {
  const shop = machine(newFolder(), { env: s3() });
  mark(shop, 'first');
  const [first = ''] = await backUp(shop);
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  const waiting: string[] = [];
  for (const text of ['second', 'third']) {
    mark(shop, text);
    waiting.push(...(await backUp(shop)));
  }
  server.faults.length = 0;
  // Meanwhile another machine of the same database wrote there.
  await numberThere(first, 6_000_000_000);
  mark(shop, 'fourth');
  await using opened = open(shop);
  const { filename = '', uploaded } = await opened.service.performBackup();
  expect(uploaded).toEqual({ s3: true });
  expect(opened.lines).toContainEqual(
    expect.stringMatching(/backups that were not there yet got a higher number: S3 held/),
  );
  const order = (await new Catalog(shop.backups).list()).map(({ name, manifest }) => [name, manifest?.sequence]);
  expect(order).toEqual([
    [filename, 6_000_000_003],
    [waiting[1], 6_000_000_002],
    [waiting[0], 6_000_000_001],
    [first, expect.any(Number)],
  ]);
  expect((await opened.service.getBackups({ target: 's3' })).map((item) => item.filename)).toEqual(
    order
      .slice(0, 3)
      .map(([name]) => name)
      .concat(first) as string[],
  );
}, 60_000);

test('latest is the newest wherever it lies: a target is asked, and one that is silent is told and fails nothing', async () => {
  const root = newFolder();
  const disk = join(root, 'disk');
  const shop = machine(disk, { env: s3() });
  mark(shop, 'here');
  await backUp(shop);
  cpSync(disk, join(root, 'image'), { recursive: true });
  mark(shop, 'there');
  const [newer = ''] = await backUp(shop);
  rmSync(disk, { recursive: true });
  cpSync(join(root, 'image'), disk, { recursive: true });
  // The state knows a listing of a moment ago; without it S3 is asked.
  rmSync(join(disk, 'state'), { recursive: true });
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  const silent = await type(shop, `restore latest --to ${join(disk, 'silent.sqlite')}`);
  expect([silent.code, silent.stderr]).toEqual([
    0,
    expect.stringContaining('S3 could not be asked for its newest backup'),
  ]);
  expect(markOf(join(disk, 'silent.sqlite'))).toBe('here');
  server.faults.length = 0;
  expect(await latest(shop)).toBe('there');
  expect((await type(shop, 'verify latest')).stdout).toStartWith(newer);
  const at = `restore --at 2100-01-01 --to ${join(disk, 'at.sqlite')}`;
  expect((await type(shop, at)).code).toBe(0);
  expect(markOf(join(disk, 'at.sqlite'))).toBe('there');
  // Asked a moment ago, it is not asked again.
  server.requests.length = 0;
  await type(shop, `verify latest --from local`);
  expect(server.requests).toEqual([]);
}, 60_000);

test('a backup of a machine whose clock is ahead has no negative age anywhere', async () => {
  const shop = machine(newFolder());
  const [name = ''] = await backUp(shop);
  const path = join(shop.backups, `${name}.json`);
  const manifest = JSON.parse(await Bun.file(path).text());
  const ahead = 'backup-2099-01-01T00-00-00-000Z.sqlite';
  for (const [from, to] of [[name, ahead]] as const) cpSync(join(shop.backups, from), join(shop.backups, to));
  const later = {
    ...manifest,
    name: ahead,
    createdAt: '2099-01-01T00:00:00.000Z',
    artifact: { ...manifest.artifact, file: ahead },
    // The copy has a time of its own.
    published: undefined,
  };
  writeFileSync(join(shop.backups, `${ahead}.json`), JSON.stringify({ ...later, sequence: manifest.sequence + 1 }));
  const { stdout } = await type(shop, 'status');
  expect(stdout).toContain(ahead);
  expect(stdout).not.toMatch(/-\d+ (s|min|h)/);
  const [next = ''] = await backUp(shop);
  expect((await type(shop, 'list --json')).json.backups[0].filename).toBe(next);
});
