import { expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ask, makeDatabase, openElsewhere, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';

const scratch = scratchFolders();
const insert = "INSERT INTO notes (text) VALUES ('written after the backup') RETURNING id";
const count = 'SELECT count(*) FROM notes';

async function backUp(shop: Shop): Promise<string> {
  const { filename, error } = await shop.service.performBackup();
  if (!filename) throw new Error(error?.message);
  return filename;
}

/** All bytes that a restore must not change when it refuses. */
const bytesOf = (shop: Shop) =>
  [shop.databasePath, `${shop.databasePath}-wal`].map(
    (path) => existsSync(path) && readFileSync(path).toString('base64'),
  );

const safetyBackups = async (shop: Shop) => (await shop.service.getBackups()).filter((backup) => backup.safety);

test('online, an app that holds the database open sees the restored rows at once and writes on', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const app = await openElsewhere(shop.databasePath);
  await app.ask(insert);
  const restored = await shop.service.restore(filename);
  expect(restored).toEqual(
    expect.objectContaining({ success: true, mode: 'online', backup: filename, path: shop.databasePath }),
  );
  expect(await app.ask(count)).toBe(100);
  await app.ask(insert);
  expect(await app.ask(count)).toBe(101);
  expect(await app.ask('PRAGMA integrity_check')).toBe('ok');
  expect(await app.ask('PRAGMA journal_mode')).toBe('wal');
  await app.close();

  const [safety] = await safetyBackups(shop);
  expect([safety?.filename, safety?.trigger]).toEqual([restored.safetyBackup ?? '', 'safety']);
  expect(ask(join(shop.backups, restored.safetyBackup ?? ''), count)).toBe(101);
});

test('the verdict of a restore is put away for all and over a restart, and its undo stays', async () => {
  await using shop = openShop(scratch());
  expect(shop.service.dismissRestore()).toBe(false);
  await shop.service.restore(await backUp(shop));
  const code = async (service = shop.service) => (await service.getStatus()).verdict.code;
  expect([await code(), shop.service.dismissRestore(), await code()]).toEqual(['restored', true, 'protected']);
  expect(shop.service.dismissRestore()).toBe(false);
  const again = shop.again();
  expect(await code(again)).toBe('protected');
  await again.undoRestore();
  expect([await code(), again.dismissRestore(), await code()]).toEqual(['restored', true, 'protected']);
});

test('a restore is undone by its safety backup, and that again', async () => {
  await using shop = openShop(scratch());
  expect((await refusal(() => shop.service.undoRestore())).code).toBe('NOTHING_TO_UNDO');
  const filename = await backUp(shop);
  ask(shop.databasePath, insert);
  await shop.service.restore(filename);
  expect(ask(shop.databasePath, count)).toBe(100);
  expect((await shop.service.getStatus()).undo?.restored).toBe(filename);
  await shop.service.undoRestore();
  expect(ask(shop.databasePath, count)).toBe(101);
  await shop.service.undoRestore();
  expect(ask(shop.databasePath, count)).toBe(100);
});

for (const journalMode of ['wal', 'delete', 'truncate', 'persist', 'memory']) {
  test(`offline, a database that a resting app has open is refused by its name, and stays as it is (${journalMode})`, async () => {
    await using shop = openShop(scratch(), { form: { journalMode: journalMode === 'wal' ? 'wal' : 'delete' } });
    const filename = await backUp(shop);
    const app = await openElsewhere(shop.databasePath);
    await app.ask(`PRAGMA journal_mode = ${journalMode}`);
    await app.ask(insert);
    const { ino } = statSync(shop.databasePath);
    const plan = await shop.service.planRestore(filename, { mode: 'offline' });
    expect(plan.openIn.map(({ pid }) => pid)).toEqual([app.process.pid ?? 0]);
    expect(plan.warnings[0]).toContain(`(process ${app.process.pid}) has the database open: stop it first`);
    const error = await refusal(() => shop.service.restore(filename, { mode: 'offline' }));
    expect([error.code, error.message]).toEqual([
      'RESTORE_IN_USE',
      expect.stringContaining(`(process ${app.process.pid}) has ${shop.databasePath} open`),
    ]);
    expect(statSync(shop.databasePath).ino).toBe(ino);
    expect(await app.ask(count)).toBe(101);
    await app.ask(insert);
    expect(await app.ask('PRAGMA journal_mode')).toBe(journalMode);
    await app.close();
    expect(await safetyBackups(shop)).toEqual([]);
    expect(readdirSync(dirname(shop.databasePath)).filter((name) => name.includes('restoring'))).toEqual([]);
    expect(shop.service.getRuns()[0]).toEqual(expect.objectContaining({ kind: 'restore', result: 'refused' }));
  });
}

