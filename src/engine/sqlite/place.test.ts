/** A database replaced while others use it. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { ask, makeDatabase, openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { placeOnline } from './place.ts';

const scratch = scratchFolders();

for (const journalMode of ['wal', 'delete'] as const) {
  test(`an online restore waits for a writer that holds the lock (${journalMode})`, async () => {
    const folder = scratch();
    const database = join(folder, 'shop.sqlite');
    const source = join(folder, 'backup.sqlite');
    makeDatabase(database, { rows: 10, journalMode });
    makeDatabase(source, { rows: 3, journalMode: 'delete' });
    const writer = await openElsewhere(database);
    await writer.ask('BEGIN IMMEDIATE');
    const placed = placeOnline(source, database);
    const first = await Promise.race([placed.then(() => 'placed', String), Bun.sleep(300).then(() => 'waiting')]);
    expect(first).toBe('waiting');
    await writer.ask('COMMIT');
    await placed;
    await writer.close();
    expect(ask(database, 'SELECT count(*) FROM notes')).toBe(3);
  });
}
