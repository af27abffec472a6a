import { expect, test } from 'bun:test';
import { closeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { beginReading } from './begin.ts';
import { pragma } from './library.ts';
import { openConnection } from './live-database.ts';

const scratch = scratchFolders();

function opened(path: string) {
  const descriptors: number[] = [];
  const connection = openConnection(path, 0);
  return {
    connection,
    begin: () => beginReading(connection, { path, descriptors, deadline: performance.now() + 5_000 }),
    [Symbol.dispose]() {
      connection.close();
      for (const descriptor of descriptors) closeSync(descriptor);
    },
  };
}

test('an app that switches to WAL mode after it was asked is read in WAL mode, with its log', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path, { journalMode: 'delete' });
  const app = await openElsewhere(path);
  using ours = opened(path);
  expect(pragma(ours.connection, 'journal_mode')).toBe('delete');
  await app.ask('PRAGMA journal_mode = WAL');
  await app.ask("INSERT INTO notes (text) VALUES ('in the log') RETURNING id");
  const { journalMode, log } = ours.begin();
  expect(journalMode).toBe('wal');
  expect(log?.frames).toBeGreaterThan(0);
  ours.connection.exec('COMMIT');
  await app.close();
});

test('the end of the log is that of the transaction, whatever is committed after it began', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  const app = await openElsewhere(path);
  using ours = opened(path);
  const { log } = ours.begin();
  await app.ask("INSERT INTO notes (text) VALUES ('later') RETURNING id");
  ours.connection.exec('COMMIT');
  const next = ours.begin().log;
  expect(next?.frames).toBeGreaterThan(log?.frames ?? 0);
  ours.connection.exec('COMMIT');
  await app.close();
});

test('an index that was removed is an error that says so', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  const app = await openElsewhere(path);
  using ours = opened(path);
  ours.connection.prepare('SELECT count(*) FROM notes').get();
  rmSync(`${path}-shm`);
  const { code, message } = await refusal(() => ours.begin());
  expect([code, message]).toEqual(['DB_NOT_SHARED', `${path}-shm was removed while the database was in use`]);
  await app.close();
});
