/**
 * One copy, or one piece of the work around it, in a process of its own that times itself: the start of a runtime would
 * blur what is compared. Arguments: what to do, database path, destination path. Prints the milliseconds it took.
 *
 * A result that its maker doesn't flush itself is flushed here where `durable` says so; the usual recipe is left as it is
 * usually run.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { backup, DatabaseSync } from 'node:sqlite';
import { digestFile } from '../src/engine/sqlite/digest.ts';
import { pinDatabase } from '../src/engine/sqlite/live-database.ts';
import { takeSnapshot } from '../src/engine/sqlite/snapshot.ts';

const [work = '', database = '', destination = ''] = process.argv.slice(2);
const ALL_PAGES = 2 ** 31 - 1;
const BUSY_TIMEOUT_MS = 10_000;

const works = {
  'cp-fsync': () => durable(() => cp(['--reflink=never'])),
  'pinned-unpaced': () => durable(() => pinnedCopy({ paceBytes: 0 })),
  'pinned-paced': () => durable(() => pinnedCopy({})),
  'usual-recipe': () => {
    withConnection((connection) => connection.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get());
    cp([]);
  },
  'vacuum-into': () => withConnection((connection) => connection.prepare('VACUUM INTO ?').run(destination)),
  /** Also the page copy of an online restore, when the destination is a database. */
  'node-sqlite': async () => {
    const connection = new DatabaseSync(database, { readOnly: true });
    await backup(connection, destination, { rate: ALL_PAGES });
    connection.close();
  },
  'better-sqlite3': async () => {
    // By a name that the compiler doesn't follow: it takes part only where it is installed.
    const name = 'better-sqlite3';
    const { default: BetterSqlite } = (await import(name)) as { default: new (path: string) => BetterConnection };
    const connection = new BetterSqlite(database);
    await connection.backup(destination);
    connection.close();
  },
  'quick-check': () => {
    const file = new DatabaseSync(database, { readOnly: true });
    const said = Object.values(file.prepare('PRAGMA quick_check').get() ?? {})[0];
    file.close();
    if (said !== 'ok') throw new Error(`quick_check said ${String(said)}`);
  },
  sha256: () => digestFile(database),
} satisfies Record<string, () => unknown>;

export type Work = keyof typeof works;

interface BetterConnection {
  backup(destination: string): Promise<unknown>;
  close(): void;
}

try {
  const startedMs = performance.now();
  await works[work as Work]();
  console.log(performance.now() - startedMs);
} catch (error) {
  // The report has room for one line.
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function durable(copy: () => unknown): Promise<void> {
  await copy();
  const file = openSync(destination, 'r+');
  fsyncSync(file);
  closeSync(file);
}

function cp(options: readonly string[]): void {
  execFileSync('cp', [...options, '--', database, destination]);
}

async function pinnedCopy(options: { paceBytes?: number }): Promise<void> {
  const pinned = pinDatabase(database, { now: () => new Date() });
  await takeSnapshot(pinned, destination, {
    ...options,
    signal: new AbortController().signal,
    onProgress: () => {},
  });
}

function withConnection(use: (connection: DatabaseSync) => unknown): void {
  const connection = new DatabaseSync(database);
  try {
    connection.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    use(connection);
  } finally {
    connection.close();
  }
}
