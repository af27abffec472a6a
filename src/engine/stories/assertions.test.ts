import { expect, test } from 'bun:test';
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask, makeDatabase, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { checkAssertions, isPath, readAssertions, splitStatements } from './assertions.ts';

const scratch = scratchFolders();

function notes(): string {
  const path = join(scratch(), 'notes.sqlite');
  makeDatabase(path, { rows: 3, journalMode: 'delete' });
  return path;
}

test('statements are told apart by semicolons that are none of a text, a name or a comment', () => {
  const sql = `-- first; of all
    SELECT ';' AS "a;b", 'it''s;' FROM [c;d], \`e;f\` WHERE 1 - 2 / 3; /* no; */ ;
    SELECT 2 /* ; */ -- ;
    ;;`;
  expect(splitStatements(sql)).toEqual([
    `SELECT ';' AS "a;b", 'it''s;' FROM [c;d], \`e;f\` WHERE 1 - 2 / 3`,
    'SELECT 2',
  ]);
  expect(splitStatements(' -- nothing')).toEqual([]);
  expect(splitStatements("SELECT 'unclosed; ")).toEqual(["SELECT 'unclosed;"]);
});

test('each row of each statement must begin with something true', async () => {
  const path = notes();
  const held = 'SELECT count(*) = 3 FROM notes; SELECT id, 0 FROM notes; SELECT 9223372036854775807; PRAGMA page_size';
  expect(checkAssertions(path, held)).toBe(4);
  const complaints: [string, string][] = [
    ['SELECT count(*) > 3 FROM notes', 'row 1 begins with "0"'],
    ['SELECT id < 3 FROM notes ORDER BY id', 'row 3 begins with "0"'],
    ['SELECT max(id) FROM notes WHERE id > 9', 'row 1 begins with NULL'],
    ["SELECT ''", 'row 1 begins with ""'],
    ['SELECT id FROM notes WHERE id > 9', 'it returns no row'],
    ['SELECT id FROM missing', 'no such table: missing'],
  ];
  for (const [statement, complaint] of complaints) {
    const { code, message } = await refusal(() => checkAssertions(path, `SELECT 1; ${statement}; SELECT 1`));
    expect([code, message]).toEqual([
      'DRILL_FAILED',
      `an assertion does not hold on the restored backup: ${statement}: ${complaint}`,
    ]);
  }
  expect((await refusal(() => checkAssertions(path, '-- none'))).code).toBe('BAD_CONFIG');
});

test('an assertion changes nothing', async () => {
  const path = notes();
  const made = join(scratch(), 'made.sqlite');
  for (const statement of [
    ...['DELETE FROM notes RETURNING 1', 'CREATE TABLE more (id)', 'PRAGMA user_version = 5'],
    ...[`VACUUM INTO '${made}'`, `ATTACH '${made}' AS made`],
  ]) {
    expect((await refusal(() => checkAssertions(path, statement))).code).toBe('DRILL_FAILED');
  }
  expect(existsSync(made)).toBe(false);
  expect([ask(path, 'SELECT count(*) FROM notes'), ask(path, 'PRAGMA user_version')]).toEqual([3, 0]);
});

test('what is no statement is the path of a file', async () => {
  const path = join(scratch(), 'select.sql');
  writeFileSync(path, 'SELECT 1');
  expect([readAssertions(path), readAssertions(' with x AS (SELECT 1) SELECT 1')]).toEqual([
    'SELECT 1',
    ' with x AS (SELECT 1) SELECT 1',
  ]);
  expect((await refusal(() => readAssertions(`${path}.none`))).message).toContain('BACKUP_DRILL_SQL');
});

test('a path may begin like a statement, and what is no text is not read', async () => {
  for (const path of ['select.sql', 'with.sql', 'values/x.sql', './drill.sql'])
    expect([path, isPath(path)]).toEqual([path, true]);
  for (const sql of ['select 1', 'VALUES(1)', 'SELECT*FROM t', '-- why\nSELECT 1', "SELECT'x'", 'select/* */1'])
    expect([sql, isPath(sql)]).toEqual([sql, false]);
  const folder = scratch();
  mkdirSync(join(folder, 'folder.sql'));
  writeFileSync(join(folder, 'large.sql'), '');
  truncateSync(join(folder, 'large.sql'), 2 ** 21);
  for (const name of ['folder.sql', 'large.sql'])
    expect((await refusal(() => readAssertions(join(folder, name)))).message).toContain(
      'is not a file of SQL statements',
    );
});
