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
import { accountForPages } from '../src/engine/sqlite/account.ts';
import { digestFile, digestInBackground } from '../src/engine/sqlite/digest.ts';
import { readFacts } from '../src/engine/sqlite/facts.ts';
import { pragma } from '../src/engine/sqlite/library.ts';
import { pinDatabase } from '../src/engine/sqlite/live-database.ts';
import { PageFile, pagesOf } from '../src/engine/sqlite/pages.ts';
import { type PinnedSnapshot, takeSnapshot } from '../src/engine/sqlite/snapshot.ts';
import { readEntries, hasPages } from '../src/engine/sqlite/schema.ts';
import { TreeWalker } from '../src/engine/sqlite/tree.ts';
import { judgeFile, openUnwritten, verifySnapshot } from '../src/engine/sqlite/verify.ts';

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
  'check-mapped': () => checkMapped(database),
  /** All that verification does but the digest. */
  judged: () => void judgeFile(database, 'quick'),
  /** Our own walk through all trees, for those that SQLite can't look into. */
  walked: () => walk(database),
  /** Times itself: verification has the pages mapped by then, and a process that maps them anew would pay for that. */
  'facts-after-check': () => {
    const file = openUnwritten(database);
    file.prepare('PRAGMA quick_check').get();
    const startedMs = performance.now();
    const sizes = { pages: Number(pragma(file, 'page_count')), pageSize: Number(pragma(file, 'page_size')) };
    const account = accountForPages(file, new PageFile(pagesOf(openSync(database, 'r'), sizes)));
    if (account === null) throw new Error('this SQLite library has no dbstat');
    readFacts(file, account, sizes);
    const tookMs = performance.now() - startedMs;
    file.close();
    return { tookMs };
  },
  'backup-without-facts': () =>
    durable(async () => {
      const snapshot = await pinnedCopy({});
      const sha256 = snapshot.sha256 ?? digestInBackground(destination);
      checkMapped(destination);
      await sha256;
    }),
  'backup-with-facts': () =>
    durable(async () => {
      const snapshot = await pinnedCopy({});
      await verifySnapshot(snapshot, { method: 'quick', now: () => new Date() });
    }),
  sha256: () => digestFile(database),
} satisfies Record<string, () => unknown>;

export type Work = keyof typeof works;

interface BetterConnection {
  backup(destination: string): Promise<unknown>;
  close(): void;
}

try {
  const startedMs = performance.now();
  const timed: unknown = await works[work as Work]();
  const own = typeof timed === 'object' && timed !== null && 'tookMs' in timed ? timed.tookMs : undefined;
  console.log(own ?? performance.now() - startedMs);
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

async function pinnedCopy(options: { paceBytes?: number }): Promise<PinnedSnapshot> {
  const pinned = pinDatabase(database, { now: () => new Date() });
  return await takeSnapshot(pinned, destination, {
    ...options,
    signal: new AbortController().signal,
    onProgress: () => {},
  });
}

function checkMapped(path: string): void {
  const file = openUnwritten(path);
  const said = Object.values(file.prepare('PRAGMA quick_check').get() ?? {})[0];
  file.close();
  if (said !== 'ok') throw new Error(`quick_check said ${String(said)}`);
}

function walk(path: string): void {
  const file = openUnwritten(path);
  const sizes = { pages: Number(pragma(file, 'page_count')), pageSize: Number(pragma(file, 'page_size')) };
  const walker = new TreeWalker(new PageFile(pagesOf(openSync(path, 'r'), sizes)));
  for (const entry of readEntries(file).filter(hasPages))
    walker.walk({ page: entry.rootPage, name: entry.name, isTable: null });
  file.close();
  if (walker.complaints.length > 0) throw new Error(walker.complaints.join('; '));
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
