import { expect, setDefaultTimeout, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runJob } from '../../src/engine/process/run-job.ts';
import { materialize } from '../../src/engine/replication/materialize.ts';
import { FOLDER_MARK } from '../../src/engine/store/folder/kind.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import type { FurtherFolder, S3Target } from '../../src/service/targets/targets.ts';
import { capturedShops, order, texts, textsIn, untilStatus } from '../support/captured-shop.ts';
import { refusal } from '../support/scratch.ts';
import { type S3Server, startS3Server } from '../support/s3-server.ts';
import { settingsWith } from '../support/settings.ts';
import { workers } from '../support/workers.ts';

setDefaultTimeout(120_000);
const { scratch, openService, startShop } = capturedShops();

function newFolder(): FurtherFolder {
  const path = scratch();
  writeFileSync(join(path, FOLDER_MARK), '');
  return { kind: 'folder', name: 'nas', path, prefix: 'shop', retentionCount: null };
}

/** Where the stream lies there. */
const streamAt = ({ path }: { readonly path: string }) => join(path, 'shop', 'continuous');

/** What a machine of which nothing is left gets back. */
async function textsFrom(folder: string): Promise<unknown[]> {
  const to = join(scratch(), 'restored.sqlite');
  await materialize(folder, { latest: true }, to);
  return textsIn(to);
}

const shipped = async (service: BackupService) => (await service.getStatus()).continuous?.targets ?? [];

test('what is durable is at the second folder, whatever becomes of this machine', async () => {
  const folder = newFolder();
  const { app, service } = await startShop({ targets: [folder] });
  // Asked before the first image is made, it waits for it.
  await order(app, 'one');
  const first = await service.durable();
  expect(await textsFrom(streamAt(folder))).toEqual(['one']);
  await order(app, 'two');
  const second = await service.durable({ targets: ['nas'], timeoutMs: 60_000 });
  expect(second.bookmark > first.bookmark).toBe(true);
  expect(await textsFrom(streamAt(folder))).toEqual(['one', 'two']);
  const { continuous } = await untilStatus(
    service,
    (status) => status.continuous?.targets[0]?.bookmark === second.bookmark,
  );
  expect(continuous).toMatchObject({
    maxLagSeconds: 60,
    targets: [{ name: 'nas', bookmark: second.bookmark, behindSince: null, waitingBytes: 0, error: null }],
  });
  // It is this database's place, and backups go there as before.
  await service.performBackup();
  expect(existsSync(join(folder.path, 'shop', 'database.json'))).toBe(true);
  const status = await service.getStatus();
  expect([status.places.map(({ owner }) => owner), status.verdict.code]).toEqual([['ours', 'ours'], 'off']);
});

test.each(['plain', 'sealed'] as const)(
  'what is durable comes back on an empty machine by one call: %s',
  async (form) => {
    const identity = await generateIdentity();
    const recipients = form === 'sealed' ? [await identityToRecipient(identity)] : [];
    const folder: FurtherFolder = { ...newFolder(), sealing: { compression: 'none', recipients } };
    const { app, service } = await startShop({ targets: [folder] });
    await service.durable();
    await service.performBackup();
    for (const text of ['one', 'two']) await order(app, text);
    await service.durable();
    await service.close();
    const empty = scratch();
    const identityFile = join(empty, 'key.txt');
    writeFileSync(identityFile, identity);
    const { service: other } = openService(empty, { targets: [folder] });
    await other.restoreIfMissing(form === 'sealed' ? { identityFile } : {});
    expect(textsIn(join(empty, 'shop.sqlite'))).toEqual(['one', 'two']);
  },
);

test('a target that cannot be listed is not asked again and again whose this database is, nor does that hold up the end', async () => {
  const folder = newFolder();
  rmSync(join(folder.path, FOLDER_MARK));
  let listings = 0;
  const counted: typeof runJob = (request, options) => {
    if ((request as { readonly kind: string }).kind === 'list-remote') listings += 1;
    return runJob(request, options);
  };
  const { service } = await startShop({ targets: [folder], runJob: counted });
  await service.durable({ targets: ['local'] });
  const before = listings;
  for (let k = 0; k < 20; k++) await service.moments();
  // The start's own look may be among them.
  expect(listings - before).toBeLessThanOrEqual(2);
  await service.close();
});

