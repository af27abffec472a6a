import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { type SqlProcess, startSqlProcess } from '../../../tests/support/sql-process.ts';
import { FollowedDatabase } from '../sqlite/followed-database.ts';
import { Capture } from './capture.ts';
import { LocalStream } from './local-stream.ts';
import { rebase } from './rebase.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
let app: SqlProcess | undefined;
afterEach(async () => await app?.[Symbol.asyncDispose]());

test('a transaction too long to be kept in memory is captured before the pin moves', async () => {
  const path = join(scratch(), 'app.sqlite');
  app = startSqlProcess(path);
  await app.run('PRAGMA journal_mode = WAL');
  await app.run('CREATE TABLE t (text)');
  const stream = new LocalStream(join(scratch(), 'continuous'));
  stream.prepare();
  using database = new FollowedDatabase(path);
  const now = () => new Date();
  const first = { txid: 0n, at: new Date(0), tag: 7, state: 0n, sums: null };
  const { head } = await rebase(database, stream, first, { now, signal: new AbortController().signal });
  const capture = new Capture(database, stream, head, now);
  capture.startAt(head.position);
  expect(capture.movePin()).toBe(true);
  const insert = (megabytes: number) => app?.run(`INSERT INTO t VALUES (zeroblob(${megabytes} * 1000000))`);
  await insert(20);
  expect(capture.movePin()).toBe(false);
  expect((await capture.capture())?.maxTxid).toBe(2n);
  expect(capture.movePin()).toBe(true);
  await insert(1);
  // What is short is read while the pin moves.
  expect(capture.movePin()).toBe(true);
  expect((await capture.capture())?.maxTxid).toBe(3n);
  expect(await capture.capture()).toBeNull();
});
