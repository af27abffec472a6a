/** Hard cases of the place where backups go: full, read-only, gone, somebody else's. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupResult, StepName } from '../../src/service/model.ts';
import { actOnceAt, environmentHeldAt } from '../support/held-step.ts';
import { openElsewhere } from '../support/scratch.ts';
import { backUpAs } from './hard-cases-actors.ts';
import { type HardCase, must, refusalOf, type Scene } from './hard-cases.ts';

const MB = 1024 * 1024;
/** About 22 MB: long enough in the copy, and in a full check, for another writer to come between. */
const bigShop = { rows: 150_000 };

export const diskCases: readonly HardCase[] = [
  {
    name: 'a disk without room for the copy is seen before anything is copied',
    code: 'DISK_FULL',
    message: /the disk with .*backups is full: \d+\.\d MB needed, \d+\.\d MB free/,
    hint: /Free space/,
    place: (scene) => ({ backupsPath: join(scene.mountDisk('disk', 40 * MB), 'backups') }),
    async provoke(scene) {
      leaveFree(scene, 10 * MB);
      const result = await scene.service.performBackup();
      assert.deepEqual(
        result.report.steps.map((step) => step.name),
        ['checkpoint'],
        'nothing was copied',
      );
      return result;
    },
  },
  {
    name: 'a disk that another writer fills in the middle of the copy fails the run and keeps every backup',
    code: 'DISK_FULL',
    message: /the disk with .*backups is full: .*\d+\.\d MB free/,
    hint: /Free space/,
    place: (scene) => ({ backupsPath: join(scene.mountDisk('disk', 160 * MB), 'backups') }),
    async provoke(scene) {
      await grow(scene);
      const result = await backUpAndAt(scene, 'copy', () => leaveFree(scene, 4 * MB));
      assert.equal(result.report.steps.at(-1)?.name, 'copy');
      return result;
    },
  },
  {
    name: 'a disk that is full when the manifest is written leaves no backup without one',
    code: 'DISK_FULL',
    message: /the disk with .*backups is full: .*\d+\.\d MB free/,
    hint: /Free space/,
    form: bigShop,
    place: (scene) => ({ backupsPath: join(scene.mountDisk('disk', 120 * MB), 'backups') }),
    async provoke(scene) {
      scene.service.updateConfig({ verify: 'full' });
      const result = await backUpAndAt(scene, 'verify', () => leaveFree(scene, 0));
      assert.equal(result.report.steps.at(-1)?.name, 'publish');
      return result;
    },
  },
  {
    name: 'a full disk under the run history stops no backup',
    code: null,
    place: (scene) => ({ statePath: join(scene.mountDisk('state', MB), 'state.sqlite') }),
    async provoke(scene) {
      fill(join(scene.folder, 'state', 'ballast'), 0);
      for (let rounds = 0; rounds < 5; rounds++) await scene.service.performBackup();
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a run history that can not be opened on a full disk stops no backup',
    code: null,
    backedUpBefore: false,
    place(scene) {
      const disk = scene.mountDisk('state', MB);
      fill(join(disk, 'ballast'), 0);
      return { statePath: join(disk, 'state.sqlite') };
    },
    async provoke(scene) {
      const result = await scene.service.performBackup();
      assert.ok(
        scene.log.some((line) => /run history cannot be kept/.test(line)),
        'the log says so',
      );
      return result;
    },
  },
  {
    name: 'a backup folder on a read-only file system is refused by name',
    code: 'NO_PERMISSION',
    message: /backups can't be written: .* read-only/,
    hint: /Mount it for writing/,
    async provoke(scene) {
      scene.makeReadOnly(scene.backups);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a backup folder that belongs to another user is refused, and the hint says whose it must be',
    code: 'NO_PERMISSION',
    message: /backups.*nobody/,
    hint: /chown nobody /,
    provoke: (scene) => backUpAs('nobody', scene),
  },
  {
    name: 'a backup folder that vanished before the run is made anew, and the backup is complete',
    code: null,
    async provoke(scene) {
      const aside = join(scene.folder, 'aside');
      renameSync(scene.backups, aside);
      const result = await scene.service.performBackup();
      scene.mend(() => {
        rmSync(scene.backups, { recursive: true });
        renameSync(aside, scene.backups);
      });
      return result;
    },
  },
  {
    name: 'an empty folder where backups were, as of a disk that is not mounted, gets a backup and a warning',
    code: null,
    async provoke(scene) {
      const aside = join(scene.folder, 'aside');
      renameSync(scene.backups, aside);
      mkdirSync(scene.backups);
      const warnings = () => scene.log.filter((line) => /^warn: .*backups is empty, but backup-.* mounted/.test(line));
      assert.deepEqual(warnings(), []);
      await scene.service.performBackup();
      assert.equal(warnings().length, 1);
      const result = await scene.service.performBackup();
      assert.equal(warnings().length, 1, 'said once');
      scene.mend(() => {
        rmSync(scene.backups, { recursive: true });
        renameSync(aside, scene.backups);
      });
      return result;
    },
  },
  {
    name: 'a file where the backup folder should be is refused by name',
    code: 'FOLDER_MISSING',
    message: /backups is not a folder/,
    hint: /BACKUP_LOCAL_PATH/,
    verdict: 'last-failed',
    async provoke(scene) {
      const aside = join(scene.folder, 'aside');
      renameSync(scene.backups, aside);
      writeFileSync(scene.backups, 'a file');
      scene.mend(() => {
        rmSync(scene.backups);
        renameSync(aside, scene.backups);
      });
      const result = await scene.service.performBackup();
      // The page says the same instead of an empty list.
      const { verdict } = await scene.service.getStatus();
      assert.match(verdict.detail ?? '', /can't be listed \(FOLDER_MISSING\)/);
      assert.equal((await refusalOf(() => scene.service.getBackups())).code, 'FOLDER_MISSING');
      await scene.mendAll();
      return result;
    },
  },
  {
    name: 'a backup folder that vanishes during the copy is missed by name',
    code: 'FOLDER_MISSING',
    message: /backups .*(vanished|gone)/,
    hint: /mounted|BACKUP_LOCAL_PATH/,
    async provoke(scene) {
      await grow(scene);
      const aside = join(scene.folder, 'aside');
      const result = await backUpAndAt(scene, 'copy', () => renameSync(scene.backups, aside));
      scene.mend(() => renameSync(aside, scene.backups));
      return result;
    },
  },
  {
    name: 'a backup folder that vanishes once the copy is made is missed by name, and the database is not blamed',
    code: 'FOLDER_MISSING',
    message: /backups .*(vanished|gone)/,
    hint: /mounted|BACKUP_LOCAL_PATH/,
    form: bigShop,
    async provoke(scene) {
      scene.service.updateConfig({ verify: 'full' });
      const aside = join(scene.folder, 'aside');
      const result = await backUpAndAt(scene, 'verify', () => renameSync(scene.backups, aside));
      scene.mend(() => renameSync(aside, scene.backups));
      return result;
    },
  },
  {
    name: 'a WAL database on a full disk is not blamed for it, and keeps its backups elsewhere',
    code: 'DISK_FULL',
    message: /disk with the database .*shop\.sqlite is full/,
    hint: /Free space/,
    place: (scene) => ({ databasePath: join(scene.mountDisk('disk', 4 * MB), 'shop.sqlite') }),
    async provoke(scene) {
      leaveFree(scene, 0);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a backup folder on another file system than the database is as good as any',
    code: null,
    place: (scene) => ({ backupsPath: join(scene.mountDisk('disk', 64 * MB), 'backups') }),
    provoke: (scene) => scene.service.performBackup(),
  },
  {
    name: 'a database on a read-only file system is backed up without writing beside it',
    code: null,
    form: { journalMode: 'delete' },
    place(scene) {
      mkdirSync(join(scene.folder, 'data'));
      return { databasePath: join(scene.folder, 'data', 'shop.sqlite') };
    },
    async provoke(scene) {
      scene.makeReadOnly(join(scene.folder, 'data'));
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a WAL database on a read-only file system is refused with what SQLite needs there',
    code: 'NO_PERMISSION',
    message: /shop\.sqlite/,
    hint: /write access|for writing/,
    place(scene) {
      mkdirSync(join(scene.folder, 'data'));
      return { databasePath: join(scene.folder, 'data', 'shop.sqlite') };
    },
    async provoke(scene) {
      scene.makeReadOnly(join(scene.folder, 'data'));
      return await scene.service.performBackup();
    },
  },
];

/** A run, and what happens beside it once that step has begun. The job stands still meanwhile, so none is too late. */
export async function backUpAndAt(scene: Scene, step: StepName, act: () => void): Promise<BackupResult> {
  let acted = false;
  const service = scene.openService({ jobEnvironment: environmentHeldAt(step) });
  const result = await service.performBackup(undefined, {
    onProgress: actOnceAt(step, () => {
      acted = true;
      act();
    }),
  });
  assert.ok(acted, `the run came to the step ${step}`);
  return result;
}

/** Makes the database 100 MB larger, so that its copy lasts. */
export async function grow(scene: Scene): Promise<void> {
  const app = await openElsewhere(scene.databasePath);
  await app.ask('CREATE TABLE filler (payload BLOB)');
  for (let megabytes = 0; megabytes < 100; megabytes += 10) {
    await app.ask(`INSERT INTO filler VALUES (zeroblob(${10 * MB})) RETURNING 1`);
  }
  await app.close();
}

/** Another writer takes the room of the disk with the backups, but for so many bytes. */
function leaveFree(scene: Scene, bytes: number): void {
  const ballast = join(scene.folder, 'disk', 'ballast');
  scene.mend(() => rmSync(ballast, { force: true }));
  fill(ballast, bytes);
}

function fill(ballast: string, freeBytes: number): void {
  writeFileSync(ballast, '');
  const { bavail, bsize } = statfsSync(ballast);
  const takenBytes = Number(bavail) * Number(bsize) - freeBytes;
  assert.ok(takenBytes > 0, 'there is room left to take');
  must('fallocate', ['--length', String(takenBytes), ballast]);
}
