/** Files from elsewhere: taken in piece by piece, checked as hostile input, shown, and adopted or discarded. */
import { expect, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ARRIVALS_FOLDER, LOCK_FILE } from '../../src/engine/format/names.ts';
import { parseManifest } from '../../src/engine/format/manifest.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { runJob } from '../../src/engine/process/run-job.ts';
import { ask, change, makeDatabase, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';

const scratch = scratchFolders();
const PIECE_BYTES = 16 * 1024;

async function send(service: BackupService, path: string, name = basename(path)): Promise<string> {
  const bytes = readFileSync(path);
  const { id } = await service.arrivals.begin({ name, sizeBytes: bytes.length, modifiedAt: new Date('2024-03-01') });
  for (let at = 0; at < bytes.length; at += PIECE_BYTES)
    await service.arrivals.append(id, at, bytes.subarray(at, at + PIECE_BYTES));
  return id;
}

/** What lies beside the backups, but for locks and what is said of the folder. */
const left = ({ backups }: Pick<Shop, 'backups'>) => {
  const folder = join(backups, ARRIVALS_FOLDER);
  return existsSync(folder) ? readdirSync(folder) : [];
};

/** Another database, with tables of its own. */
function makeWiki(path: string): void {
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE pages (id INTEGER PRIMARY KEY, title TEXT); INSERT INTO pages (title) VALUES (1), (2)');
  database.close();
}

test('a file is looked into without being adopted, and adopted by a second step', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { service } = shop;
  const { filename: newest = '' } = await service.performBackup();
  const brought = join(folder, 'shop-copy.sqlite');
  makeDatabase(brought, { rows: 7, journalMode: 'delete' });
  const id = await send(service, brought);
  const arrival = await service.arrivals.check(id);
  expect(arrival).toMatchObject({
    ...{ id, name: 'shop-copy.sqlite', likeness: 'same', known: null, isWal: false, rows: 7, remarks: [] },
    sizeBytes: readFileSync(brought).length,
    createdAt: new Date('2024-03-01'),
    tables: [{ name: 'notes', rows: 7 }],
    diff: { a: newest, b: 'shop-copy.sqlite', tables: [{ name: 'notes', before: { rows: 100 }, after: { rows: 7 } }] },
  });
  expect((await service.getBackups()).map(({ filename }) => filename)).toEqual([newest]);

  const adopted = await service.arrivals.adopt(id, { user: 'ada' });
  expect(adopted).toMatchObject({
    ...{ filename: 'backup-2024-03-01T00-00-00-000Z.sqlite', foreign: false, verified: true, other: null, user: 'ada' },
    ...{ arrived: true, pinned: true, note: 'From shop-copy.sqlite', sha256: arrival.sha256, rows: 7 },
  });
  expect(left(shop)).toEqual([]);
  expect(service.getAudit({ limit: 9 })).toMatchObject([
    { act: 'adopt', subject: adopted.filename, result: 'done', detail: 'from shop-copy.sqlite' },
  ]);
  await service.restore(adopted.filename, { mode: 'online' });
  expect(ask(shop.databasePath, 'SELECT count(*) FROM notes')).toBe(7);
  expect((await service.undoRestore()).success).toBe(true);
  expect((await refusal(() => service.arrivals.adopt(id))).code).toBe('GONE');
});

test('what came from elsewhere is used only by its name, and retention spares it', async () => {
  const folder = scratch();
  await using shop = openShop(folder, { settings: { retentionCount: 1 } });
  const { service } = shop;
  const { filename: own = '' } = await service.performBackup();
  const brought = join(folder, 'rich.sqlite');
  makeDatabase(brought, { rows: 9_000 });
  utimesSync(brought, new Date(), new Date());
  const { arrival, backup } = await service.arrivals.adoptFile(brought);
  expect([arrival.likeness, arrival.isWal, backup.arrived]).toEqual(['same', true, true]);
  expect(existsSync(brought)).toBe(true);
  const all = await service.getBackups();
  expect(all.map(({ filename }) => filename)).toEqual([backup.filename, own]);
  expect((await service.findRestorePoint({ latest: true })).filename).toBe(own);
  expect((await service.findRestorePoint({ at: new Date(Date.now() + 1_000) })).filename).toBe(own);
  expect((await service.getStatus()).lastGood?.filename).toBe(own);
  expect((await service.drill()).drills[0]).toMatchObject({ backup: own, result: 'proven' });
  change(shop.databasePath, "INSERT INTO notes (text) VALUES ('new')");
  const { filename: next = '' } = await service.performBackup();
  expect(await service.getBackup(next)).toMatchObject({ loss: null });
  expect((await service.getBackups()).map(({ filename }) => filename)).toEqual([next, backup.filename]);
});

