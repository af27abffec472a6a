/** A database replaced while others use it, and one that nobody holds. */
import { expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { areMissing } from '../../../tests/support/programs.ts';
import { ask, makeDatabase, openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { BackupError } from '../../words/errors.ts';
import { readHeaderOf } from './header.ts';
import { placeOverUnreadable, placeThroughSqlite, removeDeadPlacements, stageNewFile } from './place.ts';
import { holdStaging } from './staged.ts';

const scratch = scratchFolders();
const count = 'SELECT count(*) FROM notes';

/** A live database of 10 rows and a backup of so many. */
function shop({
  rows = 3,
  journalMode = 'wal',
  pageSizes: [live, other] = [4_096, 4_096],
}: {
  rows?: number;
  journalMode?: 'wal' | 'delete';
  pageSizes?: readonly [number, number];
} = {}) {
  const folder = scratch();
  const [database, source] = [join(folder, 'shop.sqlite'), join(folder, 'backup.sqlite')];
  makeDatabase(database, { rows: 10, journalMode, pageSize: live });
  makeDatabase(source, { rows, journalMode: 'delete', pageSize: other });
  return { folder, database, source };
}

test('an online restore waits for a writer that holds the lock, and is told of it only when it has the lock', async () => {
  const { database, source } = shop();
  const writer = await openElsewhere(database);
  await writer.ask('BEGIN IMMEDIATE');
  let locked = 0;
  const placed = placeThroughSqlite(source, database, { isWal: true, onLocked: () => locked++ });
  const first = await Promise.race([placed.then(() => 'placed', String), Bun.sleep(300).then(() => 'waiting')]);
  expect([first, locked]).toEqual(['waiting', 0]);
  await writer.ask('COMMIT');
  await placed;
  await writer.close();
  expect(locked).toBe(1);
  expect(ask(database, count)).toBe(3);
});

for (const rows of [3, 100_000]) {
  test(`once locked nobody else can commit, and all see the old content (a backup of ${rows} rows)`, async () => {
    const { database, source } = shop({ rows });
    const reader = new DatabaseSync(database);
    const seen: unknown[] = [];
    await placeThroughSqlite(source, database, {
      isWal: true,
      onLocked() {
        seen.push(reader.prepare(count).get()?.['count(*)']);
        expect(() => reader.exec("INSERT INTO notes (text) VALUES ('too late')")).toThrow('locked');
      },
    });
    expect(seen).toEqual([10]);
    expect(reader.prepare(count).get()?.['count(*)']).toBe(rows);
    reader.close();
  });
}

test('where saving what came late fails, nothing is replaced and the lock is free again', async () => {
  const { database, source } = shop({ rows: 5_000 });
  const fail = () => {
    throw new BackupError('DISK_FULL', 'no room', { hint: 'Free some.' });
  };
  expect(await placeThroughSqlite(source, database, { isWal: true, onLocked: fail }).catch(String)).toBe(
    'BackupError: no room',
  );
  expect(ask(database, "INSERT INTO notes (text) VALUES ('goes on') RETURNING id")).toBe(11);
  expect(ask(database, count)).toBe(11);
});

for (const isWal of [true, false]) {
  for (const autoVacuum of ['none', 'full', 'incremental']) {
    test(`a backup without a table, one page, leaves nothing of ours behind (auto_vacuum ${autoVacuum}, ${isWal ? 'WAL' : 'rollback'})`, async () => {
      const { folder, database } = shop({ journalMode: isWal ? 'wal' : 'delete' });
      const empty = join(folder, 'empty.sqlite');
      const file = new DatabaseSync(empty);
      file.exec(`PRAGMA auto_vacuum = ${autoVacuum}; PRAGMA user_version = 7`);
      expect(file.prepare('PRAGMA page_count').get()?.['page_count']).toBe(1);
      file.close();
      let locked = 0;
      await placeThroughSqlite(empty, database, { isWal, onLocked: () => locked++ });
      expect(locked).toBe(1);
      expect(ask(database, 'PRAGMA user_version')).toBe(7);
      expect(ask(database, 'SELECT count(*) FROM sqlite_schema')).toBe(0);
      expect(ask(database, 'PRAGMA integrity_check')).toBe('ok');
      expect(readdirSync(folder).filter((entry) => /placing|restoring/.test(entry))).toEqual([]);
      // It still takes any encoding, as the backup does.
      expect(readHeaderOf(database)?.encoding).toBeNull();
      ask(database, 'CREATE TABLE first (x)');
      expect(ask(database, 'PRAGMA integrity_check')).toBe('ok');
    });
  }
}

/** The digest of the file as it is on the disk; read by another process, because closing it here would drop locks. */
const digestOf = (path: string) => spawnSync('sha256sum', [path], { encoding: 'utf8' }).stdout;

const pageSizes = [
  [4_096, 4_096],
  [512, 65_536],
  [65_536, 512],
  [65_536, 65_536],
] as const;
for (const sizes of pageSizes) {
  test(`without a log, once locked all others wait and the file is as it was (pages of ${sizes.join(', then ')})`, async () => {
    const { database, source } = shop({ rows: 20_000, journalMode: 'delete', pageSizes: sizes });
    const app = await openElsewhere(database);
    await app.ask('PRAGMA busy_timeout = 0');
    const before = digestOf(database);
    const attempts: string[] = [];
    await placeThroughSqlite(source, database, {
      isWal: false,
      onLocked() {
        expect(digestOf(database)).toBe(before);
        const other = spawnSync(process.execPath, ['-e', countElsewhere, database], { encoding: 'utf8' });
        attempts.push(other.stdout.trim());
      },
    });
    expect(attempts).toEqual(['database is locked']);
    // The app goes on through the connection that it had, whatever the size of the pages is now.
    expect(await app.ask(count)).toBe(20_000);
    await app.ask("INSERT INTO notes (text) VALUES ('goes on')");
    expect([await app.ask(count), await app.ask('PRAGMA integrity_check')]).toEqual([20_001, 'ok']);
    expect([await app.ask('PRAGMA page_size'), await app.ask('PRAGMA journal_mode')]).toEqual([sizes[1], 'delete']);
    await app.close();
  });
}

const countElsewhere = `
  const { DatabaseSync } = await import('node:sqlite');
  try {
    console.log(new DatabaseSync(process.argv[1]).prepare('${count}').get());
  } catch (error) {
    console.log(error.message);
  }
`;

test('without a log, where saving what came late fails, nothing is replaced and the lock is free again', async () => {
  const { database, source } = shop({ rows: 20_000, journalMode: 'delete' });
  const before = digestOf(database);
  const onLocked = () => {
    throw new BackupError('DISK_FULL', 'no room', { hint: 'Free some.' });
  };
  expect(await placeThroughSqlite(source, database, { isWal: false, onLocked }).catch(String)).toBe(
    'BackupError: no room',
  );
  expect([digestOf(database), existsSync(`${database}-journal`)]).toEqual([before, false]);
  expect(ask(database, "INSERT INTO notes (text) VALUES ('goes on') RETURNING id")).toBe(11);
});

test('a file in WAL mode from elsewhere leaves the database in the mode it has', async () => {
  const { folder, database } = shop({ journalMode: 'delete' });
  const foreign = join(folder, 'foreign.sqlite');
  makeDatabase(foreign, { rows: 5 });
  await placeThroughSqlite(foreign, database, { isWal: false, onLocked: () => {} });
  expect([ask(database, count), ask(database, 'PRAGMA journal_mode')]).toEqual([5, 'delete']);
  expect(ask(foreign, 'PRAGMA journal_mode')).toBe('wal');
});

test('a database that vanished a moment ago is not made anew', async () => {
  const { folder, database, source } = shop();
  renameSync(database, `${database}.moved`);
  const placed = placeThroughSqlite(source, database, { isWal: false, onLocked: () => {} });
  expect((await placed.catch((error: unknown) => BackupError.from(error)))?.code).toBe('DB_MISSING');
  expect(existsSync(database)).toBe(false);
  expect(readdirSync(folder)).not.toContain('shop.sqlite');
});

/** The number of a process that is no more. */
const deadPid = () => spawnSync('true').pid;

test('a database that a killed restore took out of WAL mode gets it back', () => {
  const { database } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(database, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(false);
  expect(ask(database, 'PRAGMA journal_mode')).toBe('wal');
});

test('a busy database gets its mode back in a later run', async () => {
  const { database } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(database, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  const app = await openElsewhere(database);
  await app.ask('BEGIN IMMEDIATE');
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(true);
  await app.ask('COMMIT');
  await app.close();
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(false);
  expect(ask(database, 'PRAGMA journal_mode')).toBe('wal');
});

test('a database that was in rollback mode before, or can not be read, is left as it is', () => {
  const { database, source } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(source, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  removeDeadPlacements(database);
  expect([existsSync(left), ask(database, 'PRAGMA journal_mode')]).toEqual([false, 'delete']);

  writeFileSync(database, Buffer.alloc(8192, 1));
  makeDatabase(left);
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(false);
});

test('a restore to a new file clears what a killed one left of it, and nothing else in that folder', () => {
  const { folder, source } = shop();
  const destination = join(folder, 'elsewhere.sqlite');
  const pid = deadPid();
  const [left, others] = [`${destination}.restoring-${pid}`, join(folder, `other.sqlite.restoring-${pid}`)];
  for (const path of [left, others]) writeFileSync(path, 'half a file');
  {
    using staged = stageNewFile(source, destination);
    staged.place();
  }
  expect([existsSync(left), existsSync(others)]).toEqual([false, true]);
  expect(ask(destination, count)).toBe(3);
});

/** A process that stages something for that database and goes on until it is killed. */
async function stagesElsewhere(database: string, ...before: string[]) {
  const module = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  const program = `
    const { writeFileSync } = await import('node:fs');
    const { holdStaging, stagedName } = await import(${module('./staged.ts')});
    const lock = holdStaging(${JSON.stringify(database)});
    const name = stagedName(${JSON.stringify(database)}, 'restoring');
    writeFileSync(name, 'half a file');
    console.log(name);
    setInterval(() => lock, 1_000);
  `;
  const [command = '', ...rest] = [...before, process.execPath, '--config=/dev/null', '--no-env-file', '-e', program];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const { value: name } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  return { child, name: String(name) };
}

test.skipIf(process.getuid?.() !== 0)(
  'what a restore of another container stages is left alone as long as that goes on, whatever its number',
  async () => {
    const { folder, database } = shop();
    const { child, name } = await stagesElsewhere(
      database,
      'unshare',
      '--fork',
      '--pid',
      '--kill-child',
      '--mount-proc',
    );
    // Its number is one that nobody, or anybody, has here.
    expect(name).toMatch(/restoring-1$/);
    const left = `${database}.restoring-${deadPid()}`;
    writeFileSync(left, 'of a restore that can not be told apart from it');
    removeDeadPlacements(database);
    expect([existsSync(name), existsSync(left)]).toEqual([true, true]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    // Its child ends a moment later.
    for (; existsSync(name); await Bun.sleep(20)) removeDeadPlacements(database);
    expect(readdirSync(folder).filter((entry) => entry.includes('restoring'))).toEqual([]);
  },
);

test('what was staged by a number that another process has by now is removed', () => {
  const { folder, database } = shop();
  for (const what of ['restoring', 'placing']) writeFileSync(`${database}.${what}-${process.ppid}`, 'half a file');
  removeDeadPlacements(database);
  expect(readdirSync(folder).filter((entry) => /placing|restoring/.test(entry))).toEqual([]);
});

test('logs and journals that a kill left of what was staged go too, and those of the database stay', () => {
  const { folder, database } = shop({ journalMode: 'delete' });
  const staged = ['restoring-12-journal', 'placing-12-wal', 'placing-13', 'restoring.lock', 'restoring.lock-journal'];
  for (const end of staged) writeFileSync(`${database}.${end}`, '');
  writeFileSync(join(folder, 'other.sqlite-journal'), '');
  removeDeadPlacements(database);
  expect(readdirSync(folder).sort()).toEqual(['backup.sqlite', 'other.sqlite-journal', 'shop.sqlite']);
});

test('two restores beside one database hold the lock together, and its file goes with the last one', () => {
  const { folder, database } = shop();
  const one = holdStaging(database);
  holdStaging(database)[Symbol.dispose]();
  expect(readdirSync(folder)).toContain('shop.sqlite.restoring.lock');
  one[Symbol.dispose]();
  expect(readdirSync(folder).filter((entry) => entry.includes('restoring'))).toEqual([]);
});

test('a mode that can not be given back for want of a log, not of a lock, is given back in a later run', () => {
  const { database } = shop();
  const left = `${database}.restoring-${deadPid()}`;
  copyFileSync(database, left);
  ask(database, 'PRAGMA journal_mode = DELETE');
  // As on a full disk: SQLite can't make the log.
  mkdirSync(`${database}-wal`);
  removeDeadPlacements(database);
  expect(existsSync(left)).toBe(true);
  rmdirSync(`${database}-wal`);
  removeDeadPlacements(database);
  expect([existsSync(left), ask(database, 'PRAGMA journal_mode')]).toEqual([false, 'wal']);
});

test('a damaged database whose place can not be taken keeps its log, and nothing of ours is left', () => {
  const { folder, database, source } = shop();
  writeFileSync(database, Buffer.alloc(8192, 1));
  writeFileSync(`${database}-wal`, 'its log');
  const now = new Date('2026-03-01T12:00:00Z');
  // The log comes before the shared memory, which can't be moved over a folder.
  writeFileSync(`${database}-shm`, 'its index');
  const aside = `${database}.damaged-2026-03-01T12-00-00-000Z`;
  mkdirSync(`${aside}-shm`);
  const before = readdirSync(folder).sort();
  expect(() => placeOverUnreadable(source, database, { now })).toThrow();
  expect(readdirSync(folder).sort()).toEqual(before);
  expect(readFileSync(`${database}-wal`, 'utf8')).toBe('its log');
});

test.skipIf(areMissing(['strace']))(
  'where the folder can not be synced after all was placed, the error says where the old files are',
  () => {
    const { folder, database, source } = shop();
    writeFileSync(database, Buffer.alloc(8192, 1));
    const module = JSON.stringify(fileURLToPath(new URL('./place.ts', import.meta.url)));
    const given = `${JSON.stringify(source)}, ${JSON.stringify(database)}, { now: new Date(0) }`;
    const program = `
    const { placeOverUnreadable } = await import(${module});
    try { placeOverUnreadable(${given}) } catch (error) { console.log(JSON.stringify(error)) }
  `;
    const inject = ['-f', '-o', '/dev/null', '-P', folder, '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO'];
    const bun = [process.execPath, '--config=/dev/null', '--no-env-file', '-e', program];
    const { stdout } = spawnSync('strace', [...inject, ...bun], { encoding: 'utf8' });
    expect(JSON.parse(stdout)).toMatchObject({
      message: expect.stringContaining('shop.sqlite was put in place, but its folder could not be written to the disk'),
      hint: expect.stringContaining('shop.sqlite.damaged-1970'),
    });
    expect(ask(database, count)).toBe(3);
  },
);
