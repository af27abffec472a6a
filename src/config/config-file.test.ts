import { expect, test } from 'bun:test';
import { refusal } from '../../tests/support/scratch.ts';
import { type Configured, nameInGlob, readConfig, unreachableVariables } from './config-file.ts';
import { type BackupsConfig, defineConfig } from './define-config.ts';
import { type Environment, loadEnvironment, type Variables } from './env.ts';

const file = 'velist-backup.config.ts';
const read = (config: BackupsConfig, variables: Variables = {}) =>
  readConfig(defineConfig(config), { file, variables });
/** Its lines of faults. */
async function faults(config: unknown, variables: Variables = {}): Promise<readonly string[]> {
  const error = await refusal(() => read(config as BackupsConfig, variables));
  expect([error.code, error.hint]).toEqual(['BAD_CONFIG', expect.stringContaining(`Correct ${file}`)]);
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
}
/** Name, folder, state file and prefix of each database; of a glob as for its file `acme`. */
function placesOf({ entries }: Configured) {
  return entries.map((entry) => {
    const name = entry.kind === 'glob' ? nameInGlob(entry, 'acme.sqlite') : entry.name;
    const { backup } = entry.kind === 'glob' ? entry.environmentOf(name, 'x') : entry.environment;
    return [name, backup.localPath, backup.statePath, backup.s3Path];
  });
}

test('every setting of the environment has its key', () => {
  expect(unreachableVariables()).toEqual([]);
});

test('without a list it is the environment, with what the file says on top', () => {
  const { isMany, common, entries } = read({ intervalMinutes: 30, s3: { bucket: 'safe' } }, { BACKUP_VERIFY: 'full' });
  expect(isMany).toBe(false);
  expect(common).toEqual(loadEnvironment({ BACKUP_INTERVAL_MINUTES: '30', S3_BUCKET: 'safe', BACKUP_VERIFY: 'full' }));
  expect(entries).toEqual([{ kind: 'database', name: 'dev', environment: common }]);
});

test('in a list each database has its own folder, state and prefix, by its name', () => {
  const databases = [{ path: './db/App.sqlite' }, { name: 'tenants', glob: './tenants/*.sqlite' }];
  expect(placesOf(read({ databases }))).toEqual([
    ['app', 'storage/backups/app', 'storage/app.velist-backup.sqlite', 'backups/database/app'],
    [
      ...['tenants.acme', 'storage/backups/tenants.acme', 'storage/tenants.acme.velist-backup.sqlite'],
      'backups/database/tenants.acme',
    ],
  ]);
  // Its own places, and one entry alone.
  const one = { path: 'a.db', localPath: '/b/old', statePath: '/s/old', s3: { path: 'old' } };
  expect(placesOf(read({ localPath: '/x', databases: [one] }))).toEqual([['a', '/b/old', '/s/old', 'old']]);
});

test('an entry wins over the top, the top over the environment, and null goes back to the default', () => {
  const { entries } = read(
    {
      keepDaily: 7,
      schedule: '0 3 * * *',
      databases: [
        { path: 'a', keepDaily: 14 },
        { path: 'b', schedule: null },
      ],
    },
    { BACKUP_KEEP_DAILY: '1', BACKUP_KEEP_WEEKLY: '4' },
  );
  const kept = entries.map((entry) => (entry.kind === 'database' ? entry.environment.backup : null));
  expect(kept.map((backup) => [backup?.keep.daily, backup?.keep.weekly, backup?.cron])).toEqual([
    [14, 4, '0 3 * * *'],
    [7, 4, null],
  ]);
});

test('a fault names the key, its variable and the file, and never a secret', async () => {
  expect(await faults({ databases: [{ path: 'a' }, { path: 'b', s3: { keepDaily: -1 } }] })).toEqual([
    expect.stringMatching(
      /^velist-backup\.config\.ts: databases\[1\]\.s3\.keepDaily \(BACKUP_S3_KEEP_DAILY\): "-1" is not/,
    ),
  ]);
  const [line = ''] = await faults({ webhookUrl: 'hunter2' });
  expect(line).toStartWith(`${file}: webhookUrl (BACKUP_WEBHOOK_URL): (secret) is not allowed`);
  const endpoint = 'https://us3r:pa55word@s3.example.com';
  const bucket = { bucket: 'b', endpoint };
  for (const [config, key] of [
    [{ s3: bucket }, 's3.endpoint'],
    [{ targets: { eu: bucket } }, 'targets.eu.endpoint'],
    [{ databases: [{ path: 'a', targets: { eu: bucket } }] }, 'databases[0].targets.eu.endpoint'],
  ] as const) {
    const [told = ''] = await faults(config);
    expect(told).toStartWith(`${file}: ${key} (S3_ENDPOINT): (secret) is not allowed; a URL without`);
    expect(told).not.toMatch(/us3r|pa55word/);
  }
  // What stands in the environment is called as it is called there.
  expect(await faults({}, { PORT: 'x' })).toEqual([expect.stringMatching(/^PORT: "x" is not allowed/)]);
});

