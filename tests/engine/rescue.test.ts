/** A rescue where things go wrong around it: it is killed, its app goes on, its disk is full, its source was made by an enemy. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { runJob } from '../../src/engine/process/run-job.ts';
import { newRescueId, readRecords, requireRecord, rescuesFolder } from '../../src/engine/inside/rescue-record.ts';
import { undoRescue } from '../../src/engine/inside/rescue-undo.ts';
import { BackupError } from '../../src/words/errors.ts';
import { hostileKinds, makeHostile } from '../support/hostile-databases.ts';
import { RescueScene } from '../support/rescue-scene.ts';
import { scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(600_000);
const newFolder = scratchFolders();
const program = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const environment = { PATH: process.env['PATH'] ?? '' };

const SHOP = `
  CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
  CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER REFERENCES customers (id), total REAL);
  CREATE TABLE products (sku TEXT PRIMARY KEY, price REAL);
  CREATE TABLE log (what);
  CREATE TRIGGER orders_log AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (new.id); END;
  INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob'), (3, 'Cyd');
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO orders SELECT i, CASE WHEN i <= 50 THEN 3 ELSE 2 END, i FROM n;
  INSERT INTO products SELECT 'p' || id, id FROM orders; INSERT INTO products VALUES ('mine', 0);
`;
/** What an app that is gone left, so that nobody has it open. */
function lostScene(mode: string): RescueScene {
  const scene = new RescueScene(newFolder(), SHOP, mode);
  scene.app.exec(
    "DELETE FROM orders WHERE id <= 50; DELETE FROM customers WHERE id = 3; UPDATE products SET price = 0 WHERE sku LIKE 'p1%'",
  );
  return scene;
}

/** The prices that were lost, by their keys: the app goes on changing another one. */
const prices = Array.from({ length: 200 }, (_, at) => `p${at + 1}`).filter((sku) => sku.startsWith('p1'));
const wish = [
  { table: 'orders' },
  { table: 'products', keys: prices.map((sku) => JSON.stringify([`t${sku}`])), conflicts: 'take' as const },
];

for (const mode of ['wal', 'delete'])
  for (const step of ['draft', 'ready', 'locked', 'written', 'committed'])
    test(`in ${mode} mode, a rescue that is killed at the step ${step} wrote nothing, or all of it can be undone`, async () => {
      const scene = lostScene(mode);
      const before = scene.dump();
      const folder = rescuesFolder(scene.folder);
      const id = newRescueId(new Date());
      const go = {
        ...{
          databasePath: scene.databasePath,
          source: scene.source,
          sourceName: 'then',
          since: null,
          folder,
          id,
          step,
        },
        wish: scene.wish(wish),
      };
      const killed = spawnSync(process.execPath, [program('rescue-killed-main.ts'), JSON.stringify(go)]);
      expect([killed.signal, String(killed.stderr)]).toEqual(['SIGKILL', '']);
      const warnings: string[] = [];
      const list = {
        kind: 'rescues',
        ...{ databasePath: scene.databasePath, folder: scene.folder, lockWaitMs: 5_000 },
      } as const;
      const rescues = await runJob<'rescues'>(list, {
        environment,
        onEvent: (event) => event.type === 'warning' && warnings.push(event.message),
      });
      if (step !== 'committed') {
        expect([rescues, scene.dump()]).toEqual([[], before]);
        if (step !== 'draft')
          expect(warnings).toEqual([`The rescue ${id} was interrupted: nothing of it was written.`]);
        // What is left of a draft without its record goes with the next rescue.
        expect(readRecords(folder)).toEqual([]);
        return;
      }
      expect(warnings).toEqual([`The rescue ${id} was interrupted: its rows are written.`]);
      expect(rescues).toMatchObject([{ id, state: 'written' }]);
      expect(scene.rows('SELECT count(*) FROM orders')).toEqual([[200]]);
      const undo = { databasePath: scene.databasePath, folder, at: new Date(), record: requireRecord(folder, id) };
      expect(undoRescue(undo)).toMatchObject({ left: 0 });
      expect(scene.dump()).toBe(before);
    });

