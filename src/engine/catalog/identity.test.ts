import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { manifestOf } from '../../../tests/support/scratch.ts';
import { type DatabaseSelf, selfOf } from '../writer/self.ts';
import {
  type Claim,
  foreignPlace,
  isDoubtful,
  isOfSeveralFiles,
  judgePlace,
  NO_IDENTITY,
  otherOf,
  OWN_FOLDER,
  type PlaceIdentity,
  requireOurs,
  type Sourced,
} from './identity.ts';
import { toRecord } from './own-folder.ts';
import type { Manifest } from '../format/manifest.ts';

const now = new Date('2024-01-15T12:00:00Z');
const shop: DatabaseSelf = { ...selfOf('/srv/shop/shop.sqlite'), databaseId: 'shop-id' };
const blog: DatabaseSelf = { ...selfOf('/srv/blog/blog.sqlite'), databaseId: 'blog-id' };
const stranger: DatabaseSelf = { ...selfOf('/srv/shop/shop.sqlite'), databaseId: null };

let minutes = 0;
function backup(name: string, change: Partial<Manifest> & { inode?: string } = {}): Sourced & { manifest: Manifest } {
  const { inode, ...rest } = change;
  const file = { sizeBytes: 8192, modifiedNs: '1' };
  const stamp = inode === undefined ? null : { main: { ...file, inode: `66:${inode}` }, wal: null, recordedAtMs: 1 };
  const at = new Date(now.getTime() + ++minutes * 60_000);
  const manifest = manifestOf(at, { source: { name, journalMode: 'wal' }, stamp, ...rest });
  return { name: manifest.name, manifest };
}

const recordOf = (self: DatabaseSelf): PlaceIdentity => ({
  ...NO_IDENTITY,
  record: toRecord(self.databaseId ?? 'given', self, now),
});

function claimBy(self: DatabaseSelf, change: Partial<Claim> = {}): Claim {
  return {
    ...{ id: self.databaseId ?? 'none', name: self.name, path: self.pathDigest, machine: self.machineDigest },
    ...{ at: now.toISOString(), user: null, madeBy: null, sparesUntil: null },
    ...change,
  };
}

test('a folder is ours by the path of the database, whatever the machine and the id', () => {
  const elsewhere = { ...shop, machineDigest: '0'.repeat(64), databaseId: null };
  expect(judgePlace('folder', recordOf(shop), elsewhere, [])).toMatchObject({ owner: 'ours', id: 'shop-id' });
  expect(judgePlace('folder', recordOf(shop), blog, [])).toMatchObject({
    owner: 'foreign',
    stranger: { id: 'shop-id', name: 'shop.sqlite' },
  });
});

test('a target is ours by its id, at the first contact by its name, and else another database’s', () => {
  expect(judgePlace('target', recordOf(shop), { ...shop, name: 'renamed.sqlite' }, []).owner).toBe('ours');
  expect(judgePlace('target', recordOf(shop), stranger, [])).toMatchObject({ owner: 'ours', id: 'shop-id' });
  expect(judgePlace('target', recordOf(shop), { ...shop, databaseId: 'another-id' }, []).owner).toBe('foreign');
  expect(judgePlace('target', recordOf(shop), { ...stranger, name: 'blog.sqlite' }, []).owner).toBe('foreign');
  // Its id was given while nobody could ask there.
  const hasty = { ...shop, databaseId: 'another-id', isProvisional: true };
  expect(judgePlace('target', recordOf(shop), hasty, [])).toMatchObject({ owner: 'ours', id: 'shop-id' });
});

test('after a claim the folder is the claiming database’s, with all ids and names of before', () => {
  const place = { ...recordOf(shop), claims: [claimBy(blog, { id: 'shop-id' })] };
  expect(judgePlace('folder', place, shop, []).owner).toBe('foreign');
  const ownership = judgePlace('folder', place, blog, []);
  expect(ownership).toMatchObject({ owner: 'ours', id: 'shop-id' });
  const whose = (of: string, databaseId?: string) => otherOf(ownership, backup(of, { databaseId }));
  expect([
    whose('shop.sqlite'),
    whose('blog.sqlite'),
    whose('x.sqlite', 'shop-id'),
    whose('x.sqlite', 'blog-id'),
  ]).toEqual([null, null, null, null]);
  expect(whose('wiki.sqlite')).toEqual({ id: null, name: 'wiki.sqlite' });
  expect(whose('shop.sqlite', 'wiki-id')).toEqual({ id: 'wiki-id', name: 'shop.sqlite' });
});

