/** S3, a second folder, a webhook and a heartbeat, set up over HTTP as the page does it: what comes into use, what is told. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import type { Authorize } from '../../src/http/access/authorize.ts';
import { createServer } from '../../src/http/server.ts';
import { createBackups } from '../../src/fleet/from-config.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { newDisk } from '../support/disk.ts';
import { openReceiver } from '../support/receiver.ts';
import { type S3Server, startS3Server } from '../support/s3-server.ts';
import { makeDatabase, openShop, refusal, scratchFolders, type Shop } from '../support/scratch.ts';

const newFolder = scratchFolders();
let server: S3Server;
beforeAll(async () => {
  server = await startS3Server();
  for (const name of ['backups', 'next']) await server.createBucket(name);
});
afterAll(async () => await server.close());

const bucket = (more: object = {}) => ({
  ...{ part: 's3', bucket: 'backups', region: server.region, endpoint: server.endpoint, path: 'shop' },
  ...{ accessKey: server.accessKeyId, secretKey: server.secretAccessKey, ...more },
});

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Whatever was answered. */
  readonly body: ReturnType<typeof JSON.parse>;
}

function door(service: BackupService, authorize: Authorize = () => ({ user: 'ada' })) {
  let nowMs = 0;
  // Slowly enough for the limits on what costs much.
  const app = createServer({ service, authorize, nowMs: () => (nowMs += 60_000), onError: () => {} });
  return async (method: string, path: string, body?: object): Promise<Answer> => {
    const init = { method, ...(body && { body: JSON.stringify(body) }) };
    const response = await app.fetch(new Request(`http://localhost/backup/${path}`, init));
    const text = await response.text();
    return { status: response.status, text, body: text.includes('\n{') ? null : JSON.parse(text) };
  };
}
const lines = ({ text }: Answer) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
const credentials = (shop: Shop) => join(shop.databasePath, '..', 'state.credentials.json');
const stored = async (service: BackupService, target: string) =>
  (await service.getBackups({ target })).map(({ filename }) => filename);

async function uploaded(shop: Shop, service = shop.service): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = async () => {
    const { targets } = await service.getStatus();
    if (targets.length > 0 && targets.every(({ waiting, stored: count }) => waiting === 0 && count > 0)) resolve();
  };
  const end = service.on((event) => {
    if (event.type === 'status') void look();
  });
  void look();
  await promise;
  end();
}

test('a bucket is tried, kept, used at once, used after a restart, and taken away again', async () => {
  await using shop = openShop(newFolder());
  shop.service.start();
  const ask = door(shop.service);
  const { filename = '' } = await shop.service.performBackup();
  expect((await ask('GET', 'api/set-up')).body).toMatchObject({
    s3: { setBy: null, variable: 'S3_BUCKET', where: null },
    bucket: null,
  });
  const plan = await ask('POST', 'api/set-up/plan', {
    ...{ bucket: 'backups', region: server.region, endpoint: server.endpoint, path: 'shop' },
  });
  expect(plan.body).toMatchObject({ where: 's3://backups/shop', isPlain: true });
  expect(plan.body.policy.Statement[0].Resource).toBe('arn:aws:s3:::backups/shop/*');

  const told = lines(await ask('POST', 'api/set-up/test', bucket()));
  const { report } = told.at(-1);
  expect(told.slice(0, -1).map(({ finding }) => finding.check)).toEqual([
    ...['reach', 'sign-in', 'owner', 'write', 'head', 'read', 'list', 'private', 'clock', 'create-only'],
    ...['multipart', 'unfinished-uploads', 'versions', 'speed', 'delete'],
  ]);
  expect(report).toMatchObject({ ok: true, target: 's3' });
  expect(report.findings.every(({ ms }: { ms: unknown }) => typeof ms === 'number')).toBe(true);
  // A test keeps nothing.
  expect([existsSync(credentials(shop)), shop.service.getConfig().s3.configured]).toEqual([false, false]);

  const kept = await ask('POST', 'api/set-up', bucket());
  expect([kept.status, kept.body.ok]).toEqual([200, true]);
  await uploaded(shop);
  expect(await stored(shop.service, 's3')).toEqual([filename]);
  expect(statSync(credentials(shop)).mode & 0o777).toBe(0o600);
  expect((await ask('GET', 'api/set-up')).body).toMatchObject({
    s3: { setBy: 'page', where: 's3://backups/shop' },
    bucket: { bucket: 'backups', accessKey: server.accessKeyId },
  });
  expect(await ask('GET', 'api/config')).toMatchObject({ body: { s3Enabled: true, s3Path: 'shop' } });

  await shop.service.stop();
  const again = shop.again();
  again.start();
  const { filename: next = '', uploaded: at } = await again.performBackup();
  expect([at, await stored(again, 's3')]).toEqual([{ s3: true }, [next, filename]]);

  const removed = await door(again)('DELETE', 'api/set-up/s3');
  expect(removed).toMatchObject({ status: 200, body: { success: true } });
  expect(again.getConfig().s3.configured).toBe(false);
  expect((await again.getStatus()).targets).toEqual([]);
  expect(JSON.parse(readFileSync(credentials(shop), 'utf8'))).toEqual({});
  expect((await again.performBackup()).uploaded).toBeUndefined();
  expect(await refusal(() => again.getBackups({ target: 's3' }))).toMatchObject({ code: 'BAD_REQUEST' });
});

