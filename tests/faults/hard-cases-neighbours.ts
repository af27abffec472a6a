/** Hard cases of company: several of us on one backup folder. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOCK_FILE } from '../../src/engine/catalog/artifact.ts';
import { Catalog } from '../../src/engine/catalog/catalog.ts';
import type { BackupResult } from '../../src/service/model.ts';
import { openElsewhere } from '../support/scratch.ts';
import { type HardCase, type Scene, WAIT_MS } from './hard-cases.ts';

const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export const neighbourCases: readonly HardCase[] = [
  {
    name: 'two services on one backup folder follow each other, and share no number',
    code: null,
    form: { rows: 20_000 },
    async provoke(scene) {
      const services = [scene.service, scene.openService()];
      const results = await Promise.all(services.flatMap((service) => [service.performBackup(), later(service)]));
      for (const result of results) assert.ok(result.success, JSON.stringify(result.error));
      await assertOneAtATime(scene, 2 + new Set(results.map((result) => result.filename)).size);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'the service and the command line at once follow each other, and share no number',
    code: null,
    form: { rows: 20_000 },
    async provoke(scene) {
      const [first, second, third] = await Promise.all([
        scene.service.performBackup(),
        backUpByCommand(scene),
        backUpByCommand(scene),
      ]);
      assert.ok(first.success && second.success && third.success);
      await assertOneAtATime(scene, 5);
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a backup folder that another run holds for too long is reported as busy, by the process that holds it',
    code: 'BUSY',
    message: /backups: process \d+, started by process \d+$/,
    hint: /Wait until.*`ps -f -p \d+,\d+`/,
    async provoke(scene) {
      const other = await openElsewhere(join(scene.backups, LOCK_FILE));
      scene.mend(() => other.close());
      await other.ask('BEGIN EXCLUSIVE');
      const startedMs = performance.now();
      const result = await scene.openService({ waits: { lockMs: WAIT_MS, pinMs: WAIT_MS } }).performBackup();
      assert.ok(performance.now() - startedMs < 10 * WAIT_MS, 'it gave up in time');
      const holder = `process ${other.process.pid}, started by process ${process.pid}`;
      assert.equal(result.error?.message.split(': ').at(-1), holder);
      return result;
    },
  },
  {
    name: 'a lock whose holder was killed needs nobody to clear it',
    code: null,
    async provoke(scene) {
      const other = await openElsewhere(join(scene.backups, LOCK_FILE));
      await other.ask('BEGIN EXCLUSIVE');
      await other.kill();
      return await scene.service.performBackup();
    },
  },
];

/** Asked once the run that goes has pinned, so that it is a run of its own. */
async function later(service: Scene['service']): Promise<BackupResult> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const off = service.on((event) => {
    if (event.type === 'progress' && event.run.backup !== null) resolve();
  });
  await promise;
  off();
  return await service.performBackup();
}

async function assertOneAtATime(scene: Scene, count: number): Promise<void> {
  const backups = await new Catalog(scene.backups).list();
  assert.equal(backups.length, count);
  assert.deepEqual(
    backups.map((backup) => backup.manifest?.sequence),
    Array.from({ length: count }, (_, index) => count - index),
    'one number each, in the order in which they were made',
  );
  const moments = backups.map((backup) => backup.createdAt.getTime());
  assert.deepEqual(
    moments,
    moments.toSorted((a, b) => b - a),
    'and the moments in the same order',
  );
}

async function backUpByCommand(scene: Scene): Promise<{ readonly success: boolean }> {
  const places = ['--database', scene.databasePath, '--backups', scene.backups];
  const child = spawn(process.execPath, ['--no-env-file', cli, 'backup', '--json', ...places], {
    env: { PATH: process.env['PATH'], BACKUP_STATE_PATH: scene.statePath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let answer = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  await once(child, 'close');
  return JSON.parse(answer) as { success: boolean }; // the documented form
}
