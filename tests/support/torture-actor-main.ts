/**
 * One process that uses the ledger while it is backed up: a writer, a foreign checkpointer, a reader that holds old
 * snapshots, a visitor that opens and closes, or an idler that only stays. Runs on Bun and on Node.
 *
 * The only argument is an `ActorForm` as JSON. It prints `started`, hears `pause`, `resume` and `end` on standard input
 * (or its end), and closes with one line of JSON, an `ActorOutcome`.
 */
import { appendFileSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ActorForm, ActorOutcome, Deed, WriterForm } from './torture-actors.ts';
import { ACCOUNTS, noteAcknowledged } from './torture-ledger.ts';
import { seededRandom } from './torture-random.ts';

/** Covers the contention of the other writers, their VACUUM and what a checkpointer holds. */
const BUSY_TIMEOUT_MS = 60_000;
const DOCS_MAX = 3_000;
/** How long an actor may be deaf to its commands. */
const DEAF_MS = 20;

const form = JSON.parse(process.argv[2] ?? '') as ActorForm; // torture-actors.ts wrote it
const random = seededRandom(form.seed);
const nothing = { done: 0, commits: 0, errors: 0, busy: 0, switches: 0, failures: 0 };
const outcome: ActorOutcome = { ...nothing, firstError: '', deeds: {} };
let ending = false;
let pausing = false;
let resume = () => {};
/** This writer's last number; it never falls, even when a restore takes its transactions back. */
let number: number | undefined;

createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line === 'pause') pausing = true;
    else if (line === 'resume') resume();
    else if (line === 'end') end();
  })
  .once('close', end);

function end(): void {
  ending = true;
  resume();
}

async function play(): Promise<void> {
  switch (form.role) {
    case 'writer':
      return await write(form);
    case 'checkpointer':
      return await checkpoint(form.everyMs);
    case 'reader':
      return await read(form.holdMsMax);
    case 'visitor':
      return await visit(form.everyMs);
    case 'idler':
      return await idle(form.connections);
  }
}

/** Lets commands be heard; where one was `pause`, says so and waits. */
async function listen(): Promise<void> {
  await nextTurn();
  if (!pausing || ending) return;
  const resumed = new Promise<void>((resolve) => {
    resume = () => {
      pausing = false;
      resolve();
    };
  });
  console.log('paused');
  await resumed;
}

function attempt(what: string, act: () => void): void {
  const startedMs = performance.now();
  try {
    act();
    outcome.done++;
    outcome.deeds[what] = (outcome.deeds[what] ?? 0) + 1;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (/locked|busy/.test(text)) outcome.busy++;
    else outcome.errors++;
    outcome.firstError ||= `${what}: ${text} after ${Math.round(performance.now() - startedMs)} ms`;
  }
}

function open(options: { readOnly?: boolean; busyTimeoutMs?: number | undefined } = {}): DatabaseSync {
  const database = new DatabaseSync(form.path, { readOnly: options.readOnly ?? false });
  database.exec(`PRAGMA busy_timeout = ${options.busyTimeoutMs ?? BUSY_TIMEOUT_MS}`);
  return database;
}

async function write(writer: WriterForm): Promise<void> {
  const notes = openSync(writer.acknowledgements, 'r+');
  let ledger = new Ledger(writer, notes);
  console.log('started');
  let heardMs = performance.now();
  const everyMs = writer.perSecond ? 1_000 / writer.perSecond : 0;
  // What it could not do while it waited for its turn is not made up for: it would never rest.
  for (let due = performance.now(); !ending; due = Math.max(due + everyMs, performance.now())) {
    const deed = random.weighted(writer.deeds);
    attempt(deed, () => ledger.carryOut(deed));
    if (random.chance(writer.reopenChance)) {
      ledger.close();
      if (random.chance(0.2)) await sleep(random.between(0, 30));
      ledger = new Ledger(writer, notes);
    }
    const waitMs = due - performance.now();
    if (everyMs > 0 && waitMs > 1) await sleep(waitMs);
    if (everyMs > 0 || performance.now() - heardMs > DEAF_MS) {
      await listen();
      heardMs = performance.now();
    }
  }
  ledger.close();
}

