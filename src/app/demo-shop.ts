/**
 * A database for the first minute: a small shop that gets an order every second or so, so that a newcomer sees backups
 * of data that changes. Development only; production never invents a database.
 *
 * Every order moves money between two accounts and their sum never changes: whoever restores a backup can see at once
 * that it holds whole transactions.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const ORDER_EVERY_MS = 1_000;
const products = [
  'Espresso cup',
  'Moka pot',
  'Hand grinder',
  'Paper filters',
  'Milk jug',
  'Scale',
  'Kettle',
  'House blend 1 kg',
];

interface DemoShop {
  close(): void;
}

/** Makes the database where it is missing; with `orders`, keeps it lively until closed. */
export function openDemoShop(path: string, options: { orders: boolean; log: (message: string) => void }): DemoShop {
  const isNew = !existsSync(path);
  mkdirSync(dirname(path), { recursive: true });
  const database = new DatabaseSync(path);
  database.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  if (isNew) {
    fill(database);
    options.log(`Made a demo shop at ${path}; it gets an order every second (DEMO_ORDERS=false stops that).`);
  }
  const isOurs = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'demo_shop'").get() !== undefined;
  const timer = options.orders && isOurs ? setInterval(() => placeOrder(database), ORDER_EVERY_MS) : undefined;
  return {
    close() {
      clearInterval(timer);
      database.close();
    },
  };
}

function fill(database: DatabaseSync): void {
  database.exec(`
    BEGIN;
    CREATE TABLE demo_shop (made_at TEXT NOT NULL);
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL);
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE accounts (name TEXT PRIMARY KEY, balance_cents INTEGER NOT NULL);
    CREATE TABLE orders (
      id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers, product_id INTEGER NOT NULL REFERENCES products,
      placed_at TEXT NOT NULL, price_cents INTEGER NOT NULL, note TEXT
    );
    CREATE INDEX orders_by_time ON orders (placed_at);
    INSERT INTO accounts VALUES ('customers', 100000000), ('shop', 0);
  `);
  database.prepare('INSERT INTO demo_shop VALUES (?)').run(new Date().toISOString());
  const addProduct = database.prepare('INSERT INTO products (name, price_cents) VALUES (?, ?)');
  for (const [index, name] of products.entries()) addProduct.run(name, 450 + index * 875);
  const addCustomer = database.prepare('INSERT INTO customers (name) VALUES (?)');
  for (let number = 1; number <= 250; number++) addCustomer.run(`Customer ${number}`);
  for (let number = 0; number < 2_000; number++)
    insertOrder(database, new Date(Date.now() - (2_000 - number) * 40_000));
  database.exec('COMMIT');
}

function placeOrder(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    insertOrder(database, new Date());
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function insertOrder(database: DatabaseSync, at: Date): void {
  const product = 1 + Math.floor(Math.random() * products.length);
  const price = Number(database.prepare('SELECT price_cents FROM products WHERE id = ?').get(product)?.['price_cents']);
  database
    .prepare('INSERT INTO orders (customer_id, product_id, placed_at, price_cents) VALUES (?, ?, ?, ?)')
    .run(1 + Math.floor(Math.random() * 250), product, at.toISOString(), price);
  database.prepare("UPDATE accounts SET balance_cents = balance_cents - ? WHERE name = 'customers'").run(price);
  database.prepare("UPDATE accounts SET balance_cents = balance_cents + ? WHERE name = 'shop'").run(price);
}