test('nothing is kept of what does not work, and the reason is told', async () => {
  await using shop = openShop(newFolder());
  const ask = door(shop.service);
  for (const [change, check, says] of [
    [{ bucket: 'nowhere' }, 'sign-in', 'nowhere'],
    [{ secretKey: 'wrong-secret-wrong-secret' }, 'sign-in', 'key'],
    [{ endpoint: 'http://127.0.0.1:9' }, 'reach', '127.0.0.1:9'],
  ] as const) {
    const { body } = await ask('POST', 'api/set-up', bucket(change));
    const last = body.findings.at(-1);
    expect([body.ok, last.check, last.result]).toEqual([false, check, 'failed']);
    expect(last.message).toContain(says);
    expect(existsSync(credentials(shop))).toBe(false);
  }
});

test('a place that is another database’s is refused before anything is written there', async () => {
  await using owner = openShop(newFolder());
  await door(owner.service)('POST', 'api/set-up', bucket({ path: 'taken' }));
  await owner.service.performBackup();
  const folder = newFolder();
  await using shop = openShop(folder, { databasePath: join(folder, 'other.sqlite') });
  server.requests.length = 0;
  const { body } = await door(shop.service)('POST', 'api/set-up', bucket({ path: 'taken' }));
  expect(body.findings.at(-1)).toMatchObject({ check: 'owner', result: 'failed' });
  expect(body.findings.at(-1).message).toContain('shop.sqlite');
  expect(server.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD')).toEqual([]);
});

test('another bucket takes the place of the one before as a whole', async () => {
  await server.createBucket('second');
  await using shop = openShop(newFolder());
  shop.service.start();
  const ask = door(shop.service);
  const { filename = '' } = await shop.service.performBackup();
  await ask('POST', 'api/set-up', bucket({ path: 'moved' }));
  await uploaded(shop);
  await ask('POST', 'api/set-up', bucket({ bucket: 'second', path: 'elsewhere' }));
  await uploaded(shop);
  expect((await shop.service.getStatus()).targets[0]?.where).toBe('s3://second/elsewhere');
  expect(await stored(shop.service, 's3')).toEqual([filename]);
});

test('a bucket that cannot be kept, or taken away, leaves the one before in use', async () => {
  await using shop = openShop(newFolder());
  const ask = door(shop.service);
  await ask('POST', 'api/set-up', bucket({ path: 'stays' }));
  const before = readFileSync(credentials(shop), 'utf8');
  // A folder has the name of the file that would be written.
  const inTheWay = `${credentials(shop)}.${process.pid}.tmp`;
  mkdirSync(inTheWay);
  const exchanges = [
    ['POST', 'api/set-up', bucket({ path: 'goes' })],
    ['DELETE', 'api/set-up/s3'],
  ] as const;
  for (const [method, path, body] of exchanges) {
    expect((await ask(method, path, body)).status).toBe(500);
    expect(readFileSync(credentials(shop), 'utf8')).toBe(before);
    expect(shop.service.getConfig()).toMatchObject({ s3Enabled: true, s3Path: 'stays' });
  }
  rmdirSync(inTheWay);
  const settings = join(shop.backups, `settings.json.${process.pid}.tmp`);
  mkdirSync(settings);
  for (const [method, path, body] of exchanges) {
    expect((await ask(method, path, body)).status).toBe(500);
    expect(JSON.parse(readFileSync(credentials(shop), 'utf8'))).toEqual(JSON.parse(before));
    expect(shop.service.getConfig()).toMatchObject({ s3Enabled: true, s3Path: 'stays', s3: { configured: true } });
  }
  rmdirSync(settings);
  expect((await shop.service.performBackup()).uploaded).toEqual({ s3: true });
  expect((await ask('DELETE', 'api/set-up/s3')).status).toBe(200);
});

test('a process that is killed while the bucket is exchanged ends that when it starts again', async () => {
  await using shop = openShop(newFolder());
  await door(shop.service)('POST', 'api/set-up', bucket({ path: 'old' }));
  const { promise: cut, resolve } = Promise.withResolvers<void>();
  const left: { credentials?: string; settings?: string } = {};
  const settings = join(shop.backups, 'settings.json');
  // What a kill leaves is what is there in the middle of it.
  const end = shop.service.on(() => {
    if (left.credentials !== undefined || !readFileSync(credentials(shop), 'utf8').includes('next')) return;
    left.credentials = readFileSync(credentials(shop), 'utf8');
    left.settings = readFileSync(settings, 'utf8');
    resolve();
  });
  await Promise.all([door(shop.service)('POST', 'api/set-up', bucket({ bucket: 'next', path: 'new' })), cut]);
  end();
  await shop.service.stop();
  writeFileSync(credentials(shop), left.credentials ?? '');
  writeFileSync(settings, left.settings ?? '');
  const again = shop.again();
  // Until then the new bucket is not used with the path of the old one.
  expect(again.getConfig()).toMatchObject({ s3Enabled: true, s3Path: 'old', s3: { configured: false } });
  again.start();
  expect(again.getConfig()).toMatchObject({ s3Enabled: true, s3Path: 'new', s3: { bucket: 'next' } });
  expect((await again.getStatus()).targets[0]?.where).toBe('s3://next/new');
  expect(readFileSync(credentials(shop), 'utf8')).not.toContain('path');
});

test('a second folder is set up the same way, and a mount point without its mark is not', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  await using shop = openShop(folder);
  shop.service.start();
  const ask = door(shop.service);
  const { filename = '' } = await shop.service.performBackup();
  const failed = await ask('POST', 'api/set-up', { part: 'folder', path: join(folder, 'backups', 'x') });
  expect(failed).toMatchObject({ status: 422, body: { error: { code: 'BAD_CONFIG' } } });
  mkdirSync(join(folder, 'empty'));
  const { body } = await ask('POST', 'api/set-up', { part: 'folder', path: join(folder, 'empty') });
  expect(body).toMatchObject({ ok: false, findings: [{ check: 'reach', result: 'failed' }] });
  expect((await ask('POST', 'api/set-up', { part: 'folder', path: disk.path })).body.ok).toBe(true);
  await uploaded(shop);
  expect(await stored(shop.service, 'folder')).toEqual([filename]);
  await ask('DELETE', 'api/set-up/folder');
  expect((await shop.service.getStatus()).targets).toEqual([]);
});

