/** A process that dies while a database is out of its mode, or half replaced: the next one finds all as it was. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { leaveWal } from './out-of-wal.ts';
import { removeDeadPlacements } from './place.ts';

const scratch = scratchFolders();
const count = 'SELECT count(*) FROM notes';

function shop(journalMode: 'wal' | 'delete') {
  const folder = scratch();
  const [database, source] = [join(folder, 'shop.sqlite'), join(scratch(), 'source.sqlite')];
  makeDatabase(database, { rows: 10, journalMode });
  makeDatabase(source, { rows: 20_000, journalMode: 'delete' });
  return { folder, database, source };
}

/** A process that kills itself at the end of that program. */
function dies(program: string): void {
  const module = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  const { signal, stderr } = spawnSync(
    process.execPath,
    [
      '--config=/dev/null',
      '-e',
      `const { leaveWal } = await import(${module('./out-of-wal.ts')});
       const { placeThroughSqlite } = await import(${module('./place.ts')});
       const die = () => process.kill(process.pid, 'SIGKILL');
       ${program}`,
    ],
    { encoding: 'utf8' },
  );
  expect([signal, stderr]).toEqual(['SIGKILL', '']);
}

test('a process that dies with the database out of WAL mode leaves a note, and the next one gives the mode back', () => {
  const { folder, database } = shop('wal');
  dies(`leaveWal(${JSON.stringify(database)}); die();`);
  expect(ask(database, 'PRAGMA journal_mode')).toBe('delete');
  expect(readdirSync(folder)).toContainEqual(expect.stringMatching(/^shop\.sqlite\.restoring-\d+$/));
  removeDeadPlacements(database);
  expect([ask(database, 'PRAGMA journal_mode'), readdirSync(folder)]).toEqual(['wal', ['shop.sqlite']]);
});

for (const journalMode of ['wal', 'delete'] as const) {
  test(`a process that dies while it replaces the database has replaced nothing (${journalMode})`, () => {
    const { folder, database, source } = shop(journalMode);
    const given = `${JSON.stringify(source)}, ${JSON.stringify(database)}`;
    dies(`await placeThroughSqlite(${given}, { isWal: ${journalMode === 'wal'}, onLocked: die });`);
    expect(existsSync(`${database}-journal`)).toBe(journalMode === 'delete');
    expect([ask(database, count), ask(database, 'PRAGMA integrity_check')]).toEqual([10, 'ok']);
    expect(ask(database, 'PRAGMA journal_mode')).toBe(journalMode);
    // SQLite overwrites a journal of nothing with the next one.
    ask(database, 'DELETE FROM notes');
    expect(readdirSync(folder)).toEqual(['shop.sqlite']);
  });
}

test('a database to which anybody is connected stays in WAL mode, without a note', async () => {
  const { folder, database } = shop('wal');
  const app = await openElsewhere(database);
  expect((await refusal(() => leaveWal(database))).code).toBe('RESTORE_IN_USE');
  expect(await app.ask('PRAGMA journal_mode')).toBe('wal');
  await app.close();
  expect(readdirSync(folder).filter((entry) => entry.includes('restoring'))).toEqual([]);
});