test('calls at one time share one capture', async () => {
  const folder = newFolder();
  const { app, service } = await startShop({ targets: [folder] });
  await service.durable();
  await order(app, 'one');
  const answers = await Promise.all(Array.from({ length: 20 }, () => service.durable()));
  expect(new Set(answers.map(({ bookmark }) => bookmark)).size).toBeLessThanOrEqual(2);
});

test('a target that is away: durable says so, the verdict after a while, and what waits arrives in order', async () => {
  const folder = newFolder();
  const mark = join(folder.path, FOLDER_MARK);
  const continuous = {
    ...{ intervalMs: 50, bytesMax: null, stopMs: 10_000, maxLagSeconds: 0.2 },
    windowsMs: [3_600_000, 86_400_000, 604_800_000, 2_592_000_000],
  };
  const { app, service, said } = await startShop({ targets: [folder], continuous });
  await service.durable();
  await service.performBackup();
  rmSync(mark);
  await order(app, 'one');
  const refused = await refusal(() => service.durable({ timeoutMs: 500 }));
  expect([refused.code, refused.message]).toEqual(['NOT_DURABLE', expect.stringContaining('nas: ')]);
  await service.durable({ targets: ['local'] });
  const behind = await untilStatus(service, ({ verdict }) => verdict.code === 'behind');
  expect(behind.verdict).toMatchObject({ tone: 'amber', detail: expect.stringContaining('nas') });
  expect(behind.continuous?.targets[0]).toMatchObject({
    behindSince: expect.any(Date),
    error: { code: 'FOLDER_MISSING' },
  });
  expect(said.filter((line) => line.includes('Commits wait for')).length).toBe(1);
  for (const text of ['two', 'three']) await order(app, text);
  writeFileSync(mark, '');
  await service.durable({ timeoutMs: 60_000 });
  expect(await textsFrom(streamAt(folder))).toEqual(['one', 'two', 'three']);
  await untilStatus(service, ({ verdict, continuous: at }) => verdict.code !== 'behind' && !at?.targets[0]?.error);
  expect(said.some((line) => line.includes('are shipped to') && line.includes('again'))).toBe(true);
});

test('durable names what it was not asked for rightly, and ends with its signal', async () => {
  const { service } = await startShop({ targets: [newFolder()] });
  expect((await refusal(() => service.durable({ targets: ['moon'] }))).code).toBe('BAD_REQUEST');
  const abort = new AbortController();
  abort.abort();
  expect((await refusal(() => service.durable({ signal: abort.signal }))).code).toBe('ABORTED');
  await service.stop();
  expect((await refusal(() => service.durable())).code).toBe('NOT_DURABLE');
});

test('without a target, durable means captured', async () => {
  const { app, service, stream } = await startShop();
  await order(app, 'one');
  await service.durable();
  expect(await textsFrom(stream)).toEqual(['one']);
});

test('a stop ships the last commits, and names those that it could not', async () => {
  const folder = newFolder();
  const { place, app, service, said } = await startShop({ targets: [folder] });
  await service.durable();
  await order(app, 'one');
  await service.stop();
  expect(await textsFrom(streamAt(folder))).toEqual(['one']);
  expect(said.filter((line) => line.includes('next start'))).toEqual([]);
  const continuous = {
    ...{ intervalMs: 50, bytesMax: null, stopMs: 1_000 },
    windowsMs: [3_600_000, 86_400_000, 604_800_000, 2_592_000_000],
  };
  const second = openService(place, { targets: [folder], continuous });
  second.service.start();
  await second.service.durable();
  rmSync(join(folder.path, FOLDER_MARK));
  await order(app, 'two');
  await second.service.durable({ targets: ['local'] });
  await second.service.stop();
  expect(second.said.some((line) => line.includes('is not at nas yet') && line.includes('next start'))).toBe(true);
  writeFileSync(join(folder.path, FOLDER_MARK), '');
  const third = openService(place, { targets: [folder] });
  third.service.start();
  await third.service.durable();
  expect(await textsFrom(streamAt(folder))).toEqual(['one', 'two']);
  // All three starts are one line: one image.
  expect(readdirSync(join(streamAt(folder), 'ltx', '9')).length).toBe(1);
});