test('a webhook and a heartbeat are tried, used at once, and shown without their secret', async () => {
  await using receiver = await openReceiver();
  await using shop = openShop(newFolder(), { settings: { enabled: false } });
  shop.service.start();
  const ask = door(shop.service);
  receiver.answers.push(404);
  const url = `${receiver.url}/services/T0/hush-hush`;
  const refused = lines(await ask('POST', 'api/set-up/test', { part: 'webhook', url }));
  expect(refused.at(-1)).toMatchObject({ report: { ok: false, findings: [{ message: 'it answered 404' }] } });
  const kept = await ask('POST', 'api/set-up', { part: 'webhook', url });
  expect(kept.body).toMatchObject({ ok: true, findings: [{ check: 'answer', message: 'it answered 200' }] });
  expect(JSON.parse(receiver.received[1]?.body ?? '')).toMatchObject({ event: 'test', database: 'shop.sqlite' });
  await ask('POST', 'api/set-up', { part: 'heartbeat', url: `${receiver.url}/ping/hush-hush` });
  const before = receiver.received.length;
  await shop.service.performBackup();
  const pings = (await receiver.until(before + 2)).slice(before).map(({ path }) => path);
  expect(pings).toEqual(['/ping/hush-hush/start', '/ping/hush-hush']);
  const shown = await ask('GET', 'api/set-up');
  expect(shown.body.webhook).toEqual({
    ...{ setBy: 'page', variable: 'BACKUP_WEBHOOK_URL', where: `${receiver.url}/…`, complaint: null },
  });
  expect(shown.text).not.toContain('hush');
  await ask('DELETE', 'api/set-up/heartbeat');
  const after = receiver.received.length;
  await shop.service.performBackup();
  expect(receiver.received.length).toBe(after);
});

