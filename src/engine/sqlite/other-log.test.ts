import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ask, makeDatabase, openElsewhere, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { judgeLiveDatabase } from './judge-live.ts';
import { lookIntoDatabase, pinDatabase } from './live-database.ts';
import { findOtherLogs, refuseOtherLog } from './other-log.ts';
import { takeSnapshot } from './snapshot.ts';

const scratch = scratchFolders();
const pin = (path: string) => pinDatabase(path, { now: () => new Date(), timeoutMs: 50 });
const quiet = { signal: new AbortController().signal, onProgress: () => {} };
const isLinux = process.platform === 'linux';

function twoNames() {
  const folder = scratch();
  for (const name of ['app', 'tool']) mkdirSync(join(folder, name));
  const [app, tool] = [join(folder, 'app', 'shop.sqlite'), join(folder, 'tool', 'shop.sqlite')];
  makeDatabase(app);
  linkSync(app, tool);
  return { app, tool };
}

test.skipIf(!isLinux)(
  'an app that uses the file by another name is named, with the name, before we open it',
  async () => {
    const { app: name, tool } = twoNames();
    const app = await openElsewhere(name);
    await app.ask("INSERT INTO notes (text) VALUES ('in the other log') RETURNING id");
    for (const use of [pin, lookIntoDatabase, (path: string) => judgeLiveDatabase(path, 'quick')]) {
      const { code, message, hint } = await refusal(() => use(tool));
      expect(code).toBe('DB_NOT_SHARED');
      expect(message).toContain(`(process ${app.process.pid}) has ${tool} open as ${name}`);
      expect(hint).toContain(`${name}-wal is gone or empty`);
      expect(existsSync(`${tool}-wal`)).toBe(false);
    }
    pin(name)[Symbol.dispose]();
    await app.close();
    pin(tool)[Symbol.dispose]();
  },
);

test.skipIf(!isLinux)('an app that comes by another name while we copy is found before the copy counts', async () => {
  const { app: name, tool } = twoNames();
  const pinned = pin(tool);
  const app = await openElsewhere(name);
  const destination = join(scratch(), 'snapshot.sqlite');
  expect((await refusal(() => takeSnapshot(pinned, destination, quiet))).code).toBe('DB_NOT_SHARED');
  await app.close();
});

test.skipIf(!isLinux)(
  'in a rollback mode all names share one lock, and the copy is as good by any of them',
  async () => {
    const { app: name, tool } = twoNames();
    const app = await openElsewhere(name);
    await app.ask('PRAGMA journal_mode = DELETE');
    await app.ask("INSERT INTO notes (text) VALUES ('in the file') RETURNING id");
    const destination = join(scratch(), 'snapshot.sqlite');
    await takeSnapshot(pin(tool), destination, quiet);
    expect(ask(destination, 'SELECT count(*) FROM notes')).toBe(101);
    await app.close();
  },
);

for (const removed of [['-wal', '-shm'], ['-wal'], ['-shm']]) {
  test.skipIf(!isLinux)(
    `a ${removed.join(' and a ')} removed under its app is refused, and the hint saves the rows`,
    async () => {
      const folder = scratch();
      const live = join(folder, 'shop.sqlite');
      makeDatabase(live);
      const app = await openElsewhere(live);
      await app.ask("INSERT INTO notes (text) VALUES ('before') RETURNING id");
      for (const suffix of removed) rmSync(live + suffix);
      await app.ask("INSERT INTO notes (text) VALUES ('after') RETURNING id");
      const { code, message, hint } = await refusal(() => pin(live));
      expect(code).toBe('DB_NOT_SHARED');
      expect(message).toContain(`(process ${app.process.pid})`);
      const [, commands = ''] = /`(kill -STOP [^`]+)`/.exec(hint) ?? [];
      expect(spawnSync('sh', ['-c', commands], { cwd: folder, encoding: 'utf8' }).stderr).toBe('');
      // The app goes on, and lost nothing by it.
      expect(await app.ask('SELECT count(*) FROM notes')).toBe(102);
      await app.kill();
      expect(ask(join(folder, 'rescued.sqlite'), 'SELECT count(*) FROM notes')).toBe(102);
    },
  );
}

test.skipIf(!isLinux)('a database that was renamed under its app, without its log, is refused', async () => {
  const folder = scratch();
  const live = join(folder, 'shop.sqlite');
  makeDatabase(live);
  const app = await openElsewhere(live);
  renameSync(live, join(folder, 'moved.sqlite'));
  expect((await refusal(() => pin(join(folder, 'moved.sqlite')))).message).toContain(`open as ${live}`);
  await app.close();
});

test.skipIf(!isLinux)(
  'what is open beside is no other log: a reader of the files, another database, an app that switches its mode',
  async () => {
    const folder = scratch();
    const live = join(folder, 'shop.sqlite');
    makeDatabase(live);
    const other = join(folder, 'other.sqlite');
    copyFileSync(live, other);
    const [app, neighbour] = [await openElsewhere(live), await openElsewhere(other)];
    await app.ask("INSERT INTO notes (text) VALUES ('mine') RETURNING id");
    const reader = Bun.spawn(['sh', '-c', `exec 3<'${live}' 4<'${live}-wal' 5<'${live}-shm'; echo; read _`], {
      stdin: 'pipe',
      stdout: 'pipe',
    });
    await reader.stdout.getReader().read();
    expect(findOtherLogs(live)).toEqual([]);
    for (let round = 0; round < 20; round++) {
      await app.ask('PRAGMA journal_mode = DELETE');
      await app.ask('PRAGMA journal_mode = WAL');
      await app.ask("INSERT INTO notes (text) VALUES ('again') RETURNING id");
      // The reader has the files of before.
      refuseOtherLog(live);
    }
    reader.kill();
    for (const one of [app, neighbour]) await one.close();
  },
);