/** One connection of a writer, and what it does through it. */
class Ledger {
  readonly #form: WriterForm;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #notes: number;
  readonly #deeds: Readonly<Record<Deed, () => void>> = {
    autocommit: () => this.#acknowledge(this.#log()),
    transfer: () => this.#transaction(() => this.#transfer()),
    spill: () => this.#transaction((t) => this.#rewrite(t)),
    reshape: () => this.#transaction((t) => this.#reshape(t)),
    text: () => this.#transaction((t) => this.#text(t)),
    savepoint: () => this.#transaction((t) => this.#savepoints(t)),
    rollback: () => this.#rollBack(),
    vacuum: () => this.#database.exec('VACUUM'),
    'incremental-vacuum': () => this.#database.exec(`PRAGMA incremental_vacuum(${random.between(1, 2_000)})`),
    'journal-mode': () => unlessInUse(() => this.#switchTo(random.pick(JOURNAL_MODES))),
    'page-size': () => unlessInUse(() => this.#changePageSize()),
  };

  constructor(writer: WriterForm, notes: number) {
    this.#form = writer;
    this.#notes = notes;
    this.#database = open({ busyTimeoutMs: writer.busyTimeoutMs });
    this.#database.exec(`
      PRAGMA synchronous = ${writer.synchronous}; PRAGMA cache_size = ${writer.cachePages};
      PRAGMA wal_autocheckpoint = ${writer.autocheckpoint};
    `);
    number ??= Math.max(writer.lastNumber, this.#one('SELECT n FROM totals WHERE writer = ?', writer.writer));
  }

  close(): void {
    this.#database.close();
  }

  carryOut(deed: Deed): void {
    try {
      this.#deeds[deed]();
    } catch (error) {
      if (this.#form.failures === undefined || !/disk I\/O error/.test(String(error))) throw error;
      this.#noteFailure(this.#form.failures);
    }
  }

  /** That number is never used again, so whoever has it has a commit that failed. */
  #noteFailure(path: string): void {
    number = (number ?? 0) + 1;
    outcome.failures++;
    appendFileSync(path, `${this.#form.writer}:${number}\n`);
  }

  #switchTo(mode: string): void {
    const modeNow = () => this.#database.prepare('PRAGMA journal_mode').get()?.['journal_mode'];
    const before = modeNow();
    this.#database.prepare(`PRAGMA journal_mode = ${mode}`).get();
    if (modeNow() !== before) outcome.switches++;
  }

  /** Only out of WAL mode. */
  #changePageSize(): void {
    this.#switchTo('DELETE');
    this.#database.exec(`PRAGMA page_size = ${random.pick([512, 1024, 4096, 16_384, 65_536])}; VACUUM`);
    this.#switchTo('WAL');
  }

  #transaction(work: (t: number) => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    let noted: number;
    try {
      work(this.#one('SELECT t + 1 FROM clock'));
      noted = this.#log();
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
    this.#acknowledge(noted);
  }

  /** The next number of this writer; answers its moment. */
  #log(): number {
    const rows = this.#prepare('INSERT INTO log SELECT ?, ?, t + 1 FROM clock RETURNING t').all(
      this.#form.writer,
      (number ?? 0) + 1,
    );
    return Number(rows[0]?.['t']);
  }

  #acknowledge(t: number): void {
    number = (number ?? 0) + 1;
    outcome.commits++;
    noteAcknowledged(this.#notes, this.#form.writer, { n: number, t });
  }

  #transfer(): void {
    const amount = random.between(1, 100);
    for (const [change, id] of [
      [-amount, random.between(1, ACCOUNTS)],
      [amount, random.between(1, ACCOUNTS)],
    ] as const) {
      this.#run('UPDATE accounts SET balance = balance + ? WHERE id = ?', change, id);
    }
  }

  /** Rewrites a stretch of filler: more pages than the cache holds, so that they spill before the commit. */
  #rewrite(t: number): void {
    const rows = random.between(1, Math.min(this.#form.spillRowsMax, this.#form.fillerRows));
    const [first, last] = this.#stretch(rows);
    this.#changeFiller(first, last, () =>
      this.#run(
        'UPDATE filler SET t = ?, payload = randomblob(500 + abs(random() % 5000)) WHERE id BETWEEN ? AND ?',
        t,
        first,
        last,
      ),
    );
  }

  /** Deletes most of a full ledger, fills an empty one: the file shrinks and grows. */
  #reshape(t: number): void {
    const rows = this.#one('SELECT rows FROM stock');
    if (rows > this.#form.fillerRows * 0.7) {
      const [first, last] = this.#stretch(Math.floor(rows * random.pick([0.1, 0.5, 0.9])));
      this.#changeFiller(first, last, () => this.#run('DELETE FROM filler WHERE id BETWEEN ? AND ?', first, last));
      return;
    }
    const first = this.#one('SELECT coalesce(max(id), 0) + 1 FROM filler');
    const last = first + Math.min(this.#form.spillRowsMax, this.#form.fillerRows - rows);
    this.#changeFiller(first, last, () =>
      this.#run(
        `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
          INSERT INTO filler SELECT i, ?, randomblob(2000 + abs(random() % 2000)) FROM n`,
        first,
        last,
        t,
      ),
    );
  }

  #text(t: number): void {
    const count = random.between(1, 20);
    for (let index = 0; index < count; index++) {
      const doc = t * 100 + index;
      this.#run("INSERT INTO docs (rowid, body) VALUES (?, ? || hex(randomblob(40)) || ' ' || ?)", doc, 'told ', doc);
      this.#run("INSERT INTO words VALUES (hex(randomblob(8)) || '-' || ?, ?)", doc, doc);
    }
    if (this.#one('SELECT count(*) FROM words') > DOCS_MAX) {
      const before = this.#one('SELECT avg(doc) FROM words');
      this.#run('DELETE FROM docs WHERE rowid < ?', before);
      this.#run('DELETE FROM words WHERE doc < ?', before);
      if (random.chance(0.5)) this.#run("INSERT INTO docs (docs) VALUES ('optimize')");
    }
  }

  #savepoints(t: number): void {
    this.#database.exec('SAVEPOINT outer');
    this.#rewrite(t);
    this.#database.exec('SAVEPOINT inner');
    this.#run('DELETE FROM accounts WHERE id <= ?', random.between(1, ACCOUNTS));
    this.#run('DELETE FROM words');
    this.#database.exec('ROLLBACK TO inner; RELEASE inner');
    this.#transfer();
    this.#database.exec(random.chance(0.5) ? 'ROLLBACK TO outer; RELEASE outer' : 'RELEASE outer');
    this.#transfer();
  }

  #rollBack(): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      this.#run('DELETE FROM accounts WHERE id <= ?', random.between(1, ACCOUNTS));
      this.#rewrite(this.#one('SELECT t + 1 FROM clock'));
      this.#log();
    } finally {
      this.#database.exec('ROLLBACK');
    }
  }

  #stretch(rows: number): readonly [number, number] {
    const newest = this.#one('SELECT coalesce(max(id), 0) FROM filler');
    const oldest = this.#one('SELECT coalesce(min(id), 0) FROM filler');
    const first = random.between(oldest, Math.max(oldest, newest - rows));
    return [first, first + rows - 1];
  }

  #changeFiller(first: number, last: number, change: () => void): void {
    const sums =
      'SELECT count(*), coalesce(sum(length(payload)), 0), coalesce(sum(t), 0) FROM filler WHERE id BETWEEN ? AND ?';
    const before = this.#all(sums, first, last);
    change();
    const after = this.#all(sums, first, last);
    const [rows = 0, bytes = 0, times = 0] = after.map((value, index) => value - (before[index] ?? 0));
    this.#run('UPDATE stock SET rows = rows + ?, bytes = bytes + ?, times = times + ?', rows, bytes, times);
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#prepare(sql).run(...values);
  }

  #one(sql: string, ...values: SQLInputValue[]): number {
    return this.#all(sql, ...values)[0] ?? 0;
  }

  #all(sql: string, ...values: SQLInputValue[]): readonly number[] {
    return Object.values(this.#prepare(sql).get(...values) ?? {}).map(Number);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

const JOURNAL_MODES = ['WAL', 'WAL', 'DELETE', 'TRUNCATE', 'PERSIST'] as const;

/** A mode can't be left while others are connected; that is no error of theirs, nor of ours. */
function unlessInUse(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!/locked|busy/.test(String(error))) throw error;
  }
}

