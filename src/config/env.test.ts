import { expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { mkdirSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { refusal, scratchFolders } from '../../tests/support/scratch.ts';
import { loadEnvironment, type Variables } from './env.ts';

const newFolder = scratchFolders();

/** The lines of faults, without their heading. */
async function faults(variables: Variables): Promise<string[]> {
  const error = await refusal(() => loadEnvironment(variables));
  expect(error.code).toBe('BAD_CONFIG');
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
}

test('without any variable the documented defaults hold', () => {
  expect(loadEnvironment({})).toEqual({
    production: false,
    host: '127.0.0.1',
    port: 3000,
    logFormat: 'text',
    demoOrders: true,
    signIn: { password: null, token: null, metricsToken: null },
    databasePath: './db/dev.sqlite',
    backup: {
      enabled: true,
      intervalMinutes: 10,
      cron: null,
      retentionCount: 10,
      keep: { hourly: 24, daily: 7, weekly: 4, monthly: 0, yearly: 0 },
      keepIsDefault: true,
      localPath: './storage/backups',
      statePath: './storage/velist-backup.sqlite',
      verify: 'quick',
      skipUnchanged: true,
      maxAgeMinutes: null,
      loss: { isOn: true, percent: 50, rows: 1_000 },
      lossIgnore: [],
      drillEnabled: true,
      drillSql: null,
      continuous: null,
      auditLog: null,
      webhookUrl: null,
      heartbeatUrl: null,
      s3Enabled: false,
      s3Path: 'backups/database',
      s3RetentionCount: null,
      s3Keep: {},
      sealing: { compression: 'none', recipients: [] },
      folder: null,
      s3StoredAs: { storageClass: null, serverEncryption: null, objectLock: null, lifecycleDays: null },
    },
    storage: { driver: 'local', localPath: './storage/uploads', localUrl: '/storage', cdnUrl: null },
    s3: {
      ...{ bucket: null, region: null, endpoint: null, forcePathStyle: null },
      ...{ accessKeyId: null, secretAccessKey: null, sessionToken: null },
    },
    jobEnvironment: {},
    secretFiles: [],
  });
});

test('an empty variable counts as absent', () => {
  const { backup, port } = loadEnvironment({ BACKUP_INTERVAL_MINUTES: '', PORT: '  ', BACKUP_SCHEDULE: undefined });
  expect([backup.intervalMinutes, port, backup.cron]).toEqual([10, 3000, null]);
});

test('tables that are emptied regularly are named with commas between', () => {
  const { backup } = loadEnvironment({ BACKUP_LOSS_IGNORE: ' sessions, cache ,,', BACKUP_LOSS_PERCENT: '20' });
  expect(backup.lossIgnore).toEqual(['sessions', 'cache']);
  expect(backup.loss).toEqual({ isOn: true, percent: 20, rows: 1_000 });
});

test('hours, days, weeks, months and years to keep are whole numbers, at S3 those of its own', async () => {
  const { backup } = loadEnvironment({ BACKUP_KEEP_DAILY: '7', BACKUP_KEEP_YEARLY: '2', BACKUP_S3_KEEP_MONTHLY: '0' });
  expect(backup.keep).toEqual({ hourly: 0, daily: 7, weekly: 0, monthly: 0, yearly: 2 });
  expect(backup.s3Keep).toEqual({ monthly: 0 });
  const wrong = await faults({ BACKUP_KEEP_DAILY: '-1', BACKUP_S3_KEEP_WEEKLY: '1.5', BACKUP_KEEP_WEEKS: '4' });
  expect(wrong.map((line) => line.split(':')[0])).toEqual([
    ...['BACKUP_KEEP_DAILY', 'BACKUP_S3_KEEP_WEEKLY', 'BACKUP_KEEP_WEEKS'],
  ]);
});

test('a webhook is an address of the web, and a wrong one is not shown', async () => {
  const url = 'https://hooks.example.com/services/T0/B0/secret';
  expect(loadEnvironment({ BACKUP_WEBHOOK_URL: url }).backup.webhookUrl).toBe(url);
  for (const name of ['BACKUP_WEBHOOK_URL', 'BACKUP_HEARTBEAT_URL']) {
    const [line = ''] = await faults({ [name]: 'hooks.example.com/secret' });
    expect(line).toStartWith(`${name}: (secret) is not allowed`);
  }
});

test('switches are true, 1, yes, on and their opposites', () => {
  for (const [text, value] of Object.entries({
    true: true,
    '1': true,
    on: true,
    false: false,
    '0': false,
    no: false,
    OFF: false,
  })) {
    expect([text, loadEnvironment({ BACKUP_ENABLED: text }).backup.enabled]).toEqual([text, value]);
    expect(loadEnvironment({ S3_FORCE_PATH_STYLE: text }).s3.forcePathStyle).toBe(value);
  }
});

test('a database is named by a path or by a URL, in the forms of other tools too', () => {
  const forms = {
    './db/dev.sqlite': './db/dev.sqlite',
    '/srv/app 100%.sqlite': '/srv/app 100%.sqlite',
    'file:./db/dev.sqlite': './db/dev.sqlite',
    'file:/srv/app.sqlite?mode=ro': '/srv/app.sqlite',
    'file:///srv/a%20b.sqlite': '/srv/a b.sqlite',
    'sqlite:db/dev.sqlite': 'db/dev.sqlite',
    'sqlite://./db/dev.sqlite': './db/dev.sqlite',
    'sqlite:///srv/app.sqlite': '/srv/app.sqlite',
    // Rails, JDBC, SQLAlchemy, ADO.NET.
    'sqlite3:db/dev.sqlite3': 'db/dev.sqlite3',
    'sqlite3://localhost/srv/app.db': '/srv/app.db',
    'jdbc:sqlite:db/app 100%.db': 'db/app 100%.db',
    'jdbc:sqlite:/srv/app.db?foreign_keys=on': '/srv/app.db',
    'jdbc:sqlite:file:db/a%20b.db?cache=shared': 'db/a b.db',
    'sqlite:////srv/app.db': '/srv/app.db',
    'sqlite+aiosqlite:///./app.db': './app.db',
    'Data Source=db/app.db;Cache=Shared': 'db/app.db',
    'file://localhost/srv/app.db': '/srv/app.db',
    // Quotes and line ends that docker --env-file keeps.
    '"file:./db/dev.sqlite"': './db/dev.sqlite',
    "'./db/dev.sqlite'": './db/dev.sqlite',
    './db/dev.sqlite\r': './db/dev.sqlite',
  };
  for (const [url, path] of Object.entries(forms)) {
    expect([url, loadEnvironment({ DATABASE_URL: url }).databasePath]).toEqual([url, path]);
  }
});

test('a database that is no file, or whose URL can not be read, is refused without its password', async () => {
  for (const url of [
    'postgres://app:hunter2@db/shop',
    'libsql://shop.turso.io?authToken=hunter2',
    'file:',
    'sqlite://',
    'file:a%zz.sqlite',
    ':memory:',
    'file::memory:',
  ]) {
    const [line = '', ...more] = await faults({ DATABASE_URL: url });
    expect([url, more]).toEqual([url, []]);
    expect(line).toStartWith('DATABASE_URL: ');
    expect(line).not.toContain('hunter2');
  }
});

test('a database that can not be meant is refused with what to write instead', async () => {
  for (const [url, why] of Object.entries({
    'postgres://app:hunter2@db/shop': 'postgres: is a server, but SQLite databases are files; ',
    'libsql://shop.turso.io': 'that is a remote database; name a local file, as file:./local.db',
    'file:memdb1?mode=memory&cache=shared': 'a database in memory has no file that could be backed up',
    'sqlite:///:memory:': 'a database in memory has no file that could be backed up',
    'jdbc:sqlite::resource:app.db': 'a database inside a program cannot be backed up',
    'file:\u0024{DATA}/app.db': '\u0024{DATA} is a placeholder that was not filled in; write the whole path',
    'sqlite:///%kernel.project_dir%/var/data.db': '%kernel.project_dir% is a placeholder that was not filled in',
    '~/app.db': '~ is only understood by shells; write the whole path',
  })) {
    const [line = ''] = await faults({ DATABASE_URL: url });
    expect(line).toStartWith(`DATABASE_URL: (secret) is not allowed; ${why}`);
  }
});

/** With that folder as the working folder. */
async function inFolder(folder: string, work: () => unknown): Promise<void> {
  const before = process.cwd();
  process.chdir(folder);
  try {
    await work();
  } finally {
    process.chdir(before);
  }
}

test("beside a schema of Prisma that reads DATABASE_URL its path counts from the schema's folder", async () => {
  const folder = newFolder();
  const schema = (url: string) => `datasource db {\n  provider = "sqlite"\n  ${url}\n}\n`;
  mkdirSync(join(folder, 'prisma'));
  writeFileSync(join(folder, 'prisma/schema.prisma'), schema('url = env("DATABASE_URL")'));
  await inFolder(folder, async () => {
    const read = (url: string) => loadEnvironment({ DATABASE_URL: url }).databasePath;
    expect(read('file:./dev.db')).toBe('./prisma/dev.db');
    expect([read('./dev.db'), read('file:/srv/dev.db')]).toEqual(['./dev.db', '/srv/dev.db']);
    writeFileSync('dev.db', '');
    expect(read('file:./dev.db')).toBe('./dev.db');
    writeFileSync('prisma/dev.db', '');
    expect(await faults({ DATABASE_URL: 'file:./dev.db' })).toEqual([
      `DATABASE_URL: (secret) is not allowed; it names two files: ./dev.db in the working directory, and prisma/dev.db, which is what Prisma means; write the whole path, for example file:${process.cwd()}/prisma/dev.db`,
    ]);
    // Another address, or none as from Prisma 7 on: the variable is not Prisma's.
    writeFileSync('prisma/schema.prisma', schema(''));
    expect(read('file:./dev.db')).toBe('./dev.db');
  });
});

test('three slashes of SQLAlchemy count from the working folder when the file is there alone', async () => {
  const folder = newFolder();
  await inFolder(folder, () => {
    const read = () => loadEnvironment({ DATABASE_URL: 'sqlite:///app-of-this-test.db' }).databasePath;
    expect(read()).toBe('/app-of-this-test.db');
    writeFileSync('app-of-this-test.db', '');
    expect(read()).toBe('./app-of-this-test.db');
  });
});

test('each fault is one line: name, value, what is allowed', async () => {
  const lines = await faults({
    PORT: '70000',
    BACKUP_INTERVAL_MINUTES: 'ten',
    BACKUP_RETENTION_COUNT: '0',
    BACKUP_VERIFY: 'sometimes',
    BACKUP_SCHEDULE: 'every day',
    BACKUP_ENABLED: 'perhaps',
    STORAGE_DRIVER: 'ftp',
    S3_ENDPOINT: 'ftp://s3',
    LOG_FORMAT: 'xml',
  });
  expect(lines.length).toBe(9);
  expect(lines).toContain(
    'BACKUP_SCHEDULE: "every day" is not allowed; a cron line with five fields, for example 0 3 * * *',
  );
  for (const line of lines) expect(line).toMatch(/^[A-Z0-9_]+: "[^"]+" is not allowed; .+/);
});

test('a BACKUP_ variable that we do not know is refused by name, without its value', async () => {
  expect(await faults({ BACKUP_PASSPHRASE: 'hunter2', BACKUP_INTERVALL_MINUTES: '5' })).toEqual([
    'BACKUP_PASSPHRASE: unknown setting',
    'BACKUP_INTERVALL_MINUTES: unknown setting; did you mean BACKUP_INTERVAL_MINUTES?',
  ]);
});

test('a slip in the name of a setting is told with the name that is meant', async () => {
  for (const [name, meant] of Object.entries({
    BACKUP_RETENTION: 'BACKUP_RETENTION_COUNT',
    BACKUP_DIR: 'BACKUP_LOCAL_PATH',
    BACKUP_S3_BUCKET: 'S3_BUCKET',
    BACKUP_HOST: 'HOST',
    BACKUP_ENCRYPTON_RECIPIENT: 'BACKUP_ENCRYPTION_RECIPIENT',
    Backup_Enabled: 'BACKUP_ENABLED',
    S3_ENDPIONT: 'S3_ENDPOINT',
    S3_ACESS_KEY: 'S3_ACCESS_KEY',
  }))
    expect(await faults({ [name]: 'hunter2' })).toEqual([`${name}: unknown setting; did you mean ${meant}?`]);
  expect(await faults({ BACKUP_TO_TAPE: '1' })).toEqual(['BACKUP_TO_TAPE: unknown setting']);
});

test("other programs' variables that begin with S3_ stop nothing", () => {
  const others = { S3_PUBLIC_URL: 'x', S3_ACCESS_KEY_ID: 'x', S3_BUCKET_2: 'x', S3_BUCKET: 'ours', S3_BUCKETS: 'x' };
  expect(loadEnvironment(others).s3.bucket).toBe('ours');
});

test('variables that Kubernetes makes of a Service called backup stop nothing, and a PORT of a person does', async () => {
  const ofService = {
    BACKUP_SERVICE_HOST: '10.0.0.4',
    BACKUP_SERVICE_PORT: '3000',
    BACKUP_SERVICE_PORT_HTTP: '3000',
    BACKUP_PORT: 'tcp://10.0.0.4:3000',
    BACKUP_PORT_3000_TCP: 'tcp://10.0.0.4:3000',
    BACKUP_PORT_3000_TCP_PROTO: 'tcp',
    BACKUP_PORT_3000_TCP_PORT: '3000',
    BACKUP_PORT_3000_TCP_ADDR: '10.0.0.4',
    BACKUP_API_SERVICE_HOST: '10.0.0.5',
    BACKUP_API_PORT_53_UDP_ADDR: '10.0.0.5',
    S3_PORT: 'tcp://10.0.0.6:9000',
  };
  expect(loadEnvironment(ofService)).toEqual(loadEnvironment({}));
  expect(await faults({ BACKUP_PORT: '3000' })).toEqual(['BACKUP_PORT: unknown setting; did you mean PORT?']);
});

test('quotes around any value are left out, around a password refused', async () => {
  const { backup, port } = loadEnvironment({
    BACKUP_SCHEDULE: '"0 3 * * *"',
    PORT: "'4000'",
    BACKUP_ENABLED: '"no"\r',
  });
  expect([backup.cron, port, backup.enabled]).toEqual(['0 3 * * *', 4000, false]);
  expect(await faults({ BACKUP_ADMIN_PASSWORD: '"hunter2"', BACKUP_API_TOKEN: `'${'h'.repeat(20)}'` })).toEqual(
    ['BACKUP_ADMIN_PASSWORD', 'BACKUP_API_TOKEN'].map(
      (name) =>
        `${name}: (secret) is not allowed; it is in quotes, which docker --env-file takes as part of the value; leave them out`,
    ),
  );
  expect(loadEnvironment({ BACKUP_ADMIN_PASSWORD: `it's "secret"` }).signIn.password).toBe(`it's "secret"`);
});

test('an address in the place of a bucket, a prefix or a server is told apart into its parts', async () => {
  expect(await faults({ S3_BUCKET: 's3://my-backups/shop/db/' })).toEqual([
    'S3_BUCKET: "s3://my-backups/shop/db/" is not allowed; the name alone: S3_BUCKET=my-backups, and BACKUP_S3_PATH=shop/db for the rest',
  ]);
  for (const [name, value, why] of [
    ['S3_BUCKET', 's3://my-backups', 'the name alone: S3_BUCKET=my-backups'],
    ['S3_BUCKET', 'arn:aws:s3:::my-backups', 'the name alone: S3_BUCKET=my-backups'],
    ['S3_BUCKET', 'https://my-backups.s3.amazonaws.com', 'its server belongs in S3_ENDPOINT'],
    ['S3_BUCKET', 'my-backups/shop', 'the rest belongs in BACKUP_S3_PATH'],
    ['BACKUP_S3_PATH', 's3://my-backups/shop', 'the bucket belongs in S3_BUCKET'],
    ['S3_ENDPOINT', 'https://s3.example.com/my-backups', 'the bucket belongs in S3_BUCKET'],
  ] as const) {
    const [line = '', ...more] = await faults({ [name]: value });
    expect([line, more]).toEqual([expect.stringContaining(why), []]);
  }
  const accessPoint = 'arn:aws:s3:eu-west-1:123456789012:accesspoint/backups';
  expect(loadEnvironment({ S3_BUCKET: accessPoint }).s3.bucket).toBe(accessPoint);
});

test('the names that other tools have for the S3 settings are told where ours are missing', async () => {
  const on = { BACKUP_S3_ENABLED: 'true' };
  expect(await faults({ ...on, AWS_BUCKET: 'safe' })).toEqual([
    'S3_BUCKET: is missing; BACKUP_S3_ENABLED=true needs the name of a bucket (AWS_BUCKET is not read)',
  ]);
  expect(await faults({ ...on, S3_BUCKET: 'safe', AWS_ENDPOINT_URL: 'http://localhost:4566' })).toEqual([
    expect.stringMatching(/^S3_ENDPOINT: is missing, and AWS_ENDPOINT_URL names a server; set S3_ENDPOINT/),
  ]);
  expect(await faults({ S3_ACCESS_KEY: 'k', AWS_SECRET_ACCESS_KEY: 'hunter2' })).toEqual([
    'S3_ACCESS_KEY, S3_SECRET_KEY: one is missing; set both, or neither to use the AWS default credentials (AWS_SECRET_ACCESS_KEY is not read beside the other)',
  ]);
  expect(await faults({ ...on, S3_BUCKET: 'safe', S3_ACCESS_KEY_ID: 'k', S3_SECRET_ACCESS_KEY: 'hunter2' })).toEqual([
    'S3_ACCESS_KEY, S3_SECRET_KEY: are missing; S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are not read',
  ]);
  // Those of the default chain are, by the library of Amazon.
  const chain = { ...on, S3_BUCKET: 'safe', AWS_ACCESS_KEY_ID: 'k', AWS_SECRET_ACCESS_KEY: 's', AWS_REGION: 'x' };
  expect(loadEnvironment(chain).backup.s3Enabled).toBe(true);
});

test('temporary credentials have a token beside both keys', async () => {
  const keys = { S3_ACCESS_KEY: 'k', S3_SECRET_KEY: 's' };
  expect(loadEnvironment({ ...keys, S3_SESSION_TOKEN: 't' }).s3.sessionToken).toBe('t');
  expect(await faults({ S3_SESSION_TOKEN: 'hunter2' })).toEqual([
    'S3_SESSION_TOKEN: has no effect without S3_ACCESS_KEY and S3_SECRET_KEY',
  ]);
});

test('S3 needs a bucket, and both keys or none; no key is ever printed', async () => {
  expect(await faults({ BACKUP_S3_ENABLED: 'true' })).toEqual([
    'S3_BUCKET: is missing; BACKUP_S3_ENABLED=true needs the name of a bucket',
  ]);
  const error = await refusal(() => loadEnvironment({ S3_SECRET_KEY: 'hunter2', S3_ENDPOINT: 'nonsense', PORT: '-1' }));
  expect(JSON.stringify([error, error.message, error.stack])).not.toContain('hunter2');
  expect(await faults({ S3_ACCESS_KEY: 'hunter2' })).toEqual([
    'S3_ACCESS_KEY, S3_SECRET_KEY: one is missing; set both, or neither to use the AWS default credentials',
  ]);
});

test('an endpoint with a name or a password is refused, and neither is repeated', async () => {
  for (const endpoint of ['us3r:pa55word@', 'us3r@', ':pa55word@'].flatMap((info) => [
    `http://${info}s3.example.com`,
    `https://${info}`,
    `htp://${info}s3.example.com`,
    `${info}s3.example.com`,
  ])) {
    const lines = await faults({ S3_ENDPOINT: endpoint });
    expect([endpoint, lines]).toEqual([
      endpoint,
      [expect.stringMatching(/^S3_ENDPOINT: \(secret\) is not allowed; a URL/)],
    ]);
    expect(lines.join()).not.toMatch(/us3r|pa55word/);
  }
});

test('the driver of the app’s files does not decide where backups go', () => {
  const { backup, storage, s3 } = loadEnvironment({
    STORAGE_DRIVER: 'local',
    BACKUP_S3_ENABLED: 'true',
    S3_BUCKET: 'safe',
    BACKUP_S3_PATH: '/a/b/',
  });
  expect([storage.driver, backup.s3Enabled, s3.bucket, backup.s3Path]).toEqual(['local', true, 'safe', 'a/b']);
});

test('a prefix on S3 that is empty or leads elsewhere is refused', async () => {
  for (const path of ['/', 'a/../b', 'a//b', './a']) {
    const [line = ''] = await faults({ BACKUP_S3_PATH: path });
    expect(line).toStartWith(`BACKUP_S3_PATH: "${path}" is not allowed; `);
  }
});

test('a job inherits programs, folders and certificates, never the app’s own secrets', () => {
  const { jobEnvironment } = loadEnvironment({
    PATH: '/bin',
    HOME: '/root',
    AWS_PROFILE: 'backup',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
    S3_ACCESS_KEY: 'key',
    S3_SECRET_KEY: 'hunter2',
    NODE_OPTIONS: '--require ./app.js',
    SESSION_SECRET: 'hunter2',
  });
  expect(jobEnvironment).toEqual({
    PATH: '/bin',
    HOME: '/root',
    AWS_PROFILE: 'backup',
    NODE_EXTRA_CA_CERTS: '/ca.pem',
  });
});

test('copies on S3 are sealed by zstd and for one or several age public keys', async () => {
  const [one, two] = await Promise.all([newRecipient(), newRecipient()]);
  const sealing = (variables: Variables) => loadEnvironment({ S3_BUCKET: 'safe', ...variables }).backup.sealing;
  expect(sealing({ BACKUP_COMPRESSION: 'zstd' })).toEqual({ compression: 'zstd', recipients: [] });
  expect(sealing({ BACKUP_ENCRYPTION_RECIPIENT: `${one}, ${two} ${one}` })).toEqual({
    compression: 'none',
    recipients: [one, two],
  });
  expect(sealing({ BACKUP_COMPRESSION: '', BACKUP_ENCRYPTION_RECIPIENT: ' ' })).toEqual({
    compression: 'none',
    recipients: [],
  });
});

test('a recipient that is none is refused at the start; a private key is never printed', async () => {
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  const wrong = (text: string) => faults({ S3_BUCKET: 'safe', BACKUP_ENCRYPTION_RECIPIENT: text });
  expect(await wrong(`${recipient},${recipient.slice(0, -2)}`)).toEqual([
    `BACKUP_ENCRYPTION_RECIPIENT: entry 2 of 2 (${recipient.slice(0, 12)}…) is not an age public key, such as age1… from age-keygen`,
  ]);
  expect(await wrong(identity)).toEqual([
    'BACKUP_ENCRYPTION_RECIPIENT: it is a private key; it must never be on this server. Set the public key, age1…, which age-keygen -y prints',
  ]);
  for (const text of [identity, identity.slice(7), `${recipient} ${identity.toLowerCase()}`, `# ${identity}`]) {
    const error = await refusal(() => loadEnvironment({ S3_BUCKET: 'safe', BACKUP_ENCRYPTION_RECIPIENT: text }));
    const told = JSON.stringify([error, error.message, error.stack, String(error.cause)]).toUpperCase();
    expect(told).not.toContain(identity.slice(20, 30));
  }
  expect(await faults({ S3_BUCKET: 'safe', BACKUP_COMPRESSION: 'gzip' })).toEqual([
    expect.stringMatching(/^BACKUP_COMPRESSION: "gzip" is not allowed; /),
  ]);
});

test('a sealing that would do nothing is refused; with a bucket S3 may be off for now', async () => {
  const recipient = await newRecipient();
  const sealed = { BACKUP_COMPRESSION: 'zstd', BACKUP_ENCRYPTION_RECIPIENT: recipient };
  const why =
    'has no effect without S3_BUCKET or BACKUP_FOLDER_PATH; it seals the copies there; backups in BACKUP_LOCAL_PATH stay plain database files';
  expect(await faults(sealed)).toEqual([`BACKUP_COMPRESSION: ${why}`, `BACKUP_ENCRYPTION_RECIPIENT: ${why}`]);
  expect(loadEnvironment({ ...sealed, S3_BUCKET: 'safe' }).backup.s3Enabled).toBe(false);
  expect(await faults({ ...sealed, BACKUP_S3_ENABLED: 'true' })).toEqual([
    'S3_BUCKET: is missing; BACKUP_S3_ENABLED=true needs the name of a bucket',
  ]);
  expect(loadEnvironment({ BACKUP_COMPRESSION: 'none' }).backup.sealing.compression).toBe('none');
});

test('a place that was set up on the page counts for the sealing, as does a file of which nobody can tell', async () => {
  const folder = newFolder();
  const statePath = join(folder, 'state', 'velist-backup.sqlite');
  const sealed = { BACKUP_COMPRESSION: 'zstd', BACKUP_STATE_PATH: statePath };
  const isTaken = () => loadEnvironment(sealed).backup.sealing.compression === 'zstd';
  expect(await faults(sealed)).toHaveLength(1);
  mkdirSync(join(folder, 'state'));
  expect(await faults(sealed)).toHaveLength(1);
  const file = join(folder, 'state', 'other.credentials.json');
  // All was taken away again, or nothing that copies go to was set up.
  for (const entries of [{}, { backups: {} }, { backups: { webhook: { url: 'https://hooks.example.com/x' } } }]) {
    writeFileSync(file, JSON.stringify(entries));
    expect(await faults(sealed)).toHaveLength(1);
  }
  for (const entries of [{ a: {}, b: { s3: { bucket: 'mine' } } }, { a: { folder: { path: '/mnt/nas' } } }]) {
    writeFileSync(file, JSON.stringify(entries));
    expect(isTaken()).toBe(true);
  }
  for (const text of ['{ "a', '[null]', 'null']) {
    writeFileSync(file, text);
    expect(isTaken()).toBe(true);
  }
  rmSync(file);
  mkdirSync(file);
  expect(isTaken()).toBe(true);
  rmdirSync(file);
  Bun.spawnSync(['mkfifo', file]);
  expect(isTaken()).toBe(true);
  rmSync(file);
  symlinkSync(join(folder, 'nowhere'), file);
  expect(await faults(sealed)).toHaveLength(1);
});

test('how S3 keeps the copies is passed on; what would do nothing is refused', async () => {
  const bucket = { S3_BUCKET: 'safe' };
  const given = {
    BACKUP_S3_STORAGE_CLASS: 'STANDARD_IA',
    BACKUP_S3_SSE: 'aws:kms',
    BACKUP_S3_SSE_KMS_KEY: 'alias/backups',
    BACKUP_S3_OBJECT_LOCK_DAYS: '30',
  };
  expect(loadEnvironment({ ...bucket, ...given }).backup.s3StoredAs).toEqual({
    storageClass: 'STANDARD_IA',
    serverEncryption: { algorithm: 'aws:kms', key: 'alias/backups' },
    objectLock: { days: 30, mode: 'governance' },
    lifecycleDays: null,
  });
  expect(await faults(given)).toEqual(Object.keys(given).map((name) => `${name}: has no effect without S3_BUCKET`));
  expect(await faults({ ...bucket, BACKUP_S3_SSE: 'AES256', BACKUP_S3_SSE_KMS_KEY: 'x' })).toEqual([
    'BACKUP_S3_SSE_KMS_KEY: has no effect without BACKUP_S3_SSE=aws:kms',
  ]);
  expect(await faults({ ...bucket, BACKUP_S3_OBJECT_LOCK_MODE: 'compliance' })).toEqual([
    'BACKUP_S3_OBJECT_LOCK_MODE: has no effect without BACKUP_S3_OBJECT_LOCK_DAYS',
  ]);
  const [archive = ''] = await faults({ ...bucket, BACKUP_S3_STORAGE_CLASS: 'DEEP_ARCHIVE' });
  expect(archive).toContain('takes hours to give an object back');
});

async function newRecipient(): Promise<string> {
  return identityToRecipient(await generateIdentity());
}

test('a token of the metrics is none without a login, and not the one that opens everything', async () => {
  const [own, all] = ['fedcba9876543210', '0123456789abcdef'];
  expect(await faults({ BACKUP_METRICS_TOKEN: own })).toEqual([
    'BACKUP_METRICS_TOKEN: has no effect without BACKUP_ADMIN_PASSWORD or BACKUP_API_TOKEN',
  ]);
  expect(await faults({ BACKUP_METRICS_TOKEN: all, BACKUP_API_TOKEN: all })).toEqual([
    'BACKUP_METRICS_TOKEN: is the same as BACKUP_API_TOKEN, which opens everything',
  ]);
  expect(await faults({ BACKUP_METRICS_TOKEN: 'short', BACKUP_API_TOKEN: all })).toEqual([
    expect.stringMatching(/^BACKUP_METRICS_TOKEN: \(secret\) is not allowed; at least 16 characters/),
  ]);
  const { signIn } = loadEnvironment({ BACKUP_METRICS_TOKEN: own, BACKUP_API_TOKEN: all });
  expect(signIn).toEqual({ password: null, token: all, metricsToken: own });
});
