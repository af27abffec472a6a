/** One rescue and its undo in each journal mode, on whichever runtime this is: for tests. Its argument is an empty folder. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { RescueScene } from './rescue-scene.ts';

const wish = [
  { table: 'orders' },
  { table: 'products', changed: true, conflicts: 'take' },
  { table: 'notes', conflicts: 'take' },
] as const;

const results = ['wal', 'delete'].map((mode) => {
  const folder = join(process.argv[2] ?? '', mode);
  mkdirSync(folder);
  const schema = `
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER REFERENCES customers (id) ON DELETE CASCADE);
    CREATE TABLE products (sku TEXT PRIMARY KEY COLLATE NOCASE, price, twice AS (price * 2));
    CREATE TABLE notes (a, b);
    CREATE TABLE log (what);
    CREATE TRIGGER orders_log AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (new.id); END;
    CREATE TRIGGER products_no BEFORE DELETE ON products BEGIN SELECT RAISE(ABORT, 'never'); END;
    INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
    INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2);
    INSERT INTO notes VALUES (1, 'x'), (2, x'00');
    INSERT INTO products VALUES ('a', 1.5), ('B', 9007199254740993), ('c', CAST(x'ff00fe' AS TEXT));
  `;
  const scene = new RescueScene(folder, schema, mode);
  scene.app.exec('PRAGMA foreign_keys = ON; DELETE FROM customers WHERE id = 1; DELETE FROM notes WHERE a = 2');
  scene.app.exec("UPDATE notes SET b = 'y'; UPDATE products SET price = 0");
  const before = scene.dump();
  const { id, tables } = scene.rescue(wish);
  const rescued = [
    tables.map(({ name, inserted, updated }) => `${name} ${inserted} ${updated}`),
    scene.rows('SELECT hex(price) FROM products ORDER BY sku').flat(),
    scene.rows('SELECT count(*) FROM log').flat(),
  ];
  const { undone, left } = scene.undo(id);
  const isAsBefore = scene.dump() === before;
  const fired = scene.rescue([{ table: 'orders' }], { triggers: true });
  const logged = scene.rows('SELECT count(*) FROM log').flat();
  return { mode, rescued, undone, left, isAsBefore, logged, undoneAgain: scene.undo(fired.id).undone };
});
console.log(JSON.stringify(results));