test('offline, an app that has opened a database in WAL mode and read nothing yet is seen', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const program = `
    globalThis.database = new (require('node:sqlite').DatabaseSync)(process.argv[1]);
    console.log('open');
    setInterval(() => {}, 1_000);
  `;
  const app = spawn(process.execPath, ['-e', program, shop.databasePath], { stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = once(app, 'exit');
  try {
    await once(app.stdout, 'data');
    expect((await refusal(() => shop.service.restore(filename, { mode: 'offline' }))).code).toBe('RESTORE_IN_USE');
  } finally {
    app.kill('SIGKILL');
    await exited;
  }
  await shop.service.restore(filename, { mode: 'offline' });
});

test('the file stays the same file: whoever has it open under another name reads what was restored', async () => {
  await using shop = openShop(scratch(), { form: { journalMode: 'delete' } });
  const filename = await backUp(shop);
  ask(shop.databasePath, insert);
  const other = join(scratch(), 'other-name.sqlite');
  linkSync(shop.databasePath, other);
  await shop.service.restore(filename, { mode: 'offline' });
  expect(ask(other, count)).toBe(100);
});

/** What may not change while somebody only looks. */
const filesOf = (shop: Shop) =>
  ['', '-wal', '-journal'].map((suffix) => {
    const path = shop.databasePath + suffix;
    return existsSync(path) && [statSync(path, { bigint: true }).mtimeNs, readFileSync(path).toString('base64')];
  });

/** How an app died, and what the plan says that it can't count. */
const crashes = {
  'its log and the index of it': { journalMode: 'wal', statement: insert, uncounted: null },
  'its log alone': { journalMode: 'wal', statement: insert, without: '-shm', uncounted: 'left a log' },
  'the journal of a write that it was in the middle of': {
    journalMode: 'delete',
    statement: 'UPDATE notes SET text = hex(randomblob(4000)) RETURNING 1',
    uncounted: 'a write was interrupted',
  },
} as const;
for (const [what, crash] of Object.entries(crashes)) {
  test(`after a crash that left ${what}, a plan changes nothing, and the first restore offline is done`, async () => {
    await using shop = openShop(scratch(), { form: { journalMode: crash.journalMode, rows: 2_000 } });
    const filename = await backUp(shop);
    const app = await openElsewhere(shop.databasePath);
    // Small, so that a write reaches the file before its end.
    await app.ask('PRAGMA cache_size = 5');
    if (crash.journalMode === 'delete') await app.ask('BEGIN');
    await app.ask(crash.statement);
    await app.kill();
    if ('without' in crash) rmSync(shop.databasePath + crash.without);
    const before = filesOf(shop);
    expect(before[crash.journalMode === 'wal' ? 1 : 2]).not.toBe(false);

    const plan = await shop.service.planRestore(filename, { mode: 'offline' });
    expect(filesOf(shop)).toEqual(before);
    expect(existsSync(`${shop.databasePath}-shm`)).toBe(crash.journalMode === 'wal' && !('without' in crash));
    if (crash.uncounted === null) expect(plan.tables).toEqual([{ name: 'notes', now: 2_001, after: 2_000 }]);
    else expect([plan.tables, plan.warnings[0]]).toEqual([null, expect.stringContaining(crash.uncounted)]);
    expect([plan.modes, plan.undo]).toEqual([['online', 'offline'], true]);

    const { expected } = plan;
    const { safetyBackup } = await shop.service.restore(filename, { mode: 'offline', expected });
    expect([ask(shop.databasePath, count), ask(shop.databasePath, 'PRAGMA integrity_check')]).toEqual([2_000, 'ok']);
    expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe(crash.journalMode);
    const safe = join(shop.backups, safetyBackup ?? '');
    expect(ask(safe, count)).toBe(crash.journalMode === 'wal' ? 2_001 : 2_000);
    expect(ask(safe, 'SELECT count(*) FROM notes WHERE length(text) > 1000')).toBe(0);
  });
}

test('a plan beside an app that has the database locked says that nothing was counted, and claims no damage', async () => {
  await using shop = openShop(scratch(), { form: { journalMode: 'delete' } });
  const filename = await backUp(shop);
  const app = await openElsewhere(shop.databasePath);
  await app.ask('BEGIN EXCLUSIVE');
  const plan = await shop.service.planRestore(filename);
  expect([plan.tables, plan.mode, plan.undo]).toEqual([null, 'online', true]);
  expect(plan.warnings).toEqual(['The current rows were not counted: a program has the database locked.']);
  await app.close();
});

for (const journalMode of ['wal', 'delete'] as const) {
  test(`offline, a free database in ${journalMode} mode is replaced and keeps its journal mode and file mode`, async () => {
    await using shop = openShop(scratch(), { form: { journalMode } });
    chmodSync(shop.databasePath, 0o640);
    const filename = await backUp(shop);
    const app = await openElsewhere(shop.databasePath);
    await app.ask(insert);
    await app.kill();
    const { safetyBackup } = await shop.service.restore(filename, { mode: 'offline' });
    expect(ask(shop.databasePath, count)).toBe(100);
    expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe(journalMode);
    expect(statSync(shop.databasePath).mode & 0o777).toBe(0o640);
    // The row that only the log of the killed app held is in the safety backup.
    expect(ask(join(shop.backups, safetyBackup ?? ''), count)).toBe(101);
  });
}

test('offline, a foreign backup in the other journal mode leaves the database in the mode it had', async () => {
  await using shop = openShop(scratch(), { form: { journalMode: 'delete' } });
  mkdirSync(shop.backups);
  const filename = 'backup-2024-01-15T10-30-00-000Z.sqlite';
  makeDatabase(join(shop.backups, filename), { rows: 5, journalMode: 'wal' });
  await shop.service.restore(filename, { mode: 'offline' });
  expect(ask(shop.databasePath, count)).toBe(5);
  expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe('delete');
});

test('online, an app in a rollback mode sees the restored rows at once and writes on', async () => {
  await using shop = openShop(scratch(), { form: { journalMode: 'delete' } });
  const filename = await backUp(shop);
  const app = await openElsewhere(shop.databasePath);
  await app.ask(insert);
  expect((await shop.service.planRestore(filename)).modes).toEqual(['online', 'offline']);
  const { safetyBackup } = await shop.service.restore(filename);
  expect(await app.ask(count)).toBe(100);
  await app.ask(insert);
  expect([await app.ask(count), await app.ask('PRAGMA journal_mode')]).toEqual([101, 'delete']);
  expect(await app.ask('PRAGMA integrity_check')).toBe('ok');
  await shop.service.undoRestore();
  expect(await app.ask(count)).toBe(101);
  await app.close();
  expect(ask(join(shop.backups, safetyBackup ?? ''), count)).toBe(101);
});

test('what a plan promised to undo is undone, whatever the clock says and though the run history is lost', async () => {
  let now = new Date('2001-01-01T00:00:00Z');
  await using shop = openShop(scratch(), { now: () => now });
  const filename = await backUp(shop);
  ask(shop.databasePath, insert);
  expect((await shop.service.planRestore(filename)).undo).toBe(true);
  const { safetyBackup } = await shop.service.restore(filename);
  const undo = { filename: safetyBackup ?? '', restored: filename };
  expect((await shop.service.getStatus()).undo).toMatchObject(undo);
  now = new Date('2044-01-01T00:00:00Z');
  const forgetful = shop.again({ statePath: join(scratch(), 'another-state.sqlite') });
  expect((await forgetful.getStatus()).undo).toMatchObject(undo);
  await forgetful.undoRestore();
  expect(ask(shop.databasePath, count)).toBe(101);
});

test('a restore is undone offline too', async () => {
  for (const journalMode of ['wal', 'delete'] as const) {
    await using shop = openShop(scratch(), { form: { journalMode } });
    const filename = await backUp(shop);
    ask(shop.databasePath, insert);
    await shop.service.restore(filename, { mode: 'offline' });
    const { mode } = await shop.service.undoRestore({ mode: 'offline' });
    expect([mode, ask(shop.databasePath, count)]).toEqual(['offline', 101]);
    expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe(journalMode);
  }
});

test('a backup in another text encoding is restored offline, and never under an app that has the database open', async () => {
  await using shop = openShop(scratch());
  const filename = 'backup-2024-01-15T10-30-00-000Z.sqlite';
  mkdirSync(shop.backups);
  const file = new DatabaseSync(join(shop.backups, filename));
  file.exec("PRAGMA encoding = 'UTF-16le'; CREATE TABLE notes (text); INSERT INTO notes VALUES ('grün')");
  file.close();
  const before = bytesOf(shop);
  const plan = await shop.service.planRestore(filename);
  expect([plan.modes, plan.warnings[0]]).toEqual([
    ['offline'],
    expect.stringContaining('as UTF-16le, the database as'),
  ]);
  expect((await refusal(() => shop.service.restore(filename))).code).toBe('ENCODING_DIFFERS');
  expect([bytesOf(shop), await safetyBackups(shop)]).toEqual([before, []]);

  await shop.service.restore(filename, { mode: 'offline' });
  expect(ask(shop.databasePath, 'SELECT text FROM notes')).toBe('grün');
  expect(ask(shop.databasePath, 'PRAGMA journal_mode')).toBe('wal');
  expect((await refusal(() => shop.service.undoRestore())).code).toBe('ENCODING_DIFFERS');
  await shop.service.undoRestore({ mode: 'offline' });
  expect(ask(shop.databasePath, count)).toBe(100);
});

for (const journalMode of ['wal', 'delete'] as const) {
  test(`online, into a database without tables and back, an app sees what is there, and no trace of ours (${journalMode})`, async () => {
    await using shop = openShop(scratch(), { form: null });
    ask(shop.databasePath, `PRAGMA journal_mode = ${journalMode}`);
    ask(shop.databasePath, 'PRAGMA user_version = 7');
    mkdirSync(shop.backups);
    const filename = 'backup-2024-01-15T10-30-00-000Z.sqlite';
    const file = new DatabaseSync(join(shop.backups, filename));
    file.exec("PRAGMA encoding = 'UTF-16le'; CREATE TABLE notes (text); INSERT INTO notes VALUES ('grün')");
    file.close();
    const app = await openElsewhere(shop.databasePath);
    expect(await app.ask('SELECT count(*) FROM sqlite_schema')).toBe(0);
    await shop.service.restore(filename);
    expect(await app.ask('SELECT text FROM notes')).toBe('grün');
    await shop.service.undoRestore();
    expect([await app.ask('PRAGMA user_version'), await app.ask('SELECT count(*) FROM sqlite_schema')]).toEqual([7, 0]);
    await app.ask('CREATE TABLE notes (text)');
    await app.ask("INSERT INTO notes VALUES ('blau')");
    expect([await app.ask('SELECT text FROM notes'), await app.ask('PRAGMA integrity_check')]).toEqual(['blau', 'ok']);
    await app.close();
  });
}

test('a backup of another schema version is told as such', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  expect((await shop.service.planRestore(filename)).warnings).toEqual([]);
  const neighbour = await openElsewhere(shop.databasePath);
  await neighbour.ask('PRAGMA user_version = 42');
  await neighbour.close();
  expect((await shop.service.planRestore(filename)).warnings).toEqual([
    'This backup is from schema version 0, the database is at 42: migrations run at its next start.',
  ]);
});

