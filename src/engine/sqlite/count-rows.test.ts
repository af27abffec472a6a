import { expect, test } from 'bun:test';
import { DatabaseSync } from 'node:sqlite';
import { countRows } from './count-rows.ts';

function database(sql: string): DatabaseSync {
  const made = new DatabaseSync(':memory:');
  made.exec(sql);
  return made;
}

const rows = (count: number) =>
  `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) SELECT i FROM n`;

test('each table of a person is counted, whatever its kind and size', () => {
  using small = database(`
    CREATE TABLE empty (id); CREATE TABLE "a ""name""" (id); INSERT INTO "a ""name""" VALUES (1);
    CREATE TABLE pairs (a PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO pairs VALUES (1, 2), (3, 4);
    CREATE TABLE exact (id); INSERT INTO exact ${rows(20_000)};
    CREATE TABLE large (id); INSERT INTO large ${rows(90_001)};
    CREATE VIRTUAL TABLE docs USING fts5(text); INSERT INTO docs VALUES ('one');
    CREATE VIEW seen AS SELECT 1; CREATE TABLE counters (id INTEGER PRIMARY KEY AUTOINCREMENT);
  `);
  expect(countRows(small, { deadlineMs: 60_000 })).toEqual({
    ...{ empty: 0, 'a "name"': 1, pairs: 2, exact: 20_000, large: 90_001, docs: 1, counters: 0 },
  });
});

test('without time nothing is counted, and each table is named', () => {
  using made = database('CREATE TABLE one (id); CREATE TABLE two (id)');
  expect(countRows(made, { deadlineMs: -1 })).toEqual({ one: null, two: null });
});

test('what takes too long leaves time for the others, before it in the alphabet or behind', () => {
  using made = database(`
    CREATE TABLE a (id); INSERT INTO a VALUES (1); CREATE TABLE z (id); INSERT INTO z VALUES (1), (2);
    CREATE TABLE events (id); INSERT INTO events ${rows(30_000)};
  `);
  let ms = 0;
  // Each statement takes a millisecond: then there is none left for more rows of the large one.
  expect(countRows(made, { deadlineMs: 4, nowMs: () => ms++ })).toEqual({ a: 1, events: null, z: 2 });
});
