/**
 * Restores to a folder where every user may write, as `/tmp`, and runs of root in a folder of another user: what somebody
 * left there under a name that we use is neither read, written, nor followed. Giving files away needs root.
 */
import { beforeEach, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { judgeBank, makeBank } from '../support/bank.ts';
import { keysOf } from '../support/objects.ts';
import { s3Environment, s3Variables } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, makeDatabase, scratchFolders } from '../support/scratch.ts';

const isRoot = process.getuid?.() === 0;
const OTHER = 65_534;
const MIB = 1024 * 1024;
const place = { bucket: 'shared', prefix: 'p' };
const newFolder = scratchFolders();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const { server, store } = await openBucket(place.bucket, place.prefix);
let own: string;
let shared: string;
let victim: string;

beforeEach(async () => {
  server.faults.length = 0;
  await store.deleteMany(await keysOf(store));
  own = newFolder();
  makeBank(join(own, 'app.sqlite'), { sizeBytes: 3 * MIB });
  shared = newFolder();
  chmodSync(shared, 0o1777);
  victim = join(own, 'victim');
  writeFileSync(victim, 'precious');
});

interface Stored {
  readonly name: string;
  readonly sha256: string;
}

async function backUp(extra: Record<string, string> = {}): Promise<Stored> {
  const service = createServiceFromEnvironment({ env: s3Environment(own, server, { ...place, extra }), write() {} });
  const { filename = '', s3Uploaded } = await service.performBackup();
  await service.close();
  expect(s3Uploaded).toBe(true);
  return {
    name: filename,
    sha256: JSON.parse(readFileSync(join(own, 'backups', `${filename}.json`), 'utf8')).artifact.sha256,
  };
}

async function cli(argv: string, onStarted: (child: ChildProcess) => void = () => {}) {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv.split(' ')], {
    cwd: own,
    env: { PATH: process.env['PATH'] ?? '', HOME: own, ...s3Variables(server, place) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  onStarted(child);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, stderr };
}

/** Puts it there as the other user would, and answers its path. */
function plant(name: string, make: (path: string) => void): string {
  const path = join(shared, name);
  make(path);
  lchownSync(path, OTHER, OTHER);
  return path;
}
const linkTo = (target: string) => (path: string) => symlinkSync(target, path);
const downloads = () => join(own, '.cache/velist-backup/downloads');

test.skipIf(!isRoot)(
  'beside --to nothing is taken, followed or written that another user prepared',
  async () => {
    const { sha256, name } = await backUp();
    const inTheirs = plant('.velist-backup-fetch', mkdirSync);
    for (const part of [sha256, name]) {
      symlinkSync(victim, join(inTheirs, `${part}.part`));
      writeFileSync(join(inTheirs, `${part}.part.etag`), 'x');
    }
    const missing = join(own, 'made-by-a-link');
    plant('back.sqlite.restoring.lock', linkTo(missing));
    plant(`back.sqlite.restoring-${process.pid}`, linkTo(victim));
    plant('.velist-restore-aaaaaa', mkdirSync);
    mkdirSync(join(own, 'target'));
    plant('.velist-restore-bbbbbb', linkTo(join(own, 'target')));
    const before = readdirSync(shared, { recursive: true }).sort();
    for (const from of ['s3', 'local']) {
      const argv = `restore latest --from ${from} --backups backups --to ${join(shared, 'back.sqlite')}`;
      expect([from, await cli(argv)]).toEqual([from, { code: 0, stderr: expect.any(String) }]);
      const placed = join(shared, 'back.sqlite');
      expect(judgeBank(placed).complaint).toBeNull();
      expect((statSync(placed).mode & 0o777).toString(8)).toBe('600');
      rmSync(placed);
      expect(readdirSync(shared, { recursive: true }).sort()).toEqual(before);
      // A link in the place asked for is something that is there, wherever it leads.
      plant('back.sqlite', linkTo(missing));
      expect(await cli(argv)).toMatchObject({ code: 2, stderr: expect.stringContaining('already exists') });
      rmSync(placed);
      expect([readFileSync(victim, 'utf8'), existsSync(missing)]).toEqual(['precious', false]);
    }
  },
  60_000,
);

