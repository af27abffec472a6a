/** Hard cases of the database itself: not there, not sound, in use in every way, and under every name. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/words/errors.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import type { BackupResult } from '../../src/service/model.ts';
import { openElsewhere } from '../support/scratch.ts';
import {
  backUpAs,
  giveTo,
  killWriterInTheMiddle,
  openCarelessApp,
  openTirelessApp,
  startS3,
} from './hard-cases-actors.ts';
import { type HardCase, refusalOf, type Scene } from './hard-cases.ts';

const PAGE_BYTES = 4096;

export const databaseCases: readonly HardCase[] = [
  ...refused('DB_MISSING', /no file at .*shop\.sqlite/, /DATABASE_URL/, {
    'a database that is missing is missed by name': (path) => rmSync(path),
  }),
  ...refused('DB_EMPTY', /shop\.sqlite is an empty file/, /Start the app/, {
    'an empty file is not yet a database': (path) => writeFileSync(path, ''),
  }),
  ...refused('NOT_SQLITE', /shop\.sqlite is not a SQLite database, or it is encrypted/, /DATABASE_URL.*[Ee]ncrypted/, {
    'a text file is not taken for a database': (path) => writeFileSync(path, 'id,text\n'.repeat(2_000)),
    'a file that looks encrypted is not taken for a database': (path) =>
      writeFileSync(path, randomBytes(64 * PAGE_BYTES)),
    'a folder is not taken for a database': (path) => {
      rmSync(path);
      mkdirSync(path);
    },
  }),
  ...refused(
    'DB_DAMAGED',
    /live database .*shop\.sqlite/,
    /No old backup is removed/,
    {
      'a database with a good header and destroyed pages is reported as damaged, and nothing is pruned': (path) =>
        destroy(path, { from: 20 * PAGE_BYTES, bytes: 30 * PAGE_BYTES }),
      'a database whose schema can not be read is reported as damaged, and nothing is pruned': (path) =>
        destroy(path, { from: 100, bytes: PAGE_BYTES - 100 }),
      'a database cut off in the middle is reported as damaged, and nothing is pruned': (path) =>
        cut(path, 50 * PAGE_BYTES),
    },
    assertNothingIsPruned,
  ),
  {
    name: 'while the database is damaged, retention that is due removes nothing here and nothing on S3',
    code: 'DB_DAMAGED',
    hint: /No old backup is removed/,
    form: { rows: 5_000 },
    async provoke(scene) {
      const { access, backupsThere } = await startS3(scene);
      const service = scene.openService({ s3: { ...access, retentionCount: 1 } });
      service.updateConfig({ enabled: false, s3Enabled: true });
      const [newest = '', oldest = ''] = (await service.getBackups()).map((backup) => backup.filename);
      await uploadWaiting(service);
      assert.deepEqual(await backupsThere(), [newest], 'S3 keeps one as long as all is well');
      // Where nothing is yet, both are to be uploaded.
      service.updateConfig({ s3Path: 'anew' });
      return await withDatabase(
        scene,
        (path) => cut(path, 50 * PAGE_BYTES),
        async () => {
          await uploadWaiting(service);
          assert.deepEqual(await backupsThere('anew'), [oldest, newest], 'and both while the database is damaged');
          await assertNothingIsPruned(scene);
          service.updateConfig({ revert: ['enabled', 's3Enabled', 's3Path'] });
        },
      );
    },
  },
  ...(['delete', 'truncate', 'persist', 'memory', 'off', 'wal'] as const).map((mode): HardCase => ({
    name: `a database whose app uses journal mode ${mode} is backed up beside it`,
    code: null,
    form: { journalMode: mode === 'wal' ? 'wal' : 'delete' },
    async provoke(scene) {
      const app = await openCarelessApp(scene.databasePath);
      scene.mend(() => app.close());
      assert.equal(await app.ask(`PRAGMA journal_mode = ${mode}`), mode);
      await app.ask("INSERT INTO notes (text) VALUES ('beside') RETURNING id");
      const result = await scene.service.performBackup();
      await app.ask("INSERT INTO notes (text) VALUES ('after') RETURNING id");
      return result;
    },
  })),
  ...(['delete', 'wal'] as const).map((mode): HardCase => ({
    name: `a database held in exclusive locking mode (${mode}) is refused as busy, with the way out`,
    code: 'DB_BUSY',
    message: /shop\.sqlite was locked by another process for \d+(\.\d+)? s/,
    hint: mode === 'wal' ? /End that, then try again/ : /locking_mode=EXCLUSIVE.*journal_mode = WAL/,
    form: { journalMode: mode },
    async provoke(scene) {
      const app = await openElsewhere(scene.databasePath);
      scene.mend(() => app.close());
      await app.ask('PRAGMA locking_mode = EXCLUSIVE');
      await app.ask("INSERT INTO notes (text) VALUES ('mine alone') RETURNING id");
      return await scene.service.performBackup();
    },
  })),
  {
    name: 'a rollback-journal database whose app commits without a pause is backed up between two commits',
    code: null,
    form: { journalMode: 'delete' },
    async provoke(scene) {
      const app = await openTirelessApp(scene.databasePath);
      scene.mend(() => app.kill());
      // Patient: between which two commits it comes is the machine's own.
      const service = scene.openService({ waits: { lockMs: 30_000, pinMs: 60_000 } });
      for (let rounds = 0; rounds < 4; rounds++) assert.ok((await service.performBackup()).success);
      return await service.performBackup();
    },
  },
  {
    name: 'the journal of a killed writer is played back before the copy, so nothing uncommitted is in it',
    code: null,
    form: { rows: 5_000, journalMode: 'delete' },
    async provoke(scene) {
      await killWriterInTheMiddle(scene.databasePath);
      assert.ok(statSync(`${scene.databasePath}-journal`).size > 512, 'the journal is hot');
      return await scene.service.performBackup();
    },
  },
  {
    name: 'the journal of a killed writer is found through a symbolic link too',
    code: null,
    form: { rows: 5_000, journalMode: 'delete' },
    place: (scene) => ({ databasePath: linkTo(scene, 'shop.sqlite') }),
    async provoke(scene) {
      await killWriterInTheMiddle(join(scene.folder, 'data', 'shop.sqlite'));
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a database behind a symbolic link is copied with its log',
    code: null,
    place: (scene) => ({ databasePath: linkTo(scene, 'shop.sqlite') }),
    provoke: (scene) => backUpBesideApp(scene, join(scene.folder, 'data', 'shop.sqlite')),
  },
  ...[
    'what?.sqlite',
    '100%.sqlite',
    '%41.sqlite',
    'a#b.sqlite',
    'my shop.sqlite',
    `it's "ours".sqlite`,
    'café 店 🛒.sqlite',
    'two\nlines.sqlite',
    'file:shop.sqlite',
    '-shop.sqlite',
    'back\\slash.sqlite',
  ].map((name): HardCase => ({
    name: `a database named ${JSON.stringify(name)} is backed up beside its app`,
    code: null,
    place: (scene) => ({ databasePath: join(scene.folder, name) }),
    provoke: (scene) => backUpBesideApp(scene, scene.databasePath),
  })),
  {
    name: 'a backup folder with every odd character in its name works like any other',
    code: null,
    place: (scene) => ({ backupsPath: join(scene.folder, `b?c%20#d 'e" 店\n`, 'backups') }),
    provoke: (scene) => scene.service.performBackup(),
  },
  {
    name: 'relative paths mean what they meant when the service was made, whatever the app does to its folder',
    code: null,
    form: { rows: 10 },
    async provoke(scene) {
      const home = process.cwd();
      process.chdir(scene.folder);
      const places = { databasePath: 'shop.sqlite', backupsPath: 'backups', statePath: 'state.sqlite' };
      const service = scene.openService(places);
      process.chdir('/');
      try {
        const result = await service.performBackup();
        assert.deepEqual(
          (await service.getBackups()).map((backup) => backup.filename),
          (await scene.service.getBackups()).map((backup) => backup.filename),
        );
        assert.equal((await service.getStatus()).database.exists, true);
        return result;
      } finally {
        process.chdir(home);
      }
    },
  },
  {
    name: 'a database below the backup folder is backed up, and never taken for a leftover',
    code: null,
    place(scene) {
      mkdirSync(join(scene.backups, 'live'), { recursive: true });
      return { databasePath: join(scene.backups, 'live', 'shop.sqlite') };
    },
    provoke: (scene) => scene.service.performBackup(),
  },
  {
    name: 'a database inside our staging folder is refused before it could be cleared away',
    code: 'BAD_CONFIG',
    message: /staging/,
    hint: /Move|another folder/,
    backedUpBefore: false,
    verdict: 'last-failed',
    place(scene) {
      mkdirSync(join(scene.backups, '.staging'), { recursive: true });
      return { databasePath: join(scene.backups, '.staging', 'shop.sqlite') };
    },
    async provoke(scene) {
      const result = await scene.service.performBackup();
      assert.ok(existsSync(scene.databasePath), 'the database is still there');
      scene.mend(() => {
        const moved = join(scene.folder, 'shop.sqlite');
        renameSync(scene.databasePath, moved);
        scene.moveTo(moved);
      });
      return result;
    },
  },
  {
    name: "the live database under a backup's name is never deleted as a backup",
    code: null,
    place(scene) {
      mkdirSync(scene.backups, { recursive: true });
      return { databasePath: join(scene.backups, 'backup-2024-01-15T10-30-00-000Z.sqlite') };
    },
    async provoke(scene) {
      const refused = await refusalOf(() => scene.service.deleteBackup('backup-2024-01-15T10-30-00-000Z.sqlite'));
      assert.equal(refused.code, 'BAD_BACKUP');
      assert.ok(existsSync(scene.databasePath), 'the database is still there');
      const moved = join(scene.folder, 'shop.sqlite');
      const result = await scene.service.performBackup();
      scene.mend(async () => {
        renameSync(scene.databasePath, moved);
        scene.moveTo(moved);
        // It has another path and another name now.
        await scene.service.claim();
      });
      return result;
    },
  },
  {
    name: 'a database that this user may not read is refused, and the hint speaks of the database',
    code: 'NO_PERMISSION',
    message: /shop\.sqlite/,
    hint: /access to the database/,
    provoke: (scene) => backUpAsNobody(scene, 0o600),
  },
  {
    name: 'a database that this user may read but not write is backed up in a rollback-journal mode',
    code: null,
    form: { journalMode: 'delete' },
    provoke: (scene) => backUpAsNobody(scene, 0o644),
  },
  {
    name: 'a WAL database that this user may read but not write is refused with the rights it needs',
    code: 'NO_PERMISSION',
    message: /shop\.sqlite/,
    hint: /read and write access to the database, its -wal and -shm/,
    place: inFolderOfItsOwn,
    provoke: (scene) => backUpAsNobody(scene, 0o644),
  },
  {
    name: 'a database whose log this user may not read is refused, not copied without it',
    code: 'NO_PERMISSION',
    message: /shop\.sqlite/,
    hint: /-wal/,
    place: inFolderOfItsOwn,
    async provoke(scene) {
      await writeToLog(scene, scene.databasePath);
      chmodSync(`${scene.databasePath}-wal`, 0o600);
      chmodSync(`${scene.databasePath}-shm`, 0o666);
      return await backUpAsNobody(scene, 0o666);
    },
  },
];

/** Refused with the same words, for many reasons. */
function refused(
  code: ErrorCode,
  message: RegExp,
  hint: RegExp,
  changes: Readonly<Record<string, (path: string) => void>>,
  look?: (scene: Scene) => Promise<void>,
): readonly HardCase[] {
  return Object.entries(changes).map(([name, change]) => ({
    name,
    code,
    message,
    hint,
    form: { rows: 5_000 },
    ...(code === 'DB_MISSING' && { verdict: 'missing' as const }),
    provoke: (scene) => withDatabase(scene, change, () => look?.(scene)),
  }));
}

