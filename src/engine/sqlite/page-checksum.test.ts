/** Databases as an app with SQLite's `cksumvfs` leaves them: 8 bytes of each page hold its checksum. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { areMissing } from '../../../tests/support/programs.ts';
import { openShop, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { pinDatabase } from './live-database.ts';
import { takeSnapshot } from './snapshot.ts';
import { verifyFile } from './verify.ts';

const scratch = scratchFolders();
const isUntried = areMissing(['sqlite3']);
const PAGE = 4096;

/** Two sums of 32 bits over the words of a page, https://sqlite.org/cksumvfs.html */
function checksum(page: Uint8Array): Uint8Array {
  const words = new Uint32Array(new Uint8Array(page.subarray(0, PAGE - 8)).buffer);
  const sums = new Uint32Array(2);
  for (let at = 0; at < words.length; at += 2) {
    sums[0] = (sums[0] ?? 0) + (words[at] ?? 0) + (sums[1] ?? 0);
    sums[1] = (sums[1] ?? 0) + (words[at + 1] ?? 0) + (sums[0] ?? 0);
  }
  return new Uint8Array(sums.buffer);
}

const pagesOf = (bytes: Buffer) =>
  Array.from({ length: bytes.length / PAGE }, (_, at) => bytes.subarray(at * PAGE, (at + 1) * PAGE));
const wrongPages = (path: string) =>
  pagesOf(readFileSync(path)).flatMap((page, at) => (page.subarray(-8).equals(checksum(page)) ? [] : [at + 1]));

function makeChecked(path: string, mode: 'wal' | 'delete'): void {
  const input = `.filectrl reserve_bytes 8\nVACUUM;\nCREATE TABLE notes (id INTEGER PRIMARY KEY, text);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO notes SELECT i, 'note ' || i FROM n;
    PRAGMA journal_mode = ${mode};\n`;
  expect(spawnSync('sqlite3', [path], { input }).status).toBe(0);
  const bytes = readFileSync(path);
  expect(bytes[20]).toBe(8);
  for (const page of pagesOf(bytes)) page.set(checksum(page), PAGE - 8);
  writeFileSync(path, bytes);
  expect(wrongPages(path)).toEqual([]);
}

for (const mode of ['wal', 'delete'] as const) {
  test.skipIf(isUntried)(`a copy of a database in ${mode} mode has a right checksum on page 1`, async () => {
    const live = join(scratch(), 'shop.sqlite');
    makeChecked(live, mode);
    const copy = join(scratch(), 'copy.sqlite');
    await takeSnapshot(pinDatabase(live, { now: () => new Date() }), copy, {
      signal: new AbortController().signal,
      onProgress: () => {},
    });
    expect(wrongPages(copy)).toEqual([]);
    await verifyFile(copy, { method: 'full' });
  });
}

test.skipIf(isUntried)('a copy that needs the log has one too', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeChecked(live, 'wal');
  const reader = new DatabaseSync(live);
  const writer = new DatabaseSync(live);
  reader.exec('BEGIN; SELECT count(*) FROM notes');
  writer.exec("INSERT INTO notes (text) VALUES ('in the log'); CREATE TABLE later (a)");
  const copy = join(scratch(), 'copy.sqlite');
  await takeSnapshot(pinDatabase(live, { now: () => new Date() }), copy, {
    signal: new AbortController().signal,
    onProgress: () => {},
  });
  writer.close();
  reader.close();
  // What this SQLite wrote into the log has none, but for page 1.
  expect(wrongPages(copy)).not.toContain(1);
});

test.skipIf(isUntried)(
  'restored offline page 1 has a right one; online it is refused, and the plan says so',
  async () => {
    await using shop = openShop(scratch());
    const path = join(scratch(), 'checked.sqlite');
    makeChecked(path, 'delete');
    const plan = await shop.service.planRestore(path);
    expect([plan.modes.includes('online'), plan.warnings.join()]).toEqual([
      false,
      expect.stringContaining('page checksums'),
    ]);
    expect(await refusal(() => shop.service.restore(path))).toMatchObject({ code: 'UNSUPPORTED' });
    await shop.service.restore(path, { mode: 'offline' });
    expect(wrongPages(shop.databasePath)).toEqual([]);
  },
);
