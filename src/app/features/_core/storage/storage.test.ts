import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type S3Server, startS3Server } from '../../../../../tests/support/s3-server.ts';
import { requireOutside } from './keep-apart.ts';
import { createStorage, type Storage, type StorageEnvironment, storageOptionsFrom } from './index.ts';
import type { StorageOptions } from './options.ts';

let folder: string;
let server: S3Server;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'storage-'));
  server = await startS3Server();
  await server.createBucket('files');
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

function localOptions(root = join(folder, 'uploads')): StorageOptions {
  return {
    driver: 'local',
    root,
    publicUrl: '/storage/',
    privatePaths: [join(folder, 'backups'), join(folder, 'db/app.sqlite')],
  };
}

function s3Options(cdnUrl: string | null = null): StorageOptions {
  return { driver: 's3', bucket: { ...server, bucket: 'files' }, cdnUrl, backupPrefixes: () => ['backups/database'] };
}

const refuses = (code: string, work: () => unknown) => expect(work).toThrow(expect.objectContaining({ code }));
const rejects = (code: string, work: Promise<unknown>) =>
  expect(work).rejects.toThrow(expect.objectContaining({ code }));

describe.each<[string, () => StorageOptions]>([
  ['local', () => localOptions()],
  ['s3', () => s3Options()],
])('%s storage', (_driver, options) => {
  let storage: Storage;
  beforeAll(() => {
    storage = createStorage(options());
  });
  afterAll(() => storage.close());

  test.each<[string, () => Parameters<Storage['upload']>[1]]>([
    ['a string', () => 'grüße'],
    ['bytes', () => Buffer.from('grüße')],
    ['a blob', () => new Blob(['grü', 'ße'], { type: 'text/plain' })],
    ['a stream', () => new Blob(['grü', 'ße']).stream()],
  ])('stores %s', async (_kind, body) => {
    const { key, url } = await storage.upload('a folder/ü.txt', body());
    expect(key).toBe('a folder/ü.txt');
    expect(url).toBe(storage.getPublicUrl(key));
    expect(url).toEndWith('/a%20folder/%C3%BC.txt');
    expect(Buffer.from((await storage.get(key)) ?? []).toString()).toBe('grüße');
    expect(await storage.exists(key)).toBe(true);
    await storage.delete(key);
    await storage.delete(key);
    expect(await storage.exists(key)).toBe(false);
    expect(await storage.get(key)).toBeNull();
  });

  test('a stream that fails leaves nothing, and the failure is its own', async () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new RangeError('the visitor went away'));
      },
    });
    await expect(storage.upload('broken', body)).rejects.toThrow('the visitor went away');
    expect(await storage.exists('broken')).toBe(false);
  });

  test('refuses keys that lead elsewhere', async () => {
    for (const key of ['', '/etc/passwd', '../backups/x', 'a\\b', 'a\0']) {
      await rejects('BAD_NAME', storage.upload(key, 'x'));
      await rejects('BAD_NAME', storage.get(key));
      refuses('BAD_NAME', () => storage.getPublicUrl(key));
    }
  });
});

describe('local storage', () => {
  test('makes no folder before the first upload, and one only the app may read', async () => {
    const root = join(folder, 'later');
    const storage = createStorage(localOptions(root));
    expect(storage.getPublicUrl('test.txt')).toBe('/storage/test.txt');
    expect(await storage.exists('test.txt')).toBe(false);
    expect(existsSync(root)).toBe(false);
    await storage.upload('test.txt', 'x');
    expect((await stat(root)).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, 'test.txt'))).mode & 0o777).toBe(0o600);
  });

  test('has no signed addresses, and says what to do', async () => {
    await rejects('UNSUPPORTED', createStorage(localOptions()).getSignedUrl('test.txt'));
  });

  test('must lie apart from backups, state and database, links followed', async () => {
    await mkdir(join(folder, 'backups'), { recursive: true });
    await symlink(join(folder, 'backups'), join(folder, 'innocent'));
    const wrong = ['.', 'backups', 'backups/files', 'db', 'innocent', 'innocent/files', 'uploads/../backups'];
    for (const root of wrong) refuses('BAD_CONFIG', () => createStorage(localOptions(join(folder, root))));
    for (const root of ['backups-of-photos', 'db-files', '..files']) createStorage(localOptions(join(folder, root)));
  });
});