test('looking at and restoring a foreign backup in WAL mode leaves nothing beside it', async () => {
  await using shop = openShop(scratch());
  mkdirSync(shop.backups);
  const filename = 'backup-2024-01-15T10-30-00-000Z.sqlite';
  makeDatabase(join(shop.backups, filename), { rows: 5 });
  const plan = await shop.service.planRestore(filename);
  expect(plan.tables).toEqual([{ name: 'notes', now: 100, after: 5 }]);
  await shop.service.restore(filename);
  expect(readdirSync(shop.backups).filter((name) => name.startsWith(filename))).toEqual([filename]);
});

test('a restored database belongs to the user it belonged to', async () => {
  // Only root can give a file away; for everybody else old and new owner are the same.
  const owner = process.getuid?.() === 0 ? 12_345 : process.getuid?.();
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  if (owner === 12_345) chownSync(shop.databasePath, owner, owner);
  await shop.service.restore(filename, { mode: 'offline' });
  expect(statSync(shop.databasePath).uid).toBe(owner ?? -1);
});

test('to a new file, the live database is untouched; a file that exists is refused and stays', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  ask(shop.databasePath, insert);
  const to = join(scratch(), 'copy.sqlite');
  const restored = await shop.service.restore(filename, { mode: 'file', to });
  expect(restored).toEqual(expect.objectContaining({ path: to, mode: 'file', safetyBackup: null }));
  expect([ask(to, count), ask(shop.databasePath, count)]).toEqual([100, 101]);
  expect(statSync(to).mode & 0o777).toBe(0o600);

  writeFileSync(to, 'precious');
  expect((await refusal(() => shop.service.restore(filename, { mode: 'file', to }))).code).toBe('TARGET_EXISTS');
  expect(readFileSync(to, 'utf8')).toBe('precious');
  expect(readdirSync(dirname(to))).toEqual(['copy.sqlite']);
});

