/**
 * Hard cases of the check: databases whose rows break rules of their tables, and databases of apps that bring what this
 * SQLite lacks. Each is backed up, and restored over itself, which changes nothing that is said; damage beside it is found.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Scene } from './hard-cases.ts';
import type { Said, WordCase } from './hard-cases-words.ts';

interface Form {
  readonly sql: string;
  /** What is said in the schema afterwards: what the app brings, and this SQLite has not. */
  readonly rewrite?: readonly [from: string, to: string];
  readonly says: RegExp;
}

function good(name: string, { sql, rewrite, says }: Form): WordCase {
  return {
    ...{ name, says },
    async ask(scene) {
      change(scene.databasePath, sql, rewrite);
      const { success, filename = '', remarks = [], error } = await scene.service.performBackup();
      assert.ok(success, error?.message ?? '');
      const { mode } = await scene.service.restore(filename);
      assert.equal(mode, 'online');
      const checked = await scene.service.verifyBackup(filename);
      assert.deepEqual(checked.verification.state === 'verified' ? checked.verification.remarks : null, remarks);
      return { message: `done: ${remarks.length === 0 ? 'verified' : remarks.join('; ')}` };
    },
  };
}

function change(path: string, sql: string, rewrite?: readonly [string, string]): void {
  const database = new DatabaseSync(path, { defensive: false } as object);
  database.exec(sql);
  if (rewrite) {
    database.exec('PRAGMA writable_schema = ON');
    database.prepare('UPDATE sqlite_schema SET sql = replace(sql, ?, ?)').run(...rewrite);
  }
  database.close();
}

const people = (rows: number) => `CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE);
  CREATE INDEX people_by_name ON people (name);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) INSERT INTO people SELECT i, 'name ' || i FROM n`;

export const judgeCases: readonly WordCase[] = [
  good('rows that break NOT NULL, since the column was declared so later', {
    sql: "CREATE TABLE issues (id INTEGER PRIMARY KEY, notes); INSERT INTO issues (notes) VALUES (NULL), ('a'), (NULL)",
    rewrite: ['id INTEGER PRIMARY KEY, notes)', 'id INTEGER PRIMARY KEY, notes NOT NULL)'],
    says: /done: 2 rows of issues break the rule NOT NULL of notes/,
  }),
  good('a text in a column of a STRICT table that is to hold numbers', {
    sql: "CREATE TABLE prices (id INTEGER PRIMARY KEY, price TEXT) STRICT; INSERT INTO prices VALUES (1, 'much')",
    rewrite: ['price TEXT)', 'price REAL)'],
    says: /done: 1 row of prices breaks the rule type of price/,
  }),
  good('rows that break a CHECK, which the app switches off', {
    sql: 'PRAGMA ignore_check_constraints = ON; CREATE TABLE stock (n INTEGER CHECK (n >= 0)); INSERT INTO stock VALUES (-5)',
    says: /done: 1 row of stock breaks the rule CHECK/,
  }),
  good('a full-text index that is out of step with its table', {
    sql: "CREATE VIRTUAL TABLE docs USING fts5 (body); INSERT INTO docs VALUES ('hello'); UPDATE docs_content SET c0 = 'bye'",
    says: /done: (verified|the full-text index of table docs is out of step with it)/,
  }),
  good('an index in the order of a collation that the app brings (Anki, Plex)', {
    sql: people(50),
    rewrite: ['NOCASE', 'unicase'],
    says: /done: table people was not checked: no such collation sequence: unicase/,
  }),
  good('a full-text index with a tokenizer that the app brings', {
    sql: "CREATE VIRTUAL TABLE texts USING fts4 (body); INSERT INTO texts VALUES ('hello')",
    rewrite: ['body)', 'body, tokenize=collating)'],
    says: /done: virtual table texts was not checked: unknown tokenizer: collating/,
  }),
  good('a CHECK that calls a function of the app', {
    sql: "CREATE TABLE books (title TEXT CHECK (length(title) > 0)); INSERT INTO books VALUES ('a')",
    rewrite: ['length(', 'title_sort('],
    says: /done: table books was not checked: unknown function: title_sort\(\)/,
  }),
  good('a virtual table of a module that the app brings', {
    sql: "CREATE VIRTUAL TABLE spelling USING fts5 (word); INSERT INTO spelling VALUES ('a')",
    rewrite: ['USING fts5', 'USING spellfix1'],
    says: /done: virtual table spelling was not checked: no such module: spellfix1/,
  }),
  good('a table in the words of a newer SQLite', {
    sql: "CREATE TABLE fresh (a TEXT, b); INSERT INTO fresh VALUES ('x', 1)",
    rewrite: ['CREATE TABLE fresh (a TEXT, b)', 'CREATE TABLE fresh (a TEXT, b) TIME TRAVEL'],
    says: /done: table fresh was not checked: .*(unknown table option|syntax error)/,
  }),
  {
    name: 'a page that a table and the freelist both claim, which SQLite misses beside a view',
    says: /DB_DAMAGED .*page \d+ is used by the freelist and by table orders/,
    async ask(scene) {
      change(
        scene.databasePath,
        `DROP TABLE notes; CREATE TABLE orders (id INTEGER PRIMARY KEY, what); CREATE TABLE log (id INTEGER PRIMARY KEY, what);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO orders SELECT i, hex(randomblob(100)) FROM n;
         INSERT INTO log SELECT * FROM orders; DELETE FROM log WHERE id > 5; CREATE VIEW v0 AS SELECT * FROM orders;
         PRAGMA wal_checkpoint(TRUNCATE)`,
      );
      const bytes = readFileSync(scene.databasePath);
      bytes.writeUInt32BE(rootOf(scene.databasePath, 'orders'), (bytes.readUInt32BE(32) - 1) * 4096 + 8);
      writeFileSync(scene.databasePath, bytes);
      return await failureOf(scene);
    },
  },
  {
    name: 'damage in a table whose collation the app brings',
    says: /DB_DAMAGED .*people/,
    async ask(scene) {
      change(scene.databasePath, `${people(2_000)}; PRAGMA wal_checkpoint(TRUNCATE)`, ['NOCASE', 'unicase']);
      const bytes = readFileSync(scene.databasePath);
      bytes.writeUInt16BE(9, (rootOf(scene.databasePath, 'people_by_name') - 1) * 4096 + 1);
      writeFileSync(scene.databasePath, bytes);
      return await failureOf(scene);
    },
  },
  {
    name: 'a file that is longer than its pages, as apps leave it that set aside room in chunks (Firefox)',
    says: /done: \d+ pages of 4096 bytes, the file of the database has 1048576 bytes/,
    async ask(scene) {
      const input = '.filectrl chunk_size 1048576\nCREATE TABLE t (a); INSERT INTO t VALUES (1);\n';
      assert.equal(spawnSync('sqlite3', [scene.databasePath], { input }).status, 0);
      const { filename = '' } = await scene.service.performBackup();
      const { pages } = await scene.service.getBackup(filename);
      const { size } = statSync(scene.databasePath);
      return { message: `done: ${pages} pages of 4096 bytes, the file of the database has ${size} bytes` };
    },
  },
];

function rootOf(path: string, name: string): number {
  const database = new DatabaseSync(path, { defensive: false } as object);
  const row = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(name);
  database.close();
  return Number(row?.['rootpage']);
}

async function failureOf(scene: Scene): Promise<Said> {
  const { error } = await scene.service.performBackup();
  return error ?? { message: 'done' };
}
