import { expect, test } from 'bun:test';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { accountOfFile } from '../../../tests/support/account.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { seedBlobs } from '../../../tests/support/seeded-blobs.ts';
import { type Random, seededRandom } from '../../../tests/support/torture-random.ts';
import { type Account, accountForPages } from './account.ts';
import { PageFile } from './pages.ts';
import { openUnwritten } from './verify.ts';

const scratch = scratchFolders();

interface Form {
  readonly pageSize?: number;
  readonly autoVacuum?: 0 | 1 | 2;
  readonly sql?: string;
  /** Of the bytes that are drawn in it. */
  readonly seed?: number;
}

/** A database whose view SQLite's check meets first, so that it leaves most of the accounting out. */
function make({ pageSize = 4096, autoVacuum = 0, sql = usual, seed = 1 }: Form = {}): string {
  const path = join(scratch(), 'backup.sqlite');
  const database = new DatabaseSync(path);
  seedBlobs(database, seededRandom(seed));
  database.exec(`PRAGMA page_size = ${pageSize}; PRAGMA auto_vacuum = ${autoVacuum}; PRAGMA synchronous = OFF; ${sql}`);
  database.close();
  return path;
}

const numbers = (count: number) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;
const usual = `
  CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT); CREATE INDEX orders_by_what ON orders (what);
  CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
  ${numbers(400)} INSERT INTO orders SELECT i, hex(randomblob(100)) FROM n;
  ${numbers(400)} INSERT INTO log SELECT i, hex(randomblob(1000)) FROM n;
  DELETE FROM log WHERE id > 50;
  CREATE VIEW v0 AS SELECT * FROM orders;`;

function account(path: string): Account {
  const database = openUnwritten(path);
  try {
    return accountOfFile(path, database).account;
  } finally {
    database.close();
  }
}

function quickCheck(path: string): string {
  const database = openUnwritten(path);
  try {
    return String(Object.values(database.prepare('PRAGMA quick_check(1)').get() ?? {})[0]);
  } catch (error) {
    return String(error);
  } finally {
    database.close();
  }
}

/** Rewrites the file, which nobody has open. */
function change(path: string, work: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  work(bytes);
  writeFileSync(path, bytes);
}

