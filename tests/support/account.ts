/** The account of a file's pages, beside the connection that has it open. */
import { closeSync, openSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { type Account, accountForPages } from '../../src/engine/sqlite/account.ts';
import type { PageSizes } from '../../src/engine/sqlite/judge.ts';
import { pragma } from '../../src/engine/sqlite/library.ts';
import { PageFile, pagesOf } from '../../src/engine/sqlite/pages.ts';

export function accountOfFile(path: string, database: DatabaseSync): { account: Account; sizes: PageSizes } {
  const sizes = { pages: Number(pragma(database, 'page_count')), pageSize: Number(pragma(database, 'page_size')) };
  const descriptor = openSync(path, 'r');
  try {
    const account = accountForPages(database, new PageFile(pagesOf(descriptor, sizes)));
    if (account === null) throw new Error('this library has no dbstat');
    return { account, sizes };
  } finally {
    closeSync(descriptor);
  }
}
