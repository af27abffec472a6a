/** What somebody with a hand in the backup folder may plant there, and what a careless umask may open. */
import { afterEach, describe, expect, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { startApp } from '../support/app.ts';
import { makeBank } from '../support/bank.ts';
import { actOnceAt, environmentHeldAt } from '../support/held-step.ts';
import { ask, makeDatabase, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';

const scratch = scratchFolders();
const planted = 'backup-2024-01-15T12-00-00-000Z.sqlite';

async function backUp(shop: Shop): Promise<string> {
  const { filename, error } = await shop.service.performBackup();
  if (!filename) throw new Error(error?.message);
  return filename;
}

describe('rights', () => {
  const usual = process.umask();
  afterEach(() => void process.umask(usual));

  for (const umask of [0o000, 0o022, 0o277]) {
    test(`folders are 0700 and files 0600 under the umask ${umask.toString(8).padStart(4, '0')}`, async () => {
      const folder = scratch();
      const database = join(folder, 'dev.sqlite');
      makeBank(database, { sizeBytes: 50_000 });
      const backups = join(folder, 'storage', 'backups');
      process.umask(umask);
      const app = await startApp({ database, backups, environment: { BACKUP_ENABLED: 'false' } });
      process.umask(usual);
      try {
        const post = (path: string, body?: object) =>
          fetch(`${app.url}${path}`, { method: 'POST', body: body && JSON.stringify(body) });
        const { filename } = (await (await post('/now')).json()) as { filename: string };
        expect((await post('/config', { retentionCount: 5 })).status).toBe(200);
        expect((await post(`/api/backups/${filename}/restore`, { confirm: 'dev.sqlite' })).status).toBe(200);
        const wrong = readdirSync(dirname(backups), { recursive: true, encoding: 'utf8' })
          .map((path) => ({ path, stat: statSync(join(dirname(backups), path), { throwIfNoEntry: false }) }))
          // What the app had there for a moment is gone by now.
          .flatMap(({ path, stat }) => (stat ? [{ path, stat }] : []))
          .map(({ path, stat }) => `${path} ${(stat.mode & 0o777).toString(8)} ${stat.isDirectory() ? 700 : 600}`)
          .filter((line) => line.split(' ')[1] !== line.split(' ')[2]);
        expect(wrong).toEqual([]);
      } finally {
        await app.stop();
      }
    }, 120_000);
  }
});

test('links and folders under names of ours are not followed, and what they lead to stays as it is', async () => {
  const outside = scratch();
  const secret = join(outside, 'secret.sqlite');
  makeDatabase(secret);
  const before = readFileSync(secret).toString('base64');
  await using shop = openShop(scratch());
  const good = await backUp(shop);
  symlinkSync(secret, join(shop.backups, planted));
  mkdirSync(join(shop.backups, planted.replace('12-00', '13-00')));
  expect((await shop.service.getBackups()).map((backup) => backup.filename)).toEqual([good]);
  for (const story of [
    () => shop.service.openBackup(planted),
    () => shop.service.verifyBackup(planted),
    () => shop.service.adoptBackup(planted),
    () => shop.service.restore(planted),
    () => shop.service.deleteBackup(planted),
  ])
    expect(['NO_BACKUP', 'GONE']).toContain((await refusal(story)).code);

  // A manifest that is a link is none, even to a good one.
  renameSync(join(shop.backups, `${good}.json`), join(outside, 'manifest.json'));
  symlinkSync(join(outside, 'manifest.json'), join(shop.backups, `${good}.json`));
  expect(await shop.service.getBackup(good)).toMatchObject({ foreign: true, verified: false });
  await shop.service.adoptBackup(good);
  expect(lstatSync(join(shop.backups, `${good}.json`)).isFile()).toBe(true);
  expect(existsSync(join(outside, 'manifest.json'))).toBe(true);
  expect(readFileSync(secret).toString('base64')).toBe(before);
});

test('a link in place of the staging folder is taken away, not followed', async () => {
  const outside = scratch();
  writeFileSync(join(outside, planted), 'not yours');
  const mode = statSync(outside).mode;
  await using shop = openShop(scratch());
  await backUp(shop);
  rmSync(join(shop.backups, '.staging'), { recursive: true, force: true });
  symlinkSync(outside, join(shop.backups, '.staging'));
  expect(await shop.service.getBackups()).toHaveLength(1);
  await shop.service.performBackup();
  expect(readdirSync(outside)).toEqual([planted]);
  expect(readFileSync(join(outside, planted), 'utf8')).toBe('not yours');
  expect(statSync(outside).mode).toBe(mode);
});

test('a manifest that lies about name or size makes no verified backup, one that lies about the digest no restore', async () => {
  await using shop = openShop(scratch());
  const name = await backUp(shop);
  const path = join(shop.backups, `${name}.json`);
  const honest = JSON.parse(readFileSync(path, 'utf8'));
  const lies: Readonly<Record<string, object>> = {
    'another name': { ...honest, name: planted },
    'another file': { ...honest, artifact: { ...honest.artifact, file: '../../dev.sqlite' } },
    'another size': { ...honest, artifact: { ...honest.artifact, sizeBytes: honest.artifact.sizeBytes + 1 } },
    'another digest': {
      ...honest,
      artifact: { ...honest.artifact, sha256: 'a'.repeat(64) },
      database: { ...honest.database, sha256: 'a'.repeat(64) },
    },
    'a size below nothing': { ...honest, artifact: { ...honest.artifact, sizeBytes: -1 } },
    'no manifest': [],
  };
  for (const [index, [lie, manifest]] of Object.entries(lies).entries()) {
    writeFileSync(path, JSON.stringify(manifest));
    // Two of them are as long, and the clock of a file system may tick slowly.
    utimesSync(path, index, index);
    expect([lie, await shop.service.getBackup(name)]).toMatchObject([lie, { verified: lie === 'another digest' }]);
    // Whatever it says of the size, the file is what its digest says.
    if (lie !== 'another digest') continue;
    const before = readFileSync(shop.databasePath).toString('base64');
    expect((await refusal(() => shop.service.restore(name))).code).toBe('VERIFY_FAILED');
    expect(readFileSync(shop.databasePath).toString('base64')).toBe(before);
    const checked = await shop.service.verifyBackup(name);
    expect(checked).toMatchObject({ verified: false, verification: { state: 'damaged' } });
  }
});

test('a backup that is exchanged while the safety backup is made is not placed', async () => {
  for (const mode of ['online', 'offline'] as const) {
    await using shop = openShop(scratch(), { jobEnvironment: environmentHeldAt('safety') });
    const name = await backUp(shop);
    const path = join(shop.backups, name);
    const other = join(scratch(), 'other.sqlite');
    makeDatabase(other, { rows: 7 });
    let isExchanged = false;
    const refused = await refusal(() =>
      shop.service.restore(name, {
        mode,
        onProgress: actOnceAt('safety', () => {
          isExchanged = true;
          copyFileSync(other, `${path}.new`);
          renameSync(`${path}.new`, path);
        }),
      }),
    );
    expect([isExchanged, refused.code]).toEqual([true, 'VERIFY_FAILED']);
    expect(refused.message).toContain('was changed or replaced after it was checked');
    expect(ask(shop.databasePath, 'SELECT count(*) FROM notes')).toBe(100);
  }
});

test('a backup that was replaced after its verification is not restored', async () => {
  await using shop = openShop(scratch());
  const name = await backUp(shop);
  await shop.service.verifyBackup(name, { full: true });
  const other = join(scratch(), 'other.sqlite');
  makeDatabase(other);
  const path = join(shop.backups, name);
  const { size } = statSync(path);
  const plan = await shop.service.planRestore(name);
  // Of the same length, so that only the digest tells.
  writeFileSync(path, Buffer.concat([readFileSync(other), Buffer.alloc(size)]).subarray(0, size));
  const before = readFileSync(shop.databasePath).toString('base64');
  const refused = await refusal(() => shop.service.restore(name, { expected: plan.expected }));
  expect(refused.code).toBe('VERIFY_FAILED');
  expect(readFileSync(shop.databasePath).toString('base64')).toBe(before);
});