test('what would do nothing is refused: unknown keys, and values that came out empty', async () => {
  expect(await faults({ intervallMinutes: 5, s3: { secretKey: undefined, compress: true } })).toEqual([
    `${file}: intervallMinutes: unknown setting; did you mean intervalMinutes?`,
    `${file}: s3.secretKey: is empty; leave it out, or set it to null for the default`,
    `${file}: s3.compress: unknown setting`,
  ]);
  expect(await faults({ databases: [{ path: 'a', port: 1 }] })).toEqual([
    `${file}: databases[0].port: unknown setting`,
  ]);
  for (const databases of [[], {}, [{}], [{ path: 'a', glob: 'b' }], ['a'], [{ path: 'a', name: '../b' }]])
    expect((await faults({ databases })).length).toBe(1);
});

test('two databases with one name are refused, and names that a glob could give', async () => {
  expect(await faults({ databases: [{ path: 'a/app.sqlite' }, { path: 'b/app.sqlite' }] })).toEqual([
    expect.stringContaining('databases[1].name: two are called app'),
  ]);
  expect(await faults({ databases: [{ path: 'a', name: 'tenants.x' }, { glob: './tenants/*.sqlite' }] })).toEqual([
    expect.stringContaining('databases[0].name: tenants.x could be a file of the glob tenants'),
  ]);
});

test('no two files of a glob have one name', () => {
  const glob = { name: 't', pattern: './t/**/*.sqlite' };
  const files = [
    'acme.sqlite',
    'Acme.sqlite',
    'a cme.sqlite',
    'a/cme.sqlite',
    'a-cme.sqlite',
    `${'x'.repeat(200)}.sqlite`,
  ];
  const names = files.map((name) => nameInGlob(glob, name));
  expect(names[0]).toBe('t.acme');
  expect(new Set(names).size).toBe(files.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9][a-z0-9._-]{0,99}$/);
  // A glob that takes several endings keeps them.
  expect(nameInGlob({ name: 't', pattern: './t/*' }, 'a.db')).toBe('t.a.db');
});

test('a second folder, and targets of that kind, have a folder for each database unless it names its own', () => {
  const config = {
    folder: { path: '/mnt/nas', keepDaily: 3 },
    targets: { usb: { kind: 'folder', path: '/mnt/usb', retentionCount: 5, compression: 'zstd' } },
  } as const;
  const told = ({ backup: { folder, sealing } }: Environment) => [folder?.path, folder?.prefix, sealing.compression];
  const alone = readConfig(config, { file: 'c.ts', variables: {} }).common;
  expect(told(alone)).toEqual(['/mnt/nas', '', 'none']);
  expect(alone.backup.folder?.keep.daily).toBe(3);
  expect((alone.targets ?? []).map(({ name, environment }) => [name, ...told(environment)])).toEqual([
    ['usb', '/mnt/usb', '', 'zstd'],
  ]);
  const { entries } = readConfig(
    { ...config, databases: [{ path: './shop.sqlite' }, { path: './own.sqlite', folder: { path: '/mnt/own' } }] },
    { file: 'c.ts', variables: {} },
  );
  const environments = entries.flatMap((entry) => (entry.kind === 'database' ? [entry.environment] : []));
  expect(environments.map(told)).toEqual([
    ['/mnt/nas', 'shop', 'none'],
    ['/mnt/own', '', 'none'],
  ]);
  expect(environments.flatMap(({ targets = [] }) => targets.map(({ environment }) => told(environment)))).toEqual([
    ['/mnt/usb', 'shop', 'zstd'],
    ['/mnt/usb', 'own', 'zstd'],
  ]);
});