test('without a place, a new file beside the database is named in the answer', async () => {
  await using shop = openShop(scratch());
  const { path } = await shop.service.restore(await backUp(shop), { mode: 'file' });
  expect(path).toStartWith(join(dirname(shop.databasePath), 'shop.restored-'));
  expect(ask(path, count)).toBe(100);
});

test('online, another page size is refused with nothing changed; offline it is restored', async () => {
  await using shop = openShop(scratch());
  const filename = 'backup-2024-01-15T10-30-00-000Z.sqlite';
  mkdirSync(shop.backups);
  makeDatabase(join(shop.backups, filename), { rows: 5, pageSize: 8192, journalMode: 'delete' });
  const before = bytesOf(shop);
  expect((await shop.service.planRestore(filename)).modes).toEqual(['offline']);
  expect((await refusal(() => shop.service.restore(filename))).code).toBe('PAGE_SIZE_DIFFERS');
  expect(bytesOf(shop)).toEqual(before);
  await shop.service.restore(filename, { mode: 'offline' });
  expect([ask(shop.databasePath, count), ask(shop.databasePath, 'PRAGMA journal_mode')]).toEqual([5, 'wal']);
});

test('a damaged database is refused online, and offline its files are set aside, not removed', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  for (const damage of [
    () => writeFileSync(shop.databasePath, 'junk '.repeat(5_000)),
    () => truncateSync(shop.databasePath, 8_192),
  ]) {
    damage();
    const damaged = readFileSync(shop.databasePath);
    const plan = await shop.service.planRestore(filename);
    expect([plan.backup, plan.modes, plan.undo]).toEqual([filename, ['offline'], plan.now === null]);
    expect((await refusal(() => shop.service.restore(filename))).code).toBe('RESTORE_SAFETY_FAILED');
    expect(readFileSync(shop.databasePath).equals(damaged)).toBe(true);
    const { safetyBackup } = await shop.service.restore(filename, { mode: 'offline' });
    expect(safetyBackup).toBeNull();
    expect([ask(shop.databasePath, count), ask(shop.databasePath, 'PRAGMA integrity_check')]).toEqual([100, 'ok']);
    const aside = readdirSync(dirname(shop.databasePath)).find(
      (name) => name.startsWith('shop.sqlite.damaged-') && !/-(wal|shm)$/.test(name),
    );
    expect(readFileSync(join(dirname(shop.databasePath), aside ?? '')).equals(damaged)).toBe(true);
    renameSync(join(dirname(shop.databasePath), aside ?? ''), join(scratch(), 'aside'));
  }
});

