/**
 * An app that goes on while rows are rescued: it adds orders and changes prices, and counts what it did and every error. Its
 * argument is the database. Prints `started`, and ends with its standard input, with one line of JSON.
 */
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';

const app = new DatabaseSync(process.argv[2] ?? '');
app.exec('PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL');
const add = app.prepare('INSERT INTO orders (customer, total) VALUES (1, ?)');
const touch = app.prepare("UPDATE products SET price = price + 1 WHERE sku = 'mine'");
let [orders, errors, firstError, isEnding] = [0, 0, '', false];
process.stdin.on('end', () => (isEnding = true)).resume();
console.log('started');
while (!isEnding) {
  try {
    app.exec('BEGIN IMMEDIATE');
    add.run(orders + 0.5);
    touch.run();
    app.exec('COMMIT');
    orders++;
  } catch (error) {
    errors++;
    firstError ||= String(error);
    if (app.isTransaction) app.exec('ROLLBACK');
  }
  await nextTurn();
}
app.close();
console.log(JSON.stringify({ orders, errors, firstError }));