test('a machine of which only the database is left goes on above what the target holds', async () => {
  const folder = newFolder();
  const { place, app, service } = await startShop({ targets: [folder] });
  await order(app, 'one');
  const { bookmark } = await service.durable();
  await service.close();
  rmSync(join(place, 'backups'), { recursive: true });
  const second = openService(place, { targets: [folder] });
  second.service.start();
  await order(app, 'two');
  const after = await second.service.durable();
  expect(after.bookmark > bookmark).toBe(true);
  expect(await textsFrom(streamAt(folder))).toEqual(['one', 'two']);
});

test('to a place of another database, or of another machine, nothing is shipped', async () => {
  const folder = newFolder();
  const one = await startShop({ targets: [folder] });
  await order(one.app, 'of the first');
  await one.service.durable();
  // Another database, and the same environment.
  const other = await startShop({ targets: [folder] });
  await order(other.app, 'of the second');
  const refused = await refusal(() => other.service.durable({ timeoutMs: 3_000 }));
  expect(refused.code).toBe('NOT_DURABLE');
  const [told] = await shipped(other.service);
  expect(['FOREIGN_PLACE', 'PLACE_TAKEN']).toContain(told?.error?.code ?? '');
  await order(one.app, 'again');
  await one.service.durable();
  expect(await textsFrom(streamAt(folder))).toEqual(['of the first', 'again']);
});

test('a target that is added later begins with all pages, and one that is taken away gets nothing more', async () => {
  const [folder, later] = [newFolder(), { ...newFolder(), name: 'later' }];
  const { place, app, service } = await startShop({ targets: [folder] });
  for (const text of ['one', 'two', 'three']) {
    await order(app, text);
    await service.durable();
  }
  await service.close();
  const second = openService(place, { targets: [later] });
  second.service.start();
  await order(app, 'four');
  await second.service.durable();
  expect(await textsFrom(streamAt(later))).toEqual(['one', 'two', 'three', 'four']);
  expect(await textsFrom(streamAt(folder))).toEqual(['one', 'two', 'three']);
});

test('the process that ships is killed: what follows has no hole', async () => {
  const folder = newFolder();
  const { app, service } = await startShop({ targets: [folder] });
  await service.durable();
  for (let round = 0; round < 3; round++) {
    await order(app, `before ${round}`);
    for (const pid of workers()) process.kill(pid, 'SIGKILL');
    await order(app, `after ${round}`);
    // Those who waited are told; the next process begins by itself.
    await untilDurable(service);
    expect(await textsFrom(streamAt(folder))).toEqual(await texts(app));
  }
});

test('the whole service is killed again and again: what is at the target has no hole, and all comes in the end', async () => {
  const folder = newFolder();
  mkdirSync(dirname(streamAt(folder)));
  writeFileSync(join(dirname(streamAt(folder)), FOLDER_MARK), '');
  const { place, path, app, service } = await startShop({ isOn: false });
  await service.close();
  const environment = {
    ...{ PATH: process.env['PATH'] ?? '', DATABASE_URL: path, BACKUP_ENABLED: 'false', BACKUP_CONTINUOUS: 'true' },
    ...{ BACKUP_LOCAL_PATH: join(place, 'backups'), BACKUP_STATE_PATH: join(place, 'state.sqlite') },
    BACKUP_FOLDER_PATH: dirname(streamAt(folder)),
  };
  const main = fileURLToPath(new URL('../support/folder-machine-main.ts', import.meta.url));
  for (let round = 0; round < 3; round++) {
    const machine = spawn(process.execPath, [main], { env: environment, stdio: ['pipe', 'ignore', 'inherit'] });
    const gone = once(machine, 'exit');
    await order(app, `order ${round}`);
    // Until something of this start is there; then at any moment.
    const before = round === 0 ? [] : await textsFrom(streamAt(folder));
    await untilAt(folder, (there) => there.length > before.length);
    await order(app, `late ${round}`);
    machine.kill('SIGKILL');
    await gone;
    const all = await texts(app);
    const there = await textsFrom(streamAt(folder));
    expect(there).toEqual(all.slice(0, there.length));
  }
  const last = spawn(process.execPath, [main], { env: environment, stdio: ['pipe', 'ignore', 'inherit'] });
  const all = await texts(app);
  await untilAt(folder, (there) => there.length === all.length);
  const gone = once(last, 'exit');
  last.stdin.end();
  await gone;
  expect(await textsFrom(streamAt(folder))).toEqual(all);
});