test('a claim at a target makes both ids one database, and the place keeps its own', () => {
  const place = { ...recordOf(shop), claims: [claimBy(blog)] };
  for (const self of [shop, blog])
    expect(judgePlace('target', place, self, [])).toMatchObject({ owner: 'ours', id: 'shop-id' });
});

test('an old place without backups is of nobody, one of our name alone becomes ours with the next backup', () => {
  expect(judgePlace('folder', NO_IDENTITY, shop, [])).toMatchObject({ owner: 'new', mustRecord: true });
  const old = [backup('shop.sqlite'), backup('shop.sqlite'), { name: 'foreign', manifest: null }];
  expect(judgePlace('folder', NO_IDENTITY, shop, old)).toMatchObject({
    owner: 'ours',
    mustRecord: true,
    id: 'shop-id',
  });
  expect(judgePlace('target', NO_IDENTITY, stranger, old)).toMatchObject({ owner: 'ours', mustRecord: true, id: null });
});

test('a record that was lost is made anew under the id that its manifests bear', () => {
  const manifests = [backup('shop.sqlite', { databaseId: 'lost-id' }), backup('shop.sqlite')];
  expect(judgePlace('folder', NO_IDENTITY, stranger, manifests)).toMatchObject({ owner: 'ours', id: 'lost-id' });
  // A service with an id of its own is another database.
  expect(judgePlace('folder', NO_IDENTITY, shop, manifests.slice(0, 1))).toMatchObject({ owner: 'foreign' });
  expect(judgePlace('folder', NO_IDENTITY, { ...shop, databaseId: 'lost-id' }, manifests).owner).toBe('ours');
});

test('an old place of other names is foreign; one of several and ours is mixed, and each backup goes by its manifest', () => {
  const others = [backup('blog.sqlite'), backup('wiki.sqlite')];
  expect(judgePlace('folder', NO_IDENTITY, shop, others)).toMatchObject({
    owner: 'foreign',
    mustRecord: false,
    stranger: { id: null, name: 'blog.sqlite' },
  });
  const mixed = judgePlace('folder', NO_IDENTITY, shop, [...others, backup('shop.sqlite')]);
  expect(mixed).toMatchObject({ owner: 'mixed', mustRecord: false, stranger: null, isInseparable: false });
  expect(otherOf(mixed, backup('shop.sqlite'))).toBeNull();
  expect(otherOf(mixed, backup('shop.sqlite', { databaseId: 'shop-id' }))).toBeNull();
  expect(otherOf(mixed, backup('blog.sqlite'))).toEqual({ id: null, name: 'blog.sqlite' });
  // The same name, and another id.
  expect(otherOf(mixed, backup('shop.sqlite', { databaseId: 'x' }))).toEqual({ id: 'x', name: 'shop.sqlite' });
});

test('a safety copy that was made there before another database was restored makes no place ours', () => {
  const own = backup('shop.sqlite', { databaseId: 'shop-id', trigger: 'safety' });
  expect(judgePlace('folder', NO_IDENTITY, shop, [own, backup('blog.sqlite')]).owner).toBe('foreign');
  const ownership = judgePlace('folder', recordOf(blog), shop, []);
  expect(otherOf(ownership, own)).toBeNull();
  expect(otherOf(ownership, backup('shop.sqlite', { databaseId: 'shop-id' }))).not.toBeNull();
  // A database that was moved away has the id of the place.
  const moved = judgePlace('folder', { ...recordOf(shop), claims: [claimBy(blog, { id: 'shop-id' })] }, shop, []);
  expect(otherOf(moved, own)).not.toBeNull();
});