test('a database of other tables is kept as another one’s, and replaces this one only when somebody says so', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { service } = shop;
  await service.performBackup();
  const wiki = join(folder, 'wiki.sqlite');
  makeWiki(wiki);
  const id = await send(service, wiki);
  expect(await service.arrivals.check(id)).toMatchObject({ likeness: 'another', tables: [{ name: 'pages', rows: 2 }] });
  const { filename, other } = await service.arrivals.adopt(id);
  expect(other?.name).toBe('wiki.sqlite');
  expect((await refusal(() => service.restore(filename))).code).toBe('FOREIGN_PLACE');
  expect(ask(shop.databasePath, 'SELECT count(*) FROM notes')).toBe(100);
  expect((await service.performBackup()).success).toBe(true);
});

test('a folder that has no backup yet becomes ours with the first that is adopted', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const brought = join(folder, 'backup-2024-01-15T10-30-00-000Z.sqlite');
  makeDatabase(brought, { rows: 3 });
  const id = await send(shop.service, brought);
  expect(await shop.service.arrivals.check(id)).toMatchObject({ likeness: 'unknown', diff: null });
  const { filename, other } = await shop.service.arrivals.adopt(id);
  expect([filename, other]).toEqual([basename(brought), null]);
  const { databaseId } = parseManifest(readFileSync(join(shop.backups, `${filename}.json`), 'utf8'), filename);
  const { filename: next = '' } = await shop.service.performBackup();
  const made = parseManifest(readFileSync(join(shop.backups, `${next}.json`), 'utf8'), next);
  expect(made.databaseId).toBe(databaseId ?? expect.unreachable());
});

test('a backup that is here already is known again, and kept once', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { filename = '' } = await shop.service.performBackup();
  const id = await send(shop.service, join(shop.backups, filename), 'download.sqlite');
  expect((await shop.service.arrivals.check(id)).known).toMatchObject({ filename, other: null });
  expect((await shop.service.arrivals.adopt(id)).filename).toBe(filename);
  expect([await shop.service.getBackups(), left(shop)]).toMatchObject([[{ filename, pinned: false }], []]);
});

test('what is no database is refused by its first bytes, in words for what it is', async () => {
  await using shop = openShop(scratch());
  const { arrivals } = shop.service;
  const wrong: readonly [string, Uint8Array, string][] = [
    ['notes.txt', Buffer.from('Dear diary, today I made no backup at all.'), 'another kind of file'],
    [
      'secret.sqlite',
      Buffer.from('8f1d03a2c55e9b7741d2ab0f6c3e88d18f1d03a2c55e9b77', 'hex').subarray(0, 24),
      'encrypted (SQLCipher',
    ],
    ['backup.sqlite.zst', Buffer.from('28b52ffd0458'.padEnd(64, '0'), 'hex'), 'compressed with zstd'],
    ['backup.sqlite.age', Buffer.from('age-encryption.org/v1\n-> X25519 abcdefgh'), 'encrypted with age'],
    ['shop.sqlite-wal', Buffer.from('377f0682'.padEnd(64, '0'), 'hex'), 'the log or the journal'],
    ['shop.zip', Buffer.from('PK\x03\x04'.padEnd(40, '0')), 'an archive'],
    ['dump.sql', Buffer.from('PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;'), 'a dump in SQL'],
  ];
  for (const [name, bytes, why] of wrong) {
    const { id } = await arrivals.begin({ name, sizeBytes: bytes.length });
    const { code, message, hint } = await refusal(() => arrivals.append(id, 0, bytes));
    expect(code).toBe('BAD_BACKUP');
    expect([message.startsWith(`${name} is not a SQLite database: `), hint.length > 20]).toEqual([true, true]);
    expect(message).toContain(why);
    expect((await refusal(() => arrivals.check(id))).code).toBe('GONE');
  }
  expect((await refusal(() => arrivals.begin({ name: 'empty.sqlite', sizeBytes: 0 }))).message).toContain('is empty');
  const recorded = shop.service.getAudit({ limit: 100 });
  expect(recorded.map(({ act, subject, result }) => [act, subject, result])).toEqual(
    wrong.map(([name]) => ['adopt', name, 'failed']).toReversed(),
  );
  expect(left(shop)).toEqual([]);
});

