import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { addFailedCommit } from '../../../tests/support/failed-commit.ts';
import { ask, makeDatabase, openElsewhere, refusal, scratchFolders, settle } from '../../../tests/support/scratch.ts';
import { pinDatabase } from './live-database.ts';
import { takeSnapshot } from './snapshot.ts';
import { verifyFile } from './verify.ts';
import { lastCommit } from './wal.ts';

const scratch = scratchFolders();
const now = () => new Date();
const quiet = { signal: new AbortController().signal, onProgress: () => {} };

for (const journalMode of ['wal', 'delete'] as const) {
  test(`a database in ${journalMode} mode, open elsewhere, becomes one sound private file in delete mode`, async () => {
    const live = join(scratch(), 'shop.sqlite');
    makeDatabase(live, { journalMode });
    const app = await openElsewhere(live);
    try {
      await app.ask("INSERT INTO notes (text) VALUES ('only in the log') RETURNING id");
      const folder = scratch();
      const destination = join(folder, 'snapshot.sqlite');
      const pinned = pinDatabase(live, { now });
      expect(pinned.journalMode).toBe(journalMode);
      const snapshot = await takeSnapshot(pinned, destination, quiet);
      expect(snapshot).toEqual(
        expect.objectContaining({ path: destination, method: 'pinned-copy', sizeBytes: statSync(destination).size }),
      );
      expect(readdirSync(folder)).toEqual(['snapshot.sqlite']);
      expect(statSync(destination).mode & 0o777).toBe(0o600);
      // https://sqlite.org/fileformat2.html#file_format_version_numbers: 1 is a rollback journal, 2 is WAL.
      expect([...readFileSync(destination).subarray(18, 20)]).toEqual([1, 1]);
      await verifyFile(destination, { method: 'full' });
      expect(ask(destination, "SELECT count(*) FROM notes WHERE text = 'only in the log'")).toBe(1);
      expect(ask(destination, 'SELECT count(*) FROM notes')).toBe(101);
    } finally {
      await app.close();
    }
  });
}

test('where nothing is in the log alone, the copy is final as it is written, and was digested meanwhile', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live);
  const app = await openElsewhere(live);
  try {
    await app.ask("INSERT INTO notes (text) VALUES ('merged by the pin') RETURNING id");
    const destination = join(scratch(), 'snapshot.sqlite');
    const snapshot = await takeSnapshot(pinDatabase(live, { now }), destination, quiet);
    const { sha256 } = await verifyFile(destination, { method: 'full' });
    expect(await snapshot.sha256).toBe(sha256);
    expect([...readFileSync(destination).subarray(18, 20)]).toEqual([1, 1]);
    expect(ask(destination, "SELECT count(*) FROM notes WHERE text = 'merged by the pin'")).toBe(1);
  } finally {
    await app.close();
  }
});

for (const when of ['grew', 'restarted'] as const) {
  test(`a log that ${when} between the checkpoint and the copy leaves the copy at the pin`, async () => {
    const live = join(scratch(), 'shop.sqlite');
    makeDatabase(live);
    const app = await openElsewhere(live);
    try {
      await app.ask("INSERT INTO notes (text) VALUES ('first') RETURNING id");
      // A reader that holds an older moment keeps the log from restarting.
      const reader = when === 'grew' ? pinDatabase(live, { now }) : null;
      await app.ask("INSERT INTO notes (text) VALUES ('second') RETURNING id");
      reader?.[Symbol.dispose]();
      const pinned = pinDatabase(live, { now });
      expect(pinned.log).toEqual(expect.objectContaining({ frames: pinned.checkpoint?.mergedFrames }));
      await app.ask("UPDATE notes SET text = 'third' WHERE text = 'second' RETURNING id");
      const destination = join(scratch(), 'snapshot.sqlite');
      const snapshot = await takeSnapshot(pinned, destination, quiet);
      expect(snapshot.logEnd).toEqual({ salts: pinned.log?.salts ?? '', frame: pinned.log?.frames ?? 0 });
      await verifyFile(destination, { method: 'full' });
      const texts = "SELECT group_concat(text) FROM notes WHERE text IN ('first', 'second', 'third')";
      expect(ask(destination, texts)).toBe('first,second');
    } finally {
      await app.close();
    }
  });
}

/** A pin whose log is needed: a reader that holds an older moment keeps the last commit from being merged. */
async function pinWithLog(live: string) {
  makeDatabase(live, { rows: 2_000 });
  const app = await openElsewhere(live);
  await app.ask("INSERT INTO notes (text) VALUES ('first') RETURNING id");
  const reader = pinDatabase(live, { now });
  await app.ask("INSERT INTO notes (text) VALUES ('second') RETURNING id");
  const pinned = pinDatabase(live, { now });
  expect(pinned.log?.mergedFrames).toBeLessThan(pinned.log?.frames ?? 0);
  return {
    app,
    pinned,
    async [Symbol.asyncDispose]() {
      reader[Symbol.dispose]();
      pinned[Symbol.dispose]();
      await app.close();
    },
  };
}