test('two databases of one name that took turns are told apart by their files, and a restore is no turn', () => {
  const made = (inode: string, trigger: Manifest['trigger'] = 'schedule') => backup('dev.sqlite', { inode, trigger });
  const turns = (...all: ReturnType<typeof made>[]) => isOfSeveralFiles(all.map(({ manifest }) => manifest));
  expect(turns(made('1'), made('1'), made('2'), made('2'))).toBe(false);
  expect(turns(made('1'), made('2'), made('1'))).toBe(true);
  // In place, twice: the file system gave the first number again.
  expect(turns(made('1'), made('1', 'safety'), made('2'), made('2', 'safety'), made('1'))).toBe(false);
  expect(turns(made('1'), made('1', 'safety'), made('2'), made('1'))).toBe(true);
  const self = { ...selfOf('/srv/a/dev.sqlite'), databaseId: 'a-id' };
  const ownership = judgePlace('folder', NO_IDENTITY, self, [made('1'), made('2'), made('1')]);
  expect(ownership).toMatchObject({ owner: 'mixed', isInseparable: true });
  expect([made('1'), backup('dev.sqlite', { databaseId: 'a-id' })].map((one) => isDoubtful(ownership, one))).toEqual([
    true,
    false,
  ]);
});

test('the refusal says whose it is, since when, and what to do; an unreadable record is refused too', () => {
  const where = { place: 'the folder /srv/backups', target: 'local', own: OWN_FOLDER };
  const { stranger: whose } = judgePlace('folder', recordOf(shop), blog, []);
  const error = foreignPlace(
    whose ?? { id: null, name: '' },
    recordOf({ ...shop, maker: { installation: 'i', host: 'web1' } }),
    where,
  );
  expect(error.message).toBe(
    'the folder /srv/backups holds the backups of another database, shop.sqlite (since 2024-01-15T12:00:00.000Z by web1)',
  );
  expect(error.hint).toContain('BACKUP_LOCAL_PATH');
  expect(error.hint).toEndWith('`velist-backup claim`.');
  expect(
    foreignPlace({ id: null, name: 'x' }, NO_IDENTITY, { place: 's3://b/p', target: 's3', own: 'its own' }).hint,
  ).toContain('--target s3');
  const unreadable = { ...NO_IDENTITY, complaint: 'database.json: is not JSON' };
  expect(() => requireOurs(judgePlace('folder', unreadable, shop, []), unreadable, where)).toThrow(/can't be read/);
});

const anyId = fc.constantFrom(undefined, 'shop-id', 'blog-id', 'third-id');
const anyName = fc.constantFrom('shop.sqlite', 'blog.sqlite', 'wiki.sqlite');
const anyBackups = fc.array(
  fc.record({ name: anyName, databaseId: anyId, inode: fc.constantFrom('1', '2'), isSafety: fc.boolean() }),
  { maxLength: 12 },
);
const anyIdentity = fc.constantFrom(NO_IDENTITY, recordOf(shop), recordOf(blog), {
  ...recordOf(shop),
  claims: [claimBy(blog, { id: 'shop-id' })],
});

test('of any place, at most one of two databases counts a backup as its own, unless both are one by a claim', () => {
  fc.assert(
    fc.property(
      anyIdentity,
      fc.constantFrom('folder' as const, 'target' as const),
      anyBackups,
      (identity, kind, drawn) => {
        const backups = drawn.map(({ isSafety, ...one }) =>
          backup(one.name, { ...one, trigger: isSafety ? 'safety' : 'schedule', databaseId: one.databaseId }),
        );
        const [forShop, forBlog] = [shop, blog].map((self) => judgePlace(kind, identity, self, backups));
        if (!forShop || !forBlog) throw new Error('both were judged');
        for (const one of backups) {
          if (kind === 'target' && identity.claims.length > 0) continue;
          const owners = [forShop, forBlog].filter((ownership) => otherOf(ownership, one) === null);
          expect(owners.length).toBeLessThanOrEqual(1);
          // In a foreign place nothing is ours but a safety copy.
          for (const { owner } of owners) if (owner === 'foreign') expect(one.manifest.trigger).toBe('safety');
        }
        // Nobody writes a record where another database has backups.
        for (const ownership of [forShop, forBlog])
          if (ownership.mustRecord) expect(backups.every((one) => otherOf(ownership, one) === null)).toBe(true);
      },
    ),
    { seed: 20_240_401, numRuns: 500 },
  );
});
