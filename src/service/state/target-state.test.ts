import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { manifestOf, openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { TargetState } from './target-state.ts';

const scratch = scratchFolders();
const warnings: string[] = [];
const open = (path: string) => new TargetState(path, { warn: (message) => warnings.push(message) });

test('what is stored at S3 is remembered over a restart until it is forgotten', () => {
  const path = join(scratch(), 'state.sqlite');
  const at = new Date('2024-03-01T12:00:00Z');
  const state = open(path);
  const error = { code: 'S3_DENIED', message: 'no', hint: 'Ask.' } as const;
  state.setUpload({ backup: 'a', status: 'failed', at, error });
  state.setUpload({ backup: 'a', status: 'stored', at, sealing: 'zstd+age' });
  state.close();
  const again = open(path);
  expect([...again.uploads()]).toEqual([['a', { backup: 'a', status: 'stored', at, sealing: 'zstd+age' }]]);
  again.forgetUpload('a');
  expect(again.uploads().size).toBe(0);
  again.close();
});

test('a listing is kept over a restart; of another place nothing is known', () => {
  const path = join(scratch(), 'state.sqlite');
  const at = new Date('2024-03-01T12:00:00Z');
  const entries = [1, 2, 3].map((day) => {
    const manifest = manifestOf(new Date(Date.UTC(2024, 0, day)));
    return { name: manifest.name, etag: `"${day}"`, manifest, fault: null, verification: null };
  });
  const state = open(path);
  state.setPlace('here/backups');
  expect(state.listing()).toBeNull();
  state.saveListing(at, { changed: entries, gone: [] });
  state.saveListing(at, {
    changed: [{ name: entries[0]?.name ?? '', etag: '', manifest: null, fault: 'torn', verification: null }],
    gone: [entries[1]?.name ?? ''],
  });
  const error = { code: 'S3_DENIED', message: 'no', hint: 'Ask.' } as const;
  state.waiting = { nextTryAt: at, error };
  state.setUpload({ backup: 'a', status: 'stored', at, sealing: 'plain' });
  state.close();

  const again = open(path);
  again.setPlace('here/backups');
  expect(again.listing()?.listedAt).toEqual(at);
  expect(again.listing()?.backups.map(({ name, fault }) => [name, fault])).toEqual([
    [entries[0]?.name ?? '', 'torn'],
    [entries[2]?.name ?? '', null],
  ]);
  expect(again.listing()?.backups[1]).toEqual(entries[2]);
  expect(again.waiting).toEqual({ nextTryAt: at, error });

  again.setPlace('elsewhere/backups');
  expect([again.listing(), again.uploads().size, again.waiting]).toEqual([null, 0, { nextTryAt: null, error: null }]);
  again.setPlace('here/backups');
  expect([again.listing()?.backups.length, again.uploads().size]).toEqual([2, 1]);
  again.close();
});

test('a state that can not be written just now warns and goes on', async () => {
  const path = join(scratch(), 'state.sqlite');
  const state = open(path);
  const other = await openElsewhere(path);
  await other.ask('BEGIN IMMEDIATE');
  const before = warnings.length;
  state.setUpload({ backup: 'a', status: 'stored', at: new Date(), sealing: 'plain' });
  expect(warnings.length).toBe(before + 1);
  await other.kill();
  state.close();
});

test('a state of an older version learns who removed a copy', () => {
  const path = join(scratch(), 'state.sqlite');
  const at = new Date('2024-03-01T12:00:00Z');
  const older = new DatabaseSync(path);
  older.exec(`CREATE TABLE s3_uploads (
    place TEXT, backup TEXT, status TEXT NOT NULL, at INTEGER NOT NULL, sealing TEXT, error TEXT,
    PRIMARY KEY (place, backup));
    INSERT INTO s3_uploads VALUES ('', 'a', 'removed', ${at.getTime()}, NULL, NULL)`);
  older.close();
  const state = open(path);
  const removed = { status: 'removed', at } as const;
  state.setUpload({ backup: 'b', ...removed, why: 'by ada' });
  expect([...state.uploads().values()]).toEqual([
    { backup: 'a', ...removed },
    { backup: 'b', ...removed, why: 'by ada' },
  ]);
  state.close();
});
