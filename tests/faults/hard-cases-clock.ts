/** Hard cases of time: a clock that jumps back under the service and its jobs. */
import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import type { BackupService, BackupServiceOptions } from '../../src/service/backup-service.ts';
import { startS3 } from './hard-cases-actors.ts';
import type { HardCase, Scene } from './hard-cases.ts';

const HOUR_MS = 3_600_000;
const clockScript = fileURLToPath(new URL('./hard-cases-clock-main.ts', import.meta.url));

export const clockCases: readonly HardCase[] = [
  {
    name: 'backups made after the clock went back are the newest all the same',
    code: null,
    async provoke(scene) {
      const ahead = (await shifted(scene, HOUR_MS).performBackup()).filename;
      const result = await scene.service.performBackup();
      const names = (await scene.service.getBackups()).map((backup) => backup.filename);
      assert.deepEqual(names.slice(0, 2), [result.filename, ahead]);
      const { lastGood, lastRun } = await scene.service.getStatus();
      assert.equal(lastGood?.filename, result.filename);
      assert.equal(lastRun?.backup, result.filename, 'the last run is the last one made');
      return result;
    },
  },
  {
    name: 'retention keeps the newest by order, not by a clock that went back',
    code: null,
    async provoke(scene) {
      await shifted(scene, HOUR_MS).performBackup();
      await shifted(scene, HOUR_MS).performBackup();
      const result = await scene.service.performBackup();
      scene.service.updateConfig({ retentionCount: 1 });
      const plan = await scene.service.prune({ dryRun: true });
      assert.deepEqual(
        plan.kept.map((entry) => entry.filename),
        [result.filename],
      );
      scene.service.updateConfig({ retentionCount: 10 });
      return result;
    },
  },
  {
    name: 'two backups of one millisecond get two names',
    code: null,
    async provoke(scene) {
      const frozen = () => shifted(scene, 0, '2024-01-15T10:30:00.000Z');
      const names = [await frozen().performBackup(), await frozen().performBackup()].map((made) => made.filename);
      assert.deepEqual(names, ['backup-2024-01-15T10-30-00-000Z.sqlite', 'backup-2024-01-15T10-30-00-001Z.sqlite']);
      const backups = await new Catalog(scene.backups).list();
      assert.deepEqual(
        backups.slice(0, 2).map((backup) => backup.name),
        names.toReversed(),
      );
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a failure after the clock went back is not hidden by an earlier success from the future',
    code: 'DB_MISSING',
    // Said before that the only backup bears a moment of the future, which proves no age.
    verdict: 'missing',
    async provoke(scene) {
      const { filename = '' } = await shifted(scene, HOUR_MS).performBackup();
      renameSync(scene.databasePath, join(scene.folder, 'aside.sqlite'));
      scene.mend(async () => {
        renameSync(join(scene.folder, 'aside.sqlite'), scene.databasePath);
        await scene.service.deleteBackup(filename);
      });
      return await scene.service.performBackup();
    },
  },
  {
    name: 'S3 keeps the backup that was made after the clock went back, and not two of the future',
    code: null,
    async provoke(scene) {
      const { access, backupsThere } = await startS3(scene);
      const s3 = { ...access, retentionCount: 2 };
      const future = shifted(scene, HOUR_MS, '', { s3 });
      future.updateConfig({ s3Enabled: true });
      const ahead: (string | undefined)[] = [];
      for (let round = 0; round < 2; round++) {
        const made = await future.performBackup();
        assert.equal(made.s3Uploaded, true);
        ahead.push(made.filename);
      }
      const result = await scene.openService({ s3 }).performBackup();
      assert.equal(result.s3Uploaded, true);
      assert.deepEqual(await backupsThere(), [result.filename, ahead[1]], 'the two that were made last');
      scene.service.updateConfig({ s3Enabled: false });
      return result;
    },
  },
];

/** A service and its jobs with another clock. */
function shifted(scene: Scene, byMs: number, frozenAt = '', change: Partial<BackupServiceOptions> = {}): BackupService {
  const frozenMs = frozenAt === '' ? null : Date.parse(frozenAt);
  return scene.openService({
    ...change,
    now: () => new Date(frozenMs ?? Date.now() + byMs),
    jobEnvironment: {
      PATH: process.env['PATH'] ?? '',
      BUN_OPTIONS: `--preload=${clockScript}`,
      TEST_CLOCK_SHIFT_MS: String(byMs),
      TEST_CLOCK_FROZEN_AT: frozenAt,
    },
  });
}