test('a missing database is put back offline; a log that lies there without it is refused', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  renameSync(shop.databasePath, `${shop.databasePath}.lost`);
  expect((await shop.service.planRestore(filename)).modes).toEqual(['missing', 'offline']);
  expect(await refusal(() => shop.service.restore(filename))).toMatchObject({
    code: 'RESTORE_SAFETY_FAILED',
    hint: expect.stringContaining(
      '`velist-backup restore latest --in-place` puts the newest good backup in its place.',
    ),
  });
  expect(existsSync(shop.databasePath)).toBe(false);
  writeFileSync(`${shop.databasePath}-wal`, 'frames of long ago');
  expect((await refusal(() => shop.service.restore(filename, { mode: 'offline' }))).code).toBe('RESTORE_IN_USE');
  expect([existsSync(shop.databasePath), readFileSync(`${shop.databasePath}-wal`, 'utf8')]).toEqual([
    false,
    'frames of long ago',
  ]);
  renameSync(`${shop.databasePath}-wal`, `${shop.databasePath}.old-log`);
  await shop.service.restore(filename, { mode: 'offline' });
  expect(ask(shop.databasePath, count)).toBe(100);
});

test('an app that goes on writing between plan and restore is named, and not the change that it made', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const app = await openElsewhere(shop.databasePath);
  const { expected } = await shop.service.planRestore(filename, { mode: 'offline' });
  await app.ask(insert);
  const refused = await refusal(() => shop.service.restore(filename, { mode: 'offline', expected }));
  expect([refused.code, refused.message]).toEqual([
    'RESTORE_IN_USE',
    expect.stringContaining(`(process ${app.process.pid}) has`),
  ]);
  await app.close();
});

