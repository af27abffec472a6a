/** Copies that a rule of the bucket moved to an archive class: listed, and readable only after hours. */
import { expect, test } from 'bun:test';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { runCli } from '../../src/cli/program.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, makeDatabase, refusal, scratchFolders } from '../support/scratch.ts';

const newFolder = scratchFolders();
const { server } = await openBucket('my-backups');
/** Three backups, each here and on S3; one row more in each. */
async function threeBackups(prefix: string) {
  const folder = newFolder();
  const databasePath = join(folder, 'app.sqlite');
  makeDatabase(databasePath, { rows: 10 });
  const env = {
    ...{ PATH: process.env['PATH'] ?? '', DATABASE_URL: databasePath, BACKUP_LOCAL_PATH: join(folder, 'backups') },
    ...{ BACKUP_STATE_PATH: join(folder, 'state.sqlite'), BACKUP_S3_ENABLED: 'true', BACKUP_S3_PATH: prefix },
    ...{ S3_BUCKET: 'my-backups', S3_ENDPOINT: server.endpoint, S3_REGION: server.region },
    ...{ S3_ACCESS_KEY: server.accessKeyId, S3_SECRET_KEY: server.secretAccessKey },
  };
  const log: string[] = [];
  const open = () => createServiceFromEnvironment({ env, write: (line) => log.push(line) });
  const service = open();
  const names: string[] = [];
  for (let round = 0; round < 3; round++) {
    if (round > 0) ask(databasePath, "INSERT INTO notes (text) VALUES ('new') RETURNING id");
    const { filename = '', s3Uploaded } = await service.performBackup();
    expect(s3Uploaded).toBe(true);
    names.unshift(filename);
  }
  const archive = (name: string, storageClass = 'GLACIER') =>
    server.archived.set(`/my-backups/${prefix}/${name}`, storageClass);
  const [newest = '', middle = '', oldest = ''] = names;
  return { folder, databasePath, env, log, open, service, archive, newest, middle, oldest };
}

test('a copy in an archive class is listed with its hours; restore, plan and check say them', async () => {
  const { folder, service, archive, newest, open, log } = await threeBackups('listed');
  archive(newest, 'DEEP_ARCHIVE');
  const [item] = await service.getBackups({ target: 's3' });
  expect(item?.placements.find(({ target }) => target === 's3')).toMatchObject({
    ...{ status: 'stored', archive: { storageClass: 'DEEP_ARCHIVE', takes: '12 to 48 hours' } },
  });
  const printed: string[] = [];
  const sink = { write: (text: string) => printed.push(text) > 0 };
  const { signal } = new AbortController();
  const context = { stdout: sink, stderr: sink, signal, createService: open, serve: async () => {} };
  expect(await runCli(['list', '--target', 's3'], context)).toBe(0);
  expect(printed.join('')).toMatch(/local, s3 \(DEEP_ARCHIVE, 12 to 48 hours\)/);
  for (const attempt of [
    () => service.restore(newest, { mode: 'file', from: 's3', to: join(folder, 'x.sqlite') }),
    () => service.planRestore(newest, { from: 's3' }),
    () => service.verifyBackup(newest, { from: 's3' }),
  ]) {
    const { code, hint } = await refusal(attempt);
    expect([code, hint]).toEqual(['S3_ARCHIVED', expect.stringContaining('It has to be brought back first')]);
  }
  // Not taken for damage, and the copy here is as good as before.
  expect((await service.getBackup(newest)).verified).toBe(true);
  expect(log.join()).not.toContain('refused the key');
  await service.close();
});

test('a drill passes over what it would wait hours for, whether the listing said so or the answer', async () => {
  const { service, archive, middle, newest, oldest } = await threeBackups('drilled');
  archive(newest);
  const [drill] = (await service.drill({ target: 's3' })).drills;
  expect(drill).toMatchObject({ result: 'proven', backup: middle });
  // As in a class whose name the listing does not tell.
  server.faults.push({
    match: new RegExp(`GET /my-backups/drilled/${middle}(\\?|$)`),
    effect: { status: 403, code: 'InvalidObjectState' },
  });
  expect((await service.drill({ target: 's3' })).drills[0]).toMatchObject({ result: 'proven', backup: oldest });
  server.faults.length = 0;
  archive(middle);
  archive(oldest);
  const { ok, drills } = await service.drill({ target: 's3' });
  expect([ok, drills[0]?.error?.code]).toEqual([false, 'S3_ARCHIVED']);
  // That nobody could look is no proof against the backups.
  expect((await service.getStatus()).freshness.targets[1]?.drill?.result).toBe('proven');
  await service.close();
});

test('a first boot tries the next backup, and says which newer one it could not have', async () => {
  const { folder, databasePath, service, archive, newest, middle, open, log } = await threeBackups('booted');
  await service.close();
  archive(newest);
  for (const path of [databasePath, join(folder, 'backups'), join(folder, 'state.sqlite')])
    rmSync(path, { recursive: true });
  const fresh = open();
  const result = await fresh.restoreIfMissing();
  expect(result).toMatchObject({ outcome: 'restored', backup: middle, from: 's3' });
  expect(result.outcome === 'restored' && result.skipped).toEqual([
    { filename: newest, from: 's3', reason: expect.stringContaining('is in an archive class') },
  ]);
  expect(log.join('\n')).toContain(`Not brought back: ${newest} (s3)`);
  expect(ask(databasePath, 'SELECT count(*) FROM notes')).toBe(11);
  await fresh.close();
});

test('archived manifests hide no other backup', async () => {
  const { folder, service, archive, newest, middle, open, oldest } = await threeBackups('manifests');
  await service.close();
  for (const name of [newest, middle]) archive(`${name}.json`);
  rmSync(join(folder, 'state.sqlite'));
  const fresh = open();
  const listed = await fresh.getBackups({ target: 's3' });
  expect(listed.map(({ filename, verified }) => [filename, verified])).toEqual([
    ...[
      [newest, false],
      [middle, false],
      [oldest, true],
    ],
  ]);
  await fresh.close();
});
