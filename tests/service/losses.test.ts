/** Losses through real backups: what raises the alarm and what does not, what is kept, and how it ends. */
import { expect, test } from 'bun:test';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { change, makeDatabase, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';
import { nameBackup } from '../../src/engine/format/names.ts';
import { formatManifest, type Manifest, parseManifest } from '../../src/engine/format/manifest.ts';
import { LOSS_DAYS } from '../../src/engine/catalog/loss.ts';
import { guardMigration } from '../../src/service/restores/migration-guard.ts';

const scratch = scratchFolders();
const hourMs = 3_600_000;

async function backUp({ service }: Shop): Promise<string> {
  const { filename, error } = await service.performBackup();
  if (!filename) throw new Error(error?.message);
  return filename;
}

const losses = async ({ service }: Shop) =>
  (await service.getBackups()).flatMap(({ filename, loss }) => (loss ? [{ filename, ...loss }] : []));
const verdict = async ({ service }: Shop) => (await service.getStatus()).verdict.code;
const names = async ({ service }: Shop) => (await service.getBackups()).map(({ filename }) => filename);
const full =
  'CREATE TABLE orders AS SELECT id, text FROM notes; CREATE TABLE customers AS SELECT id FROM notes LIMIT 5';
const openFull = async (folder = scratch(), options: Parameters<typeof openShop>[1] = {}) => {
  const shop = openShop(folder, { form: { rows: 2_000 }, ...options });
  change(shop.databasePath, full);
  return shop;
};

/** Makes a backup as old as if it had been made then. */
function age(shop: Shop, filename: string, hours: number): string {
  const manifest = readManifest(shop, filename);
  const createdAt = new Date(Date.parse(manifest.createdAt) - hours * hourMs);
  const name = nameBackup(createdAt);
  const { artifact } = manifest;
  rmSync(join(shop.backups, `${filename}.json`));
  renameSync(join(shop.backups, filename), join(shop.backups, name));
  writeManifest(shop, {
    ...{ ...manifest, name, createdAt: createdAt.toISOString(), artifact: { ...artifact, file: name } },
    sequence: Math.floor(createdAt.getTime() / 1_000),
  });
  return name;
}

function readManifest({ backups }: Shop, filename: string): Manifest {
  return parseManifest(readFileSync(join(backups, `${filename}.json`), 'utf8'), filename);
}

function writeManifest({ backups }: Shop, manifest: Manifest): void {
  writeFileSync(join(backups, `${manifest.name}.json`), formatManifest(manifest));
}

// ── what raises it ──

const lossesOf: readonly [what: string, work: (shop: Shop) => void, tables: readonly object[]][] = [
  [
    'an emptied database at the same path',
    ({ databasePath }) => {
      for (const ending of ['', '-wal', '-shm']) rmSync(databasePath + ending, { force: true });
      makeDatabase(databasePath, { rows: 1 });
    },
    [
      { name: 'orders', before: 2_000, after: null },
      { name: 'notes', before: 2_000, after: 1 },
      { name: 'customers', before: 5, after: null },
    ],
  ],
  [
    'a DELETE without WHERE',
    (shop) => change(shop.databasePath, 'DELETE FROM orders'),
    [{ name: 'orders', before: 2_000, after: 0 }],
  ],
  [
    'a DELETE of most rows',
    (shop) => change(shop.databasePath, 'DELETE FROM orders WHERE id > 900'),
    [{ name: 'orders', before: 2_000, after: 900 }],
  ],
  [
    'a DROP',
    (shop) => change(shop.databasePath, 'DROP TABLE orders'),
    [{ name: 'orders', before: 2_000, after: null }],
  ],
  [
    'a database of another app in its place',
    ({ databasePath }) => {
      for (const ending of ['', '-wal', '-shm']) rmSync(databasePath + ending, { force: true });
      change(
        databasePath,
        `CREATE TABLE users (id INTEGER PRIMARY KEY, name); CREATE TABLE events (id INTEGER PRIMARY KEY, v);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
          INSERT INTO events SELECT i, 'x' FROM n`,
      );
    },
    [{ name: 'notes' }, { name: 'orders' }, { name: 'customers' }],
  ],
];

for (const [what, work, tables] of lossesOf) {
  test(`${what} is marked, shown and logged, and the backup before it outlives the count`, async () => {
    await using shop = await openFull(scratch(), { settings: { retentionCount: 1 } });
    const before = await backUp(shop);
    work(shop);
    const shows = await backUp(shop);
    for (let round = 0; round < 3; round++) await backUp(shop);
    const [loss] = await losses(shop);
    expect(loss).toMatchObject({ filename: shows, before, dayBefore: null, accepted: null });
    expect(loss?.tables).toEqual(tables.map((table) => expect.objectContaining(table)));
    expect(await losses(shop)).toHaveLength(1);
    expect((await names(shop)).slice(1)).toEqual([shows, before]);
    const status = await shop.service.getStatus();
    expect(status.verdict).toEqual({ code: 'loss', tone: 'red' });
    expect(status.freshness).toMatchObject({ state: 'at-risk', cause: 'loss' });
    expect(status.loss).toMatchObject({ filename: shows, before });
    expect(shop.log.join('\n')).toContain(`Much was lost: ${loss?.tables[0]?.name} had `);
    const finding = (await shop.service.diagnose()).findings.find(({ code }) => code === 'loss');
    expect(finding?.fix).toContain(`velist-backup diff ${before} ${shows}`);
  });
}

test('content that was taken out of all rows is a loss, though no row is', async () => {
  await using shop = openShop(scratch());
  change(
    shop.databasePath,
    'CREATE TABLE files (id INTEGER PRIMARY KEY, v); INSERT INTO files SELECT id, zeroblob(50000) FROM notes',
  );
  const before = await backUp(shop);
  change(shop.databasePath, 'UPDATE files SET v = NULL');
  await backUp(shop);
  expect(await losses(shop)).toMatchObject([{ before, tables: [] }]);
  expect(shop.log.join('\n')).toMatch(/the database had [\d,]+ pages in use at .* and has \d+ since/);
});

test('a loss while an older version made the backups is found at the first one of this version', async () => {
  await using shop = await openFull();
  const before = await backUp(shop);
  const { facts, ...old } = readManifest(shop, before);
  writeManifest(shop, old);
  change(shop.databasePath, 'DELETE FROM orders');
  await backUp(shop);
  expect(facts?.tables['orders']?.rows).toBe(2_000);
  expect(await losses(shop)).toMatchObject([{ before, tables: [{ name: 'orders', before: 2_000, after: 0 }] }]);
});

// ── what does not ──

const noLosses: readonly [what: string, work: (shop: Shop, before: string) => unknown][] = [
  ['new rows', (shop) => change(shop.databasePath, 'INSERT INTO orders SELECT id, text FROM notes')],
  [
    'a small part of a table',
    (shop) => change(shop.databasePath, 'DELETE FROM orders WHERE id > 1100; DELETE FROM customers'),
  ],
  ['a rename', (shop) => change(shop.databasePath, 'ALTER TABLE orders RENAME TO old_orders')],
  [
    'a vacuum of a database that was thinned out',
    async (shop) => {
      change(shop.databasePath, 'DELETE FROM notes WHERE id % 2 = 0; DELETE FROM orders WHERE id % 2 = 0');
      await backUp(shop);
      change(shop.databasePath, 'VACUUM');
    },
  ],
  [
    'a vacuum to larger pages',
    (shop) =>
      change(
        shop.databasePath,
        'PRAGMA journal_mode = DELETE; PRAGMA page_size = 65536; VACUUM; PRAGMA journal_mode = WAL',
      ),
  ],
  [
    'our own restore',
    async (shop, before) => {
      change(
        shop.databasePath,
        `INSERT INTO orders SELECT id, text FROM notes; CREATE TABLE more AS SELECT * FROM notes`,
      );
      await backUp(shop);
      await shop.service.restore(before);
    },
  ],
  [
    'our own undo',
    async (shop, before) => {
      change(shop.databasePath, 'DELETE FROM orders WHERE id > 1500');
      await shop.service.restore(before);
      change(shop.databasePath, `CREATE TABLE more AS SELECT * FROM notes`);
      await backUp(shop);
      await shop.service.undoRestore();
    },
  ],
  [
    'our own restore of which the safety backup was deleted',
    async (shop, before) => {
      change(shop.databasePath, `CREATE TABLE more AS SELECT * FROM notes`);
      await backUp(shop);
      const { safetyBackup } = await shop.service.restore(before);
      await shop.service.deleteBackup(safetyBackup ?? '');
    },
  ],
  [
    'a migration within withBackup, also with a backup in the midst of it',
    (shop) =>
      guardMigration(shop.service, async () => {
        change(shop.databasePath, 'ALTER TABLE orders ADD COLUMN at');
        await backUp(shop);
        change(shop.databasePath, 'DROP TABLE orders');
      }),
  ],
];

for (const [what, work] of noLosses) {
  test(`no loss is ${what}`, async () => {
    await using shop = await openFull();
    const before = await backUp(shop);
    await work(shop, before);
    await backUp(shop);
    await backUp(shop);
    expect(await losses(shop)).toEqual([]);
    expect((await shop.service.getStatus()).loss).toBeNull();
  });
}

test('after our own restore a loss is found again', async () => {
  await using shop = await openFull();
  const before = await backUp(shop);
  await backUp(shop);
  await shop.service.restore(before);
  // Against the backup that was restored: there is none since.
  change(shop.databasePath, 'DELETE FROM orders');
  const shows = await backUp(shop);
  expect(await losses(shop)).toMatchObject([{ filename: shows, before }]);
  change(shop.databasePath, 'DROP TABLE notes');
  await backUp(shop);
  expect(await losses(shop)).toHaveLength(2);
});

test('tables that the app empties raise none, nor does anything where the alarm is off', async () => {
  await using ignoring = await openFull(scratch(), { settings: { lossIgnore: ['ORDERS'] } });
  await using off = await openFull(scratch(), { loss: { isOn: false, percent: 50, rows: 1_000 } });
  await using strict = await openFull(scratch(), { loss: { isOn: true, percent: 10, rows: 100 } });
  for (const shop of [ignoring, off, strict]) {
    await backUp(shop);
    change(shop.databasePath, shop === strict ? 'DELETE FROM orders WHERE id > 1700' : 'DELETE FROM orders');
    await backUp(shop);
  }
  expect([await losses(ignoring), await losses(off)]).toEqual([[], []]);
  expect(await losses(strict)).toHaveLength(1);
});

// ── how it ends ──

test('an answer ends it, frees what was held, and can be taken back', async () => {
  await using shop = await openFull(scratch(), { settings: { retentionCount: 1 } });
  const before = await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  const shows = await backUp(shop);
  expect((await shop.service.planRestore(shows)).warnings.join()).toContain(
    `${before} is the last one from before that`,
  );
  const { loss } = await shop.service.acceptLoss({ user: 'ada' });
  expect(loss?.accepted).toMatchObject({ user: 'ada' });
  expect([await verdict(shop), (await shop.service.getStatus()).loss]).toEqual(['protected', null]);
  expect((await shop.service.reopenLoss(shows)).loss?.accepted).toBeNull();
  expect(await verdict(shop)).toBe('loss');
  expect((await shop.service.prune({ dryRun: true })).removed).toEqual([]);

  await shop.service.acceptLoss({ filename: shows });
  expect((await shop.service.prune()).removed.map(({ filename }) => filename)).toEqual([before]);
  expect(await refusal(() => shop.service.acceptLoss())).toMatchObject({ code: 'BAD_REQUEST' });
  expect(await refusal(() => shop.service.reopenLoss(before))).toMatchObject({ code: 'GONE' });
  expect(shop.log).toContain(`info: The loss in ${shows} was accepted by ada.`);
});

test('an answer for good leaves its tables out from then on', async () => {
  await using shop = await openFull();
  await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  await backUp(shop);
  await shop.service.acceptLoss({ ignore: true });
  expect(shop.service.getConfig()).toMatchObject({ lossIgnore: ['orders'], changed: { lossIgnore: [] } });
  change(shop.databasePath, 'INSERT INTO orders SELECT id, text FROM notes');
  await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  await backUp(shop);
  expect((await losses(shop)).filter(({ accepted }) => accepted === null)).toEqual([]);
  shop.service.updateConfig({ revert: ['lossIgnore'] });
  expect(shop.service.getConfig().lossIgnore).toEqual([]);
});

test('when the rows are back the alarm is over, and what was held stays held', async () => {
  await using shop = await openFull(scratch(), { settings: { retentionCount: 1 } });
  const before = await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  const shows = await backUp(shop);
  expect(await verdict(shop)).toBe('loss');
  await shop.service.restore(before);
  await backUp(shop);
  expect((await shop.service.getStatus()).loss).toBeNull();
  expect(await names(shop)).toEqual(expect.arrayContaining([before, shows]));
});

test('it is shown and held for 30 days, with a backup a day before the loss', async () => {
  await using shop = await openFull();
  const older = age(shop, await backUp(shop), 24 * LOSS_DAYS + 20);
  const dayBefore = age(shop, await backUp(shop), 24 * LOSS_DAYS + 1);
  const before = age(shop, await backUp(shop), 24 * (LOSS_DAYS - 1));
  change(shop.databasePath, 'DELETE FROM orders');
  shop.service.updateConfig({ retentionCount: 1 });
  const made = await backUp(shop);
  expect((await names(shop)).toSorted()).toEqual([dayBefore, before, made].toSorted());
  expect(await names(shop)).not.toContain(older);
  expect(await losses(shop)).toMatchObject([{ before, dayBefore }]);

  const shows = age(shop, made, 24 * (LOSS_DAYS - 1) - 12);
  await backUp(shop);
  expect(await names(shop)).toHaveLength(4);
  expect((await shop.service.getStatus()).loss).toMatchObject({ filename: shows, before, dayBefore });
  age(shop, shows, 37);
  await backUp(shop);
  expect(await names(shop)).toHaveLength(1);
  expect(await verdict(shop)).toBe('protected');
});

test('deleting the backup that shows it neither ends the alarm nor frees what was before', async () => {
  await using shop = await openFull(scratch(), { settings: { retentionCount: 2 } });
  const before = await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  const shows = await backUp(shop);
  const next = await backUp(shop);
  await shop.service.deleteBackup(shows);
  expect((await shop.service.getStatus()).loss).toMatchObject({ filename: next, before });
  // Without any that shows it, the next one is compared with the one before.
  await shop.service.deleteBackup(next);
  const last = await backUp(shop);
  expect((await shop.service.getStatus()).loss).toMatchObject({ filename: last, before });
  await shop.service.acceptLoss();
  expect(await losses(shop)).toMatchObject([{ filename: last, accepted: { user: null } }]);
});

test('a later loss is shown first, and each waits for its own answer', async () => {
  await using shop = await openFull();
  await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  const first = await backUp(shop);
  change(shop.databasePath, 'DROP TABLE notes');
  const second = await backUp(shop);
  expect((await shop.service.getStatus()).loss?.filename).toBe(second);
  await shop.service.acceptLoss();
  expect((await shop.service.getStatus()).loss?.filename).toBe(first);
  await shop.service.acceptLoss();
  expect((await shop.service.getStatus()).loss).toBeNull();
});

test('a loss that nobody answers hides no damage from programs', async () => {
  await using shop = await openFull();
  await backUp(shop);
  change(shop.databasePath, 'DELETE FROM orders');
  const shows = await backUp(shop);
  const path = join(shop.backups, shows);
  writeFileSync(path, readFileSync(path).fill(0xa5, 4096, 8192));
  await shop.service.verifyBackup(shows);
  const status = await shop.service.getStatus();
  expect([status.verdict.code, status.freshness.cause]).toEqual(['loss', 'damaged']);
});

// ── changes and comparison ──

test('each backup tells its rows, and what changed since the one before it', async () => {
  await using shop = await openFull();
  const first = await backUp(shop);
  change(
    shop.databasePath,
    `INSERT INTO orders SELECT id, text FROM notes LIMIT 40; DELETE FROM customers WHERE id > 3; DELETE FROM notes WHERE id = 1;
     CREATE TABLE tags (v); INSERT INTO tags VALUES (1)`,
  );
  await backUp(shop);
  await backUp(shop);
  const [third, second, oldest] = await shop.service.getBackups();
  expect(oldest).toMatchObject({ rows: 4_005, changes: null });
  expect(second?.rows).toBe(4_043);
  expect(second?.changes).toEqual({
    since: first,
    count: 4,
    tables: [
      { name: 'orders', before: 2_000, after: 2_040 },
      { name: 'customers', before: 5, after: 3 },
      { name: 'notes', before: 2_000, after: 1_999 },
    ],
  });
  expect(third?.changes).toMatchObject({ since: second?.filename ?? '', count: 0, tables: [] });
  expect((await shop.service.getBackup(second?.filename ?? '')).changes).toEqual(second?.changes ?? null);
});

test('two backups are compared by tables, rows and schema, the biggest difference first', async () => {
  await using shop = await openFull();
  const a = await backUp(shop);
  change(
    shop.databasePath,
    `DELETE FROM orders WHERE id > 1500; ALTER TABLE customers ADD COLUMN name; CREATE TABLE tags (v); DROP TABLE notes`,
  );
  const b = await backUp(shop);
  const diff = await shop.service.diff(a, 'latest');
  expect(diff).toMatchObject({ a, b, isSameSchema: false });
  expect(diff.usedBytes.after).toBeLessThan(diff.usedBytes.before);
  expect(diff.tables.map(({ name, change: how, before, after }) => [name, how, before?.rows, after?.rows])).toEqual([
    ['notes', 'removed', 2_000, undefined],
    ['orders', 'rows', 2_000, 1_500],
    ['customers', 'schema', 5, 5],
    ['tags', 'added', undefined, 0],
  ]);
  expect(await shop.service.diff(a, a)).toMatchObject({ isSameSchema: true, tables: [{ change: 'same' }, {}, {}] });
});

test('a backup that was not counted is compared after a check of it', async () => {
  await using shop = await openFull();
  const name = await backUp(shop);
  const { facts: _, ...old } = readManifest(shop, name);
  writeManifest(shop, old);
  expect(await refusal(() => shop.service.diff(name, name))).toMatchObject({ code: 'BAD_REQUEST' });
  expect((await shop.service.getBackups())[0]).toMatchObject({ rows: null, changes: null });
  await shop.service.verifyBackup(name);
  expect((await shop.service.diff(name, name)).tables).toHaveLength(3);
  expect(await refusal(() => shop.service.diff(name, 'nothing'))).toMatchObject({ code: 'BAD_NAME' });
});

test('adopted backups and safety backups with late commits are counted too', async () => {
  await using shop = await openFull();
  const made = await backUp(shop);
  const foreign = 'backup-2020-01-01T00-00-00-000Z.sqlite';
  writeFileSync(join(shop.backups, foreign), readFileSync(join(shop.backups, made)));
  expect(await shop.service.adoptBackup(foreign)).toMatchObject({ rows: 4_005 });
  const { safetyBackup } = await shop.service.restore(made);
  expect(await shop.service.getBackup(safetyBackup ?? '')).toMatchObject({ rows: 4_005, safety: true });
});