/** The complaints about a file that SQLite's own check finds nothing wrong with. */
function complaints(form: Form, damage: (bytes: Buffer, facts: { root: number; trunk: number }) => void): string {
  const path = make(form);
  const database = new DatabaseSync(path);
  const root = Number(database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'orders'").get()?.['rootpage']);
  database.close();
  expect(account(path).complaints).toEqual([]);
  change(path, (bytes) => damage(bytes, { root, trunk: bytes.readUInt32BE(32) }));
  expect(quickCheck(path)).toBe('ok');
  return account(path).complaints.join('; ');
}

/** Where a page begins. */
const at = (page: number, pageSize = 4096) => (page - 1) * pageSize;

test('a page that a table and the freelist both claim is found, with both', () => {
  const found = complaints({}, (bytes, { root, trunk }) => bytes.writeUInt32BE(root, at(trunk) + 8));
  expect(found).toMatch(/^page \d+ is used by the freelist and by table orders; page \d+ is neither used nor free$/);
});

test('a page that is free twice is found', () => {
  const found = complaints({}, (bytes, { trunk }) =>
    bytes.writeUInt32BE(bytes.readUInt32BE(at(trunk) + 8), at(trunk) + 12),
  );
  expect(found).toMatch(/^page \d+ is used twice by the freelist; page \d+ is neither used nor free$/);
});

test('pages that fell out of the freelist are found', () => {
  const found = complaints({}, (bytes, { trunk }) => {
    bytes.writeUInt32BE(bytes.readUInt32BE(at(trunk) + 4) - 2, at(trunk) + 4);
    bytes.writeUInt32BE(bytes.readUInt32BE(36) - 2, 36);
  });
  expect(found).toMatch(/^2 pages are neither used nor free, page \d+ is the first$/);
});

test('a freelist that is longer than the header says is found', () => {
  const found = complaints({}, (bytes) => bytes.writeUInt32BE(bytes.readUInt32BE(36) + 1, 36));
  expect(found).toMatch(/^the freelist has \d+ pages, but the file's header says \d+$/);
});

test('a freelist that leads out of the file, in a circle, or lists too much is found', () => {
  expect(complaints({}, (bytes) => bytes.writeUInt32BE(9_999, 32))).toContain('the freelist points to page 9999');
  expect(complaints({}, (bytes, { trunk }) => bytes.writeUInt32BE(9_999, at(trunk) + 8))).toContain(
    'the freelist names page 9999',
  );
  expect(complaints({}, (bytes, { trunk }) => bytes.writeUInt32BE(trunk, at(trunk)))).toContain(
    'the freelist names page',
  );
  expect(complaints({}, (bytes, { trunk }) => bytes.writeUInt32BE(1_023, at(trunk) + 4))).toContain(
    'claims to list more pages than it has room for',
  );
});

test('the pointer map’s word on free pages and roots is checked, and the last root', () => {
  const form = { autoVacuum: 2, sql: usual } as const;
  const entryOf = (page: number) => at(2) + 5 * (page - 3);
  expect(complaints(form, (bytes, { trunk }) => bytes.writeUInt8(5, entryOf(trunk)))).toMatch(
    /^the pointer map does not record that page \d+ is free$/,
  );
  expect(complaints(form, (bytes, { root }) => bytes.writeUInt32BE(7, entryOf(root) + 1))).toMatch(
    /^the pointer map does not record that page \d+ is where table orders begins$/,
  );
  expect(complaints(form, (bytes) => bytes.writeUInt32BE(4_000, 52))).toMatch(
    /^the file's header says that page 4000 is the last root, but it is page \d+$/,
  );
});

test('databases of every page size and kind of vacuum are accounted for to the last page', () => {
  for (const pageSize of [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]) {
    for (const autoVacuum of [0, 1, 2] as const) {
      const { complaints: found, trees, freePages } = account(make({ pageSize, autoVacuum }));
      expect({ pageSize, autoVacuum, found }).toEqual({ pageSize, autoVacuum, found: [] });
      expect(trees.get('orders')?.leafCells).toBe(400);
      expect(freePages > 0).toBe(autoVacuum !== 1);
    }
  }
});

test('a database without any table, and one that was vacuumed to one page, are accounted for', () => {
  for (const autoVacuum of [0, 1, 2] as const) {
    const path = make({ autoVacuum, sql: 'CREATE TABLE t (a); DROP TABLE t; VACUUM;' });
    expect(account(path)).toMatchObject({ complaints: [], freePages: 0 });
    expect([...account(path).trees.keys()]).toEqual(['sqlite_schema']);
  }
});

test('bytes that an extension reserves at the end of each page are no part of the account', () => {
  for (const autoVacuum of [0, 1] as const) {
    const path = make({ autoVacuum, sql: 'CREATE TABLE t (a); DROP TABLE t; VACUUM' });
    change(path, (bytes) => {
      bytes.writeUInt8(32, 20);
      // Where the cells of the first page begin.
      bytes.writeUInt16BE(4096 - 32, 105);
    });
    const database = new DatabaseSync(path);
    database.exec(usual);
    database.close();
    expect(readFileSync(path).readUInt8(20)).toBe(32);
    expect(account(path).complaints).toEqual([]);
  }
});

test('a table of the database that is called dbstat does not stand in the way', () => {
  const path = make({ sql: 'CREATE TABLE dbstat (name, pageno); INSERT INTO dbstat VALUES (1, 1), (2, 2)' });
  expect(account(path).complaints).toEqual([]);
  expect(account(path).trees.get('dbstat')?.leafCells).toBe(2);
});

test('a library without dbstat accounts for nothing, and says so', () => {
  const database = openUnwritten(make());
  database.exec('PRAGMA query_only = OFF');
  const without = {
    prepare: (sql: string) => database.prepare(sql),
    exec: () => database.exec('CREATE VIRTUAL TABLE temp.pages USING dbstat_of_another_library(main)'),
  };
  const pages = new PageFile({ pages: 1, pageSize: 512, read: () => Buffer.alloc(512) });
  expect(accountForPages(without as unknown as DatabaseSync, pages)).toBeNull();
  database.close();
});

test('a table without rowids has rows in its inner pages too', () => {
  const sql = `CREATE TABLE kv (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    ${numbers(5_000)} INSERT INTO kv SELECT hex(randomblob(20)), i FROM n`;
  const tree = account(make({ sql })).trees.get('kv');
  expect(tree?.cells).toBe(5_000);
  expect(tree?.leafCells).toBeLessThan(5_000);
});

// ── property: what SQLite finds without a view, we find with one ──

const CASES = 120;
/** Fewer would mean that the damage is not of the kind that this is about. */
const HIDDEN_LEAST = 10;

test('random damage to random databases that SQLite finds without views and virtual tables, we find with them', () => {
  const seed = Number(process.env['ACCOUNT_SEED'] ?? 20_261_129);
  let [compared, hidden] = [0, 0];
  for (let number = 0; number < CASES; number++) {
    const random = seededRandom(seed + number);
    const seen = make(randomForm(random));
    const plain = withoutRootless(seen);
    if (plain === null) continue;
    const edits = randomDamage(random, readFileSync(seen), plain.shared);
    for (const path of [seen, plain.path])
      change(path, (bytes) => {
        for (const edit of edits) edit(bytes);
      });
    compared += 1;
    if (quickCheck(seen) !== 'ok') continue; // found by SQLite's own check already
    const isSound = quickCheck(plain.path) === 'ok';
    if (!isSound) hidden += 1;
    const ours = complaintsOrError(seen);
    expect({
      seed: seed + number,
      ours,
      sqlite: quickCheck(plain.path),
      isRight: (ours === '') === isSound,
    }).toMatchObject({
      isRight: true,
    });
  }
  console.log(`account: seed ${seed}, ${compared} compared, ${hidden} hidden from SQLite's check`);
  expect(compared).toBeGreaterThan(CASES / 2);
  expect(hidden).toBeGreaterThan(HIDDEN_LEAST);
}, 120_000);

function complaintsOrError(path: string): string {
  try {
    return account(path).complaints.join('; ');
  } catch (error) {
    return String(error);
  }
}

function randomForm(random: Random): Form {
  const objects: string[] = [];
  for (let table = 0, count = random.between(1, 4); table < count; table++) {
    const rows = random.between(0, 300);
    const bytes = random.pick([10, 50, 300, 6_000]);
    const isWithout = random.chance(0.3);
    objects.push(
      isWithout
        ? `CREATE TABLE t${table} (id INTEGER PRIMARY KEY, v) WITHOUT ROWID`
        : `CREATE TABLE t${table} (id INTEGER PRIMARY KEY, v)`,
    );
    if (random.chance(0.4)) objects.push(`CREATE INDEX i${table} ON t${table} (v)`);
    if (rows > 0) objects.push(`${numbers(rows)} INSERT INTO t${table} SELECT i, randomblob(${bytes}) FROM n`);
    if (random.chance(0.6)) objects.push(`DELETE FROM t${table} WHERE id > ${random.between(0, rows)}`);
    if (random.chance(0.2)) objects.push(`CREATE VIEW v${table} AS SELECT * FROM t${table}`);
  }
  if (random.chance(0.2))
    objects.push(`CREATE VIRTUAL TABLE f USING fts5 (x); INSERT INTO f VALUES ('a word'), ('two')`);
  if (random.chance(0.2)) objects.push(`CREATE VIRTUAL TABLE r USING rtree (id, a, b); INSERT INTO r VALUES (1, 2, 3)`);
  if (random.chance(0.8)) objects.push('CREATE VIEW last AS SELECT 1');
  return {
    pageSize: random.pick([512, 1024, 4096, 4096, 8192]),
    autoVacuum: random.pick([0, 1, 2] as const),
    seed: random.seed(),
    sql: objects.join(';\n'),
  };
}

/**
 * The same file without its views and virtual tables, whose check is complete, and the pages that are the same in both.
 * Null if the schema's pages were moved by that.
 */
function withoutRootless(path: string): { readonly path: string; readonly shared: readonly number[] } | null {
  const copy = `${path}.plain`;
  copyFileSync(path, copy);
  const database = new DatabaseSync(copy);
  database.enableDefensive?.(false);
  database.exec(
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE type IN ('table', 'view') AND rootpage = 0",
  );
  database.close();
  const [one, other] = [readFileSync(path), readFileSync(copy)];
  const size = one.readUInt16BE(16) === 1 ? 65_536 : one.readUInt16BE(16);
  if (one.length !== other.length || one.compare(other, 32, 40, 32, 40) !== 0) return null;
  const pages = Array.from({ length: one.length / size - 1 }, (_, index) => index + 2);
  const shared = pages.filter(
    (page) => one.compare(other, (page - 1) * size, page * size, (page - 1) * size, page * size) === 0,
  );
  return shared.length > 0 && quickCheck(copy) === 'ok' ? { path: copy, shared } : null;
}

type Edit = (bytes: Buffer) => void;

function randomDamage(random: Random, bytes: Buffer, shared: readonly number[]): readonly Edit[] {
  const pageSize = bytes.readUInt16BE(16);
  const pages = bytes.length / pageSize;
  const first = bytes.readUInt32BE(32);
  const isMapped = bytes.readUInt32BE(52) !== 0;
  const somePage = () => random.between(0, pages + 1);
  const position = () => (random.pick(shared as [number, ...number[]]) - 1) * pageSize;
  const kinds: Record<string, () => Edit> = {
    header: () => {
      const [where, value] = [random.pick([32, 36, 52, 64]), somePage()];
      return (file) => void file.writeUInt32BE(value, where);
    },
    pointer: () => {
      const [where, value] = [position() + random.pick([0, 8, 12, pageSize - 4]), somePage()];
      return (file) => void file.writeUInt32BE(value, where);
    },
    bytes: () => {
      const [where, value] = [position() + random.between(0, pageSize - 1), random.between(0, 255)];
      return (file) => void file.writeUInt8(value, where);
    },
    trunk: () => {
      const [where, value] = [(first - 1) * pageSize + 4 * random.between(0, 6), somePage()];
      return (file) => void file.writeUInt32BE(value, where);
    },
    map: () => {
      const where = pageSize + 5 * random.between(0, Math.min(pages, Math.floor(pageSize / 5) - 1));
      const [kind, parent] = [random.between(0, 6), random.chance(0.5) ? 0 : somePage()];
      return (file) => {
        file.writeUInt8(kind, where);
        file.writeUInt32BE(parent, Math.min(where + 1, file.length - 4));
      };
    },
    copied: () => {
      const [from, to] = [position(), position()];
      return (file) => void file.copy(file, to, from, from + pageSize);
    },
  };
  const weights = {
    header: 1,
    pointer: 2,
    bytes: 2,
    copied: 1,
    trunk: first > 0 && shared.includes(first) ? 4 : 0,
    map: isMapped && shared.includes(2) ? 3 : 0,
  };
  return Array.from(
    { length: random.between(1, 2) },
    () => (kinds[random.weighted(weights)] ?? kinds['bytes'])?.() ?? (() => {}),
  );
}