/** An app has the database open and has just written to its log. */
async function writeToLog(scene: Scene, path: string): Promise<void> {
  const app = await openElsewhere(path);
  scene.mend(() => app.close());
  await app.ask("INSERT INTO notes (text) VALUES ('in the log') RETURNING id");
}

async function backUpBesideApp(scene: Scene, path: string): Promise<BackupResult> {
  await writeToLog(scene, path);
  return await scene.service.performBackup();
}

/** By a user who may write the backups, and has so many rights on a database of another. */
async function backUpAsNobody(scene: Scene, databaseMode: number): Promise<BackupResult> {
  chmodSync(scene.databasePath, databaseMode);
  giveTo(scene.backups, 'nobody');
  scene.mend(() => giveTo(scene.backups, 'root'));
  return await backUpAs('nobody', scene);
}

/** Where another user can make nothing. */
function inFolderOfItsOwn(scene: Scene) {
  mkdirSync(join(scene.folder, 'data'));
  return { databasePath: join(scene.folder, 'data', 'shop.sqlite') };
}

/** Resolves when S3 has all that is here; makes no backup. */
async function uploadWaiting(service: BackupService): Promise<void> {
  const { promise: allStored, resolve } = Promise.withResolvers<void>();
  const look = async () => {
    const { s3 } = await service.getStatus();
    if (s3.waiting === 0) resolve();
  };
  const off = service.on(() => void look());
  service.start();
  await allStored;
  off();
  await service.stop();
}

