/** Random schemas, random losses, random wishes: a rescue and its undo leave exactly what was there before. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { RescueScene } from '../../../tests/support/rescue-scene.ts';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { seededRandom } from '../../../tests/support/torture-random.ts';
import { BackupError } from '../../words/errors.ts';

setDefaultTimeout(600_000);
const newFolder = scratchFolders();
const ROUNDS = Number(process.env['RESCUE_ROUNDS'] ?? 100);
const FIRST_SEED = Number(process.env['RESCUE_SEED'] ?? 1);

function dice(seed: number) {
  const random = seededRandom(seed);
  return {
    next: (below: number) => random.between(0, below - 1),
    of: <T>(all: readonly T[]): T => all[random.between(0, all.length - 1)] as T, // it is within
    chance: (percent: number) => random.chance(percent / 100),
  };
}
type Dice = ReturnType<typeof dice>;

interface MadeTable {
  readonly name: string;
  readonly key: 'integer' | 'auto' | 'text' | 'composite' | 'bare' | 'none';
  readonly refersTo: string | null;
}

function makeSchema(random: Dice): { readonly sql: string; readonly tables: readonly MadeTable[] } {
  const tables: MadeTable[] = [];
  const sql: string[] = [];
  for (let at = 0; at < 1 + random.next(4); at++) {
    const name = `t${at} "x`;
    const key = random.of(['integer', 'auto', 'text', 'composite', 'bare', 'none'] as const);
    const parents = tables.filter((one) => one.key === 'integer' || one.key === 'auto');
    const parent = parents.length > 0 && random.chance(60) ? random.of(parents) : null;
    const quoted = `"${name.replaceAll('"', '""')}"`;
    const keyColumns = {
      integer: 'id INTEGER PRIMARY KEY, ',
      auto: 'id INTEGER PRIMARY KEY AUTOINCREMENT, ',
      text: `id TEXT PRIMARY KEY${random.chance(50) ? ' COLLATE NOCASE' : ''} NOT NULL, `,
      composite: 'id TEXT COLLATE NOCASE, sub INTEGER, ',
      bare: 'id TEXT PRIMARY KEY, ',
      none: '',
    }[key];
    const tail =
      key === 'composite' ? ', PRIMARY KEY (id, sub)) WITHOUT ROWID' : key === 'bare' ? ') WITHOUT ROWID' : ')';
    const refers = parent
      ? `, parent INTEGER REFERENCES "${parent.name.replaceAll('"', '""')}" ON DELETE ${random.of(['CASCADE', 'SET NULL', 'NO ACTION'])}`
      : '';
    sql.push(
      `CREATE TABLE ${quoted} (${keyColumns}a, b TEXT${random.chance(30) ? ' UNIQUE' : ''}, c INTEGER DEFAULT 7, d AS (c + 1)${refers}${tail}`,
      `CREATE INDEX "i${at}" ON ${quoted} (c)`,
    );
    if (random.chance(50))
      sql.push(
        `CREATE TRIGGER "g${at}" AFTER ${random.of(['INSERT', 'UPDATE', 'DELETE'])} ON ${quoted} BEGIN INSERT INTO log VALUES ('g${at}'); END`,
      );
    tables.push({ name, key, refersTo: parent?.name ?? null });
  }
  return { sql: ['CREATE TABLE log (x)', ...sql].join(';\n'), tables };
}

const values = [
  'NULL',
  '1',
  '-5',
  '1.0',
  '0.1',
  "'1'",
  "x'00ff'",
  "'ÄÖ'",
  "'long ' || hex(zeroblob(300))",
  '9007199254740993',
  '1e999',
  "''",
  "CAST(x'ff00fe' AS TEXT)",
];

function change(scene: RescueScene, random: Dice, table: MadeTable): void {
  const name = `"${table.name.replaceAll('"', '""')}"`;
  const id =
    table.key === 'text' || table.key === 'bare' || table.key === 'composite'
      ? `'${random.of(['a', 'A', 'b', 'c', 'D', 'e', 'f'])}'`
      : `${1 + random.next(9)}`;
  const where = table.key === 'none' ? `rowid = ${id}` : `id = ${id}`;
  const parent = table.refersTo === null ? 'NULL' : random.of([`${1 + random.next(9)}`, 'NULL']);
  const cells = [
    ...(table.key === 'none' ? [] : [id]),
    ...(table.key === 'composite' ? [`${random.next(3)}`] : []),
    ...[random.of(values), random.chance(40) ? 'NULL' : `'${random.next(12)}'`, random.of(values)],
    ...(table.refersTo === null ? [] : [parent]),
  ];
  const sql = random.of([
    `INSERT INTO ${name} VALUES (${cells.join(', ')})`,
    `INSERT INTO ${name} VALUES (${cells.join(', ')})`,
    `UPDATE ${name} SET a = ${random.of(values)}, b = ${random.chance(50) ? 'b' : `'${random.next(12)}'`} WHERE ${where}`,
    `DELETE FROM ${name} WHERE ${where}`,
  ]);
  attempt(scene, sql);
}

/** What a rule of the table forbids changes nothing. */
function attempt(scene: RescueScene, sql: string): void {
  try {
    scene.app.exec(sql);
  } catch {
    // As it was.
  }
}