async function checkpoint(everyMs: number): Promise<void> {
  const database = open({ busyTimeoutMs: random.pick([0, 100, 2_000]) });
  console.log('started');
  while (!ending) {
    const mode = random.pick(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE']);
    attempt(mode, () => void database.prepare(`PRAGMA wal_checkpoint(${mode})`).get());
    await sleep(random.between(0, everyMs));
    await listen();
  }
  database.close();
}

async function read(holdMsMax: number): Promise<void> {
  const database = open();
  const moment = () => {
    const row = database.prepare('SELECT t, (SELECT max(t) FROM log) AS newest FROM clock').get();
    if (Number(row?.['t']) !== Number(row?.['newest'] ?? 0)) throw new Error(`a reader saw ${JSON.stringify(row)}`);
    return Number(row?.['t']);
  };
  console.log('started');
  while (!ending) {
    let before = 0;
    attempt('hold', () => {
      database.exec('BEGIN');
      before = moment();
    });
    for (let left = random.between(0, holdMsMax); left > 0 && !ending; left -= 50) await sleep(50);
    attempt('look again', () => {
      if (moment() !== before) throw new Error('an old snapshot changed');
      database.exec('COMMIT');
    });
    if (database.isTransaction) database.exec('ROLLBACK');
    await listen();
  }
  database.close();
}

async function visit(everyMs: number): Promise<void> {
  console.log('started');
  while (!ending) {
    attempt('visit', () => {
      const database = open({ readOnly: random.chance(0.3) });
      try {
        database.prepare('SELECT t FROM clock').get();
      } finally {
        database.close();
      }
    });
    await sleep(random.between(0, everyMs));
    await listen();
  }
}

async function idle(connections: number): Promise<void> {
  const held = Array.from({ length: connections }, () => open());
  attempt('stay', () => {
    // One never did anything: it has not even read the header.
    for (const [index, database] of held.entries()) if (index > 0) database.prepare('SELECT t FROM clock').get();
  });
  console.log('started');
  while (!ending) {
    await sleep(50);
    await listen();
  }
  for (const database of held) database.close();
}

await play();
console.log(JSON.stringify(outcome));
process.exit(0);
