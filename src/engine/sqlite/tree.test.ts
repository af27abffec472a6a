/**
 * The walk against SQLite's own check, which is complete where the database has neither views nor virtual tables: what one
 * finds the other finds, but for the order of keys in an index, which only who knows their collation can judge.
 */
import { expect, test } from 'bun:test';
import { closeSync, copyFileSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { accountOfFile } from '../../../tests/support/account.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { seedBlobs } from '../../../tests/support/seeded-blobs.ts';
import { type Random, seededRandom } from '../../../tests/support/torture-random.ts';
import { pragma } from './library.ts';
import { PageFile, pagesOf } from './pages.ts';
import { TreeWalker } from './tree.ts';
import { openUnwritten } from './verify.ts';

const scratch = scratchFolders();
const numbers = (count: number) => `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;

/** Every tree of the file, and the account of all its pages. */
function walkAll(path: string): string {
  const database = openUnwritten(path);
  const descriptor = openSync(path, 'r');
  try {
    const sizes = { pages: Number(pragma(database, 'page_count')), pageSize: Number(pragma(database, 'page_size')) };
    const walker = new TreeWalker(new PageFile(pagesOf(descriptor, sizes)));
    walker.walk({ page: 1, name: 'sqlite_schema', isTable: true });
    for (const { type, name, rootpage, sql } of database
      .prepare('SELECT type, name, rootpage, sql FROM sqlite_schema')
      .all()) {
      const isTable = String(sql).includes('WITHOUT ROWID') ? null : type === 'table';
      if (rootpage !== 0) walker.walk({ page: Number(rootpage), name: String(name), isTable });
    }
    if (walker.complaints.length > 0) return walker.complaints.join('; ');
    return accountOfFile(path, database).account.complaints.join('; ');
  } catch (error) {
    return String(error);
  } finally {
    database.close();
    closeSync(descriptor);
  }
}

function check(path: string, pragma: 'quick_check' | 'integrity_check'): string {
  let database: DatabaseSync | undefined;
  try {
    database = openUnwritten(path);
    return String(Object.values(database.prepare(`PRAGMA ${pragma}(3)`).get() ?? {})[0]);
  } catch (error) {
    return String(error);
  } finally {
    database?.close();
  }
}

function make(random: Random): string {
  const path = join(scratch(), 'backup.sqlite');
  const database = new DatabaseSync(path);
  seedBlobs(database, seededRandom(random.seed()));
  database.exec(`PRAGMA page_size = ${random.pick([512, 512, 1024, 4096])}; PRAGMA auto_vacuum = ${random.pick([0, 1, 2])};
    PRAGMA synchronous = OFF`);
  for (let table = 0, count = random.between(1, 3); table < count; table++) {
    const rows = random.between(0, 400);
    const key = random.pick(['i', 'i * 1000000007', '-i', 'i * 4611686018427']);
    const value = random.pick(['randomblob(10)', 'hex(randomblob(150))', 'randomblob(3000)', 'i', 'NULL']);
    database.exec(
      `CREATE TABLE t${table} (id INTEGER PRIMARY KEY, v, w)${random.chance(0.3) ? ' WITHOUT ROWID' : ''};
       ${random.chance(0.5) ? `CREATE INDEX i${table} ON t${table} (v);` : ''}
       ${numbers(rows + 1)} INSERT INTO t${table} SELECT ${key}, ${value}, i FROM n;
       ${random.chance(0.6) ? `DELETE FROM t${table} WHERE w % ${random.between(1, 5)} = 0;` : ''}
       ${random.chance(0.4) ? `UPDATE t${table} SET v = randomblob(${random.between(1, 900)}) WHERE w % 3 = 0;` : ''}`,
    );
  }
  database.close();
  return path;
}

function damage(path: string, random: Random): void {
  const bytes = readFileSync(path);
  const pageSize = bytes.readUInt16BE(16);
  const pages = bytes.length / pageSize;
  for (let edits = random.between(1, 2); edits > 0; edits--) {
    // Page 1 holds the schema's words: a byte changed there is not always structure.
    const page = random.between(Math.min(2, pages), pages);
    const start = (page - 1) * pageSize + (page === 1 ? 100 : 0);
    random.pick([
      () => bytes.writeUInt8(random.pick([2, 5, 10, 13, 0]), start),
      () => bytes.writeUInt16BE(random.between(0, pageSize), start + random.pick([1, 3, 5])),
      () => bytes.writeUInt8(random.between(0, 255), start + 7),
      () => bytes.writeUInt32BE(random.between(0, pages + 1), start + 8),
      () => bytes.writeUInt16BE(random.between(0, pageSize - 1), start + 8 + 2 * random.between(0, 8)),
      () => bytes.writeUInt8(random.between(0, 255), start + random.between(0, Math.min(400, pageSize - 101))),
      () => bytes.writeUInt8(random.between(0, 255), page * pageSize - random.between(1, 60)),
      () => bytes.writeUInt32BE(random.between(0, pages + 1), page * pageSize - random.between(4, 40)),
    ])();
  }
  writeFileSync(path, bytes);
}

test('databases of every form are walked without a complaint', () => {
  for (let number = 0; number < 60; number++) {
    const path = make(seededRandom(number));
    expect({ number, found: walkAll(path), sqlite: check(path, 'quick_check') }).toEqual({
      number,
      found: '',
      sqlite: 'ok',
    });
  }
});

const CASES = 600;

test('random damage that SQLite finds is found by the walk, and no other', () => {
  const seed = Number(process.env['TREE_SEED'] ?? 20_261_129);
  let [damaged, sound, unordered] = [0, 0, 0];
  let base = '';
  for (let number = 0; number < CASES; number++) {
    const random = seededRandom(seed + number);
    if (number % 10 === 0) base = make(random);
    const path = `${base}.${number}`;
    copyFileSync(base, path);
    damage(path, random);
    const ours = walkAll(path);
    let sqlite = check(path, 'quick_check');
    // Into the records of an index only the thorough check looks.
    if (sqlite === 'ok' && ours !== '') sqlite = check(path, 'integrity_check');
    const isSame = (sqlite === 'ok') === (ours === '');
    if (/PRIMARY KEY order/.test(sqlite)) unordered += 1;
    else expect({ seed: seed + number, sqlite, ours, isSame }).toMatchObject({ isSame: true });
    if (sqlite === 'ok') sound += 1;
    else damaged += 1;
  }
  console.log(`tree: seed ${seed}, ${damaged} damaged, ${sound} sound, ${unordered} out of the order of their keys`);
  expect(Math.min(damaged, sound)).toBeGreaterThan(CASES / 8);
}, 120_000);