test('the environment wins as a whole, and says by which variable', async () => {
  await using receiver = await openReceiver();
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const folder = newFolder();
  await using before = openShop(folder);
  await door(before.service)('POST', 'api/set-up', bucket({ path: 'from-page' }));
  const s3 = { endpoint, region, accessKeyId, secretAccessKey, bucket: 'of-the-environment', retentionCount: null };
  const service = before.again({ s3, voices: { webhookUrl: `${receiver.url}/env` } });
  const ask = door(service);
  const shown = (await ask('GET', 'api/set-up')).body;
  expect(shown.s3).toMatchObject({ setBy: 'environment', variable: 'S3_BUCKET' });
  expect([shown.bucket, service.getConfig().s3.bucket]).toEqual([null, 'of-the-environment']);
  for (const [method, path, body] of [
    ['POST', 'api/set-up', bucket()],
    ['POST', 'api/set-up/test', bucket()],
    ['DELETE', 'api/set-up/s3'],
    ['POST', 'api/set-up', { part: 'webhook', url: receiver.url }],
  ] as const) {
    const answer = await ask(method, path, body);
    expect([path, answer.status, answer.body.error.code]).toEqual([path, 422, 'BAD_CONFIG']);
  }
  expect(receiver.received).toEqual([]);
});

test('who may configure and not download names no place for the data, and an old session is asked again', async () => {
  await using shop = openShop(newFolder());
  const ask = door(shop.service, (_, action) => action !== 'download');
  expect((await ask('POST', 'api/set-up', bucket())).status).toBe(403);
  expect((await ask('DELETE', 'api/set-up/s3')).status).toBe(403);
  expect(existsSync(credentials(shop))).toBe(false);

  let nowMs = 0;
  const signIn = createSignIn({ password: 'correct horse', token: null, nowMs: () => nowMs });
  const { fetch } = createServer({ service: shop.service, signIn, nowMs: () => 0 });
  const login = await fetch(
    new Request('http://localhost/backup/login', {
      ...{ method: 'POST', body: new URLSearchParams({ username: 'admin', password: 'correct horse' }).toString() },
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    }),
  );
  const cookie = login.headers
    .getSetCookie()
    .map((one) => one.split(';')[0])
    .join('; ');
  const save = async () =>
    await fetch(
      new Request('http://localhost/backup/api/set-up', {
        ...{ method: 'POST', headers: { cookie }, body: JSON.stringify(bucket({ bucket: 'nowhere' })) },
      }),
    );
  expect((await save()).status).toBe(200);
  nowMs += 61 * 60_000;
  expect(await (await save()).json()).toMatchObject({ error: { code: 'PASSWORD_AGAIN' } });
});

test('addresses at which clouds hand out keys are asked nothing', async () => {
  await using shop = openShop(newFolder());
  const ask = door(shop.service);
  for (const host of ['169.254.169.254', '[::ffff:169.254.169.254]', '0xA9FEA9FE', '[fd00:ec2::254]', '[fe80::1]']) {
    for (const given of [
      bucket({ endpoint: `http://${host}` }),
      { part: 'webhook', url: `http://${host}/latest/meta-data` },
      { part: 'heartbeat', url: `http://${host}/` },
    ]) {
      const answer = await ask('POST', 'api/set-up/test', given);
      expect([host, answer.status, answer.body.error.code]).toEqual([host, 422, 'BAD_CONFIG']);
    }
  }
  for (const change of [{ region: 'x.evil.example/' }, { region: 'a@b' }, { bucket: 'evil.example#' }]) {
    const answer = await ask('POST', 'api/set-up/plan', {
      ...{ bucket: 'backups', region: 'us-east-1', path: 'shop', ...change },
    });
    expect([answer.status, answer.body.error.code]).toEqual([422, 'BAD_CONFIG']);
  }
});

