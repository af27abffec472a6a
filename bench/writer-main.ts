/**
 * The application of the benchmark: one connection that moves money at a steady pace and notes how long each
 * transaction took. Keeps the bank's invariants (tests/support/bank.ts), so a copy taken beside it can be judged.
 *
 * Two times are noted. The wait is that of the transaction alone. The delay counts from the moment it was due: one that
 * had to queue behind a stalled one felt the stall too, and a writer that only looks at its own transactions hides that
 * ("coordinated omission").
 *
 * Arguments: database path, transactions a second, busy timeout in ms, synchronous mode. Warms up for a second, prints
 * `started`, ends when standard input closes (so also when its parent is gone) with one line of JSON (`WriterOutcome`).
 */
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { WriterOutcome } from './writer.ts';

const [path = '', perSecond = '', busyTimeoutMs = '', synchronous = ''] = process.argv.slice(2);
const database = new DatabaseSync(path);
database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}; PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}`);
const accounts = firstValue('SELECT count(*) FROM accounts');
const fillers = firstValue('SELECT max(id) FROM filler');
const take = database.prepare('UPDATE accounts SET balance = balance - ? WHERE id = ?');
const give = database.prepare('UPDATE accounts SET balance = balance + ? WHERE id = ?');
const note = database.prepare('INSERT INTO log (id, text) VALUES (?, ?)');
const touch = database.prepare('UPDATE filler SET payload = randomblob(length(payload)) WHERE id = ?');
let number = firstValue('SELECT max(id) FROM log');

/** Standard input is heard between two turns of the event loop. */
const TURN_EVERY = 10;
const nothing = new Int32Array(new SharedArrayBuffer(4));
const everyMs = 1000 / Number(perSecond);
const waitsMs: number[] = [];
const delaysMs: number[] = [];
let commits = 0;
let errors = 0;
let firstError = '';
let ending = false;
process.stdin.resume().once('end', () => {
  ending = true;
});

for (let warming = 0; warming < Number(perSecond); warming++) {
  pauseUntil(performance.now() + everyMs);
  transfer();
}
console.log('started');
const startedMs = performance.now();
for (let turn = 0; !ending; turn++) {
  const dueMs = startedMs + turn * everyMs;
  if (turn % TURN_EVERY === 0) await nextTurn();
  pauseUntil(dueMs);
  const beganMs = performance.now();
  const complaint = transfer();
  const endedMs = performance.now();
  waitsMs.push(rounded(endedMs - beganMs));
  delaysMs.push(rounded(endedMs - dueMs));
  if (complaint === null) commits++;
  else {
    errors++;
    firstError ||= complaint;
  }
}
const seconds = (performance.now() - startedMs) / 1000;
database.close();
const outcome: WriterOutcome = { commits, errors, firstError, seconds, waitsMs, delaysMs };
console.log(JSON.stringify(outcome));

/** Sleeps to a tenth of a millisecond, which a timer of the event loop doesn't. */
function pauseUntil(momentMs: number): void {
  const leftMs = momentMs - performance.now();
  if (leftMs > 0) Atomics.wait(nothing, 0, 0, leftMs);
}

function transfer(): string | null {
  const amount = 1 + Math.floor(Math.random() * 100);
  try {
    database.exec('BEGIN IMMEDIATE');
    take.run(amount, any(accounts));
    give.run(amount, any(accounts));
    touch.run(any(fillers));
    note.run(number + 1, `transfer of ${amount}`);
    database.exec('COMMIT');
    number++;
    return null;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    return error instanceof Error ? error.message : String(error);
  }
}

function any(count: number): number {
  return 1 + Math.floor(Math.random() * count);
}

function firstValue(sql: string): number {
  return Number(Object.values(database.prepare(sql).get() ?? {})[0]);
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