test.skipIf(!isRoot)(
  'a cut download to a shared folder goes on from the cache of the user, and leaves nothing there',
  async () => {
    makeBank(join(own, 'large.sqlite'), { sizeBytes: 12 * MIB });
    const { sha256, name } = await backUp({ DATABASE_URL: join(own, 'large.sqlite') });
    const part = () => join(downloads(), `${sha256}.part`);
    const to = `restore ${name} --from s3 --to ${join(shared, 'back.sqlite')}`;
    server.faults.push({ match: /GET .*\.sqlite\?x-id=GetObject/, effect: { stallAfterBytes: 6 * MIB }, times: 1 });
    const killed = await cli(to, async (child) => {
      while ((statSync(part(), { throwIfNoEntry: false })?.size ?? 0) < 5 * MIB) await Bun.sleep(20);
      child.kill('SIGINT');
    });
    const kept = statSync(part()).size;
    expect([killed.code, (statSync(downloads()).mode & 0o777).toString(8), readdirSync(shared)]).toEqual([
      130,
      '700',
      [],
    ]);
    server.requests.length = 0;
    expect((await cli(to)).code).toBe(0);
    const ranges = server.requests.filter(({ url }) => /\.sqlite\?x-id=GetObject/.test(url));
    expect(ranges.map(({ headers }) => headers['range'])).toEqual([`bytes=${kept}-`]);
    expect(judgeBank(join(shared, 'back.sqlite')).complaint).toBeNull();
    expect([readdirSync(shared), existsSync(downloads())]).toEqual([['back.sqlite'], false]);

    // What nobody went on with is removed by the next download, whatever that is of.
    mkdirSync(downloads());
    const long = new Date(Date.now() - 25 * 3_600_000);
    for (const file of ['f'.repeat(64), 'e'.repeat(64)]) writeFileSync(join(downloads(), `${file}.part`), '');
    writeFileSync(join(downloads(), `${'f'.repeat(64)}.lock`), '');
    utimesSync(join(downloads(), `${'f'.repeat(64)}.lock`), long, long);
    utimesSync(join(downloads(), `${'f'.repeat(64)}.part`), long, long);
    expect((await cli(to.replace('back.sqlite', 'again.sqlite'))).code).toBe(0);
    expect(readdirSync(downloads())).toEqual([`${'e'.repeat(64)}.part`]);
  },
  60_000,
);

test.skipIf(!isRoot)(
  'where the cache is another user’s the download is made beside, and begins anew when it is cut',
  async () => {
    const { name } = await backUp();
    mkdirSync(join(own, '.cache'));
    chownSync(join(own, '.cache'), OTHER, OTHER);
    expect((await cli(`restore ${name} --from s3 --to ${join(shared, 'back.sqlite')}`)).code).toBe(0);
    expect(judgeBank(join(shared, 'back.sqlite')).complaint).toBeNull();
    expect([readdirSync(shared), readdirSync(join(own, '.cache'), { recursive: true }).length]).toEqual([
      ['back.sqlite'],
      2,
    ]);
  },
  60_000,
);

test.skipIf(!isRoot)(
  'a note that another user left beside a database does not change its mode',
  async () => {
    const database = join(shared, 'app.sqlite');
    makeDatabase(database, { journalMode: 'delete' });
    // As a restore that was killed would have left it for a database in WAL mode.
    plant('app.sqlite.restoring-1', (path) => makeDatabase(path));
    const service = createServiceFromEnvironment({
      env: { ...s3Environment(own, server, { ...place }), DATABASE_URL: database, BACKUP_S3_ENABLED: 'false' },
      write() {},
    });
    expect((await service.performBackup()).success).toBe(true);
    await service.close();
    expect(ask(database, 'PRAGMA journal_mode')).toBe('delete');
    expect(existsSync(join(shared, 'app.sqlite.restoring-1'))).toBe(true);
  },
  60_000,
);

test.skipIf(!isRoot)(
  'root that backs up and restores in a folder of another user follows none of its links',
  async () => {
    const backups = join(own, 'backups');
    const { sha256, name } = await backUp();
    rmSync(join(backups, name));
    rmSync(join(backups, `${name}.json`));
    const made = (what: string) => join(own, `made-${what}`);
    const links: Readonly<Record<string, string>> = {
      '.velist-backup.lock': made('lock'),
      '.uploads.lock': made('uploads'),
      'found-as.json.tmp': victim,
      [`settings.json.${process.pid}.tmp`]: victim,
      '.fetched': join(own, 'elsewhere'),
      '.staging': join(own, 'elsewhere'),
    };
    mkdirSync(join(own, 'elsewhere'));
    for (const file of ['.velist-backup.lock', '.uploads.lock', '.staging', '.fetched'])
      rmSync(join(backups, file), { recursive: true, force: true });
    for (const [link, target] of Object.entries(links)) symlinkSync(target, join(backups, link));
    chownSync(backups, OTHER, OTHER);
    for (const link of Object.keys(links)) lchownSync(join(backups, link), OTHER, OTHER);

    const env = s3Environment(own, server, { ...place });
    const lines: string[] = [];
    const service = createServiceFromEnvironment({ env, write: (line) => lines.push(line) });
    expect((await service.performBackup()).success).toBe(true);
    service.updateConfig({ retentionCount: 7 });
    await service.verifyBackup(name, { from: 's3' });
    // Now the folder of downloads is ours, and its owner plants a link in it.
    mkdirSync(join(backups, '.fetched'), { recursive: true });
    // By the tag beside it, it is the beginning of that very object.
    writeFileSync(join(backups, '.fetched', `${sha256}.part.etag`), (await store.head(name))?.etag ?? '');
    symlinkSync(victim, join(backups, '.fetched', `${sha256}.part`));
    await service.verifyBackup(name, { from: 's3' });
    await service.close();
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(readdirSync(own).filter((entry) => entry.startsWith('made-'))).toEqual([]);
    expect(readdirSync(join(own, 'elsewhere'))).toEqual([]);
    expect(lines.filter((line) => line.includes('is a link, which velist-backup never creates')).length).toBe(2);
  },
  60_000,
);
