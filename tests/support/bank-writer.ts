/**
 * A writer process for tests: moves money between accounts at full speed or paced, with a busy timeout of 0, and counts
 * every error. The sum of all balances never changes, and each transaction writes its number: a copy must hold exactly
 * the transactions 1 to n.
 *
 * Arguments: database path, transactions a second (0: as fast as it can), busy timeout in ms, synchronous, journal mode.
 * Prints `started`, ends at SIGTERM with one line of JSON: { commits, errors, firstError, waitsMs }.
 */
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

const [path = '', perSecond = '0', busyTimeoutMs = '0', synchronous = 'NORMAL', journalMode = 'wal'] =
  process.argv.slice(2);
const database = new DatabaseSync(path);
database.exec(
  `PRAGMA busy_timeout = ${busyTimeoutMs}; PRAGMA journal_mode = ${journalMode}; PRAGMA synchronous = ${synchronous}`,
);
const accounts = Number(database.prepare('SELECT count(*) AS n FROM accounts').get()?.['n']);
const take = database.prepare('UPDATE accounts SET balance = balance - ? WHERE id = ?');
const give = database.prepare('UPDATE accounts SET balance = balance + ? WHERE id = ?');
const note = database.prepare('INSERT INTO log (id, text) VALUES (?, ?)');
const touch = database.prepare('UPDATE filler SET payload = randomblob(length(payload)) WHERE id = ?');
const fillers = Number(database.prepare('SELECT max(id) AS n FROM filler').get()?.['n']);
let number = Number(database.prepare('SELECT max(id) AS n FROM log').get()?.['n'] ?? 0);

const outcome = { commits: 0, errors: 0, firstError: '', waitsMs: [] as number[] };
let ending = false;
process.on('SIGTERM', () => {
  ending = true;
});
console.log('started');

const everyMs = Number(perSecond) > 0 ? 1000 / Number(perSecond) : 0;
for (let due = performance.now(); !ending; due += everyMs) {
  const waitMs = due - performance.now();
  if (everyMs > 0 && waitMs > 1) await sleep(waitMs);
  else if (outcome.commits % 50 === 0) await nextTurn();
  const startedMs = performance.now();
  transfer();
  if (everyMs > 0) outcome.waitsMs.push(performance.now() - startedMs);
}
database.close();
console.log(JSON.stringify(outcome));

function transfer(): void {
  const amount = 1 + Math.floor(Math.random() * 100);
  try {
    database.exec('BEGIN IMMEDIATE');
    take.run(amount, 1 + Math.floor(Math.random() * accounts));
    give.run(amount, 1 + Math.floor(Math.random() * accounts));
    touch.run(1 + Math.floor(Math.random() * fillers));
    note.run(number + 1, `transfer of ${amount}`);
    database.exec('COMMIT');
    number++;
    outcome.commits++;
  } catch (error) {
    outcome.errors++;
    outcome.firstError ||= error instanceof Error ? error.message : String(error);
    if (database.isTransaction) database.exec('ROLLBACK');
  }
}