test('a database that changed since the plan is refused, and restored with a new plan', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const stale = await shop.service.planRestore(filename);
  ask(shop.databasePath, insert);
  expect((await refusal(() => shop.service.restore(filename, { expected: stale.expected }))).code).toBe('DB_CHANGED');
  expect(ask(shop.databasePath, count)).toBe(101);
  expect(await safetyBackups(shop)).toEqual([]);
  const plan = await shop.service.planRestore(filename);
  expect([plan.confirm, plan.tables]).toEqual(['shop.sqlite', [{ name: 'notes', now: 101, after: 100 }]]);
  await shop.service.restore(filename, { expected: plan.expected });
  expect(ask(shop.databasePath, count)).toBe(100);
});

test('a backup of which one byte was flipped is refused by its digest, with nothing changed', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const path = join(shop.backups, filename);
  const note = readFileSync(path).indexOf('note 50 ');
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.from('N'), 0, 1, note);
  closeSync(file);
  const before = bytesOf(shop);
  for (const mode of ['online', 'offline', 'file'] as const) {
    expect((await refusal(() => shop.service.restore(filename, { mode }))).code).toBe('VERIFY_FAILED');
  }
  expect(bytesOf(shop)).toEqual(before);
  expect(await safetyBackups(shop)).toEqual([]);
  expect((await shop.service.verifyBackup(filename)).verification.state).toBe('damaged');
  expect((await shop.service.getBackup(filename)).verification.state).toBe('damaged');
});

test('any sound SQLite file can be restored by its path, the live database itself can not', async () => {
  await using shop = openShop(scratch());
  const path = join(scratch(), 'from-elsewhere.sqlite');
  makeDatabase(path, { rows: 3 });
  await shop.service.restore(path);
  expect(ask(shop.databasePath, count)).toBe(3);
  expect((await refusal(() => shop.service.restore(shop.databasePath))).code).toBe('BAD_BACKUP');
  writeFileSync(`${path}-wal`, 'frames');
  expect((await refusal(() => shop.service.restore(path))).message).toContain('has a log beside it');
  rmSync(`${path}-wal`);
  writeFileSync(path, 'no database');
  expect((await refusal(() => shop.service.restore(path))).code).toBe('VERIFY_FAILED');
  expect(ask(shop.databasePath, count)).toBe(3);
});

test('a restore waits for the backup that is going, and the steps come in their order', async () => {
  await using shop = openShop(scratch());
  const filename = await backUp(shop);
  const backup = shop.service.performBackup();
  const steps: string[] = [];
  const restored = await shop.service.restore(filename, {
    onProgress: (run) => {
      const running = run.steps.find((step) => step.state === 'running')?.name;
      if (running && steps.at(-1) !== running) steps.push(running);
    },
  });
  expect((await backup).report.endedAt.getTime()).toBeLessThanOrEqual(restored.report.startedAt.getTime());
  expect(steps).toEqual(['check', 'safety', 'place', 'prove']);
});