test('frames behind the end of the log, of a commit that failed or came later, are not in the copy', async () => {
  const live = join(scratch(), 'shop.sqlite');
  await using scene = await pinWithLog(live);
  await scene.app.ask("INSERT INTO notes (text) VALUES ('third') RETURNING id");
  const destination = join(scratch(), 'snapshot.sqlite');
  const { logEnd } = await takeSnapshot(scene.pinned, destination, quiet);
  expect(logEnd?.frame).toBe(scene.pinned.log?.frames ?? 0);
  await verifyFile(destination, { method: 'full' });
  const texts = "SELECT group_concat(text) FROM notes WHERE text IN ('first', 'second', 'third')";
  expect(ask(destination, texts)).toBe('first,second');
});

test('a commit that failed is not in the copy, although its frames are whole', async () => {
  const live = join(scratch(), 'shop.sqlite');
  await using scene = await pinWithLog(live);
  addFailedCommit(live, "INSERT INTO notes (text) VALUES ('failed')");
  expect(lastCommit(`${live}-wal`)?.frame).toBeGreaterThan(scene.pinned.log?.frames ?? 0);
  const destination = join(scratch(), 'snapshot.sqlite');
  await takeSnapshot(scene.pinned, destination, quiet);
  expect(ask(destination, "SELECT count(*) FROM notes WHERE text = 'failed'")).toBe(0);
  expect(await scene.app.ask("SELECT count(*) FROM notes WHERE text = 'failed'")).toBe(0);
});

test('a log that is needed and was removed is an error that says so, and no copy without it', async () => {
  const live = join(scratch(), 'shop.sqlite');
  await using scene = await pinWithLog(live);
  rmSync(`${live}-wal`);
  const { code, message } = await refusal(() => takeSnapshot(scene.pinned, join(scratch(), 'snapshot.sqlite'), quiet));
  expect([code, message]).toEqual(['DB_NOT_SHARED', `${live}-wal was removed while the database was in use`]);
});

test('a log that is not the one of the index is refused', async () => {
  const live = join(scratch(), 'shop.sqlite');
  await using scene = await pinWithLog(live);
  const other = join(scratch(), 'other.sqlite');
  await using _other = await pinWithLog(other);
  copyFileSync(`${other}-wal`, `${live}-wal.other`);
  renameSync(`${live}-wal.other`, `${live}-wal`);
  const { code, message } = await refusal(() => takeSnapshot(scene.pinned, join(scratch(), 'snapshot.sqlite'), quiet));
  expect(code).toBe('DB_NOT_SHARED');
  expect(message).toContain('is not the log that the index');
});

test('what a killed app left behind the pages of its file is not in the copy', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live, { journalMode: 'delete' });
  const { size } = statSync(live);
  appendFileSync(live, Buffer.alloc(3 * 4096, 1));
  const destination = join(scratch(), 'snapshot.sqlite');
  await takeSnapshot(pinDatabase(live, { now }), destination, quiet);
  expect(statSync(destination).size).toBe(size);
  await verifyFile(destination, { method: 'full' });
});

test('a log that restarts while it is copied is refused', async () => {
  const live = join(scratch(), 'shop.sqlite');
  await using scene = await pinWithLog(live);
  const copying = refusal(() =>
    takeSnapshot(scene.pinned, join(scratch(), 'snapshot.sqlite'), { ...quiet, paceBytes: 1 }),
  );
  // It was looked at before the first stretch, and waits for that to be flushed. These are the salts.
  const log = openSync(`${live}-wal`, 'r+');
  writeSync(log, Buffer.alloc(8, 7), 0, 8, 16);
  closeSync(log);
  const { code, message } = await copying;
  expect([code, message]).toEqual(['DB_NOT_SHARED', `the log of ${live} restarted under a pin that forbids it`]);
});

for (const journalMode of ['wal', 'delete'] as const) {
  test(`a main file in ${journalMode} mode that somebody writes to under the pin is refused`, async () => {
    const live = join(scratch(), 'shop.sqlite');
    makeDatabase(live, { journalMode });
    // The system's own clock of files ticks every few milliseconds, and all of this may happen within one tick.
    settle(live);
    const pinned = pinDatabase(live, { now });
    // As a program by another name of the file, or another machine, does; in a process of its own it drops no lock.
    expect(spawnSync('dd', [`of=${live}`, 'conv=notrunc', 'bs=1', 'count=1', 'seek=5000'], { input: 'x' }).status).toBe(
      0,
    );
    const { code, message } = await refusal(() => takeSnapshot(pinned, join(scratch(), 'snapshot.sqlite'), quiet));
    expect(code).toBe('DB_NOT_SHARED');
    expect(message).toContain('does not respect our lock');
  });
}

