/** Rows brought back over a database in use: what is written, what is not, and the way back. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { RescueScene } from '../../../tests/support/rescue-scene.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';
import { rescueRows } from './rescue.ts';
import { newRescueId } from './rescue-record.ts';

setDefaultTimeout(120_000);
const newFolder = scratchFolders();
const newScene = (schema: string, mode?: string) => new RescueScene(newFolder(), schema, mode);

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'nothing thrown';
  } catch (error) {
    return BackupError.from(error).code;
  }
};

const SHOP = `
  CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
  CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE, total REAL);
  CREATE TABLE products (sku TEXT PRIMARY KEY COLLATE NOCASE, price REAL, extra);
  CREATE TABLE log (at TEXT, what TEXT);
  CREATE TRIGGER orders_log AFTER INSERT ON orders BEGIN INSERT INTO log VALUES ('now', 'order ' || new.id); END;
  CREATE TRIGGER products_no BEFORE DELETE ON products BEGIN SELECT RAISE(ABORT, 'never'); END;
  INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
  INSERT INTO orders VALUES (1, 1, 10.5), (2, 1, 20), (3, 2, 30);
  INSERT INTO products VALUES ('a', 1.5, x'00ff'), ('B', 2, 'two'), ('c', 3, 1e999);
`;

test('rows that were removed come back with what they need, and nothing else changes', () => {
  const scene = newScene(SHOP);
  scene.app.exec('PRAGMA foreign_keys = ON; DELETE FROM customers WHERE id = 1; INSERT INTO orders VALUES (9, 2, 90)');
  const before = scene.dump();
  const plan = scene.plan([{ table: 'ORDERS' }]);
  expect(plan.blocked).toEqual([]);
  expect(plan.tables).toMatchObject([
    { name: 'orders', picked: 2, needed: 0, insert: 2, update: 0, conflicts: 0, triggers: ['orders_log'] },
    { name: 'customers', picked: 0, needed: 1, insert: 1 },
  ]);
  expect(scene.dump()).toBe(before);
  const record = scene.rescue([{ table: 'orders' }]);
  expect(record).toMatchObject({
    state: 'written',
    tables: [
      { name: 'orders', inserted: 2 },
      { name: 'customers', inserted: 1 },
    ],
  });
  expect(scene.rows('SELECT * FROM orders ORDER BY id')).toEqual([
    [1, 1, 10.5],
    [2, 1, 20],
    [3, 2, 30],
    [9, 2, 90],
  ]);
  expect(scene.rows('SELECT count(*) FROM log')).toEqual([[3 + 1]]);
  expect(scene.undo(record.id)).toMatchObject({ undone: 3, left: 0 });
  expect(scene.dump()).toBe(before);
  expect(codeOf(() => scene.undo(record.id))).toBe('NOTHING_TO_UNDO');
  scene.rescue([{ table: 'orders' }]);
  expect(scene.rows('SELECT count(*) FROM orders')).toEqual([[4]]);
});

test('rows that were changed come back if nobody changed them since, and conflicts follow their rule', () => {
  const scene = newScene(SHOP);
  scene.app.exec('UPDATE products SET price = 0');
  const since = scene.backUp(join(scene.folder, 'since.sqlite'));
  scene.app.exec("UPDATE products SET price = 7 WHERE sku = 'B'");
  const before = scene.dump();
  const wish = (conflicts?: 'keep' | 'take' | 'stop') => [{ table: 'products', changed: true, conflicts }];
  expect(scene.plan(wish()).tables[0]).toMatchObject({ update: 0, conflicts: 3 });
  const plan = scene.plan(wish(), {}, since);
  expect(plan.tables[0]).toMatchObject({ picked: 3, update: 2, conflicts: 1, rule: 'keep' });
  expect(plan.conflicts).toEqual([
    {
      table: 'products',
      key: '["tB"]',
      columns: ['sku', 'price', 'extra'],
      backup: ['B', 2, 'two'],
      live: ['B', 7, 'two'],
      result: 'keep',
    },
  ]);
  expect(scene.plan(wish('stop'), {}, since).blocked).toHaveLength(1);
  expect(codeOf(() => scene.rescue(wish('stop'), {}, since))).toBe('BAD_REQUEST');
  const kept = scene.rescue(wish(), {}, since);
  expect(scene.rows('SELECT price FROM products ORDER BY sku')).toEqual([[1.5], [7], [3]]);
  scene.undo(kept.id);
  expect(scene.dump()).toBe(before);
  const taken = scene.rescue(wish('take'), {}, since);
  expect(scene.rows('SELECT price, typeof(extra) FROM products ORDER BY sku')).toEqual([
    [1.5, 'blob'],
    [2, 'text'],
    [3, 'real'],
  ]);
  scene.app.exec("UPDATE products SET price = 99 WHERE sku = 'a'");
  expect(scene.undo(taken.id)).toMatchObject({ undone: 2, left: 1 });
  expect(scene.rows('SELECT price FROM products ORDER BY sku')).toEqual([[99], [7], [0]]);
});

test('an undo leaves alone what others refer to by now', () => {
  const scene = newScene(SHOP);
  scene.app.exec('PRAGMA foreign_keys = ON; DELETE FROM customers WHERE id = 1');
  const record = scene.rescue([{ table: 'customers', keys: ['["i1"]'] }]);
  scene.app.exec('INSERT INTO orders VALUES (50, 1, 5)');
  expect(codeOf(() => scene.undo(record.id))).toBe('NOTHING_TO_UNDO');
  expect(scene.rows('SELECT count(*) FROM orders WHERE customer = 1')).toEqual([[1]]);
  expect(scene.rows('PRAGMA foreign_key_check')).toEqual([]);
});

test('what was changed after the plan stops the rescue, and nothing is written', () => {
  const scene = newScene(SHOP);
  scene.app.exec('DELETE FROM orders WHERE id < 3');
  const { expected } = scene.plan([{ table: 'orders' }]);
  scene.app.exec('INSERT INTO orders VALUES (1, 2, 1)');
  const before = scene.dump();
  const go = {
    ...{ databasePath: scene.databasePath, source: scene.source, sourceName: 'then', folder: scene.rescues },
    wish: scene.wish([{ table: 'orders' }]),
    ...{ id: newRescueId(new Date()), at: new Date(), user: null },
  };
  expect(codeOf(() => rescueRows({ ...go, expected }))).toBe('DB_CHANGED');
  const late = (step: string) => step === 'ready' && scene.app.exec('INSERT INTO orders VALUES (2, 2, 2)');
  expect(codeOf(() => rescueRows({ ...go, expected: null, onStep: late }))).toBe('DB_CHANGED');
  scene.app.exec('DELETE FROM orders WHERE id = 2; DELETE FROM log WHERE rowid = 5');
  expect(scene.dump()).toBe(before);
  expect(readdirSync(scene.rescues)).toEqual([]);
});

test('triggers fire if they are asked to, and are there as before in any case', () => {
  const scene = newScene(SHOP);
  scene.app.exec('DELETE FROM orders WHERE id = 1');
  const triggers = scene.rows("SELECT rowid, * FROM sqlite_schema WHERE type = 'trigger'");
  const record = scene.rescue([{ table: 'orders' }], { triggers: true });
  expect(scene.rows('SELECT what FROM log WHERE rowid > 3')).toEqual([['order 1']]);
  scene.undo(record.id);
  expect(scene.rows('SELECT count(*) FROM orders')).toEqual([[2]]);
  expect(scene.rows("SELECT rowid, * FROM sqlite_schema WHERE type = 'trigger'")).toEqual(triggers);
});

test('where triggers fire, rows are changed in place, and what a trigger makes of them can be undone', () => {
  const scene = newScene(`
    CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, at TEXT DEFAULT 'never');
    CREATE TRIGGER touched AFTER UPDATE OF a ON t BEGIN UPDATE t SET at = 'now' WHERE id = new.id; END;
    INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'y');
  `);
  scene.app.exec("UPDATE t SET a = 'lost'");
  const record = scene.rescue([{ table: 't', changed: true, conflicts: 'take' }], { triggers: true });
  expect(scene.rows('SELECT * FROM t')).toEqual([
    [1, 'x', 'now'],
    [2, 'y', 'now'],
  ]);
  scene.app.exec("UPDATE t SET a = 'mine' WHERE id = 2");
  expect(scene.undo(record.id)).toMatchObject({ undone: 1, left: 1 });
  expect(scene.rows('SELECT id, a FROM t')).toEqual([
    [1, 'lost'],
    [2, 'mine'],
  ]);
});

test('a value that others refer to is not changed under them', () => {
  const scene = newScene(`
    CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
    CREATE TABLE c (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code) ON UPDATE CASCADE);
    INSERT INTO p VALUES (1, 'old');
  `);
  scene.app.exec("UPDATE p SET code = 'new'; INSERT INTO c VALUES (1, 'new')");
  const before = scene.dump();
  expect(codeOf(() => scene.rescue([{ table: 'p', changed: true, conflicts: 'take' }]))).toBe('BAD_REQUEST');
  expect(scene.dump()).toBe(before);
  scene.app.exec('DELETE FROM c');
  const record = scene.rescue([{ table: 'p', changed: true, conflicts: 'take' }]);
  scene.app.exec("INSERT INTO c VALUES (1, 'old')");
  expect(codeOf(() => scene.undo(record.id))).toBe('NOTHING_TO_UNDO');
  expect(scene.rows('PRAGMA foreign_key_check')).toEqual([]);
});

test('a schema that this SQLite does not understand is left alone', () => {
  const scene = newScene(SHOP);
  scene.app.close();
  const other = new DatabaseSync(scene.databasePath, { defensive: false } as object); // newer than the types
  other.exec(
    "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES ('view', 'v', 'v', 0, 'CREATE VIEW v AS SELEKT 1')",
  );
  other.close();
  expect(codeOf(() => scene.plan([{ table: 'orders' }]))).toBe('UNSUPPORTED');
});

test('rows of a table without a key are told apart by their content, and only ever added', () => {
  const scene = newScene(
    `CREATE TABLE notes (a, b); INSERT INTO notes VALUES (1, 'x'), (1, 'x'), (2, 'y'), (3, x'00')`,
  );
  scene.app.exec("DELETE FROM notes WHERE rowid IN (2, 4); UPDATE notes SET b = 'z' WHERE a = 2");
  const before = scene.dump();
  const plan = scene.plan([{ table: 'notes' }]);
  expect(plan.tables[0]).toMatchObject({ hasKey: false, insert: 2, update: 0, conflicts: 1 });
  const record = scene.rescue([{ table: 'notes', conflicts: 'take' }]);
  expect(scene.rows('SELECT rowid, a, quote(b) FROM notes')).toEqual([
    [1, 1, "'x'"],
    [2, 1, "'x'"],
    [3, 2, "'z'"],
    [4, 3, "X'00'"],
    [5, 2, "'y'"],
  ]);
  expect(scene.undo(record.id)).toMatchObject({ undone: 3, left: 0 });
  expect(scene.dump()).toBe(before);
});

test('a live row that holds a unique value is never replaced', () => {
  const scene =
    newScene(`CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE ON CONFLICT REPLACE, CHECK (id < 100)) STRICT;
    INSERT INTO users VALUES (1, 'a'), (2, 'b')`);
  scene.app.exec("DELETE FROM users WHERE id = 1; INSERT INTO users VALUES (7, 'a')");
  expect(scene.plan([{ table: 'users' }])).toMatchObject({
    writes: 0,
    blocked: [],
    tables: [{ conflicts: 1, rule: 'keep' }],
  });
  expect(scene.plan([{ table: 'users', conflicts: 'take' }]).blocked).toHaveLength(1);
  expect(codeOf(() => scene.rescue([{ table: 'users' }]))).toBe('BAD_REQUEST');
  expect(scene.rows('SELECT * FROM users')).toEqual([
    [2, 'b'],
    [7, 'a'],
  ]);
});

test('unique values that two rows have exchanged are put back', () => {
  const scene = newScene(
    `CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE); INSERT INTO users VALUES (1, 'a'), (2, 'b')`,
  );
  scene.app.exec(
    "UPDATE users SET mail = 'c' WHERE id = 1; UPDATE users SET mail = 'a' WHERE id = 2; UPDATE users SET mail = 'b' WHERE id = 1",
  );
  const before = scene.dump();
  const record = scene.rescue([{ table: 'users', changed: true, conflicts: 'take' }]);
  expect(scene.rows('SELECT * FROM users')).toEqual([
    [1, 'a'],
    [2, 'b'],
  ]);
  scene.undo(record.id);
  expect(scene.dump()).toBe(before);
});

test('composite and text keys, WITHOUT ROWID, generated columns, and columns that came and went', () => {
  const scene = newScene(`
    CREATE TABLE lines (doc TEXT COLLATE NOCASE, n INTEGER, text TEXT, size INTEGER GENERATED ALWAYS AS (length(text)) STORED, old TEXT, PRIMARY KEY (doc, n)) WITHOUT ROWID;
    INSERT INTO lines (doc, n, text, old) VALUES ('A', 1, 'one', 'o'), ('A', 2, 'two', 'p'), ('b', 1, NULL, 'q');
  `);
  scene.app.exec(
    "DELETE FROM lines WHERE n = 1; ALTER TABLE lines ADD COLUMN more TEXT DEFAULT 'new'; ALTER TABLE lines DROP COLUMN old",
  );
  const before = scene.dump();
  const plan = scene.plan([{ table: 'lines' }]);
  expect(plan.warnings).toHaveLength(2);
  const record = scene.rescue([{ table: 'lines' }]);
  expect(scene.rows('SELECT * FROM lines ORDER BY doc, n')).toEqual([
    ['A', 1, 'one', 3, 'new'],
    ['A', 2, 'two', 3, 'new'],
    ['b', 1, null, null, 'new'],
  ]);
  scene.undo(record.id);
  expect(scene.dump()).toBe(before);
  scene.app.exec(
    'ALTER TABLE lines RENAME TO x; CREATE TABLE lines (doc TEXT COLLATE NOCASE, n INTEGER, must TEXT NOT NULL, PRIMARY KEY (doc, n)) WITHOUT ROWID',
  );
  expect(scene.plan([{ table: 'lines' }]).blocked).toEqual([
    expect.stringContaining('NOT NULL constraint failed: lines.must'),
  ]);
});

test('views, virtual tables and their insides, and what is not there, are refused', () => {
  const scene = newScene('CREATE TABLE t (a); CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE f USING fts5 (a)');
  const { blocked } = scene.plan([
    { table: 'v' },
    { table: 'f' },
    { table: 'f_data' },
    { table: 'nothing' },
    { table: 'sqlite_schema' },
  ]);
  expect(blocked).toHaveLength(5);
  expect(codeOf(() => scene.rescue([{ table: 'v' }]))).toBe('BAD_REQUEST');
});

test('what refers to nothing blocks, and so does a needed row that must not come along', () => {
  const scene = newScene(SHOP);
  scene.app.exec('DELETE FROM orders; DELETE FROM customers');
  expect(scene.plan([{ table: 'orders' }], { withNeeded: false }).blocked).toHaveLength(1);
  expect(scene.plan([{ table: 'customers' }]).warnings).toEqual([expect.stringContaining('3 rows of orders')]);
  scene.app.exec('DROP TABLE customers');
  expect(scene.plan([{ table: 'orders' }]).blocked.length).toBeGreaterThan(0);
});

test('a source that is damaged, or no database, changes nothing', () => {
  const scene = newScene(SHOP);
  copyFileSync(import.meta.path, scene.source);
  expect(['VERIFY_FAILED', 'NOT_SQLITE']).toContain(codeOf(() => scene.plan([{ table: 'orders' }])));
  expect(existsSync(scene.rescues) ? readdirSync(scene.rescues) : []).toEqual([]);
});