function round(seed: number): 'rescued' | 'refused' {
  const random = dice(seed);
  const { sql, tables } = makeSchema(random);
  const scene = new RescueScene(newFolder(), sql, random.of(['wal', 'delete']));
  scene.app.exec('PRAGMA foreign_keys = ON');
  for (let n = 0; n < 40; n++) change(scene, random, random.of(tables));
  scene.backUp(scene.source);
  for (let n = 0; n < random.next(25); n++) change(scene, random, random.of(tables));
  if (random.chance(20)) attempt(scene, `DELETE FROM "${random.of(tables).name.replaceAll('"', '""')}"`);
  const since = random.chance(40) ? scene.backUp(`${scene.source}-since`) : null;
  if (since) for (let n = 0; n < 10; n++) change(scene, random, random.of(tables));
  const picked = tables.filter(() => random.chance(70));
  const wish = (picked.length > 0 ? picked : tables).map(({ name }) => ({
    ...{ table: name, changed: random.chance(50) },
    conflicts: random.of(['keep', 'take', 'take'] as const),
  }));
  const before = scene.dump();
  try {
    const record = scene.rescue(wish, {}, since);
    expect(scene.rows('PRAGMA foreign_key_check')).toEqual([]);
    expect(scene.plan(wish, {}, since).writes).toBe(0);
    const after = new Set(scene.dump().split('\n'));
    const isKept = !since && wish.every(({ conflicts }) => conflicts === 'keep');
    if (isKept) expect(rowsOf(before).filter((row) => !after.has(row))).toEqual([]);
    expect(scene.rows('PRAGMA integrity_check')).toEqual([['ok']]);
    const { undone, left } = scene.undo(record.id);
    expect({ left, undone }).toEqual({
      left: 0,
      undone: record.tables.reduce((sum, one) => sum + one.inserted + one.updated, 0),
    });
    expect(scene.dump()).toBe(before);
    undoLater(scene, random, { tables, before, record: scene.rescue(wish, {}, since) });
    return 'rescued';
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'BAD_REQUEST') throw error;
    expect(scene.dump()).toBe(before);
    return 'refused';
  } finally {
    scene.app.close();
  }
}

/** The app goes on after the rescue: an undo takes no row of its own away, and breaks no reference. */
function undoLater(
  scene: RescueScene,
  random: Dice,
  { tables, before, record }: { tables: readonly MadeTable[]; before: string; record: { readonly id: string } },
): void {
  const known = new Set(rowsOf(before));
  const rescued = new Set(rowsOf(scene.dump()).filter((row) => !known.has(row)));
  for (let n = 0; n < 12; n++) change(scene, random, random.of(tables));
  const dump = scene.dump();
  try {
    scene.undo(record.id);
  } catch (error) {
    expect(error).toMatchObject({ code: 'NOTHING_TO_UNDO' });
    expect(scene.dump()).toBe(dump);
  }
  const after = new Set(rowsOf(scene.dump()));
  expect(rowsOf(dump).filter((row) => !rescued.has(row) && !after.has(row))).toEqual([]);
  expect(scene.rows('PRAGMA foreign_key_check')).toEqual([]);
  expect(scene.rows('PRAGMA integrity_check')).toEqual([['ok']]);
}

/** What begins with a table's name, or counts keys up, is no row of the app. */
const rowsOf = (dump: string) => dump.split('\n').filter((line) => line.startsWith('['));

test('a rescue and its undo leave exactly what was there before', () => {
  let rescued = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
    try {
      if (round(seed) === 'rescued') rescued++;
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
    }
  }
  if (ROUNDS > 10) expect(rescued).toBeGreaterThan(ROUNDS / 4);
});
