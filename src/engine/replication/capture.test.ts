import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { type SqlProcess, startSqlProcess } from '../../../tests/support/sql-process.ts';
import { FollowedDatabase } from '../sqlite/followed-database.ts';
import { Capture } from './capture.ts';
import { LocalStream } from './local-stream.ts';
import { materialize } from './materialize.ts';
import { rebase } from './rebase.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
let app: SqlProcess | undefined;
afterEach(async () => await app?.[Symbol.asyncDispose]());

async function startCapture() {
  const path = join(scratch(), 'app.sqlite');
  const sql = startSqlProcess(path);
  app = sql;
  await sql.run('PRAGMA journal_mode = WAL');
  await sql.run('CREATE TABLE t (id INTEGER PRIMARY KEY, text)');
  const folder = join(scratch(), 'continuous');
  const stream = new LocalStream(folder);
  stream.prepare();
  const database = new FollowedDatabase(path);
  const now = () => new Date();
  const first = { txid: 0n, at: new Date(0), tag: 7, state: 0n, sums: null };
  const { head } = await rebase(database, stream, first, { now, signal: new AbortController().signal });
  const capture = new Capture(database, stream, head, now);
  capture.startAt(head.position);
  return { sql, folder, database, capture };
}

test('a transaction too long to be kept in memory is captured before the pin moves', async () => {
  const { sql, database, capture } = await startCapture();
  using _database = database;
  expect(capture.movePin()).toBe(true);
  const insert = (megabytes: number) => sql.run(`INSERT INTO t (text) VALUES (zeroblob(${megabytes} * 1000000))`);
  await insert(20);
  expect(capture.movePin()).toBe(false);
  expect((await capture.capture())?.maxTxid).toBe(2n);
  expect(capture.movePin()).toBe(true);
  await insert(1);
  // What is short is read while the pin moves.
  expect(capture.movePin()).toBe(true);
  expect((await capture.capture())?.maxTxid).toBe(3n);
  expect(await capture.capture()).toBeNull();
  // What several moves read counts together.
  for (const isMoved of [true, true, false]) {
    await insert(6);
    expect(capture.movePin()).toBe(isMoved);
  }
  expect((await capture.capture())?.maxTxid).toBe(4n);
  // The rest was left in the log.
  expect((await capture.capture())?.maxTxid).toBe(5n);
});

test('however often the pin moves, what came meanwhile is one segment, also beyond a log that begins anew', async () => {
  const { sql, folder, database, capture } = await startCapture();
  using _database = database;
  const grow = (rows: number) =>
    sql.run(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
      INSERT INTO t (text) SELECT hex(randomblob(500)) FROM n`);
  const steps = [
    () => grow(100),
    () => sql.run('DELETE FROM t'),
    () => sql.run('VACUUM'),
    () => grow(40),
    () => grow(1),
  ];
  const { salts } = database.index();
  for (const [round, step] of [...steps, ...steps].entries()) {
    await step();
    expect(capture.movePin()).toBe(true);
    // With all of it merged and the pin at its end, the next write begins the log anew.
    if (round % 3 === 2) {
      database.checkpoint();
      expect(capture.movePin()).toBe(true);
    }
  }
  expect(database.index().salts).not.toBe(salts);
  expect((await capture.capture())?.maxTxid).toBe(2n);
  expect(await capture.capture()).toBeNull();
  const to = join(scratch(), 'restored.sqlite');
  await materialize(folder, { latest: true }, to);
  const restored = startSqlProcess(to);
  const content = 'SELECT count(*) AS rows, total(length(text)) AS bytes, max(text) AS text FROM t';
  expect(await restored.run(content)).toEqual(await sql.run(content));
  expect(await restored.run('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
  await restored[Symbol.asyncDispose]();
});