for (const step of ['ready', 'locked', 'written', 'committed'])
  test(`an undo that is killed at the step ${step} undid nothing or all, and says which`, async () => {
    const scene = lostScene('wal');
    const before = scene.dump();
    const folder = rescuesFolder(scene.folder);
    const id = newRescueId(new Date());
    const go = {
      ...{ databasePath: scene.databasePath, source: scene.source, sourceName: 'then', since: null, folder, id },
      wish: scene.wish(wish),
    };
    const run = (more: object) =>
      spawnSync(process.execPath, [program('rescue-killed-main.ts'), JSON.stringify({ ...go, ...more })]);
    expect(run({}).status).toBe(0);
    const rescued = scene.dump();
    expect(run({ undo: true, step }).signal).toBe('SIGKILL');
    const list = {
      kind: 'rescues',
      ...{ databasePath: scene.databasePath, folder: scene.folder, lockWaitMs: 5_000 },
    } as const;
    const rescues = await runJob<'rescues'>(list, { environment });
    const isUndone = step === 'committed';
    expect(rescues).toMatchObject([{ id, state: isUndone ? 'undone' : 'written' }]);
    expect(scene.dump()).toBe(isUndone ? before : rescued);
    if (!isUndone) {
      expect(run({ undo: true }).status).toBe(0);
      expect(scene.dump()).toBe(before);
    }
  });

for (const mode of ['wal', 'delete'])
  test(`in ${mode} mode, the app goes on beside rescues and undos: it loses no row and meets no error`, async () => {
    const scene = lostScene(mode);
    const ordersBefore = scene.rows('SELECT id FROM orders').length;
    const child = spawn(process.execPath, [program('rescue-writer-main.ts'), scene.databasePath], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    await lines.next();
    const ended = once(child, 'exit');
    let last = scene.rescue(wish);
    for (let round = 0; round < 4; round++) {
      const { undone, left } = scene.undo(last.id);
      expect([undone > 50, left]).toEqual([true, 0]);
      last = scene.rescue(wish);
    }
    child.stdin.end();
    const { orders, errors, firstError } = JSON.parse(String((await lines.next()).value));
    await ended;
    expect([errors, firstError]).toEqual([0, '']);
    expect(orders).toBeGreaterThan(0);
    expect(scene.rows('SELECT count(*) FROM orders WHERE customer = 1')).toEqual([[orders]]);
    expect(scene.rows("SELECT price FROM products WHERE sku = 'mine'")).toEqual([[orders]]);
    expect(scene.rows('SELECT count(*) FROM orders')).toEqual([[ordersBefore + 50 + orders]]);
    expect(scene.rows("SELECT count(*) FROM products WHERE price = 0 AND sku <> 'mine'")).toEqual([[0]]);
    // Triggers fire for what the app writes, and for nothing of ours.
    expect(scene.rows('SELECT count(*) FROM log')).toEqual([[200 + orders]]);
    expect(scene.rows('PRAGMA integrity_check')).toEqual([['ok']]);
  });

test('a source that an enemy made: each plan answers or is refused, and nothing escapes', async () => {
  const outcomes = new Map<string, string>();
  for (const kind of Object.keys(hostileKinds)) {
    const folder = newFolder();
    const scene = new RescueScene(
      folder,
      'CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO users VALUES (1, 1)',
      'delete',
    );
    const [source, outside] = [join(folder, 'enemy.sqlite'), join(folder, 'outside')];
    makeHostile(kind, source, { seed: 1, outside });
    const before = scene.dump();
    const request = {
      ...({ kind: 'rescue-plan' } as const),
      ...{ databasePath: scene.databasePath, folder, source, sourceName: 'enemy', since: null },
      wish: scene.wish([{ table: 'users', changed: true, conflicts: 'take' }]),
    } as const;
    const limits = { cpuMs: 2_000, memoryBytes: 600_000_000 };
    const outcome = await runJob<'rescue-plan'>(request, { environment, limits }).then(
      () => 'planned',
      (error: unknown) => BackupError.from(error).code,
    );
    outcomes.set(kind, outcome);
    expect([kind, existsSync(outside), scene.dump() === before]).toEqual([kind, false, true]);
    scene.app.close();
  }
  const known = new Set(['planned', 'VERIFY_FAILED', 'CHECK_GAVE_UP', 'NOT_SQLITE', 'ENCODING_DIFFERS', 'BAD_BACKUP']);
  expect([...outcomes].filter(([, outcome]) => !known.has(outcome))).toEqual([]);
});

test('a full disk keeps the draft from being made, and nothing is written', () => {
  // A file system in memory of its own would need rights; a limit on the size of files does the same to SQLite.
  const scene = lostScene('wal');
  const before = scene.dump();
  const folder = rescuesFolder(scene.folder);
  const go = {
    ...{ databasePath: scene.databasePath, source: scene.source, sourceName: 'then', since: null, folder },
    ...{ id: newRescueId(new Date()), wish: scene.wish(wish) },
  };
  const limited = `trap '' XFSZ; ulimit -f 8; exec "$@"`;
  const { status } = spawnSync('bash', [
    ...['-c', limited, 'bash', process.execPath, program('rescue-killed-main.ts'), JSON.stringify(go)],
  ]);
  expect(status).not.toBe(0);
  expect(scene.dump()).toBe(before);
  expect(readdirSync(folder)).toEqual([]);
});
