import { expect, test } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDatabase, scratchFolders } from '../../../tests/support/scratch.ts';
import { asideOf, openStateDatabase, type StateDatabase } from './state-database.ts';

const scratch = scratchFolders();
const PAGE = 4096;

function open(path: string) {
  const warnings: string[] = [];
  return { database: openStateDatabase(path, { warn: (message) => warnings.push(message) }), warnings };
}

/** A state with rows on many pages, all but the first of which are damaged. */
function damaged(): string {
  const path = join(scratch(), 'state.sqlite');
  const { database } = open(path);
  for (let note = 0; note < 200; note++) add(database, note);
  database.close();
  const bytes = readFileSync(path);
  bytes.fill(0xff, PAGE);
  writeFileSync(path, bytes);
  return path;
}
const add = (database: StateDatabase, note: number) =>
  database.prepare('INSERT INTO notes VALUES (?, ?, ?)').run('.', `${note}`, 'x'.repeat(500));
const count = (database: StateDatabase) => Number(database.prepare('SELECT count(*) AS n FROM notes').get()?.['n']);

test('damage that a statement meets sets the file aside once, whichever connections meet it', () => {
  const path = damaged();
  const [one, two] = [open(path), open(path)];
  expect([count(one.database), count(two.database)]).toEqual([0, 0]);
  add(one.database, 1);
  expect(count(two.database)).toBe(1);
  expect([one.warnings, two.warnings]).toEqual([
    [expect.stringMatching(/^The run history .*state\.sqlite was damaged \(.*\); it was moved to .* begun anew\.$/)],
    [],
  ]);
  expect(asideOf(path).length).toBe(1);
  one.database.close();
  two.database.close();
});

test('a transaction that meets damage is carried out whole on the new file', () => {
  const path = damaged();
  const { database } = open(path);
  database.transaction(() => {
    database.prepare("INSERT INTO s3_notes VALUES ('p', 'k', 'v')").run();
    add(database, 1_000);
  });
  const notes = database.prepare('SELECT count(*) AS n FROM s3_notes').get()?.['n'];
  expect([notes, count(database)]).toEqual([1, 1]);
  database.close();
});

test('a disk that damages each new file is not filled with damaged ones', () => {
  const path = damaged();
  for (let made = 0; made < 5; made++) writeFileSync(`${path}.damaged-1-${made}`, '');
  const { database, warnings } = open(path);
  expect(count(database)).toBe(0);
  add(database, 1);
  expect([count(database), asideOf(path).length]).toEqual([1, 5]);
  expect(warnings.at(-1)).toContain('kept in memory until the next start');
  database.close();
});

test('tables that somebody removed are answered from memory, and what another program has stays', () => {
  const path = join(scratch(), 'state.sqlite');
  const { database, warnings } = open(path);
  openStateDatabase(path, { warn: () => {} })
    .prepare('DROP TABLE notes')
    .run();
  expect(count(database)).toBe(0);
  expect(warnings).toEqual([expect.stringContaining('no such table')]);
  const other = join(scratch(), 'other.sqlite');
  makeDatabase(other);
  const foreign = open(other);
  expect(count(foreign.database)).toBe(0);
  expect([foreign.warnings, readdirSync(dirname(other))]).toEqual([
    [expect.stringContaining('is the database of another program')],
    ['other.sqlite'],
  ]);
});
