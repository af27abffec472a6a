/**
 * The recovery kit, followed to the letter: its commands as they stand, in one shell, with stock programs alone. Absent
 * programs fail this test, because without them nothing here is proven.
 */
import { beforeEach, expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesOf, getBytes } from '../../src/engine/store/store.ts';
import { BackupService } from '../../src/service/backup-service.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { areMissing } from '../support/programs.ts';
import { openBucket } from '../support/bucket.ts';
import { keysOf } from '../support/objects.ts';
import { ask, makeDatabase, scratchFolders } from '../support/scratch.ts';
import { settingsWith } from '../support/settings.ts';

const BUCKET = 'my-backups';
/** With what a path may have in it, as owners write it. */
const PREFIX = 'shop/db one';
const newFolder = scratchFolders();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);
const withoutS3 = { S3_BUCKET: '', BACKUP_S3_ENABLED: 'false' };

const { server, store } = await openBucket(BUCKET, PREFIX);
let folder: string;
const database = () => join(folder, "the app's data", 'app.sqlite');
const backups = () => join(folder, 'backups');

beforeEach(async () => {
  folder = newFolder();
  mkdirSync(join(folder, "the app's data"));
  await store.deleteMany(await keysOf(store));
});

const variables = (more: Record<string, string>) => ({
  PATH: process.env['PATH'] ?? '',
  DATABASE_URL: database(),
  BACKUP_LOCAL_PATH: backups(),
  BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
  BACKUP_ENABLED: 'false',
  BACKUP_S3_ENABLED: 'true',
  BACKUP_S3_PATH: PREFIX,
  S3_BUCKET: BUCKET,
  S3_REGION: server.region,
  S3_ENDPOINT: server.endpoint,
  S3_ACCESS_KEY: server.accessKeyId,
  S3_SECRET_KEY: server.secretAccessKey,
  ...more,
});

/** Two backups, and between the first and the second one row more; the second is the newest. */
async function backUpTwice(more: Record<string, string> = {}): Promise<string> {
  makeDatabase(database(), { rows: 100 });
  const service = createServiceFromEnvironment({ env: variables(more), write: () => {} });
  await service.performBackup();
  ask(database(), "INSERT INTO notes VALUES (1001, 'more') RETURNING id");
  const { filename = '', success } = await service.performBackup();
  await service.close();
  expect(success).toBe(true);
  return filename;
}

