/** What shows at a size that takes seconds to make. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openUnwritten } from '../../src/engine/sqlite/verify.ts';
import { accountOfFile } from '../support/account.ts';
import { scratchFolders } from '../support/scratch.ts';

const scratch = scratchFolders();

function make(sql: string): string {
  const path = join(scratch(), 'backup.sqlite');
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA synchronous = OFF; ${sql}`);
  database.close();
  return path;
}

test('beyond 1 GiB the lock page belongs to nobody, also where the pointer map makes way for it', () => {
  // Pages of this size: a page of the pointer map would be the lock page.
  const path = make(`PRAGMA page_size = 1024; PRAGMA auto_vacuum = 1; PRAGMA journal_mode = OFF; CREATE TABLE t (v);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11)
      INSERT INTO t SELECT zeroblob(100000000) FROM n;
    CREATE VIEW v0 AS SELECT * FROM t`);
  const database = openUnwritten(path);
  try {
    const { account } = accountOfFile(path, database);
    expect(account.complaints).toEqual([]);
    expect(account.trees.get('t')?.contentBytes).toBeGreaterThan(1_100_000_000);
  } finally {
    database.close();
  }
});
