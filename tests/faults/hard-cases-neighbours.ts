/** Hard cases of company: several of us on one backup folder. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { backupMoment, LOCK_FILE } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { createServer } from '../../src/http/server.ts';
import type { BackupResult, Run } from '../../src/service/model.ts';
import { actOnceAt, environmentHeldAt } from '../support/held-step.ts';
import { openElsewhere } from '../support/scratch.ts';
import { followSchedule } from './hard-cases-actors.ts';
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
      await assertOneAtATime(scene, { kept: 2 + new Set(results.map((result) => result.filename)).size });
      return await scene.service.performBackup();
    },
  },
  {
    name: 'two services that follow their schedules on one backup folder share no number and prune together',
    code: null,
    form: { rows: 20_000 },
    backedUpBefore: false,
    async provoke(scene) {
      const retentionCount = 5;
      const both: Promise<readonly Run[]>[] = [];
      const isMet = () => scene.service.getRuns().filter(({ error }) => error !== null).length >= 2;
      // Both meet the first run, whose job stands still until then. After that they have two rhythms, and meet as they do.
      const service = scene.openService({ jobEnvironment: environmentHeldAt('verify') });
      const first = await service.performBackup(undefined, {
        onProgress: actOnceAt('verify', () => {
          for (const intervalMs of [240, 310])
            both.push(followSchedule(scene, { intervalMs, runs: 20, retentionCount }));
          while (!isMet()) Bun.sleepSync(20);
        }),
      });
      const runs = (await Promise.all(both)).flat();
      const made = runs.flatMap((run) => (run.result === 'success' ? [run.backup ?? ''] : []));
      assert.equal(new Set([...made, first.filename]).size, made.length + 1, 'no name twice');
      const refusals = runs.flatMap((run) => run.error ?? []);
      assert.equal(made.length + refusals.length, runs.length);
      for (const { code, message } of refusals) {
        assert.equal(code, 'BUSY');
        assert.match(message, /another run is using the backup folder .*backups/);
      }
      assert.ok(
        refusals.some(({ message }) => /: process \d+, started by process \d+(;|$)/.test(message)),
        'and it is said who held the folder',
      );
      await assertOneAtATime(scene, { made: [...made, first.filename ?? ''], kept: retentionCount });
      return await scene.service.performBackup();
    },
  },
  {
    name: 'the page and the command line at once, three times over, follow each other, and share no number',
    code: null,
    form: { rows: 20_000 },
    async provoke(scene) {
      scene.service.updateConfig({ retentionCount: 100 });
      const server = createServer({ service: scene.service, port: 0 });
      scene.atEnd(() => server.stop());
      const { url } = await server.listen();
      const names = new Set<string | undefined>();
      for (let round = 0; round < 3; round++) {
        const made = await Promise.all([
          backUpByPage(url),
          backUpByCommand(scene),
          backUpByPage(url),
          backUpByCommand(scene),
        ]);
        for (const { success, filename } of made) {
          assert.ok(success);
          names.add(filename);
        }
      }
      // Two clicks on the page may share a backup; two commands never do.
      assert.ok(names.size >= 9, `${names.size} backups`);
      await assertOneAtATime(scene, { kept: 2 + names.size });
      return await scene.service.performBackup();
    },
  },
  {
    name: 'a backup folder that another run holds for too long is reported as busy, by the process that holds it',
    code: 'BUSY',
    result: 'refused',
    verdict: 'protected',
    message: /backups: process \d+, started by process \d+$/,
    hint: /Wait until.*`ps -f -p \d+,\d+`/,
    async provoke(scene) {
      const other = await openElsewhere(join(scene.backups, LOCK_FILE));
      scene.mend(() => other.close());
      await other.ask('BEGIN EXCLUSIVE');
      const startedMs = performance.now();
      const result = await scene.openService({ waits: { lockMs: WAIT_MS, pinMs: WAIT_MS } }).performBackup();
      assert.ok(performance.now() - startedMs < 40 * WAIT_MS, 'it gave up in time');
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

/**
 * Each has the number behind the one before it, or that of its second if that is higher: with one number for two, all later
 * ones would be lower. The newest so many are there, in the order of their moments.
 *
 * @param options.made names of those that retention may have removed.
 */
async function assertOneAtATime(scene: Scene, { made = [], kept }: { made?: readonly string[]; kept: number }) {
  const backups = await new Catalog(scene.backups).list();
  const names = new Set([...made, ...backups.map(({ name }) => name)]);
  let number = 0;
  const numbered = [...names].sort().map((name) => {
    number = Math.max(number + 1, Math.floor((backupMoment(name)?.getTime() ?? 0) / 1_000));
    return [name, number] as const;
  });
  assert.deepEqual(
    backups.map(({ name, manifest }) => [name, manifest?.sequence]),
    numbered.toReversed().slice(0, kept),
    'one number each, in the order in which they were made',
  );
}

type Answer = Pick<BackupResult, 'success' | 'filename'>;

async function backUpByPage(url: string): Promise<Answer> {
  const response = await fetch(`${url}/now`, { method: 'POST' });
  return (await response.json()) as Answer; // the documented form
}

async function backUpByCommand(scene: Scene): Promise<Answer> {
  const places = ['--database', scene.databasePath, '--backups', scene.backups];
  const child = spawn(process.execPath, ['--no-env-file', cli, 'backup', '--json', ...places], {
    env: { PATH: process.env['PATH'], BACKUP_STATE_PATH: scene.statePath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await text(child.stdout)) as Answer; // the documented form
}
