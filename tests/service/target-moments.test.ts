/** The machine is gone, and the stream lies at a target: what an empty one gets back, and what a restore finds there. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { marksKey } from '../../src/engine/replication/stream-keys.ts';
import { openTarget, type TargetAccess } from '../../src/engine/store/kinds.ts';
import { capturedShops, capturing, order, textsIn } from '../support/captured-shop.ts';
import { copyToTarget, makeTargetFolder } from '../support/remote-stream.ts';
import { startS3Server } from '../support/s3-server.ts';
import { refusal } from '../support/scratch.ts';

setDefaultTimeout(120_000);
const { scratch, openService, startShop } = capturedShops();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const server = await startS3Server();
await server.createBucket('shops');
afterAll(() => server.close());

interface Lost {
  readonly kind?: TargetAccess['kind'];
  readonly recipients?: readonly string[];
  /** Makes a backup behind the first order, which goes to the target as well. */
  readonly backUp?: boolean;
}

/** Three orders, each in a segment of its own; the target holds them, and nothing else is left. */
async function lostShop({ kind = 'folder', recipients = [], backUp = false }: Lost = {}) {
  const prefix = `shop-${crypto.randomUUID()}`;
  const { region, endpoint, accessKeyId, secretAccessKey } = server;
  const access: TargetAccess =
    kind === 'folder'
      ? { kind, path: makeTargetFolder(join(scratch(), 'nas')) }
      : { kind, bucket: 'shops', region, endpoint, accessKeyId, secretAccessKey };
  const sealing = { compression: 'none', recipients } as const;
  const target = { ...access, name: 'nas', prefix, retentionCount: null, sealing };
  const shop = await startShop({ targets: [target] });
  await capturing(shop.service);
  const bookmarks: string[] = [];
  let backup: string | null = null;
  for (const text of ['one', 'two', 'three']) {
    await order(shop.app, text);
    bookmarks.push((await shop.service.mark(text)).bookmark);
    if (backUp && text === 'one') backup = (await shop.service.performBackup()).filename ?? null;
  }
  await shop.app.kill();
  await shop.service.close();
  const store = openTarget(access, prefix);
  await copyToTarget(shop.stream, store, { kind, recipients });
  if (recipients.length === 0) {
    const marks = readFileSync(join(shop.stream, 'marks.json'));
    await store.put(marksKey({ isSealed: false }), one(marks));
  }
  rmSync(shop.place, { recursive: true, force: true });
  const place = scratch();
  const opened = openService(place, { targets: [target], continuous: null });
  return { ...opened, place, path: join(place, 'shop.sqlite'), access, target, store, bookmarks, backup };
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

for (const kind of ['folder', 's3'] as const)
  test(`an empty machine gets the newest moment back from a ${kind}`, async () => {
    const { service, path, bookmarks, place } = await lostShop({ kind, backUp: true });
    expect(await service.restoreIfMissing()).toEqual({
      ...{ outcome: 'restored', path, backup: bookmarks[2] ?? '', from: 'nas', skipped: [] },
    });
    expect(textsIn(path)).toEqual(['one', 'two', 'three']);
    const left = readdirSync(join(place, 'backups')).filter((name) => name.startsWith('.velist-moment'));
    expect(left).toEqual([]);
  });

test('a segment that is damaged there gives its turn to the backup, with what is lost', async () => {
  const { service, path, backup, store, bookmarks } = await lostShop({ backUp: true });
  for await (const { key } of store.list('continuous/'))
    if (key.endsWith(`-${bookmarks[1]}.ltx`)) await store.put(key, one(Buffer.from('nothing of the kind')));
  const found = await service.restoreIfMissing();
  expect(found).toMatchObject({
    ...{ outcome: 'restored', backup: backup ?? '', skipped: [{ filename: bookmarks[2], from: 'nas' }] },
    lack: expect.stringContaining('What was committed between'),
  });
  expect(textsIn(path)).toEqual(['one']);
});

test('a sealed stream comes back with its key, and nothing begins without it', async () => {
  const [identity, other] = [await generateIdentity(), await generateIdentity()];
  const { service, path, place } = await lostShop({ recipients: [await identityToRecipient(identity)] });
  const keyFile = (name: string, text: string) => {
    writeFileSync(join(place, name), `${text}\n`);
    return join(place, name);
  };
  const without = await refusal(() => service.restoreIfMissing());
  expect([without.code, without.hint]).toEqual(['BAD_REQUEST', expect.stringContaining('--identity')]);
  const wrong = await refusal(() => service.restoreIfMissing({ identityFile: keyFile('other', other) }));
  expect([wrong.code, existsSync(path)]).toEqual(['BAD_REQUEST', false]);
  expect(await service.restoreIfMissing({ identityFile: keyFile('key', identity) })).toMatchObject({ from: 'nas' });
  expect(textsIn(path)).toEqual(['one', 'two', 'three']);
});

test('a target that does not answer is not taken for an empty one, and holds up no restore that can do without', async () => {
  const { service, access, path } = await lostShop();
  if (access.kind !== 'folder') throw new Error('a folder was asked for');
  rmSync(join(access.path, '.velist-target'));
  const error = await refusal(() => service.restoreIfMissing());
  expect([error.message, existsSync(path)]).toEqual([expect.stringContaining('it is not known whether'), false]);
  const found = await refusal(() => service.findRestorePoint({ latest: true }));
  expect([found.code, found.hint]).toEqual(['NO_BACKUP', expect.stringContaining('nas')]);
});

test('by bookmark, mark and time the moment is found there, planned and restored', async () => {
  const { service, bookmarks, place } = await lostShop({ kind: 's3' });
  const [, second = ''] = bookmarks;
  const moments = await service.moments({ target: 'nas' });
  expect(moments.marks.map(({ name }) => name)).toEqual(['one', 'two', 'three']);
  expect(moments.found?.bookmark).toBe(bookmarks[2] ?? '');
  const { at } = moments.marks[1] ?? { at: '' };
  for (const wish of [{ at: second }, { at: 'two' }, { backup: second }, { latest: true } as const]) {
    const found = await service.findRestorePoint(wish);
    expect(found).toMatchObject({ filename: 'latest' in wish ? bookmarks[2] : second, target: 'nas', warnings: [] });
  }
  expect((await service.findRestorePoint({ at: new Date(at) })).target).toBe('nas');
  const plan = await service.planRestore({ at: 'two' }, { from: 'nas' });
  expect(plan).toMatchObject({
    ...{ backup: second, mode: 'missing', after: { verified: true } },
    stream: { target: 'nas', bookmark: second, after: expect.stringMatching(/^0/) },
  });
  const to = join(place, 'second.sqlite');
  // What the plan brought is not fetched again.
  server.requests.length = 0;
  await service.restore({ at: 'two' }, { mode: 'file', to, from: 'nas' });
  const fetched = server.requests.filter(
    ({ method, url, headers: { range } }) => method === 'GET' && /\/0009\//.test(url) && range !== 'bytes=0-99',
  );
  expect([textsIn(to), fetched]).toEqual([['one', 'two'], []]);
  await service.restore(second, { mode: 'missing' });
  expect(textsIn(join(place, 'shop.sqlite'))).toEqual(['one', 'two']);
  const { code } = await refusal(() => service.restore({ at: '00000000000fffff' }, { mode: 'file', to: `${to}2` }));
  expect(code).toBe('NO_MOMENT');
});

test('a moment of each target is drilled beside the newest backup, and each has its result', async () => {
  const { target, place, store, bookmarks } = await lostShop({ backUp: true });
  const { service } = openService(place, { targets: [target] });
  await service.restoreIfMissing();
  service.start();
  await capturing(service);
  const report = await service.drill({ target: 'nas' });
  expect(report.drills.map(({ target: from, result, moment }) => [from, result, moment instanceof Date])).toEqual([
    ['nas', 'proven', false],
    ['nas', 'proven', true],
  ]);
  expect(await service.drill({ target: 'nas', at: 'one' })).toMatchObject({ ok: true, drills: [{ target: 'nas' }] });
  for await (const { key } of store.list('continuous/ltx/')) await store.put(key, one(Buffer.from('not a segment')));
  const { ok, drills } = await service.drill({ target: 'nas', at: bookmarks[1] ?? '' });
  expect([ok, drills[0]?.error?.code]).toEqual([false, 'BAD_BACKUP']);
});

test('the command line on an empty machine: one command, and what it could bring back', async () => {
  const { access, target, place, path, bookmarks } = await lostShop();
  if (access.kind !== 'folder') throw new Error('a folder was asked for');
  const env = {
    ...{ PATH: process.env['PATH'] ?? '', DATABASE_URL: path, BACKUP_LOCAL_PATH: join(place, 'backups') },
    ...{ BACKUP_STATE_PATH: join(place, 'state.sqlite'), BACKUP_FOLDER_PATH: join(access.path, target.prefix) },
  };
  writeFileSync(join(access.path, target.prefix, '.velist-target'), '');
  const run = async (...argv: string[]) => {
    const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv], {
      ...{ cwd: place, env, stdio: ['ignore', 'pipe', 'pipe'] },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (said += text));
    const [code] = await once(child, 'close');
    return { code, said };
  };
  const listed = await run('moments', '--from', 'folder');
  expect([listed.code, listed.said]).toEqual([0, expect.stringContaining(`newest ${bookmarks[2]}`)]);
  const to = join(place, 'second.sqlite');
  const second = await run('restore', '--at', 'two', '--from', 'folder', '--to', to);
  expect([second.code, second.said]).toEqual([0, expect.stringContaining(to)]);
  expect(textsIn(to)).toEqual(['one', 'two']);
  const latest = await run('restore', 'latest', '--to', join(place, 'latest.sqlite'));
  expect([latest.code, latest.said]).toEqual([0, expect.stringContaining('latest.sqlite')]);
  expect(textsIn(join(place, 'latest.sqlite'))).toEqual(['one', 'two', 'three']);
  const booted = await run('restore', '--if-missing');
  expect([booted.code, booted.said]).toEqual([0, expect.stringContaining(`Restored ${bookmarks[2]} (folder) to `)]);
  expect(textsIn(path)).toEqual(['one', 'two', 'three']);
});
