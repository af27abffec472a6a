import { expect, test } from 'bun:test';
import { copyFileSync, existsSync, linkSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ask, makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { judgeLiveDatabase } from './judge-live.ts';
import { refuseLeftElsewhere } from './left-elsewhere.ts';
import { lookIntoDatabase, pinDatabase } from './live-database.ts';
import { takeSnapshot } from './snapshot.ts';

const scratch = scratchFolders();
const pin = (path: string) => pinDatabase(path, { now: () => new Date(), timeoutMs: 50 });
const quiet = { signal: new AbortController().signal, onProgress: () => {} };
const isLinux = process.platform === 'linux';

function twoNames(journalMode: 'wal' | 'delete') {
  const folder = scratch();
  const [app, tool] = [join(folder, 'app.sqlite'), join(folder, 'tool.sqlite')];
  makeDatabase(app, { journalMode, rows: 200 });
  linkSync(app, tool);
  return { app, tool };
}

/** Every row gets the same new text. So few pages are kept in memory that most are written before the end. */
async function beginToChange(name: string, journalMode: string) {
  const app = await openElsewhere(name);
  await app.ask(`PRAGMA journal_mode = ${journalMode}`);
  await app.ask('PRAGMA cache_size = 2');
  await app.ask('PRAGMA synchronous = OFF');
  await app.ask('BEGIN IMMEDIATE');
  await app.ask("UPDATE notes SET text = printf('%.3000c', 'x') RETURNING id");
  return app;
}

for (const journalMode of ['delete', 'truncate', 'persist']) {
  test(`an interrupted transaction under another name is refused, not half backed up (${journalMode})`, async () => {
    const { app: name, tool } = twoNames('delete');
    const before = ask(name, 'SELECT sum(length(text)) FROM notes');
    await (await beginToChange(name, journalMode)).kill();
    expect(existsSync(`${name}-journal`)).toBe(true);
    for (const use of [pin, lookIntoDatabase, (path: string) => judgeLiveDatabase(path, 'quick')]) {
      const { code, message, hint } = await refusal(() => use(tool));
      expect(code).toBe('DB_NOT_SHARED');
      expect(message).toContain(`${name}-journal has an interrupted transaction`);
      expect(hint).toStartWith(`Copy ${name} and ${name}-journal to a safe folder first`);
    }
    // What the hint says, and all is well by both names.
    expect(ask(name, 'SELECT sum(length(text)) FROM notes')).toBe(before);
    pin(tool)[Symbol.dispose]();
    expect(ask(tool, 'SELECT sum(length(text)) FROM notes')).toBe(before);
  });
}

test('commits that a crash left in the log of another name are refused, not missed', async () => {
  const { app: name, tool } = twoNames('wal');
  const app = await openElsewhere(name);
  await app.ask("INSERT INTO notes (text) VALUES ('in its log') RETURNING id");
  await app.kill();
  for (const use of [pin, lookIntoDatabase, (path: string) => judgeLiveDatabase(path, 'quick')]) {
    const { code, message } = await refusal(() => use(tool));
    expect([code, message.includes(`${name}-wal has commits that are not in the file`)]).toEqual([
      'DB_NOT_SHARED',
      true,
    ]);
    expect(existsSync(`${tool}-wal`)).toBe(false);
  }
  expect(ask(name, 'SELECT count(*) FROM notes')).toBe(201);
  pin(tool)[Symbol.dispose]();
});

test('a crash while we copy by another name is found before the copy counts', async () => {
  const { app: name, tool } = twoNames('delete');
  const pinned = pin(tool);
  writeFileSync(`${name}-journal`, 'as a killed writer leaves it');
  const destination = join(scratch(), 'snapshot.sqlite');
  expect((await refusal(() => takeSnapshot(pinned, destination, quiet))).code).toBe('DB_NOT_SHARED');
});

test.skipIf(!isLinux)('the journal of a writer that lives is no reason, nor one that was finished', async () => {
  const { app: name, tool } = twoNames('delete');
  const app = await openElsewhere(name);
  await app.ask('PRAGMA journal_mode = PERSIST');
  await app.ask("INSERT INTO notes (text) VALUES ('finished') RETURNING id");
  expect(existsSync(`${name}-journal`)).toBe(true);
  pin(tool)[Symbol.dispose]();
  await app.ask('BEGIN IMMEDIATE');
  await app.ask("INSERT INTO notes (text) VALUES ('not yet') RETURNING id");
  const destination = join(scratch(), 'snapshot.sqlite');
  await takeSnapshot(pin(tool), destination, quiet);
  expect(ask(destination, 'SELECT count(*) FROM notes')).toBe(201);
  await app.ask('COMMIT');
  await app.close();
});

test.skipIf(!isLinux)('a writer that keeps readers out, its journal on the disk, is no reason either', async () => {
  const { app: name, tool } = twoNames('delete');
  const app = await openElsewhere(name);
  for (const sql of ['PRAGMA cache_size = 2', 'BEGIN IMMEDIATE']) await app.ask(sql);
  await app.ask("UPDATE notes SET text = printf('%.3000c', 'x') RETURNING id");
  expect(readFileSync(`${name}-journal`)[0]).not.toBe(0);
  refuseLeftElsewhere(tool);
  await app.ask('COMMIT');
  await app.close();
});

test('another file with a journal in the same folder is no other name', async () => {
  const { app: name, tool } = twoNames('delete');
  const other = join(dirname(name), 'other.sqlite');
  copyFileSync(name, other);
  writeFileSync(`${other}-journal`, 'of another database');
  pin(tool)[Symbol.dispose]();
});