/** Runs into a database that was changed behind its app's back; the good one returns afterwards. */
async function withDatabase(
  scene: Scene,
  change: (path: string) => void,
  look: () => Promise<void> | undefined,
): Promise<BackupResult> {
  const good = join(scene.folder, 'good.sqlite');
  copyFileSync(scene.databasePath, good);
  scene.mend(() => {
    for (const suffix of ['', '-wal', '-shm', '-journal']) {
      rmSync(scene.databasePath + suffix, { recursive: true, force: true });
    }
    renameSync(good, scene.databasePath);
  });
  change(scene.databasePath);
  const result = await scene.service.performBackup();
  await look();
  return result;
}

/** Point 4 of the promise: while the live database is damaged, its old backups are all there is. */
async function assertNothingIsPruned(scene: Scene): Promise<void> {
  const before = (await scene.service.getBackups()).map((backup) => backup.filename);
  assert.equal(before.length, 2);
  scene.service.updateConfig({ retentionCount: 1 });
  const plan = await scene.service.prune({ dryRun: true });
  assert.deepEqual(plan.removed, []);
  assert.match(plan.kept.flatMap(({ reasons }) => reasons).join('\n'), /live database/);
  const done = await scene.service.prune();
  assert.deepEqual(done.removed, []);
  // Another program of ours, after a restart, knows it too.
  assert.deepEqual((await scene.openService().prune()).removed, []);
  assert.deepEqual(
    (await scene.service.getBackups()).map((backup) => backup.filename),
    before,
  );
  scene.service.updateConfig({ retentionCount: 10 });
}

function destroy(path: string, where: { readonly from: number; readonly bytes: number }): void {
  const file = openSync(path, 'r+');
  try {
    // No page of any kind, whatever the machine would have drawn.
    writeSync(file, Buffer.alloc(where.bytes, 0xa5), 0, where.bytes, where.from);
  } finally {
    closeSync(file);
  }
}

function cut(path: string, bytes: number): void {
  assert.ok(statSync(path).size > bytes);
  truncateSync(path, bytes);
}

function linkTo(scene: Scene, name: string): string {
  const data = join(scene.folder, 'data');
  mkdirSync(data);
  // Made before the database is: SQLite creates it where the link leads.
  symlinkSync(join('data', name), join(scene.folder, 'link.sqlite'));
  return join(scene.folder, 'link.sqlite');
}