test('no secret is in any answer, log, record, error or kit', async () => {
  await using receiver = await openReceiver();
  const lines: string[] = [];
  await using shop = openShop(newFolder(), { audit: { sink: (line) => lines.push(line) } });
  shop.service.start();
  const ask = door(shop.service);
  const answers: string[] = [];
  const hear = async (...given: Parameters<typeof ask>) => answers.push((await ask(...given)).text);
  const hush = 'hush-hush-0123456789';
  for (const path of ['api/set-up', 'api/set-up/test']) {
    await hear('POST', path, bucket({ path: 'quiet' }));
    await hear('POST', path, bucket({ path: 'quiet', secretKey: hush }));
    await hear('POST', path, bucket({ path: '../quiet', secretKey: hush }));
    await hear(
      'POST',
      path,
      bucket({ path: 'quiet', secretKey: hush, endpoint: `https://user:${hush}@s3.example.com` }),
    );
    await hear('POST', path, { ...bucket({ secretKey: [hush] }), path: 'quiet' });
    await hear('POST', path, { part: 'webhook', url: `${receiver.url}/${hush}` });
    await hear('POST', path, { part: 'webhook', url: `http://127.0.0.1:9/${hush}` });
    await hear('POST', path, { part: 'heartbeat', url: `http://${hush}:${hush}@127.0.0.1:9/` });
    await hear('POST', path, { part: 'heartbeat', url: `not a url ${hush}` });
  }
  await shop.service.performBackup();
  for (const path of ['set-up', 'config', 'status', 'doctor', 'backups', 'runs', 'audit', 'prune?target=s3'])
    await hear('GET', `api/${path}`);
  const metrics = await createServer({ service: shop.service, authorize: () => true }).fetch(
    new Request('http://localhost/backup/metrics'),
  );
  answers.push(
    await metrics.text(),
    await shop.service.recoveryKit(),
    JSON.stringify(await shop.service.testTarget('s3')),
  );
  const all = [...answers, ...shop.log, ...lines].join('\n');
  expect(all).toContain('s3://backups/quiet');
  expect(all).not.toContain(server.secretAccessKey);
  expect(all).not.toContain(hush);
  expect(readFileSync(credentials(shop), 'utf8')).toContain(server.secretAccessKey);
});

test('a file that others may write, or that is a link, a pipe or no JSON, sends no data anywhere', async () => {
  const keep = async (spoil: (path: string) => void) => {
    await using shop = openShop(newFolder());
    await door(shop.service)('POST', 'api/set-up', bucket({ path: 'spoilt' }));
    await shop.service.close();
    spoil(credentials(shop));
    const service = shop.again();
    const configured = service.getConfig().s3.configured;
    const { findings } = await service.diagnose();
    const { file } = service.setUp.show();
    // Setting it up again mends it, and what was there is set aside.
    expect((await door(service)('POST', 'api/set-up', bucket({ path: 'spoilt' }))).body.ok).toBe(true);
    return {
      configured,
      code: findings.find(({ code }) => code === 'credentials-file')?.severity,
      file: file.complaint,
    };
  };
  expect(await keep((path) => chmodSync(path, 0o666))).toMatchObject({
    ...{ configured: false, code: 'problem', file: 'other users can write to it' },
  });
  expect(await keep((path) => writeFileSync(path, '{"secret'))).toMatchObject({
    configured: false,
    file: 'it is not JSON',
  });
  const linked = await keep((path) => {
    const elsewhere = join(newFolder(), 'elsewhere.json');
    writeFileSync(elsewhere, readFileSync(path), { mode: 0o600 });
    Bun.spawnSync(['rm', path]);
    symlinkSync(elsewhere, path);
  });
  expect(linked).toMatchObject({ configured: false, file: 'it is a link' });
  const piped = await keep((path) => {
    Bun.spawnSync(['rm', path]);
    Bun.spawnSync(['mkfifo', '-m', '600', path]);
  });
  expect(piped).toMatchObject({ configured: false, code: 'problem', file: 'it is no file of ours' });
});