test('a target of an unknown kind, without a path, or with what its kind has not is a fault', async () => {
  const fault = async (target: object) =>
    (await refusal(() => readConfig({ targets: { nas: target } } as BackupsConfig, { file: 'c.ts', variables: {} })))
      .message;
  expect(await fault({ kind: 'ftp' })).toContain('targets.nas.kind: must be s3 or folder');
  expect(await fault({ kind: 'folder' })).toContain('targets.nas.path: is missing');
  expect(await fault({ kind: 'folder', path: '/x', bucket: 'b' })).toContain('targets.nas.bucket: unknown setting');
  expect(
    (await refusal(() => readConfig({}, { file: 'c.ts', variables: { BACKUP_FOLDER_KEEP_DAILY: '3' } }))).message,
  ).toContain('BACKUP_FOLDER_KEEP_DAILY: has no effect without BACKUP_FOLDER_PATH');
});

test('further targets are those of all and of each database, with what is their own alone', async () => {
  const config: BackupsConfig = {
    s3: { bucket: 'main', accessKey: 'id', secretKey: 'key', retentionCount: 5 },
    compression: 'zstd',
    targets: { 'offsite-eu': { bucket: 'eu', region: 'eu-west-1', path: 'velist', keepDaily: 7 } },
    databases: [
      { path: './db/app.sqlite', targets: { cold: { bucket: 'cold', path: 'very/own', storageClass: 'GLACIER_IR' } } },
      { name: 'tenants', glob: './tenants/*.sqlite' },
    ],
  };
  const { entries, common } = read(config);
  const [app, tenants] = entries;
  const told = (targets: typeof common.targets = []) =>
    targets.map(({ name, environment: { s3, backup } }) => [name, s3.bucket, s3.accessKeyId, backup.s3Path]);
  expect(told(common.targets)).toEqual([['offsite-eu', 'eu', null, 'velist']]);
  expect(app?.kind === 'database' && told(app.environment.targets)).toEqual([
    ['offsite-eu', 'eu', null, 'velist/app'],
    ['cold', 'cold', null, 'very/own'],
  ]);
  const [target] = (app?.kind === 'database' && app.environment.targets) || [];
  expect(target?.environment.backup).toMatchObject({
    s3RetentionCount: null,
    s3Keep: { daily: 7 },
    sealing: { compression: 'none', recipients: [] },
  });
  expect(tenants?.kind === 'glob' && told(tenants.environmentOf('tenants.acme', 'x').targets)).toEqual([
    ['offsite-eu', 'eu', null, 'velist/tenants.acme'],
  ]);

  const wrong = { targets: { S3: {}, local: { bucket: 'x' }, eu: { bucket: 'x', enabled: true }, us: 7 } };
  expect(await faults(wrong)).toEqual([
    `${file}: targets.S3: the name is not allowed; use lower-case letters, digits and hyphens, but not local or s3`,
    `${file}: targets.local: the name is not allowed; use lower-case letters, digits and hyphens, but not local or s3`,
    `${file}: targets.eu.enabled: unknown setting`,
    `${file}: targets.us: must be an object`,
  ]);
  expect(await faults({ targets: { eu: { region: 'eu-west-1' } } })).toEqual([
    expect.stringContaining('S3_BUCKET: is missing'),
  ]);
});

test('the types of the file follow the table: a slip of the hand does not compile', () => {
  const right = defineConfig({
    ...{ verify: 'full', schedule: null, adminPasswordFile: 'x', lossIgnore: ['a'], encryptionRecipient: 'age1' },
    s3: { sse: 'aws:kms', secretKeyFile: 'x' },
    databases: [{ path: 'a', webhookUrlFile: 'y', targets: { eu: { bucket: 'b', compression: 'zstd' } } }],
  });
  const wrong = [
    // @ts-expect-error it is quick or full
    defineConfig({ verify: 'fast' }),
    // @ts-expect-error an unknown key
    defineConfig({ intervallMinutes: 1 }),
    // @ts-expect-error text for a number
    defineConfig({ keepDaily: '7' }),
    // @ts-expect-error no secret
    defineConfig({ verifyFile: 'x' }),
    // @ts-expect-error a target is on for as long as it is there
    defineConfig({ targets: { eu: { enabled: true } } }),
    // @ts-expect-error the port is common to all
    defineConfig({ databases: [{ path: 'a', port: 1 }] }),
  ];
  expect([right, ...wrong]).toHaveLength(7);
});