async function run(program: string, args: readonly string[], env: Record<string, string>, input = '') {
  const child = spawn(program, args, { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

const cli = (argv: readonly string[], more: Record<string, string> = {}) =>
  run(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv], variables(more));

async function kit(more: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await cli(['kit'], more);
  expect([code, stderr]).toEqual([0, '']);
  for (const secret of [server.secretAccessKey, server.accessKeyId, identity]) expect(stdout).not.toContain(secret);
  return stdout;
}

/** The commands of the sections that a reader would follow. */
function commandsOf(text: string, sections: readonly string[]): string {
  const bySection = text
    .split(/^## /m)
    .filter((section) => sections.some((number) => section.startsWith(`${number}. `)));
  expect(bySection.length).toBe(sections.length);
  return bySection
    .flatMap((section) => [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, code]) => code))
    .join('');
}

/** As a reader does it: the key in its two variables, then the commands in one shell. */
const follow = (commands: string) =>
  run(
    'sh',
    ['-s'],
    {
      PATH: process.env['PATH'] ?? '',
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    },
    commands,
  );

function expectData(output: { code: number; stdout: string; stderr: string }, name: string): void {
  expect([output.code, output.stderr]).toEqual([0, '']);
  expect(output.stdout).toContain(`${name}: OK`);
  expect(output.stdout).not.toContain('FAILED');
  expect(output.stdout.match(/^ok$/gm)).toHaveLength(2);
  expect(ask(database(), 'SELECT count(*) FROM notes')).toBe(101);
  expect(ask(database(), 'PRAGMA journal_mode')).toBe('wal');
  expect(statSync(database()).mode & 0o777).toBe(0o600);
}

const loseAll = () => {
  for (const entry of readdirSync(folder)) rmSync(join(folder, entry), { recursive: true });
};

const sealings: Record<string, Record<string, string>> = {
  plain: {},
  compressed: { BACKUP_COMPRESSION: 'zstd' },
  encrypted: { BACKUP_ENCRYPTION_RECIPIENT: recipient },
  'compressed and encrypted': { BACKUP_COMPRESSION: 'zstd', BACKUP_ENCRYPTION_RECIPIENT: recipient },
};

for (const [what, sealing] of Object.entries(sealings)) {
  test(`the kit gets a ${what} copy back from S3 on an empty machine, by curl alone`, async () => {
    const name = await backUpTwice(sealing);
    const text = await kit(sealing);
    expect(text).toContain(`s3://${BUCKET}/${PREFIX}/${name}`);
    expect(text.includes(recipient)).toBe('BACKUP_ENCRYPTION_RECIPIENT' in sealing);
    loseAll();
    writeFileSync(join(folder, 'key.txt'), `${identity}\n`);
    expectData(await follow(commandsOf(text, ['1', '2a', '3', '4'])), name);
  });
}

test('the kit gets a backup of the folder back, and moves what was there aside with its log', async () => {
  const name = await backUpTwice(withoutS3);
  const text = await kit(withoutS3);
  expect(text).not.toContain('curl');
  truncateSync(database(), 5000);
  writeFileSync(`${database()}-wal`, 'an old log');
  expectData(await follow(commandsOf(text, ['1', '2', '3', '4'])), name);
  const aside = readdirSync(join(folder, "the app's data")).filter((entry) => entry.includes('.before-'));
  expect(aside.map((entry) => entry.replace(/\d+/, 'N')).sort()).toEqual([
    'app.sqlite.before-N',
    'app.sqlite.before-N-wal',
  ]);
});

test('of several targets each has its part, and any of them gets the data back', async () => {
  await server.createBucket('second-bucket');
  makeDatabase(database(), { rows: 101 });
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const access = { endpoint, region, accessKeyId, secretAccessKey, retentionCount: null };
  const sealing = { compression: 'zstd', recipients: [recipient] } as const;
  const service = new BackupService({
    ...{ databasePath: database(), backupsPath: backups(), statePath: join(folder, 'state.sqlite'), log: () => {} },
    settings: settingsWith({ s3Enabled: true, s3Path: PREFIX }),
    s3: { ...access, bucket: BUCKET },
    targets: [{ ...access, bucket: 'second-bucket', name: 'offsite-eu', prefix: 'elsewhere', sealing }],
    jobEnvironment: { PATH: process.env['PATH'] ?? '' },
  });
  const { filename = '' } = await service.performBackup();
  const text = await service.recoveryKit();
  await service.close();
  expect(text).toContain(`s3://second-bucket/elsewhere/${filename}.zst.age`);
  expect(text).toContain('For the copies on offsite-eu: the age identity');
  expect(text).not.toContain('For the copies on S3');
  expect([...text.matchAll(/^## 2.*$/gm)].map(([line]) => line)).toEqual([
    '## 2a. Get the backup from S3',
    '## 2b. Or get the backup from offsite-eu',
    '## 2c. Or get it from the folder',
  ]);
  for (const section of ['2a', '2b', '2c']) {
    rmSync(join(folder, "the app's data"), { recursive: true });
    rmSync(join(folder, 'velist-recovery'), { recursive: true, force: true });
    writeFileSync(join(folder, 'key.txt'), `${identity}\n`);
    expectData(await follow(commandsOf(text, ['1', section, '3', '4'])), filename);
  }
});

test('any other client does: aws and rclone, by the commands that stand there', async () => {
  if (areMissing(['aws', 'rclone'], ['awscli', 'rclone'])) return;
  const name = await backUpTwice();
  const [, commands = ''] = /^## Other clients\n[\s\S]*?^```text\n([\s\S]*?)^```/m.exec(await kit()) ?? [];
  for (const client of commands.split('\n\n')) {
    const output = await follow(
      `set -e; mkdir there; cd there; file=${name}\n${client}\nsha256sum "$file" ../backups/"$file"`,
    );
    expect([output.code, output.stdout]).toEqual([0, expect.stringContaining(`${name}.json`)]);
    const digests = [...output.stdout.matchAll(/^([0-9a-f]{64}) /gm)].map(([, digest]) => digest);
    expect([client, digests.length, new Set(digests).size]).toEqual([client, 2, 1]);
    rmSync(join(folder, 'there'), { recursive: true });
  }
  expect(commands.split('\n\n').length).toBe(2);
});

test('a copy that is damaged on S3 is told by its digest', async () => {
  const name = await backUpTwice();
  const text = await kit();
  loseAll();
  server.faults.push({ match: new RegExp(`GET /.*/${name}$`), effect: 'flip a bit' });
  const { stdout } = await follow(commandsOf(text, ['1', '2a']));
  server.faults.length = 0;
  expect(stdout).toContain(`${name}: FAILED`);
});

/** Puts a manifest there as whoever has a key of the bucket can, of the year 2099. */
async function plant(name: string, change: (text: string) => string): Promise<string> {
  const planted = 'backup-2099-01-01T00-00-00-000Z.sqlite';
  const text = new TextDecoder().decode(await getBytes(store, `${name}.json`, { limitBytes: 1_000_000 }));
  await store.put(`${planted}.json`, bytesOf(change(text.replaceAll(name, planted))));
  return planted;
}

test('a name that leads elsewhere is not followed, and no file is made by it', async () => {
  const name = await backUpTwice();
  const text = await kit();
  for (const file of [
    '../escaped',
    '/tmp/escaped',
    '$(touch escaped)',
    '`touch escaped`',
    'a b; touch escaped',
    '-K/etc/passwd',
  ]) {
    const planted = await plant(name, (manifest) => manifest.replace(/"file": ".*"/, `"file": "${file}"`));
    const { stdout } = await follow(commandsOf(text, ['1', '2a']));
    expect([file, stdout]).toEqual([
      file,
      expect.stringContaining(`${planted}.json names a file that is none of this backup`),
    ]);
    const made = readdirSync(folder, { recursive: true }).map(String);
    expect(made.filter((entry) => entry.includes('escaped'))).toEqual([]);
    rmSync(join(folder, 'velist-recovery'), { recursive: true });
  }
});

test('a manifest that can not be had, and one of a copy that is not encrypted, are passed over', async () => {
  const name = await backUpTwice(sealings['encrypted']);
  const text = await kit(sealings['encrypted']);
  const planted = await plant(name, (manifest) => manifest.replace('"encryption": "age"', '"encryption": "none"'));
  loseAll();
  writeFileSync(join(folder, 'key.txt'), `${identity}\n`);
  expectData(await follow(commandsOf(text, ['1', '2a', '3', '4'])), name);

  loseAll();
  writeFileSync(join(folder, 'key.txt'), `${identity}\n`);
  server.faults.push({ match: new RegExp(`GET /.*/${planted}`), effect: { status: 404, code: 'NoSuchKey' } });
  const { stdout } = await follow(commandsOf(text, ['1', '2a', '3', '4']));
  server.faults.length = 0;
  expect(stdout).toContain(`${name}: OK`);
});

test('what is larger than was announced is cut', async () => {
  const name = await backUpTwice();
  const text = await kit();
  loseAll();
  const sizeBytes = 1_000;
  const smaller = (manifest: string) => manifest.replaceAll(/"sizeBytes": \d+/g, `"sizeBytes": ${sizeBytes}`);
  const planted = await plant(name, smaller);
  await store.put(planted, bytesOf('x'.repeat(3_000_000)));
  const { stdout } = await follow(commandsOf(text, ['1', '2a']));
  expect(stdout).not.toContain(`${planted}: OK`);
  const there = statSync(join(folder, 'velist-recovery', planted), { throwIfNoEntry: false });
  expect(there?.size ?? 0).toBeLessThan(3_000);
});

test('the newest of more than one page of names is found', async () => {
  const name = await backUpTwice();
  const text = await kit();
  for (let number = 0; number < 1_100; number += 50)
    await Promise.all(
      Array.from({ length: 50 }, async (_, more) => {
        const at = new Date(Date.UTC(2020, 0, 1, 0, number + more))
          .toISOString()
          .replaceAll(':', '-')
          .replace('.', '-');
        await store.put(
          `backup-${at}.sqlite.json`,
          (async function* () {
            yield new Uint8Array([123, 125]);
          })(),
        );
      }),
    );
  loseAll();
  server.requests.length = 0;
  expectData(await follow(commandsOf(text, ['1', '2a', '3', '4'])), name);
  expect(server.requests.filter(({ url }) => url.includes('start-after=')).length).toBeGreaterThan(2);
});

test('while S3 is away the kit is written all the same, and says what is not known', async () => {
  await backUpTwice();
  server.faults.push({ match: /./, effect: { status: 403, code: 'AccessDenied' } });
  const text = await kit();
  server.faults.length = 0;
  expect(text).toContain('it could not be asked just then');
});

test('a kit in a file is for its owner alone, and replaces nothing but an earlier kit', async () => {
  await backUpTwice(withoutS3);
  const path = join(folder, 'kit.md');
  expect(await cli(['kit', '--output', path], withoutS3)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Wrote /),
  });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await cli(['kit', '--output', path], withoutS3)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Replaced /),
  });
  writeFileSync(path, 'precious');
  expect(await cli(['kit', '--output', path], withoutS3)).toMatchObject({ code: 2, stdout: '' });
  expect(await Bun.file(path).text()).toBe('precious');
  expect(existsSync(`${path}.tmp`)).toBe(false);
});
