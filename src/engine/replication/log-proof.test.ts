import { expect, test } from 'bun:test';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { readLogIndex } from '../sqlite/wal-index.ts';
import { LogProof, NotCaptured } from './log-proof.ts';
import { beginOfLog, readLogTail } from './log-tail.ts';
import { PageSums, sumPage } from './page-sums.ts';

const scratch = scratchFolders();
const PAGE = 4096;

test('of a page that was written again and again the newest frame counts, however much of the log is compared', () => {
  const path = join(scratch(), 'app.sqlite');
  using app = new DatabaseSync(path);
  app.exec(`PRAGMA page_size = ${PAGE}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0`);
  app.exec('CREATE TABLE t (x); CREATE TABLE u (x)');
  const [log, index] = [openSync(`${path}-wal`, 'r'), openSync(`${path}-shm`, 'r')];
  const looked = () => {
    const begin = beginOfLog(log);
    const tail = begin && readLogTail(log, begin, readLogIndex(index)?.frames ?? 0);
    if (!tail) throw new Error('the log is not whole');
    const words = new Uint32Array(2 * tail.commitPages);
    const page = Buffer.alloc(PAGE);
    for (const [number, place] of tail.pages) {
      readSync(log, page, 0, PAGE, place);
      sumPage(page, words, 2 * (number - 1));
    }
    return { position: tail.position, sums: () => PageSums.of(PAGE, words.slice()) };
  };
  const first = looked();
  for (const _ of [1, 2, 3]) app.exec('INSERT INTO u VALUES (1)');
  const then = looked();
  for (const _ of [1, 2, 3]) app.exec('INSERT INTO t VALUES (1)');
  const last = looked();
  const proofFrom = (from: typeof first | null) => {
    const proof = new LogProof(log);
    proof.startAt(from?.position ?? null);
    return proof;
  };
  for (const from of [null, first, then]) {
    proofFrom(from).prove(last.position, last.sums());
    expect(() => proofFrom(from).prove(last.position, then.sums())).toThrow(NotCaptured);
  }
  // What was proven before is not asked again.
  const stale = first.sums();
  stale.accept(stale.change([2], last.sums().words.subarray(2, 4), last.sums().pages));
  proofFrom(then).prove(last.position, stale);
  expect(() => proofFrom(first).prove(last.position, stale)).toThrow(NotCaptured);
  for (const file of [log, index]) closeSync(file);
});
