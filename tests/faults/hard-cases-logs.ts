/** Hard cases of a database that others use with another log, or without our locks: its newest commits are not beside it. */
import assert from 'node:assert/strict';
import { closeSync, linkSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { addFailedCommit } from '../support/failed-commit.ts';
import { ask, openElsewhere } from '../support/scratch.ts';
import { backUpAndAt, grow } from './hard-cases-disk.ts';
import { type HardCase, must, type Scene } from './hard-cases.ts';

export const logCases: readonly HardCase[] = [
  {
    name: 'a database whose app opens it by a hard link is refused, naming the app and the name that it uses',
    code: 'DB_NOT_SHARED',
    message: /\(process \d+\) has .*shop\.sqlite open as .*app\.sqlite, and uses a different log/,
    hint: /set DATABASE_URL to it.*app\.sqlite-wal is gone or empty/,
    async provoke(scene) {
      const name = join(scene.folder, 'app.sqlite');
      linkSync(scene.databasePath, name);
      scene.mend(() => rmSync(name));
      await commitBy(scene, name);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a database whose app has it as a mount of the single file is refused in the same words',
    code: 'DB_NOT_SHARED',
    message: /uses a different log from the one that a backup would read/,
    hint: /in a container, mount its whole folder/,
    async provoke(scene) {
      const name = join(scene.folder, 'mounted.sqlite');
      writeFileSync(name, '');
      must('mount', ['--bind', scene.databasePath, name]);
      scene.mend(() => must('umount', [name]));
      await commitBy(scene, name);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a database that has a second name is backed up while nobody uses that, with a warning',
    code: null,
    says: /shop\.sqlite has 2 names \(hard links\)/,
    async provoke(scene) {
      linkSync(scene.databasePath, join(scene.folder, 'second.sqlite'));
      await commitBy(scene, scene.databasePath);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a transaction that a crash cut short under another name of the file is refused, not backed up by half',
    code: 'DB_NOT_SHARED',
    message: /app\.sqlite is another name of .*shop\.sqlite, and .*app\.sqlite-journal has an interrupted transaction/,
    hint: /^Copy .*app\.sqlite and .*app\.sqlite-journal to a safe folder first/,
    async provoke(scene) {
      const name = join(scene.folder, 'app.sqlite');
      ask(scene.databasePath, 'PRAGMA journal_mode = DELETE');
      linkSync(scene.databasePath, name);
      const app = await openElsewhere(name);
      for (const sql of ['PRAGMA cache_size = 2', 'BEGIN', "UPDATE notes SET text = printf('%.3000c', 'x')"])
        await app.ask(sql.startsWith('UPDATE') ? `${sql} RETURNING id` : sql);
      await app.kill();
      scene.mend(() => {
        ask(name, 'SELECT count(*) FROM notes');
        rmSync(name);
      });
      return await scene.service.performBackup();
    },
  },
  ...[['-wal', '-shm'], ['-wal'], ['-shm']].map((removed): HardCase => ({
    name: `a ${removed.join(' and a ')} that somebody removed under the app is refused, and the hint saves the rows`,
    code: 'DB_NOT_SHARED',
    message: /-wal or -shm files of .*shop\.sqlite that were removed: the newest commits may be nowhere else/,
    hint: /Don't stop that program.*kill -STOP \d+; cp \/proc\/\d+\/fd\/\d+ rescued\.sqlite; cp \/proc/,
    async provoke(scene) {
      const app = await commitBy(scene, scene.databasePath);
      for (const suffix of removed) rmSync(scene.databasePath + suffix);
      await app.ask("INSERT INTO notes (text) VALUES ('after') RETURNING id");
      return await scene.service.performBackup();
    },
  })),
  {
    name: 'a database that is written to past our lock while it is copied is refused, and the copy is dropped',
    code: 'DB_NOT_SHARED',
    message: /shop\.sqlite was written to by a program that does not respect our lock/,
    hint: /hard link, a mount of the single file/,
    async provoke(scene) {
      await grow(scene);
      return await backUpAndAt(scene, 'copy', () => rewrite(scene.databasePath));
    },
  },
  {
    name: 'a commit that failed, as by an I/O error, is in no backup, although its frames lie whole in the log',
    code: null,
    async provoke(scene) {
      const reader = await openElsewhere(scene.databasePath);
      scene.mend(() => reader.close());
      // It keeps what is committed from now on in the log.
      await reader.ask('BEGIN');
      await reader.ask('SELECT count(*) FROM notes');
      await commitBy(scene, scene.databasePath);
      addFailedCommit(scene.databasePath, "INSERT INTO notes (text) VALUES ('failed')");
      const result = await scene.service.performBackup();
      const texts = "SELECT group_concat(text) FROM notes WHERE text IN ('in the log of the app', 'failed')";
      assert.equal(ask(join(scene.backups, result.filename ?? ''), texts), 'in the log of the app');
      return result;
    },
  },
];

/** The app stays connected, so that its commit is in its log. Closed, it merges that. */
async function commitBy(scene: Scene, name: string) {
  const app = await openElsewhere(name);
  scene.mend(() => app.close());
  await app.ask("INSERT INTO notes (text) VALUES ('in the log of the app') RETURNING id");
  return app;
}

/** One byte, as it was, as another machine writes that sees none of our locks. */
function rewrite(path: string): void {
  const file = openSync(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    assert.equal(readSync(file, byte, 0, 1, 5_000), 1);
    writeSync(file, byte, 0, 1, 5_000);
  } finally {
    closeSync(file);
  }
}