test('of several databases each has its own, and none takes the place of another', async () => {
  const folder = newFolder();
  for (const name of ['a', 'b']) makeDatabase(join(folder, `${name}.sqlite`));
  const fleet = await createBackups(
    {
      databases: [{ path: join(folder, 'a.sqlite') }, { path: join(folder, 'b.sqlite') }],
      ...{ localPath: join(folder, 'backups'), statePath: join(folder, 'state.sqlite'), enabled: false },
    },
    { env: { PATH: process.env['PATH'] }, write: () => {} },
  );
  try {
    const [a, b] = ['a', 'b'].map((name) => fleet.get(name) ?? expect.unreachable());
    const disk = newDisk(folder);
    const set = async (service = a, given: object) =>
      await door(service ?? expect.unreachable())('POST', 'api/set-up', given);
    expect((await set(a, bucket({ path: 'fleet/a' }))).body.ok).toBe(true);
    expect((await set(b, bucket({ path: 'fleet/a' }))).body.error).toMatchObject({
      fields: { path: 'is that of the database a; choose another one' },
    });
    expect((await set(b, bucket({ path: 'fleet/b' }))).body.ok).toBe(true);
    // Both at once: the place is free while both are tried, and one of them gets it.
    const both = await Promise.all([a, b].map(async (service) => await set(service, bucket({ path: 'fleet/new' }))));
    expect(both.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([200, 422]);
    expect([a, b].map((service) => service?.getConfig())).toMatchObject(
      both.map(({ status }, index) => ({
        s3Enabled: true,
        s3Path: status === 200 ? 'fleet/new' : ['fleet/a', 'fleet/b'][index],
      })),
    );
    for (const service of [a, b]) expect((await set(service, { part: 'folder', path: disk.path })).body.ok).toBe(true);
    expect([a, b].map((service) => service?.setUp.show().folder.where)).toEqual([
      join(disk.path, 'a'),
      join(disk.path, 'b'),
    ]);
    expect((await b?.performBackup())?.uploaded).toEqual({ s3: true, folder: true });
    expect(existsSync(join(folder, 'b.state.credentials.json'))).toBe(true);
  } finally {
    await fleet.close();
  }
});

test('the command line and the library read the same file', async () => {
  await using shop = openShop(newFolder());
  await door(shop.service)('POST', 'api/set-up', bucket({ path: 'shared' }));
  const { filename = '' } = await shop.service.performBackup();
  const service = createServiceFromEnvironment({
    ...{
      databasePath: shop.databasePath,
      backupsPath: shop.backups,
      statePath: join(shop.databasePath, '..', 'state.sqlite'),
    },
    ...{ env: { PATH: process.env['PATH'] }, write: () => {} },
  });
  try {
    expect(await stored(service, 's3')).toEqual([filename]);
  } finally {
    await service.close();
  }
});

test('copies at a bucket of the page are sealed as the environment says, once there is one', async () => {
  await using shop = openShop(newFolder());
  const env = {
    PATH: process.env['PATH'],
    BACKUP_STATE_PATH: join(shop.databasePath, '..', 'state.sqlite'),
    ...{ DATABASE_URL: shop.databasePath, BACKUP_LOCAL_PATH: shop.backups, BACKUP_COMPRESSION: 'zstd' },
  };
  // Nobody must believe that something is compressed.
  expect(await refusal(() => createServiceFromEnvironment({ env }))).toMatchObject({ code: 'BAD_CONFIG' });
  await door(shop.service)('POST', 'api/set-up', bucket({ path: 'sealed' }));
  const service = createServiceFromEnvironment({ env, write: () => {} });
  try {
    const { filename = '' } = await service.performBackup();
    const { placements } = await service.getBackup(filename);
    expect(placements.find(({ target }) => target === 's3')?.where).toBe(`s3://backups/sealed/${filename}.zst`);
  } finally {
    await service.close();
  }
});