/** What can be restored from there is asked again and again. */
async function untilAt(folder: FurtherFolder, isWanted: (there: readonly unknown[]) => boolean): Promise<void> {
  while (!existsSync(join(streamAt(folder), 'ltx', '9')) || !isWanted(await textsFrom(streamAt(folder))))
    await Bun.sleep(50);
}

/** A bucket of the test server, as the environment describes one. */
function bucketOf(server: S3Server, more: Partial<S3Target> = {}): S3Target {
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  return { ...{ endpoint, region, accessKeyId, secretAccessKey, bucket: 'bucket', retentionCount: null }, ...more };
}

async function startShopAt(s3: S3Target) {
  return await startShop({ s3, settings: settingsWith({ enabled: false, s3Enabled: true, s3Path: 'shop' }) });
}

/** Below the prefix of the stream, in the order in which they were stored. */
function storedAt({ requests }: S3Server) {
  const puts = requests.filter(
    ({ method, url, status }) => method === 'PUT' && status === 200 && url.includes('/continuous/'),
  );
  return puts.map(({ url, headers }) => ({
    name: decodeURIComponent(url.split('?')[0] ?? '').replace(/^.*\/continuous\//, ''),
    headers,
  }));
}

test.each(['plain', 'sealed'] as const)('to S3, %s, with answers that are lost', async (form) => {
  const server = await startS3Server();
  try {
    await server.createBucket('bucket');
    const recipients = form === 'sealed' ? [await identityToRecipient(await generateIdentity())] : [];
    const sealing = { compression: 'none', recipients } as const;
    const { app, service } = await startShopAt(bucketOf(server, { storageClass: 'STANDARD_IA', sealing }));
    await order(app, 'one');
    // Done, and its answer is lost: read back, it is known for our own.
    server.faults.push({ match: /^PUT \/bucket\/shop\/continuous\/0000/, effect: 'lose answer', times: 1 });
    await service.durable({ timeoutMs: 60_000 });
    await order(app, 'two');
    await service.durable({ timeoutMs: 60_000 });
    const stored = storedAt(server);
    expect(stored[0]?.name).toMatch(/^0009\/0000000000000001-[0-9a-f]{16}\.ltx(\.age)?$/);
    expect(stored.every(({ name }) => name.endsWith('.age') === (form === 'sealed'))).toBe(true);
    const captured = stored.filter(({ name }) => name.startsWith('0000/'));
    expect(captured.length).toBeGreaterThan(0);
    for (const { headers } of captured) {
      expect(headers['x-amz-meta-litestream-timestamp']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      expect(headers['if-none-match']).toBe('*');
      expect(headers['x-amz-storage-class']).toBeUndefined();
    }
  } finally {
    await server.close();
  }
});

test('to a bucket where nothing may be replaced or removed', async () => {
  const server = await startS3Server();
  try {
    await server.createBucket('bucket');
    server.appendOnly = true;
    const { app, service } = await startShopAt(bucketOf(server, { lifecycleDays: 30 }));
    await service.durable({ timeoutMs: 60_000 });
    for (const name of ['first', 'second']) {
      await order(app, name);
      await service.mark(name);
      await service.durable({ timeoutMs: 60_000 });
    }
    const { continuous } = await untilStatus(service, (status) => status.continuous?.targets[0]?.behindSince === null);
    expect(continuous?.targets[0]?.error).toBeNull();
    expect(server.requests.filter(({ method, url }) => method === 'DELETE' || url.includes('?delete'))).toEqual([]);
  } finally {
    await server.close();
  }
});

async function untilDurable(service: BackupService): Promise<void> {
  for (;;) {
    try {
      await service.durable();
      return;
    } catch {
      await Bun.sleep(100);
    }
  }
}
