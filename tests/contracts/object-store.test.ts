/**
 * What every object store promises, held against each of them: a folder, memory, and an S3 bucket on a server that
 * verifies signatures and payloads. What only one kind can show follows in its own part.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer as createWebServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackupError, type ErrorCode } from '../../src/words/errors.ts';
import { createLocalStore } from '../../src/engine/store/folder/store.ts';
import { FOLDER_MARK } from '../../src/engine/store/folder/kind.ts';
import { openTarget } from '../../src/engine/store/kinds.ts';
import { isPermanent, type ObjectStore } from '../../src/engine/store/store.ts';
import { createS3Store, type S3Options } from '../../src/engine/store/s3/store.ts';
import { partBytesFor } from '../../src/engine/store/s3/upload.ts';
import { digestOf, failingSource, failure, keysOf, MiB, once, randomSource, textOf } from '../support/objects.ts';
import { openBucket } from '../support/bucket.ts';
import type { Effect } from '../support/s3-server.ts';
import { createMemoryStore } from './memory-store.ts';
import { holdToContract } from './object-store-suite.ts';

/** A port that nobody is given by chance, as the system gives those above 1023. */
const NOBODY_LISTENS = 9;

// Real retries wait for real, and the machine may be busy.
setDefaultTimeout(120_000);

const { server } = await openBucket('contract');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'object-store-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const s3Options = (options: Partial<S3Options> = {}): S3Options => ({
  ...server,
  bucket: 'contract',
  prefix: `run/${randomUUID()}`,
  ...options,
});

holdToContract('local', async () => createLocalStore({ root: join(folder, randomUUID(), 'root') }));
holdToContract('folder', async () => {
  const path = join(folder, randomUUID());
  await mkdir(path);
  await writeFile(join(path, FOLDER_MARK), '');
  return openTarget({ kind: 'folder', path }, 'shop/database');
});
holdToContract('memory', async () => createMemoryStore());
holdToContract('s3', async () => createS3Store(s3Options()));

describe('local store', () => {
  let root: string;
  let store: ObjectStore;
  beforeEach(() => {
    root = join(folder, randomUUID());
    store = createLocalStore({ root });
  });

  test('nobody else may read, and nothing is left beside the object', async () => {
    await store.put('a/b', once('x'));
    expect((await stat(root)).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, 'a'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, 'a/b'))).mode & 0o777).toBe(0o600);
    await failure(store.put('a/c', failingSource()));
    expect(await readdir(join(root, 'a'))).toEqual(['b']);
  });

  test('a link in the place of a folder or of an object leads nowhere', async () => {
    const outside = join(folder, randomUUID());
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    await mkdir(root);
    await symlink(outside, join(root, 'folder'));
    await symlink(join(outside, 'secret'), join(root, 'object'));

    expect((await failure(store.put('folder/new', once('x')))).code).toBe('FORBIDDEN');
    for (const key of ['folder/secret', 'object']) {
      expect(await store.head(key)).toBeNull();
      expect((await failure(textOf(store, key))).code).toBe('GONE');
      await store.delete(key);
    }
    expect(await keysOf(store)).toEqual([]);
    expect(await keysOf(store, 'folder/')).toEqual([]);
    expect(await readdir(outside)).toEqual(['secret']);

    await symlink(join(outside, 'secret'), join(root, 'replaced'));
    await store.put('replaced', once('ours'));
    expect(await Bun.file(join(outside, 'secret')).text()).toBe('secret');
    expect(await textOf(store, 'replaced')).toBe('ours');
  });

  test('a root that is itself a link is followed', async () => {
    await mkdir(`${root}-real`);
    await symlink(`${root}-real`, root);
    await store.put('a/b', once('x'));
    expect(await textOf(store, 'a/b')).toBe('x');
  });

  test('orders names beyond U+FFFF by their bytes, as S3 does', async () => {
    const keys = ['z', '\u{ffee}', '\u{1f600}'];
    for (const key of keys.toReversed()) await store.put(key, once(key));
    expect(await keysOf(store)).toEqual(keys);
  });

  test('an object and a folder cannot share a name', async () => {
    await store.put('a', once('x'));
    await store.put('b/c', once('x'));
    for (const key of ['a/b', 'b']) expect((await failure(store.put(key, once('y')))).code).toBe('BAD_NAME');
    expect(await store.head('a/b')).toBeNull();
    expect(await store.head('b')).toBeNull();
    expect(await keysOf(store)).toEqual(['a', 'b/c']);
  });
});

