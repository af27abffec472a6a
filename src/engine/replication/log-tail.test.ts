import { expect, test } from 'bun:test';
import { closeSync, openSync, readFileSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { readLogIndex } from '../sqlite/wal-index.ts';
import { beginOfLog, followsOn, isStillThere, readLogTail } from './log-tail.ts';

const scratch = scratchFolders();
const FIFTY_PAGES = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
  INSERT INTO t (text) SELECT printf('%.3000c', 'x') FROM n`;

function openLogged(pageSize = 4096) {
  const path = join(scratch(), 'app.sqlite');
  const app = new DatabaseSync(path);
  app.exec(`PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0`);
  app.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  const [log, index] = [openSync(`${path}-wal`, 'r'), openSync(`${path}-shm`, 'r')];
  return {
    path,
    app,
    log,
    frames: () => readLogIndex(index)?.frames ?? 0,
    begin() {
      const begin = beginOfLog(log);
      if (begin === null) throw new Error('the log has no header');
      return begin;
    },
    [Symbol.dispose]() {
      app.close();
      closeSync(log);
      closeSync(index);
    },
  };
}

test('what is committed since a position is read, page by page the newest, and proven by the next read', () => {
  for (const pageSize of [512, 4096, 65_536]) {
    using logged = openLogged(pageSize);
    const { app, log } = logged;
    const first = readLogTail(log, logged.begin(), logged.frames());
    expect(first?.commits).toBe(1);
    for (let k = 0; k < 5; k++) app.exec(`INSERT INTO t (text) VALUES ('${'x'.repeat(300)}')`);
    const next = first && readLogTail(log, first.position, logged.frames());
    expect(next?.commits).toBe(5);
    // The page that all five changed is there once.
    expect(next?.pages.size).toBeLessThan((next?.position.frames ?? 0) - (first?.position.frames ?? 0) + 1);
    expect(next && isStillThere(log, next.position)).toBe(true);
    const none = next && readLogTail(log, next.position, logged.frames());
    expect([none?.commits, none?.pages.size]).toEqual([0, 0]);
  }
});

test('pages behind the end of a database that shrank are left out', () => {
  using logged = openLogged();
  const { app, log } = logged;
  app.exec(FIFTY_PAGES);
  app.exec('DELETE FROM t');
  app.exec('VACUUM');
  const tail = readLogTail(log, logged.begin(), logged.frames());
  const pages = Number(app.prepare('PRAGMA page_count').get()?.['page_count']);
  expect(tail?.commitPages).toBe(pages);
  expect(Math.max(...(tail?.pages.keys() ?? []))).toBeLessThanOrEqual(pages);
});

test('frames behind the end of the index are none: a transaction that is open, or was rolled back', () => {
  using logged = openLogged();
  const { app, log } = logged;
  const committed = logged.frames();
  app.exec('PRAGMA cache_size = 2; BEGIN');
  app.exec(FIFTY_PAGES);
  expect(logged.frames()).toBe(committed);
  const tail = readLogTail(log, logged.begin(), logged.frames());
  expect([tail?.commits, tail?.position.frames]).toEqual([1, committed]);
  app.exec('ROLLBACK');
  app.exec("INSERT INTO t (text) VALUES ('after')");
  expect(tail && isStillThere(log, tail.position)).toBe(true);
  expect(tail && readLogTail(log, tail.position, logged.frames())?.commits).toBe(1);
});

test('a log that was begun anew is no longer there, and lies behind the one before', () => {
  using logged = openLogged();
  const { app, log } = logged;
  const tail = readLogTail(log, logged.begin(), logged.frames());
  if (tail === null) throw new Error('there is a commit');
  app.exec('PRAGMA wal_checkpoint(RESTART)');
  app.exec("INSERT INTO t (text) VALUES ('in the next log')");
  expect(isStillThere(log, tail.position)).toBe(false);
  expect(followsOn(logged.begin(), tail.position)).toBe(true);
  app.exec('PRAGMA wal_checkpoint(RESTART)');
  app.exec("INSERT INTO t (text) VALUES ('in the one after')");
  expect(followsOn(logged.begin(), tail.position)).toBe(true);
  expect(followsOn(tail.position, logged.begin())).toBe(false);
});

test('a damaged or shortened log is not read', () => {
  using logged = openLogged();
  const { app, log, path } = logged;
  app.exec("INSERT INTO t (text) VALUES ('one')");
  const frames = logged.frames();
  const writer = openSync(`${path}-wal`, 'r+');
  const at = 32 + 24 + 1_000;
  const byte = Buffer.alloc(1);
  readSync(writer, byte, 0, 1, at);
  writeSync(writer, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  expect(readLogTail(log, logged.begin(), frames)).toBeNull();
  writeSync(writer, byte, 0, 1, at);
  expect(readLogTail(log, logged.begin(), frames)?.commits).toBe(2);
  closeSync(writer);
  truncateSync(`${path}-wal`, 32 + 24);
  expect(readLogTail(log, logged.begin(), frames)).toBeNull();
});

test('a log with checksums in the other order of bytes is read, and its damage is seen', () => {
  using logged = openLogged();
  const { app, path } = logged;
  app.exec(FIFTY_PAGES);
  const bytes = inOtherOrder(readFileSync(`${path}-wal`));
  const copy = join(scratch(), 'other-wal');
  const read = () => {
    writeFileSync(copy, bytes);
    const log = openSync(copy, 'r');
    const begin = beginOfLog(log);
    const tail = begin && readLogTail(log, begin, logged.frames());
    closeSync(log);
    return tail;
  };
  const tail = readLogTail(logged.log, logged.begin(), logged.frames());
  const other = read();
  expect([other?.commits, other?.commitPages, other?.pages]).toEqual([tail?.commits, tail?.commitPages, tail?.pages]);
  bytes[5_000] = (bytes[5_000] ?? 0) ^ 1;
  expect(read()).toBeNull();
});

/** As a machine of the other order of bytes would have begun it. */
function inOtherOrder(log: Buffer): Buffer {
  const frameBytes = 24 + log.readUInt32BE(8);
  const other = Buffer.from(log);
  other.writeUInt32BE(log.readUInt32BE(0) ^ 1, 0);
  const isLittleEndian = other.readUInt32BE(0) % 2 === 0;
  let [first, second] = [0, 0];
  const add = (from: number, to: number) => {
    for (let at = from; at < to; at += 8) {
      const word = (place: number) => (isLittleEndian ? other.readUInt32LE(place) : other.readUInt32BE(place));
      first = (first + word(at) + second) >>> 0;
      second = (second + word(at + 4) + first) >>> 0;
    }
  };
  const note = (at: number) => {
    other.writeUInt32BE(first, at);
    other.writeUInt32BE(second, at + 4);
  };
  add(0, 24);
  note(24);
  for (let at = 32; at + frameBytes <= other.length; at += frameBytes) {
    add(at, at + 8);
    add(at + 24, at + frameBytes);
    note(at + 16);
  }
  return other;
}