describe('s3 storage', () => {
  test('is private: the plain address is refused, a signed one works until it is tampered with', async () => {
    const storage = createStorage(s3Options());
    const { url } = await storage.upload('private/a b.txt', 'secret', { contentType: 'text/plain' });
    expect(url).toBe(`${server.endpoint}/files/private/a%20b.txt`);
    expect((await fetch(url)).status).toBe(403);

    const signed = await storage.getSignedUrl('private/a b.txt', { expiresInSeconds: 60 });
    const answer = await fetch(signed);
    expect(answer.headers.get('content-type')).toStartWith('text/plain');
    expect(await answer.text()).toBe('secret');
    expect(signed).not.toContain(server.secretAccessKey);
    expect((await fetch(signed.replace('a%20b', 'other'))).status).toBe(403);
    expect((await fetch(signed, { method: 'PUT', body: 'x' })).status).toBe(403);
  });

  test('a signed PUT takes any body', async () => {
    const storage = createStorage(s3Options());
    const signed = await storage.getSignedUrl('put.txt', { method: 'PUT', expiresInSeconds: 60 });
    expect(new URL(signed).search).not.toMatch(/checksum/i);
    expect((await fetch(signed, { method: 'PUT', body: 'from outside' })).status).toBe(200);
    expect(Buffer.from((await storage.get('put.txt')) ?? []).toString()).toBe('from outside');
  });

  test('a signed address lasts 1 second to 7 days', async () => {
    const storage = createStorage(s3Options());
    for (const expiresInSeconds of [0, -1, 1.5, 604_801, Number.NaN]) {
      await rejects('BAD_REQUEST', storage.getSignedUrl('key', { expiresInSeconds }));
    }
  });

  test('addresses begin with the CDN when there is one', () => {
    expect(createStorage(s3Options('https://cdn.example.com/app/')).getPublicUrl('a/ü.png')).toBe(
      'https://cdn.example.com/app/a/%C3%BC.png',
    );
  });

  test('refuses every key of the backups, to readers too', async () => {
    const storage = createStorage(s3Options());
    for (const key of ['backups/database', 'backups/database/backup-2024-01-15T10-30-00-000Z.sqlite']) {
      await rejects('FORBIDDEN', storage.upload(key, 'x'));
      await rejects('FORBIDDEN', storage.get(key));
      await rejects('FORBIDDEN', storage.exists(key));
      await rejects('FORBIDDEN', storage.delete(key));
      await rejects('FORBIDDEN', storage.getSignedUrl(key));
      refuses('FORBIDDEN', () => storage.getPublicUrl(key));
    }
    await storage.upload('backups/database-of-birds.txt', 'fine');
    storage.close();
    refuses('BAD_CONFIG', () => createStorage({ ...s3Options(), backupPrefixes: () => ['/'] } as StorageOptions));
  });
});