test('a file that was cut short, or is damaged inside, is refused and not kept', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const whole = join(folder, 'whole.sqlite');
  makeDatabase(whole, { rows: 2_000, journalMode: 'delete' });
  const bytes = readFileSync(whole);
  const damaged = Buffer.from(bytes);
  damaged.fill(0xee, 8 * 4096, 12 * 4096);
  for (const [name, content] of [
    ['cut.sqlite', bytes.subarray(0, 20_000)],
    ['damaged.sqlite', damaged],
  ] as const) {
    writeFileSync(join(folder, name), content);
    const id = await send(shop.service, join(folder, name));
    const { code, message, hint } = await refusal(() => shop.service.arrivals.check(id));
    expect([code, message.startsWith(`${name} is damaged or not whole: `)]).toEqual(['BAD_BACKUP', true]);
    expect(hint).toContain('Nothing of it was kept');
    expect((await refusal(() => shop.service.arrivals.adopt(id))).code).toBe('GONE');
    expect((await refusal(() => shop.service.arrivals.adoptFile(join(folder, name)))).code).toBe('BAD_BACKUP');
  }
  expect([left(shop), await shop.service.getBackups()]).toEqual([[], []]);
});

test('a file is read by a job alone, and one that takes the job’s time is given up', async () => {
  const folder = scratch();
  const kinds: string[] = [];
  const limits = { cpuMs: 500, memoryBytes: 512 * 1024 * 1024 };
  await using shop = openShop(folder, {
    runJob: async (request, options) => {
      kinds.push(request.kind);
      return await runJob(request, { ...options, limits });
    },
  });
  const costly = join(folder, 'costly.sqlite');
  const database = new DatabaseSync(costly, { defensive: false } as object); // newer than the types
  database.exec('CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT)');
  database.exec(
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO users SELECT i, i FROM n',
  );
  database.exec(
    "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE users (id INTEGER PRIMARY KEY, a TEXT CHECK (length(hex(zeroblob(100000000 + id))) > 0))'",
  );
  database.close();
  const id = await send(shop.service, costly);
  expect((await refusal(() => shop.service.arrivals.check(id))).code).toBe('CHECK_GAVE_UP');
  expect([kinds, left(shop)]).toEqual([['verify'], []]);
});

test('pieces follow each other, one may be sent again, and none goes beyond the end', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { arrivals } = shop.service;
  const path = join(folder, 'some.sqlite');
  makeDatabase(path, { rows: 500 });
  const bytes = readFileSync(path);
  const { id } = await arrivals.begin({ name: 'some.sqlite', sizeBytes: bytes.length });
  expect((await refusal(() => arrivals.append(id, 0, bytes.subarray(0, 10)))).code).toBe('BAD_REQUEST');
  expect((await refusal(() => arrivals.append(id, 5, bytes.subarray(5, 50)))).code).toBe('BAD_REQUEST');
  await arrivals.append(id, 0, bytes.subarray(0, 9_000));
  expect(await arrivals.append(id, 8_192, bytes.subarray(8_192, 12_000))).toEqual({ receivedBytes: 12_000 });
  expect((await refusal(() => arrivals.check(id))).message).toContain('12000 of');
  expect((await refusal(() => arrivals.append(id, 12_000, bytes))).code).toBe('BAD_REQUEST');
  // Another process of the same app goes on with it.
  const other = shop.again().arrivals;
  await other.append(id, 12_000, bytes.subarray(12_000));
  await other.check(id);
  expect(readFileSync(join(shop.backups, ARRIVALS_FOLDER, `${id}.sqlite`)).equals(bytes)).toBe(true);
  // What comes after the check was not checked.
  await arrivals.append(id, bytes.length - 1, bytes.subarray(-1));
  expect((await refusal(() => arrivals.adopt(id))).message).toContain('was not checked');
  for (const wrong of ['../x', `${id}/../${id}`, '', 'nothing'])
    expect((await refusal(() => arrivals.adopt(wrong))).code).toBe('GONE');
  await arrivals.discard(id);
  await arrivals.discard(id);
  expect(left(shop)).toEqual([]);
});

