/** A glob that the version at 84b75aa guarded: its `database.json` in each folder said something else than today's. */
import { afterAll, expect, test } from 'bun:test';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createBackups } from '../../src/fleet/from-config.ts';
import type { Fleet } from '../../src/fleet/fleet.ts';
import { moveClock } from '../support/moved-clock.ts';
import { scratchFolders } from '../support/scratch.ts';
import { AFTER, copyOf } from './scene.ts';

const newFolder = scratchFolders();
const clock = moveClock();
clock.set(AFTER);
afterAll(() => clock[Symbol.dispose]());

const openGuard = (folder: string): Promise<Fleet> =>
  createBackups(
    {
      localPath: join(folder, 'storage/backups'),
      statePath: join(folder, 'storage/velist-backup.sqlite'),
      databases: [{ glob: join(folder, 'tenants/*.sqlite') }],
    },
    { env: { PATH: process.env['PATH'] }, write: () => {} },
  );
const noted = (folder: string, name: string, file: string): unknown => {
  const path = join(folder, 'storage/backups', name, file);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : null;
};

test('the note of which file it was moves aside, and the next backup writes whose the folder is', async () => {
  const folder = copyOf('glob', newFolder());
  const guard = await openGuard(folder);
  const acme = guard.get('tenants.acme') ?? expect.unreachable();
  expect((await acme.getBackups()).map(({ other }) => other)).toEqual([null]);
  expect((await acme.performBackup()).success).toBe(true);
  expect(await acme.getBackups()).toHaveLength(2);
  await guard.close();
  expect(noted(folder, 'tenants.acme', 'found-as.json')).toEqual({ file: 'acme.sqlite' });
  expect(noted(folder, 'tenants.acme', 'database.json')).toMatchObject({
    format: 'velist-backup-database/1',
    name: 'acme.sqlite',
  });
});

test('a file that is gone stays listed and comes back, before and after the note was moved', async () => {
  const folder = copyOf('glob', newFolder());
  rmSync(join(folder, 'tenants/umbrella.sqlite'));
  for (const time of ['first', 'second']) {
    const guard = await openGuard(folder);
    const umbrella = guard.get('tenants.umbrella') ?? expect.unreachable(`it is not listed at the ${time} start`);
    const [backup, ...more] = await umbrella.getBackups();
    expect([backup?.other, more]).toEqual([null, []]);
    const to = join(folder, `${time}.sqlite`);
    await umbrella.restore(backup?.filename ?? '', { mode: 'file', to });
    expect(existsSync(to)).toBe(true);
    await guard.close();
  }
});

test('reading alone does not move it', async () => {
  const folder = copyOf('glob', newFolder());
  const guard = await openGuard(folder);
  for (const { service } of guard.databases) {
    await service.getStatus();
    await service.getBackups();
    await service.prune({ dryRun: true });
  }
  for (const name of ['tenants.acme', 'tenants.umbrella'])
    expect(noted(folder, name, 'database.json')).not.toHaveProperty('format');
  await guard.close();
});
