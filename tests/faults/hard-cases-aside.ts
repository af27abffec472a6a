/**
 * Hard cases of our own files: the run history, settings, locks and folders that are damaged, another user's or gone. None
 * of them may stop a backup; what can't be used is set aside and named.
 */
import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBackupName, LOCK_FILE, STAGING_FOLDER } from '../../src/engine/format/names.ts';
import { makeDatabase } from '../support/scratch.ts';
import { backUpAs, backUpWithoutRuntime, giveTo } from './hard-cases-actors.ts';
import { contentOf, type HardCase, must, type Scene } from './hard-cases.ts';
import { settingsWith } from '../support/settings.ts';

const PAGE = 4096;
/** Belongs to a safety backup that is not there. */
const lateLog = '.late-backup-2024-01-15T10-30-00-000Z.sqlite';
const orphan = 'backup-2024-01-15T10-30-00-000Z.sqlite.json';

export const asideCases: readonly HardCase[] = [
  {
    name: 'a run history with damaged pages behind a good header is set aside, and a new one begins',
    code: null,
    says: /run history .*state\.sqlite was damaged \(.*malformed\); it was moved to .*damaged-.*, and a new one was begun/,
    async provoke(scene) {
      await damageHistory(scene, (bytes) => bytes.fill(0xff, PAGE, 4 * PAGE));
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a run history of which nothing is left but zeros is set aside',
    code: null,
    says: /run history .*state\.sqlite was damaged \(file is not a database\); it was moved to/,
    async provoke(scene) {
      await damageHistory(scene, (bytes) => bytes.fill(0, 0, PAGE));
      return await scene.service.performBackup();
    },
  },
  {
    name: 'the database of another program at the place of the run history stays as it is',
    code: null,
    says: /run history cannot be kept at .* is the database of another program\); it is kept in memory/,
    backedUpBefore: false,
    place(scene) {
      const statePath = join(scene.folder, 'other.sqlite');
      makeDatabase(statePath);
      return { statePath };
    },
    async provoke(scene) {
      const before = contentOf(scene.statePath);
      const result = await scene.service.performBackup();
      assert.equal(contentOf(scene.statePath), before);
      return result;
    },
  },
  ...['{ "retentionCount": 100', '{ "retentionCount": "many" }', '[]'].map((text): HardCase => ({
    name: `settings that can not be read (\`${text}\`) stop nothing and let nothing be removed`,
    code: null,
    says: /settings\.json is unreadable \(.*\); the settings of the environment apply, and no backup is removed/,
    provoke: (scene) => backUpKeepingOne(scene, () => writeFileSync(settingsOf(scene), text)),
  })),
  {
    name: 'a folder in the place of the settings stops nothing',
    code: null,
    says: /settings\.json is unreadable/,
    provoke: (scene) => backUpKeepingOne(scene, () => mkdirSync(settingsOf(scene))),
  },
  {
    name: 'a staging folder of root, as one `sudo velist-backup` left it, is set aside by the service',
    code: null,
    says: /\.staging can't be (used|cleared) by .*; it was moved to .*\.staging\.unusable-\w+, which may be removed/,
    async provoke(scene) {
      giveTo(scene.backups, 'nobody');
      const left = join(scene.backups, STAGING_FOLDER, 'run-1');
      rmSync(join(scene.backups, STAGING_FOLDER), { recursive: true, force: true });
      mkdirSync(left, { recursive: true, mode: 0o700 });
      chmodSync(join(scene.backups, STAGING_FOLDER), 0o700);
      writeFileSync(join(left, 'snapshot.sqlite'), 'half');
      return await backUpAs('nobody', scene);
    },
  },
  {
    name: 'a lock file of root that nobody holds is set aside by the service',
    code: null,
    says: /lock file .*\.velist-backup\.lock can't be used \(.*\); it was moved to/,
    async provoke(scene) {
      giveTo(scene.backups, 'nobody');
      rmSync(join(scene.backups, LOCK_FILE));
      writeFileSync(join(scene.backups, LOCK_FILE), '', { mode: 0o600 });
      return await backUpAs('nobody', scene);
    },
  },
  {
    name: 'a lock file that something was written into is set aside',
    code: null,
    says: /lock file .*\.velist-backup\.lock can't be used \(.*\); it was moved to/,
    async provoke(scene) {
      writeFileSync(join(scene.backups, LOCK_FILE), 'this is no lock '.repeat(100));
      return await scene.service.performBackup();
    },
  },
  {
    name: 'what root makes in a folder of the service belongs to the service, which goes on',
    code: null,
    async provoke(scene) {
      giveTo(scene.backups, 'nobody');
      assert.ok((await scene.service.performBackup()).success);
      const roots = readdirSync(scene.backups).filter((name) => lstatSync(join(scene.backups, name)).uid === 0);
      assert.deepEqual(roots, []);
      return await backUpAs('nobody', scene);
    },
  },
  {
    name: 'a service that was started by `nice`, and may not take that back, makes its backups',
    code: null,
    async provoke(scene) {
      giveTo(scene.backups, 'nobody');
      return await backUpAs('nobody', scene, 19);
    },
  },
  {
    name: 'a backup that retention can not remove is named, and the new one counts',
    code: null,
    says: /Not removed by retention: backup-\S+ can't be removed \(EPERM\)\. It may be protected/,
    provoke: (scene) =>
      backUpKeepingOne(scene, () => {
        for (const name of readdirSync(scene.backups).filter(isBackupName)) protect(scene, name);
      }),
  },
  {
    name: 'a manifest without its file that can not be removed stops nothing',
    code: null,
    says: /2024-01-15T10-30-00-000Z\.sqlite\.json was left by a run that was killed, and can't be removed \(EPERM\)/,
    async provoke(scene) {
      writeFileSync(join(scene.backups, orphan), '{}');
      scene.mend(() => rmSync(join(scene.backups, orphan)));
      protect(scene, orphan);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'the log of a killed restore whose safety backup is gone is kept where it is seen, and stops nothing',
    code: null,
    says: /What was committed after backup-2024-.* can't be merged: .* It is kept in .*late-backup-2024-.*-wal/,
    async provoke(scene) {
      writeFileSync(join(scene.backups, lateLog), 'a log');
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a runtime whose binary an update has removed goes on with the one that runs',
    code: null,
    provoke: backUpWithoutRuntime,
  },
  {
    name: 'a backup folder that was there before and is open to others keeps its mode, and the log says so once',
    code: null,
    says: /backup folder .*backups is open to other users of this machine \(2775\)\. It existed before and keeps its mode/,
    async provoke(scene) {
      chmodSync(scene.backups, 0o2775);
      await scene.service.performBackup();
      const result = await scene.service.performBackup();
      assert.equal(statSync(scene.backups).mode & 0o7777, 0o2775);
      assert.equal(scene.log.filter((line) => line.includes('is open to other users')).length, 1);
      return result;
    },
  },
];

const settingsOf = (scene: Scene) => join(scene.backups, 'settings.json');

/** Between two services: while one is open, SQLite holds the pages in memory. */
async function damageHistory(scene: Scene, damage: (bytes: Buffer) => void): Promise<void> {
  await scene.service.close();
  const bytes = readFileSync(scene.statePath);
  damage(bytes);
  writeFileSync(scene.statePath, bytes);
  scene.moveTo(scene.databasePath);
}

/** By a service that is to keep the newest backup alone. */
async function backUpKeepingOne(scene: Scene, prepare: () => void) {
  prepare();
  const service = scene.openService({
    settings: settingsWith({ retentionCount: 1 }),
  });
  scene.mend(() => rmSync(settingsOf(scene), { recursive: true, force: true }));
  return await service.performBackup();
}

function protect(scene: Scene, name: string): void {
  const path = join(scene.backups, name);
  must('chattr', ['+i', path]);
  scene.mend(() => must('chattr', ['-i', path]));
}