test('what nobody touched for hours goes at the next backup, and what is on its way stays', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const path = join(folder, 'some.sqlite');
  makeDatabase(path);
  const forgotten = await send(shop.service, path);
  const going = await send(shop.service, path);
  const longAgo = new Date(Date.now() - 7 * 3_600_000);
  for (const suffix of ['sqlite', 'json'])
    utimesSync(join(shop.backups, ARRIVALS_FOLDER, `${forgotten}.${suffix}`), longAgo, longAgo);
  expect((await shop.service.performBackup()).success).toBe(true);
  expect(left(shop).toSorted()).toEqual([`${going}.json`, `${going}.sqlite`]);
  expect((await shop.service.arrivals.check(going)).likeness).toBe('same');
});

test('a folder of ours that cannot be used holds up no backup, and is set aside for the next upload', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  mkdirSync(shop.backups);
  writeFileSync(join(shop.backups, ARRIVALS_FOLDER), 'a file of somebody');
  expect((await shop.service.performBackup()).success).toBe(true);
  const path = join(folder, 'some.sqlite');
  makeDatabase(path);
  const id = await send(shop.service, path);
  expect(await shop.service.arrivals.check(id)).toMatchObject({ likeness: 'same' });
  expect(readdirSync(shop.backups).filter((entry) => entry.startsWith(`${ARRIVALS_FOLDER}.unusable-`))).toHaveLength(1);
});

test('a manifest without its file, as a kill leaves it, is no backup, and the file can still be adopted', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const path = join(folder, 'some.sqlite');
  makeDatabase(path);
  const id = await send(shop.service, path);
  await shop.service.arrivals.check(id);
  const { filename } = await shop.service.arrivals.adopt(id);
  const again = await send(shop.service, path, 'again.sqlite');
  await shop.service.arrivals.check(again);
  await shop.service.deleteBackup(filename);
  writeFileSync(join(shop.backups, `${filename}.json`), '{}');
  expect((await shop.service.getBackups()).length).toBe(0);
  expect((await shop.service.arrivals.adopt(again)).filename).not.toBe(filename);
  await shop.service.performBackup();
  expect(existsSync(join(shop.backups, `${filename}.json`))).toBe(false);
});

test('no file is begun for which there is no room, or in a folder of another database', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const tooLarge = { name: 'large.sqlite', sizeBytes: 2 ** 52 };
  expect((await refusal(() => shop.service.arrivals.begin(tooLarge))).code).toBe('DISK_FULL');
  await shop.service.performBackup();
  await using stranger = openShop(scratch(), { backupsPath: shop.backups });
  const small = { name: 'small.sqlite', sizeBytes: 8_192 };
  expect((await refusal(() => stranger.service.arrivals.begin(small))).code).toBe('FOREIGN_PLACE');
  expect(left(shop)).toEqual([]);
});

test('a file of this machine with a log beside it, the live database, or none at all is not adopted', async () => {
  const folder = scratch();
  await using shop = openShop(folder);
  const { arrivals } = shop.service;
  const path = join(folder, 'used.sqlite');
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE a (b); INSERT INTO a VALUES (1)');
  const copied = join(folder, 'copied.sqlite');
  copyFileSync(path, copied);
  copyFileSync(`${path}-wal`, `${copied}-wal`);
  database.close();
  expect((await refusal(() => arrivals.adoptFile(copied))).message).toContain('has a log beside it');
  expect((await refusal(() => arrivals.adoptFile(shop.databasePath))).message).toContain('the live database itself');
  expect((await refusal(() => arrivals.adoptFile(join(folder, 'none.sqlite')))).code).toBe('NO_BACKUP');
  const letter = join(folder, 'letter.txt');
  writeFileSync(letter, 'Dear aunt, I made no backup at all.');
  expect((await refusal(() => arrivals.adoptFile(letter))).message).toStartWith(
    'letter.txt is not a SQLite database: ',
  );
  writeFileSync(letter, '');
  expect((await refusal(() => arrivals.adoptFile(letter))).message).toBe(
    'letter.txt is not a SQLite database: it is empty',
  );
  const inFolder = join(shop.backups, 'backup-2024-01-15T10-30-00-000Z.sqlite');
  makeDatabase(inFolder);
  expect((await refusal(() => arrivals.adoptFile(inFolder))).hint).toContain('by its name');
  rmSync(inFolder);
  mkdirSync(join(folder, 'folder.sqlite'));
  expect((await refusal(() => arrivals.adoptFile(join(folder, 'folder.sqlite')))).code).toBe('NO_BACKUP');
  expect(readdirSync(shop.backups).filter((entry) => !entry.startsWith(LOCK_FILE))).toEqual([ARRIVALS_FOLDER]);
  expect(left(shop)).toEqual([]);
});
