import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ask, makeDatabase, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { verifyFile } from './verify.ts';

const scratch = scratchFolders();
const methods = ['quick', 'full'] as const;

function database(journalMode: 'wal' | 'delete' = 'delete'): string {
  const path = join(scratch(), 'backup.sqlite');
  makeDatabase(path, { rows: 2_000, journalMode });
  return path;
}

async function complaint(path: string, method: 'quick' | 'full' = 'quick'): Promise<string> {
  const error = await refusal(() => verifyFile(path, { method }));
  expect(error.code).toBe('VERIFY_FAILED');
  return error.message;
}

function overwrite(path: string, position: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, position);
  closeSync(file);
}

test('a good file is described: its size, its pages and the digest of its bytes', async () => {
  const path = database();
  for (const method of methods) {
    const findings = await verifyFile(path, { method });
    const sizeBytes = statSync(path).size;
    const { facts, content, unchecked, ...file } = findings;
    expect([content, unchecked]).toEqual([[], []]);
    expect(facts?.tables['notes']?.rows).toBe(2_000);
    expect(file).toEqual({
      sizeBytes,
      pageSize: 4096,
      pages: sizeBytes / 4096,
      sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
    });
  }
});

test('a file whose header says WAL is judged as it is, and nothing appears beside it', async () => {
  const path = database('wal');
  const before = readFileSync(path);
  expect((await verifyFile(path, { method: 'full' })).sizeBytes).toBe(before.length);
  expect(readdirSync(dirname(path))).toEqual(['backup.sqlite']);
  expect(readFileSync(path).equals(before)).toBe(true);
});

test('a file that was cut off is refused, at a page’s end and within one', async () => {
  for (const cutBytes of [4096, 100]) {
    const path = database();
    truncateSync(path, statSync(path).size - cutBytes);
    expect(await complaint(path)).toContain('the integrity check failed');
  }
});

test('a file that is longer than its pages say is good, as those of apps that set aside room in chunks are', async () => {
  const path = database();
  const sizeBytes = statSync(path).size;
  truncateSync(path, sizeBytes + 4096);
  expect(await verifyFile(path, { method: 'quick' })).toMatchObject({
    sizeBytes: sizeBytes + 4096,
    pages: sizeBytes / 4096,
  });
});

test('a page of garbage is found by both checks', async () => {
  for (const method of methods) {
    const path = database();
    const root = Number(ask(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'notes'"));
    overwrite(path, (root - 1) * 4096, Buffer.alloc(4096, 0xa5));
    expect(await complaint(path, method)).toContain('the integrity check failed');
  }
});

test('a page that a table and the freelist both claim is found, though a view hides it from SQLite’s own check', async () => {
  const path = database();
  const file = new DatabaseSync(path);
  file.exec('CREATE TABLE other AS SELECT * FROM notes; DELETE FROM other; CREATE VIEW v0 AS SELECT * FROM notes');
  const root = Number(file.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'notes'").get()?.['rootpage']);
  file.close();
  const claimed = Buffer.alloc(4);
  claimed.writeUInt32BE(root);
  overwrite(path, (readFileSync(path).readUInt32BE(32) - 1) * 4096 + 8, claimed);
  for (const method of methods) {
    expect(await complaint(path, method)).toContain(`page ${root} is used by the freelist and by table notes`);
  }
});

test('an index that disagrees with its table is found by the full check alone', async () => {
  const path = database();
  const file = new DatabaseSync(path);
  file.enableDefensive?.(false);
  file.exec(
    `PRAGMA writable_schema = ON; UPDATE sqlite_schema SET type = 'table', name = 'x', tbl_name = 'x', sql = 'CREATE TABLE x (a PRIMARY KEY, b) WITHOUT ROWID' WHERE name = 'notes_by_text'`,
  );
  file.close();
  const changed = new DatabaseSync(path);
  changed.enableDefensive?.(false);
  changed.exec(`UPDATE x SET a = a || ' changed' WHERE a = (SELECT min(a) FROM x); PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET type = 'index', name = 'notes_by_text', tbl_name = 'notes', sql = 'CREATE INDEX notes_by_text ON notes (text)' WHERE name = 'x'`);
  changed.close();
  expect((await verifyFile(path, { method: 'quick' })).pageSize).toBe(4096);
  expect(await complaint(path, 'full')).toContain('notes_by_text');
});

test('an empty file and one that is no database are refused with what they are', async () => {
  const path = join(scratch(), 'backup.sqlite');
  writeFileSync(path, '');
  expect(await complaint(path)).toContain('the file is empty');
  writeFileSync(path, 'SQLite format 2\0 and something else');
  expect(await complaint(path)).toContain('does not begin like a SQLite database');
  writeFileSync(path, `SQLite format 3\0${'garbage '.repeat(1_000)}`);
  expect(await complaint(path)).toContain('the integrity check failed');
});

test('a name with characters that mean something in a URI is opened as it is', async () => {
  const path = join(scratch(), 'a b?mode=rwc#50%.sqlite');
  makeDatabase(path, { journalMode: 'delete' });
  expect((await verifyFile(path, { method: 'quick' })).pages).toBeGreaterThan(2);
});