describe('keys that some reader could take for one of the backups', () => {
  const refused = (key: string) => refuses('FORBIDDEN', () => requireOutside(key, ['backups/database', 'Other/Ünder']));

  test.each<[string, readonly string[]]>([
    ['in capitals', ['Backups/DATABASE/x', 'BACKUPS/database', 'other/ünder/x', 'OTHER/ÜNDER']],
    ['encoded, also twice', ['backups%2Fdatabase/x', '%62ackups/d%61tabase/x', 'backups%252Fdatabase%252Fx']],
    ['encoded beside a percent sign that means nothing', ['100%/%2e%2e/backups/database/x', 'backups%2fdatabase/100%']],
    ['by dots', ['a%2F..%2Fbackups/database/x', 'a/%2e%2e/backups/database', 'backups/%2e/database/x']],
    ['by slashes', ['%2Fbackups/database/x', 'backups%2F%2Fdatabase/x', 'backups%5Cdatabase/x']],
    ['in wide letters and signs', ['ｂａｃｋｕｐｓ/database/x', 'backups／database/x', 'a/‥/backups/database/x']],
    ['with letters nobody sees', ['back\u200bups/database/x', 'backups/data\u00adbase/x', 'backups/database%00/x']],
    ['in another Unicode spelling', ['other/u\u0308nder/x', 'Other/\u212aelvin/../ünder/x']],
    ['as a file in the way of their folder', ['backups', 'BACKUPS', 'other', 'backups%2F']],
  ])('%s are refused', (_how, keys) => {
    for (const key of keys) refused(key);
  });

  test('and no others', () => {
    const free = [
      'backups2/database/x',
      'backups/databases',
      'backups/x',
      'my/backups/database/x',
      '100%',
      '%',
      '\u200b',
    ];
    for (const key of free) requireOutside(key, ['backups/database']);
  });

  test('are refused through every call and by the real server’s rules', async () => {
    const storage = createStorage(s3Options());
    const key = 'Backups%2FDatabase/backup-2024-01-15T10-30-00-000Z.sqlite';
    await rejects('FORBIDDEN', storage.upload(key, 'x'));
    await rejects('FORBIDDEN', storage.getSignedUrl(key, { method: 'PUT' }));
    refuses('FORBIDDEN', () => storage.getPublicUrl(key));
    for (const bad of ['a/../backups/database/x', 'backups//database/x', './backups/database/x', '/backups/database/x'])
      await rejects('BAD_NAME', storage.get(bad));
    storage.close();
  });
});

describe('options from the environment', () => {
  const environment: StorageEnvironment = {
    databasePath: './db/dev.sqlite',
    backup: { localPath: './storage/backups', statePath: './storage/velist-backup.sqlite', s3Path: 'backups/database' },
    storage: { driver: 'local', localPath: './storage/uploads', localUrl: '/storage', cdnUrl: null },
    s3: {
      bucket: null,
      region: null,
      endpoint: null,
      forcePathStyle: null,
      accessKeyId: null,
      secretAccessKey: null,
      sessionToken: null,
    },
  };

  test('the defaults are a folder apart from the backups', () => {
    expect(createStorage(storageOptionsFrom(environment)).getPublicUrl('test.txt')).toBe('/storage/test.txt');
    const inside = { ...environment, storage: { ...environment.storage, localPath: './storage' } };
    refuses('BAD_CONFIG', () => createStorage(storageOptionsFrom(inside)));
  });

  test('a backup path that was changed on the page is refused at once, and the one before still is', async () => {
    const backup = { ...environment.backup, localPath: join(folder, 'saved') };
    const storage = createStorage(
      storageOptionsFrom({
        ...environment,
        backup,
        storage: { ...environment.storage, driver: 's3' },
        s3: { ...environment.s3, ...server, bucket: 'files' },
      }),
    );
    expect(storage.getPublicUrl('moved/here/x')).toContain('/moved/here/x');
    await mkdir(backup.localPath);
    await Bun.write(join(backup.localPath, 'settings.json'), JSON.stringify({ s3Path: 'moved/here' }));
    refuses('FORBIDDEN', () => storage.getPublicUrl('moved/here/x'));
    refuses('FORBIDDEN', () => storage.getPublicUrl('backups/database/x'));
    storage.close();
  });

  test('S3 needs a bucket', () => {
    const s3 = { ...environment, storage: { ...environment.storage, driver: 's3' as const } };
    refuses('BAD_CONFIG', () => storageOptionsFrom(s3));
    const storage = createStorage(
      storageOptionsFrom({ ...s3, s3: { ...s3.s3, bucket: 'files', region: 'eu-central-1' } }),
    );
    expect(storage.getPublicUrl('a.txt')).toBe('https://files.s3.eu-central-1.amazonaws.com/a.txt');
  });

  test('another server than Amazon is asked by path, unless told', () => {
    const addressAt = (forcePathStyle: boolean | null) =>
      createStorage(
        storageOptionsFrom({
          ...environment,
          storage: { ...environment.storage, driver: 's3' },
          s3: { ...environment.s3, bucket: 'files', endpoint: 'https://s3.example.com', forcePathStyle },
        }),
      ).getPublicUrl('a.txt');
    expect(addressAt(null)).toBe('https://s3.example.com/files/a.txt');
    expect(addressAt(false)).toBe('https://files.s3.example.com/a.txt');
  });
});