describe('s3 store', () => {
  let store: ObjectStore;
  beforeEach(() => {
    server.faults.length = 0;
    server.requests.length = 0;
    store = createS3Store(s3Options({ maxAttempts: 3 }));
  });
  afterEach(() => {
    server.faults.length = 0;
    store.close();
  });

  const fails = async (code: ErrorCode, work: Promise<unknown>): Promise<BackupError> => {
    const error = await failure(work);
    expect(error).toBeInstanceOf(BackupError);
    expect(error.code).toBe(code);
    expect(`${error.message} ${error.hint}`).not.toContain(server.secretAccessKey);
    return error;
  };

  test('its root names the same objects by their whole keys, and locks nothing', async () => {
    const prefix = `run/${randomUUID()}`;
    const locked = createS3Store(s3Options({ prefix, objectLock: { days: 1, mode: 'governance' } }));
    await locked.root.put(`${prefix}/writer/beat`, once('x'));
    expect(await keysOf(locked, 'writer/')).toEqual(['writer/beat']);
    expect(await keysOf(locked.root, `${prefix}/writer/`)).toEqual([`${prefix}/writer/beat`]);
    const put = server.requests.find(({ method }) => method === 'PUT');
    expect(Object.keys(put?.headers ?? {}).filter((name) => name.includes('object-lock'))).toEqual([]);
    locked.close();
  });

  test('signs every payload and never names an ACL', async () => {
    await store.put('small', once('x'));
    await store.put('large', randomSource(14 * MiB).source);
    await store.putIfAbsent('lock', Buffer.from('x'));
    const uploads = server.requests.filter(({ method }) => method === 'PUT');
    expect(uploads).toHaveLength(5);
    for (const { headers } of uploads) expect(headers['x-amz-content-sha256']).toMatch(/^[0-9a-f]{64}$/);
    for (const { headers, url } of server.requests) {
      expect(Object.keys(headers).filter((name) => /acl|grant/i.test(name))).toEqual([]);
      expect(url).not.toMatch(/[?&]acl/);
    }
  });

  test('a wrong secret and an unknown key are denied, each with its own hint', async () => {
    const wrongSecret = createS3Store(s3Options({ secretAccessKey: 'wrong-secret' }));
    expect((await fails('S3_DENIED', wrongSecret.put('key', once('x')))).hint).toContain('S3_SECRET_KEY');
    await fails('S3_DENIED', wrongSecret.head('key'));
    await fails('S3_DENIED', keysOf(wrongSecret));
    const [failed] = await wrongSecret.deleteMany(['key']);
    expect(failed?.error.code).toBe('S3_DENIED');
    const unknownKey = createS3Store(s3Options({ accessKeyId: 'NOBODY' }));
    const error = await fails('S3_DENIED', unknownKey.put('key', once('x')));
    expect(error.hint).toContain('S3_ACCESS_KEY');
    expect(isPermanent(error)).toBe(true);
    expect(`${error.message} ${error.hint}`).not.toContain('NOBODY');
  });

  test('a missing bucket is named by every operation, head included', async () => {
    const missing = createS3Store(s3Options({ bucket: 'nowhere' }));
    const operations: (() => Promise<unknown>)[] = [
      () => missing.put('key', once('x')),
      () => missing.put('key', randomSource(9 * MiB).source),
      () => missing.putIfAbsent('key', Buffer.from('x')),
      () => missing.head('key'),
      () => textOf(missing, 'key'),
      () => keysOf(missing),
      () => missing.delete('key'),
    ];
    for (const operation of operations) {
      const error = await fails('S3_NO_BUCKET', operation());
      expect(error.message).toContain('"nowhere"');
      expect(error.message).toContain(new URL(server.endpoint).host);
    }
  });

  test.each(['S3_CLOCK', 'S3_MISMATCH', 'S3_FAILED', 'S3_NO_BUCKET', 'UNSUPPORTED'] as const)(
    '%s has its own words',
    async (code) => {
      const effect = {
        S3_CLOCK: { status: 403, code: 'RequestTimeTooSkewed' },
        S3_MISMATCH: { status: 400, code: 'XAmzContentSHA256Mismatch' },
        S3_FAILED: { status: 507, code: 'InsufficientStorage' },
        S3_NO_BUCKET: { status: 301, code: 'PermanentRedirect' },
        UNSUPPORTED: { status: 501, code: 'NotImplemented' },
      }[code];
      server.faults.push({ match: /^PUT/, effect });
      const error = await fails(code, store.put('key', once('x')));
      expect(error.message).not.toMatch(/unknown/i);
      expect(error.hint).toMatch(/^[A-Z].*\.$/);
    },
  );

  test.each<[string, Effect]>([
    // Not SlowDown: the SDK would wait longer, and this is no test of patience.
    ['503', { status: 503, code: 'ServiceUnavailable' }],
    ['500', { status: 500 }],
    ['reset', 'reset'],
  ])('a burst of %s is survived by every operation', async (_name, effect) => {
    const { source, digest } = randomSource(17 * MiB);
    const burst = (match: RegExp) => server.faults.push({ match, effect, times: 2 });
    burst(/^PUT .*small/);
    burst(/^POST .*uploads/);
    burst(/^PUT .*partNumber=2/);
    burst(/^POST .*uploadId/);
    burst(/^HEAD/);
    burst(/^GET .*list-type/);
    burst(/^GET .*small/);
    burst(/^POST .*delete/);
    burst(/^DELETE/);
    await store.put('small', once('small'));
    await store.put('large', source);
    expect(await store.head('large')).not.toBeNull();
    expect(await keysOf(store)).toEqual(['large', 'small']);
    expect(await textOf(store, 'small')).toBe('small');
    expect(await digestOf(store.get('large'))).toBe(digest());
    expect(await store.deleteMany(['large'])).toEqual([]);
    await store.delete('small');
    expect(server.faults.filter(({ times }) => times !== 0)).toEqual([]);
  });

  test('503 for ever is given up after the attempts allowed', async () => {
    server.faults.push({ match: /^PUT/, effect: { status: 503, code: 'SlowDown' } });
    const error = await fails('S3_FAILED', store.put('key', once('x')));
    expect(error.message).toContain('503');
    expect(isPermanent(error)).toBe(false);
    expect(server.requests.filter(({ method }) => method === 'PUT')).toHaveLength(3);
  });

  test.each<[string, RegExp]>([
    ['a part', /partNumber=2/],
    ['the completion', /^POST .*uploadId/],
  ])('when %s fails for ever, the parts are removed', async (_name, match) => {
    server.faults.push({ match, effect: { status: 503, code: 'SlowDown' } });
    await fails('S3_FAILED', store.put('key', randomSource(30 * MiB).source));
    expectPartsRemoved();
    expect(await store.head('key')).toBeNull();
  });

  test('when the source throws or the caller aborts, the parts are removed', async () => {
    await failure(store.put('key', failingSource(20 * MiB)));
    expectPartsRemoved();

    server.requests.length = 0;
    const stopper = new AbortController();
    server.faults.push({ match: /partNumber=1/, effect: 'stall' });
    const uploading = store.put('key', randomSource(30 * MiB).source, { signal: stopper.signal });
    await until(() => server.requests.some(({ url }) => url.includes('partNumber=1')));
    stopper.abort();
    await fails('ABORTED', uploading);
    expectPartsRemoved();
  });

  test('a completion that answers 200 with an error in its body is a failure', async () => {
    const body =
      '<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>try again</Message></Error>';
    server.faults.push({ match: /^POST .*uploadId/, effect: { body } });
    await fails('S3_FAILED', store.put('key', randomSource(9 * MiB).source));
    expectPartsRemoved();
    expect(await store.head('key')).toBeNull();
  });

  test('a completion whose answer is lost is recognised as done', async () => {
    const { source, digest } = randomSource(9 * MiB);
    server.faults.push({ match: /^POST .*uploadId/, effect: 'lose answer', times: 1 });
    await store.put('key', source);
    expect(await digestOf(store.get('key'))).toBe(digest());
  });

  test('a lost answer to our own create-only PUT is not taken for the success of another', async () => {
    server.faults.push({ match: /^PUT/, effect: 'lose answer', times: 1 });
    expect(await store.putIfAbsent('lock', Buffer.from('our nonce'))).toBe(true);
    expect(await store.putIfAbsent('lock', Buffer.from('another'))).toBe(false);
  });

  test('a conflict between create-only PUTs is tried again, within a limit', async () => {
    const effect = { status: 409, code: 'ConditionalRequestConflict' };
    server.faults.push({ match: /^PUT/, effect, times: 2 });
    expect(await store.putIfAbsent('lock', Buffer.from('x'))).toBe(true);
    server.faults.push({ match: /^PUT/, effect });
    await fails('S3_FAILED', store.putIfAbsent('other', Buffer.from('x')));
  });

  test('so is one between whole objects that are to be new; a completion is sent anew with its parts', async () => {
    const effect = { status: 409, code: 'ConditionalRequestConflict' };
    server.faults.push({ match: /^PUT/, effect, times: 2 });
    await store.put('whole', once('x'), { ifAbsent: true });
    expect(await textOf(store, 'whole')).toBe('x');
    // The conflict was with a try of ours whose answer was lost.
    server.faults.push({ match: /^PUT/, effect: 'lose answer', times: 1 }, { match: /^PUT/, effect, times: 1 });
    await store.put('ours', once('y'), { ifAbsent: true });
    await store.put('another', once('theirs'));
    server.faults.push({ match: /^PUT/, effect, times: 1 });
    await fails('TARGET_EXISTS', store.put('another', once('ours'), { ifAbsent: true }));
    expect(await textOf(store, 'another')).toBe('theirs');
    server.faults.push({ match: /^PUT/, effect });
    await fails('S3_FAILED', store.put('never', once('x'), { ifAbsent: true }));
    server.faults.length = 0;
    server.faults.push({ match: /^POST .*uploadId/, effect, times: 1 });
    await fails('S3_FAILED', store.put('parts', randomSource(9 * MiB).source, { ifAbsent: true }));
    expectPartsRemoved();
    await store.put('parts', randomSource(9 * MiB).source, { ifAbsent: true });
  });

  test('a download that is cut again and again goes on where it broke off', async () => {
    const { source, digest } = randomSource(7 * MiB);
    await store.put('key', source);
    server.faults.push({ match: /^GET/, effect: { cutAfterBytes: 2 * MiB }, times: 3 });
    expect(await digestOf(store.get('key'))).toBe(digest());
    const gets = server.requests.filter(({ method }) => method === 'GET');
    expect(gets.length).toBeGreaterThan(1);
    for (const { headers } of gets.slice(1)) {
      expect(headers.range).toMatch(/^bytes=\d+-/);
      expect(headers['if-match']).toBeString();
    }
  });

  test('an object replaced during a cut is not glued together', async () => {
    await store.put('key', randomSource(7 * MiB).source);
    server.faults.push({ match: /^GET/, effect: { cutAfterBytes: 2 * MiB }, times: 1 });
    let isReplaced = false;
    const reading = (async () => {
      for await (const _ of store.get('key')) {
        if (!isReplaced) await store.put('key', randomSource(7 * MiB).source);
        isReplaced = true;
      }
    })();
    await fails('S3_MISMATCH', reading);
  });

  test('a download that is cut without progress is given up', async () => {
    await store.put('key', once('some bytes'));
    server.faults.push({ match: /^GET/, effect: { cutAfterBytes: 0 } });
    await fails('S3_UNREACHABLE', textOf(store, 'key'));
  });

  test('a bit turned over on the way down is noticed where the server gives a checksum', async () => {
    await store.put('key', once('some bytes'));
    server.faults.push({ match: /^GET/, effect: 'flip a bit' });
    await fails('S3_MISMATCH', textOf(store, 'key'));
  });

  test('a body that stands still is given up in time, and the rest asked for', async () => {
    const options = s3Options({ requestTimeoutMs: 1_000 });
    const hasty = createS3Store(options);
    const { source, digest } = randomSource(3 * MiB);
    // However long this server takes for a whole upload.
    const patient = createS3Store({ ...options, requestTimeoutMs: 60_000 });
    await patient.put('key', source);
    patient.close();
    server.faults.push({ match: /^GET/, effect: { stallAfterBytes: MiB }, times: 2 });
    expect(await digestOf(hasty.get('key'))).toBe(digest());
    expect(server.requests.filter(({ method }) => method === 'GET').length).toBeGreaterThan(1);
  });

  test('a server that refuses connections is unreachable', async () => {
    const host = `127.0.0.1:${NOBODY_LISTENS}`;
    const away = createS3Store(s3Options({ endpoint: `http://${host}`, maxAttempts: 2 }));
    const error = await fails('S3_UNREACHABLE', away.put('key', once('x')));
    expect(error.message).toContain(host);
    expect(isPermanent(error)).toBe(false);
    await fails('S3_UNREACHABLE', away.head('key'));
    const [failed] = await away.deleteMany(['key']);
    expect(failed?.error.code).toBe('S3_UNREACHABLE');
  });

  test('a web page that says 200 to everything is not taken for S3', async () => {
    const page = createWebServer((_request, response) => response.end('<html>Please log in</html>'));
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
    const address = page.address();
    const host = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    try {
      const lost = createS3Store(s3Options({ endpoint: `http://${host}`, maxAttempts: 1 }));
      await fails('S3_FAILED', lost.put('key', once('x')));
      await fails('S3_FAILED', lost.put('key', randomSource(9 * MiB).source));
      await fails('S3_FAILED', lost.putIfAbsent('key', Buffer.from('x')));
      await fails('S3_FAILED', lost.head('key'));
      await fails('S3_FAILED', textOf(lost, 'key'));
      await fails('S3_FAILED', keysOf(lost));
      await fails('S3_FAILED', lost.delete('key'));
      expect((await lost.deleteMany(['one', 'two'])).map(({ key, error }) => [key, error.code])).toEqual([
        ['one', 'S3_FAILED'],
        ['two', 'S3_FAILED'],
      ]);
      const encrypted = createS3Store(s3Options({ endpoint: `https://${host}`, maxAttempts: 1 }));
      expect((await fails('S3_UNREACHABLE', encrypted.head('key'))).message).toContain('does not speak TLS');
    } finally {
      page.close();
      page.closeAllConnections();
    }
  });

  test('a server that never answers is given up in time', async () => {
    const hasty = createS3Store(s3Options({ maxAttempts: 2, requestTimeoutMs: 300 }));
    server.faults.push({ match: /./, effect: 'stall' });
    const startedAt = performance.now();
    await fails('S3_UNREACHABLE', hasty.put('key', once('x')));
    await fails('S3_UNREACHABLE', hasty.head('key'));
    // Long before the usual minute.
    expect(performance.now() - startedAt).toBeLessThan(30_000);
  });

  test('a server without bulk delete is served by single deletes', async () => {
    for (const key of ['first', 'second', 'third']) await store.put(key, once(key));
    server.faults.push({ match: /^POST .*delete/, effect: { status: 501, code: 'NotImplemented' } });
    server.faults.push({ match: /^DELETE .*second/, effect: { status: 403, code: 'AccessDenied' } });
    const failures = await store.deleteMany(['first', 'second', 'third']);
    expect(failures.map(({ key, error }) => [key, error.code])).toEqual([['second', 'S3_DENIED']]);
    expect(await keysOf(store)).toEqual(['second']);
  });

  test('a bulk delete that refuses some keys, or forgets them, names those', async () => {
    const body = `<?xml version="1.0" encoding="UTF-8"?><DeleteResult><Deleted><Key>PREFIX/gone</Key></Deleted>
      <Error><Key>PREFIX/kept</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>`;
    const options = s3Options();
    const judged = createS3Store(options);
    server.faults.push({ match: /^POST .*delete/, effect: { body: body.replaceAll('PREFIX', options.prefix) } });
    const failures = await judged.deleteMany(['gone', 'kept', 'forgotten']);
    expect(failures.map(({ key, error }) => [key, error.code])).toEqual([
      ['kept', 'S3_DENIED'],
      ['forgotten', 'S3_FAILED'],
    ]);
    judged.close();
  });

  test('part sizes grow with the object, up to the 5 TiB that S3 keeps under one name', () => {
    const GiB = 1024 * MiB;
    const TiB = 1024 * GiB;
    expect(partBytesFor(undefined)).toBe(5 * MiB);
    expect(partBytesFor(50_000 * MiB)).toBe(5 * MiB);
    expect(partBytesFor(50_000 * MiB + 1)).toBe(6 * MiB);
    expect(partBytesFor(5 * TiB)).toBe(525 * MiB);
    for (let sizeBytes = 1; sizeBytes <= 5 * TiB; sizeBytes = sizeBytes * 1.7 + 1) {
      const partBytes = partBytesFor(Math.floor(sizeBytes));
      expect(Math.ceil(sizeBytes / partBytes)).toBeLessThanOrEqual(10_000);
      // The largest that S3 takes, and no larger than needed.
      expect(partBytes).toBeLessThanOrEqual(5 * GiB);
      expect(partBytes === 5 * MiB || sizeBytes > (partBytes - MiB) * 10_000).toBe(true);
    }
  });

  test('settings that cannot work are refused at once', () => {
    const refused: Partial<S3Options>[] = [
      { bucket: '' },
      { secretAccessKey: null },
      { endpoint: 'https://host/bucket' },
      { endpoint: 'http://' },
    ];
    for (const options of refused)
      expect(() => createS3Store(s3Options(options))).toThrow(expect.objectContaining({ code: 'BAD_CONFIG' }));
  });

  function expectPartsRemoved(): void {
    const removals = server.requests.filter(({ method, url }) => method === 'DELETE' && url.includes('uploadId='));
    expect(removals.map(({ status }) => status)).toEqual([204]);
  }
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