test('a database that was swapped for another under the pin is refused: its log may be the other’s', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live);
  const pinned = pinDatabase(live, { now });
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(live + suffix)) renameSync(live + suffix, `${live}.old${suffix}`);
  }
  makeDatabase(live, { rows: 7 });
  const destination = join(scratch(), 'snapshot.sqlite');
  const { code } = await refusal(() => takeSnapshot(pinned, destination, quiet));
  expect(code).toBe('DB_CHANGED');
});

test('what others commit and checkpoint under the pin can not tear the copy, and the live database keeps it', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live, { rows: 20_000 });
  const app = await openElsewhere(live);
  try {
    await app.ask('PRAGMA wal_autocheckpoint = 10');
    const pinned = pinDatabase(live, { now });
    await app.ask("UPDATE notes SET text = 'rewritten ' || id");
    await app.ask('PRAGMA wal_checkpoint(PASSIVE)');
    const destination = join(scratch(), 'snapshot.sqlite');
    await takeSnapshot(pinned, destination, quiet);
    await verifyFile(destination, { method: 'full' });
    const rewritten = Number(ask(destination, "SELECT count(*) FROM notes WHERE text LIKE 'rewritten %'"));
    expect([0, 20_000]).toContain(rewritten);
    expect(await app.ask("SELECT count(*) FROM notes WHERE text LIKE 'rewritten %'")).toBe(20_000);
    // The pin is released: the log can be emptied again.
    expect(await app.ask('PRAGMA wal_checkpoint(TRUNCATE)')).toBe(0);
  } finally {
    await app.close();
  }
});

test('nothing that is committed under the pin gets into the main file', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live);
  const app = await openElsewhere(live);
  try {
    const pinned = pinDatabase(live, { now });
    await app.ask('PRAGMA busy_timeout = 100');
    await app.ask("INSERT INTO notes (text) VALUES ('later') RETURNING id");
    expect(await app.ask('PRAGMA wal_checkpoint(TRUNCATE)')).toBe(1);
    pinned[Symbol.dispose]();
    expect(await app.ask('PRAGMA wal_checkpoint(TRUNCATE)')).toBe(0);
  } finally {
    await app.close();
  }
});

test('in a rollback mode nobody commits from the pin to the end of the copy, and everybody does afterwards', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live, { journalMode: 'delete' });
  const app = await openElsewhere(live);
  const write = () => app.ask("INSERT INTO notes (text) VALUES ('later') RETURNING id");
  try {
    await app.ask('PRAGMA busy_timeout = 0');
    const pinned = pinDatabase(live, { now });
    await expect(write()).rejects.toThrow('locked');
    await takeSnapshot(pinned, join(scratch(), 'snapshot.sqlite'), { ...quiet, keepPin: true });
    await expect(write()).rejects.toThrow('locked');
    pinned[Symbol.dispose]();
    expect(await write()).toBe(101);
  } finally {
    await app.close();
  }
});

test('an aborted copy releases the pin', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live);
  const app = await openElsewhere(live);
  try {
    const abort = new AbortController();
    abort.abort();
    const pinned = pinDatabase(live, { now });
    const destination = join(scratch(), 'snapshot.sqlite');
    await expect(takeSnapshot(pinned, destination, { ...quiet, signal: abort.signal })).rejects.toThrow('abort');
    await app.ask("INSERT INTO notes (text) VALUES ('afterwards') RETURNING id");
    await app.ask('PRAGMA busy_timeout = 100');
    expect(await app.ask('PRAGMA wal_checkpoint(TRUNCATE)')).toBe(0);
    // Referred to until now, or the garbage collector might have released it.
    pinned[Symbol.dispose]();
  } finally {
    await app.close();
  }
});

test('VACUUM INTO, where the pin is not safe, makes the same kind of file', async () => {
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live);
  const destination = join(scratch(), 'snapshot.sqlite');
  const snapshot = await takeSnapshot({ ...pinDatabase(live, { now }), mayCopy: false }, destination, quiet);
  expect(snapshot.method).toBe('vacuum-into');
  expect(existsSync(`${destination}-wal`)).toBe(false);
  expect(ask(destination, 'SELECT count(*) FROM notes')).toBe(100);
  await verifyFile(destination, { method: 'full' });
});
